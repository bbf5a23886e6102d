// Thirty checkouts, a third of them abandoned. A day later the list of executions holds only the others. The day is
// virtual: the open payments are made older, and reconciliation runs at each time that it has set.

import assert from "node:assert/strict";
import { test } from "node:test";

import { takePicture } from "./pictures.js";
import { NARROW, WIDE, ask, aws, outputs, reconcile, until, visit, withBrowser } from "./support.js";

/** The age at which reconciliation checks a payment for the first time, in seconds. */
const FIRST_LOOK = 5 * 60;
const DAY = 24 * 60 * 60;
/** The prefix of all its orders' ids. */
const ORDERS = `4825${String(Date.now()).slice(-6)}`;

const RECORDS = outputs.tables["card-payment-record"];

async function sent(method, url, body, type = "application/json") {
  const response = await fetch(url, { method, body, redirect: "manual", headers: { "content-type": type, accept: "application/json" } });
  const text = await response.text();
  assert.ok(response.status < 400, `${url} answered ${response.status}: ${text}`);
  return { text, location: response.headers.get("location") };
}

function form(fields) {
  return new URLSearchParams(fields).toString();
}

const FORM = "application/x-www-form-urlencoded";

/** Places an order and checks out with a card, up to the bank's page. Returns the charge. */
async function checkOut(orderId, cardNumber, environment) {
  const order = JSON.parse((await sent("POST", `${outputs.shopUrl}/orders`, JSON.stringify({ orderId, ownerId: `usr_${orderId}`, grandTotal: "1500.00" }))).text);
  const { token } = JSON.parse((await sent("POST", `${outputs.bankUrl}/sandbox/tokens`, JSON.stringify({ cardNumber }))).text);
  const { ownerId: userId, basketId, grandTotal } = order;
  const fields = { token, userId, orderId, basketId, grandTotal, mid: environment.merchantId, paymentMethods: "card", saveCard: "true", callback: outputs.shopUrl };
  const { text, location } = await sent("POST", `${outputs.apiUrl}/cardpayment`, form(fields), FORM);
  const page = location ?? /url=([^"]+)/.exec(text)[1];
  return page.split("/").at(-1);
}

/** Passes 3-D Secure. Returns the form that leads back to the shop. */
async function authenticate(charge) {
  return JSON.parse((await sent("POST", `${outputs.bankUrl}/3ds/${charge}`, form({ otp: "123456", action: "approve" }), FORM)).text);
}

async function recordOf(charge) {
  return (await ask(`/api/payments/${charge}`)).record;
}

/** Makes an open payment this many seconds old, and due. */
async function makeOlder({ tokenId }, age) {
  await aws("dynamodb", "DynamoDB_20120810.UpdateItem", {
    TableName: RECORDS,
    Key: { tokenId: { S: tokenId } },
    UpdateExpression: "SET lookAgainAt = :due, openSince = :since",
    ConditionExpression: "attribute_exists(openShard)",
    ExpressionAttributeValues: { ":due": { N: "1" }, ":since": { S: new Date(Date.now() - age * 1000).toISOString() } },
  });
}

/** Makes these payments this many seconds old, and runs reconciliation. */
async function lookAt(charges, age) {
  for (const charge of charges) await makeOlder(await recordOf(charge), age);
  const { failed } = await reconcile();
  assert.equal(failed, 0);
}

/** Runs reconciliation on abandoned checkouts for a day. Returns their age at each run. */
async function lookForADay(charges) {
  const looks = [];
  for (let age = FIRST_LOOK; age <= DAY;) {
    await lookAt(charges, age);
    looks.push(age);
    // The run has set the time of the next run.
    const now = Math.floor(Date.now() / 1000);
    const due = await until(async () => {
      const times = (await Promise.all(charges.map(recordOf))).map(({ lookAgainAt }) => lookAgainAt);
      return times.every((time) => time > now) && times;
    });
    age += Math.max(...due) - now;
  }
  return looks;
}

/** Waits until this many executions of this test's orders are over, and returns them. */
function areOver(count) {
  return until(async () => {
    const { lines } = await ask(`/api/executions?find=${ORDERS}`);
    return lines.filter(({ stopped }) => stopped).length >= count && lines;
  });
}

withBrowser();

test("a day after thirty checkouts, ten of them abandoned, the list holds the twenty payments", async () => {
  const environment = await ask("/api/environment");
  const card = (wanted) => environment.cards.find(({ manner }) => manner === wanted).number;
  const abandoned = [];
  const lost = [];
  for (let at = 0; at < 30; at += 1) {
    const manner = { 4: "declined", 8: "callbackLost" }[at % 9] ?? "approved";
    const charge = await checkOut(`${ORDERS}${String(at).padStart(2, "0")}`, card(manner), environment);
    if (at % 3 === 0) {
      abandoned.push(charge);
      continue;
    }
    const { action, fields } = await authenticate(charge);
    if (manner === "callbackLost") lost.push(charge);
    else await sent("POST", action, form(fields), FORM);
  }
  const back = 30 - abandoned.length - lost.length;
  await areOver(back);

  await lookAt(lost, FIRST_LOOK);
  const looks = await lookForADay(abandoned);
  const lines = await areOver(back + lost.length);
  assert.equal(lines.length, 20);
  assert.deepEqual([...new Set(lines.map(({ outcome }) => outcome))].sort(), ["declined", "paid"]);
  assert.deepEqual(lines.filter(({ chargeId }) => abandoned.includes(chargeId)), []);
  for (const charge of abandoned) assert.equal((await recordOf(charge)).outcome, "pending");
  console.log(`a virtual day: reconciliation looked ${looks.length} times at each of ${abandoned.length} abandoned checkouts, without an execution`);

  for (const viewport of [WIDE, NARROW]) {
    await visit(async ({ page }) => {
      await page.goto(`${outputs.shopUrl}/executions?find=${ORDERS}`);
      await page.getByText("1–20 of 20").waitFor();
      assert.equal(await page.locator("tbody tr").count(), 20);
      await takePicture(page, "executions-day");
    }, { viewport, colorScheme: "light", reducedMotion: "reduce" });
  }
});
