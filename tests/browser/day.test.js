// A day after some checkouts of which a third were abandoned: the list of executions holds payments, and nothing else. The day is
// virtual: the open payments are made older, and reconciliation looks at each of the times that it set itself.

import assert from "node:assert/strict";
import { test } from "node:test";

import { takePicture } from "./pictures.js";
import { NARROW, WIDE, ask, aws, outputs, reconcile, visit, withBrowser } from "./support.js";

/** When reconciliation looks at a checkout for the first time, in seconds. */
const FIRST_LOOK = 5 * 60;
const DAY = 24 * 60 * 60;
/** What all its orders begin with. */
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

/** Orders something and checks out with a card, up to the bank's page. Returns the charge. */
async function checkOut(orderId, cardNumber, environment) {
  const order = JSON.parse((await sent("POST", `${outputs.shopUrl}/orders`, JSON.stringify({ orderId, ownerId: `usr_${orderId}`, grandTotal: "1500.00" }))).text);
  const { token } = JSON.parse((await sent("POST", `${outputs.bankUrl}/sandbox/tokens`, JSON.stringify({ cardNumber }))).text);
  const { ownerId: userId, basketId, grandTotal } = order;
  const fields = { token, userId, orderId, basketId, grandTotal, mid: environment.merchantId, paymentMethods: "card", saveCard: "true", callback: outputs.shopUrl };
  const { text, location } = await sent("POST", `${outputs.apiUrl}/cardpayment`, form(fields), FORM);
  const page = location ?? /url=([^"]+)/.exec(text)[1];
  return page.split("/").at(-1);
}

/** Passes 3-D Secure, and comes back unless the way back is lost. */
async function finish(charge) {
  const { text } = await sent("POST", `${outputs.bankUrl}/3ds/${charge}`, form({ otp: "123456", action: "approve" }), FORM);
  const { action, fields } = JSON.parse(text);
  if (action) await sent("POST", action, form(fields), FORM);
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

/** Lets reconciliation look at these open payments for a day. Returns how old they were at each look. */
async function lookForADay(charges) {
  const looks = [];
  for (let age = FIRST_LOOK; age <= DAY;) {
    for (const charge of charges) {
      const record = await recordOf(charge);
      if (record.openShard !== undefined) await makeOlder(record, age);
    }
    const { failed } = await reconcile();
    assert.equal(failed, 0);
    looks.push(age);
    const open = (await Promise.all(charges.map(recordOf))).filter(({ openShard }) => openShard !== undefined);
    const pauses = open.map(({ lookAgainAt }) => lookAgainAt - Math.floor(Date.now() / 1000));
    const pause = Math.max(...pauses);
    assert.ok(Math.min(...pauses) > 0, `reconciliation did not look at each payment: ${pauses}`);
    age += pause;
  }
  return looks;
}

async function listed() {
  return ask(`/api/executions?find=${ORDERS}`);
}

/** Waits until so many executions are over. */
async function areOver(count) {
  for (;;) {
    const { lines } = await listed();
    if (lines.filter(({ stopped }) => stopped).length >= count) return lines;
    await new Promise((done) => setTimeout(done, 500));
  }
}

withBrowser();

test("a day after thirty checkouts, ten of them abandoned, the list holds the twenty payments", async () => {
  const environment = await ask("/api/environment");
  const card = (wanted) => environment.cards.find(({ manner }) => manner === wanted).number;
  const abandoned = [];
  const lost = [];
  for (let at = 0; at < 30; at += 1) {
    const manner = at % 10 === 4 ? "declined" : at % 10 === 7 ? "callbackLost" : "approved";
    const charge = await checkOut(`${ORDERS}${String(at).padStart(2, "0")}`, card(manner), environment);
    if (at % 3 === 0) {
      abandoned.push(charge);
      continue;
    }
    await finish(charge);
    if (manner === "callbackLost") lost.push(charge);
  }
  const back = 30 - abandoned.length - lost.length;
  await areOver(back);

  const looks = await lookForADay([...abandoned, ...lost]);
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
