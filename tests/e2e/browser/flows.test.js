// Plays the flows by clicks, and checks what the shopper sees and what the picture of the execution shows.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { pathOf } from "../../../statemachine/path.mjs";
import { ask, bank, outputs, startByHand, visit, withBrowser } from "./support.js";

const DEFINITION = JSON.parse(readFileSync(new URL("../../../statemachine/payment.asl.json", import.meta.url), "utf8"));
const APPROVED = /^Approved after/;
const OTHER_APPROVED = /^Approved after .*MASTERCARD/;

/**
 * Asserts that the picture shows as reached exactly the end and the states of the path with these decisions. Their
 * status is `done`, except those in `others`.
 */
async function shows(shopper, decided, others = {}) {
  const states = pathOf(DEFINITION, decided);
  const picture = await shopper.picture();
  const expected = Object.fromEntries([
    ...Object.keys(picture).map((state) => [state, "untouched"]),
    ...[...states, "done"].map((state) => [state, "done"]),
    ...Object.entries(others),
  ]);
  assert.deepEqual(picture, expected);
  await isColoured(shopper);
}

/** Asserts that every status has the colour of its word in the legend, and that no two tones have the same colour. */
async function isColoured(shopper) {
  const fills = await shopper.page.locator("#graph").evaluate((graph) => {
    const colour = (element, property) => element && getComputedStyle(element)[property];
    const tones = Object.fromEntries(["good", "warn", "bad", "wait"].map((tone) => [tone, colour(document.querySelector(`#legend .pill.${tone}`), "backgroundColor")]));
    const nodes = [...graph.querySelectorAll(".node")].map((node) => [node.dataset.status, colour(node.querySelector("rect, polygon"), "fill")]);
    return { tones, nodes };
  });
  assert.equal(new Set(Object.values(fills.tones)).size, 4);
  const toneOf = { done: "good", retried: "warn", caught: "warn", failed: "bad", running: "wait" };
  for (const [status, fill] of fills.nodes) {
    if (toneOf[status]) assert.equal(fill, fills.tones[toneOf[status]], status);
    else assert.ok(!Object.values(fills.tones).includes(fill), `a state that was not reached is ${fill}`);
  }
}

/** Pays an order as a new user, and returns the user. */
async function becomeKnown(shopper) {
  await shopper.openShop();
  await shopper.pay(APPROVED);
  await shopper.confirm();
  const orderId = await shopper.isTold("paid");
  const { ownerId } = await ask(`/api/orders/${orderId}`);
  return ownerId;
}

/** Chooses a user from an earlier visit. */
async function chooseKnown(shopper, ownerId) {
  await shopper.click(shopper.page.getByRole("radio", { name: "A user who was here before" }));
  await shopper.page.getByLabel("Which one").selectOption(ownerId);
}

async function savedCards(ownerId) {
  const users = await ask("/api/users");
  return users.find((user) => user.ownerId === ownerId)?.cards ?? [];
}

describe("by clicking", () => {
  withBrowser();

  test("flow 1: a new user's first order is paid after few clicks", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay();
    await shopper.confirm();
    const orderId = await shopper.isTold("paid");
    const { clicks } = shopper;
    console.log(`clicks from the shop's address to the first paid order: ${clicks}`);
    assert.ok(clicks <= 6, `${clicks} clicks`);
    const order = await ask(`/api/orders/${orderId}`);
    assert.equal(order.isPaid, true);

    await shopper.seesExecution("paid");
    await shows(shopper, ["paid", "the policy says yes"]);
    assert.equal((await savedCards(order.ownerId)).length, 1);

    // The shop verified the event's signature.
    await shopper.click(shopper.link("Notifications"));
    const row = shopper.page.getByRole("row", { name: orderId });
    await row.getByText("Signature right").waitFor();
    await row.getByText("payment.succeeded").first().waitFor();
  }));

  test("flow 2: a known user pays with another card", () => visit(async (shopper) => {
    const user = await becomeKnown(shopper);
    await shopper.openShop();
    await chooseKnown(shopper, user);
    await shopper.pay(OTHER_APPROVED);
    await shopper.confirm();
    await shopper.isTold("paid");
    await shopper.seesExecution("paid");
    await shows(shopper, ["paid", "the policy says yes", "existed, not declined"]);
    assert.deepEqual((await savedCards(user)).map(({ brand }) => brand), ["VISA", "MASTERCARD"]);
  }));

  test("flow 3: the bank declines, and the order can be paid with another card", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(/^Declined after/);
    await shopper.confirm();
    const orderId = await shopper.isTold("declined");
    await shopper.seesExecution("declined");
    // The policy of the local deployment saves the card of every order. The bank refuses a declined card.
    await shows(shopper, ["declined", "the policy says yes", "CardNotSaved"], { EnsureKBankUser: "caught" });

    await shopper.click(shopper.link("Orders"));
    await shopper.click(shopper.link(`Pay order ${orderId}`));
    await shopper.page.locator("#checkout[data-ready]").waitFor();
    await shopper.pay(APPROVED);
    await shopper.confirm();
    assert.equal(await shopper.isTold("paid"), orderId);
  }));

  test("flow 3: the shopper fails 3-D Secure", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(APPROVED);
    await shopper.click(shopper.button("Fail the authentication"));
    await shopper.isTold("declined");
  }));

  test("flow 4: a card is verified, saved, and the baht goes back", () => visit(async (shopper) => {
    const user = await becomeKnown(shopper);
    await shopper.openShop("/cards");
    await chooseKnown(shopper, user);
    await shopper.pay(OTHER_APPROVED);
    await shopper.confirm();
    await shopper.isTold("saved");
    await shopper.seesExecution("verified");
    await shows(shopper, ["paid or returned, ADDCARD", "existed, not declined", "ADDCARD"]);
    assert.equal((await savedCards(user)).length, 2);

    // Follows the links from the execution to its record and to the bank's charge, and back.
    await shopper.click(shopper.link("What it left behind"));
    await shopper.page.locator("#record pre").getByText('"resolution": "reversed"').waitFor();
    await shopper.click(shopper.link(/at the bank/));
    await shopper.page.locator('[data-state="Voided"]').first().waitFor();
    await shopper.click(shopper.link("Execution"));
    await shopper.page.locator('#facts[data-outcome="verified"]').waitFor();
  }));

  test("without 3-D Secure the order is paid at once", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(/^Approved at once/);
    await shopper.isTold("paid");
  }));

  test("a slow bank: the shopper waits, and the order is paid", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(/^Slow/);
    await shopper.confirm();
    await shopper.isTold("pending");
    await shopper.isTold("paid");
    await shopper.seesExecution("paid");
    assert.equal((await shopper.picture()).InquireCharge, "retried");
    await isColoured(shopper);
  }));

  test("a payment whose callback is lost is paid by reconciliation", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(/^Callback lost/);
    await shopper.confirm();
    await shopper.page.getByRole("heading", { name: "The way back is lost" }).waitFor();
    await shopper.click(shopper.link("Look at the order in the shop"));
    const row = shopper.page.getByRole("row", { name: /Pending/ }).first();
    await row.waitFor();
    const id = await row.getAttribute("id");
    const order = shopper.page.locator(`#${id}`);
    await shopper.click(order.getByRole("button", { name: /^Reconcile now/ }));
    await order.getByText("Paid", { exact: true }).waitFor();

    await shopper.click(order.getByRole("link", { name: /^Execution/ }));
    await shopper.page.locator('#facts[data-outcome="paid"]').waitFor();
    await shows(shopper, ["paid", "the policy says yes"]);
    const input = await ask(`/api/executions/${shopper.page.url().split("/").at(-1)}`);
    assert.equal(input.input.source, "reconcile");
  }));

  test("a refused checkout says why", () => visit(async (shopper) => {
    for (const [what, message] of [
      ["Another total than the order's", /is not the order's total: reload the checkout/],
      ["Somebody else's order", /this user has no such order/],
      ["A merchant account that is not the shop's", /is no merchant account of this shop/],
    ]) {
      await shopper.openShop();
      await shopper.click(shopper.page.getByText("Spoil the form"));
      await shopper.page.getByLabel("What the API must refuse").selectOption({ label: what });
      await shopper.pay();
      await shopper.page.getByRole("heading", { name: "The payment was not started" }).waitFor();
      await shopper.page.getByText(message).waitFor();
    }
  }));

  test("an order that two tabs pay is paid once, and the other charge goes back", () => visit(async (first) => {
    await first.openShop();
    await first.pay(/^Declined after/);
    await first.confirm();
    const orderId = await first.isTold("declined");
    const second = await first.tab();
    for (const shopper of [first, second]) {
      await shopper.openShop(`/?order=${orderId}`);
      await shopper.pay(APPROVED);
      await shopper.button("Confirm the payment").waitFor();
    }
    const charge = second.page.url().split("/").at(-1);
    await first.confirm();
    await first.isTold("paid");
    await second.confirm();
    await second.isTold("paid");
    await second.page.goto(`${outputs.shopUrl}/executions/${charge}`);
    await second.page.locator('#facts[data-outcome="reversed"]').waitFor();
    await shows(second, ["paid", "OrderAlreadyPaid"], { PayOrder: "caught" });
    await second.page.getByText("OrderAlreadyPaid").first().waitFor();
  }));

  test("the page of a running execution updates without a reload", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(APPROVED);
    await shopper.button("Confirm the payment").waitFor();
    const charge = shopper.page.url().split("/").at(-1);
    // The bank answers the fourth inquiry.
    await bank("faults", { operation: "inquire", kind: "error", times: 3 });
    const watcher = await shopper.tab();
    await watcher.page.goto(`${outputs.shopUrl}/executions/${charge}`);
    await watcher.page.getByRole("alert").getByText("there is no execution").waitFor();
    await shopper.confirm();
    await watcher.page.locator('[data-state="InquireCharge"][data-status="running"]').first().waitFor();
    await watcher.page.locator('#facts[data-outcome="running"]').waitFor();
    await watcher.page.locator('#facts[data-outcome="paid"]').waitFor();
    const picture = await watcher.picture();
    assert.equal(picture.InquireCharge, "retried");
    assert.equal(picture.CloseRecord, "done");
    const step = watcher.page.locator('#steps [data-state="InquireCharge"]');
    await step.getByText("Tried 4 times").waitFor();
    assert.equal(await step.getByText("BankUnavailable").count(), 3);
  }));

  test("an execution that stands failed shows where, and with which error", () => visit(async (shopper) => {
    const name = `by-hand-${Date.now()}`;
    await startByHand(name, { chargeId: "chrg_test_nobody_made_this_one" });
    await shopper.page.goto(`${outputs.shopUrl}/executions`);
    await shopper.click(shopper.link(name));
    await shopper.page.locator('#facts[data-outcome="failed"]').waitFor();
    const picture = await shopper.picture();
    assert.equal(picture.ParseCallback, "done");
    assert.equal(picture.LookupRecord, "failed");
    assert.equal(picture.InquireCharge, "untouched");
    assert.equal(picture.done, "untouched");
    await isColoured(shopper);
    await shopper.page.locator("#facts").getByText("RecordNotFound").waitFor();
  }));

  test("a declined payment is found behind more than fifty other executions", () => visit(async (shopper) => {
    const { page } = shopper;
    await shopper.openShop();
    await shopper.pay(/^Declined at once/);
    const orderId = await shopper.isTold("declined");
    const others = `behind-${Date.now()}`;
    for (let at = 0; at < 55; at += 1) await startByHand(`${others}-${at}`, { chargeId: `chrg_test_nobody_made_this_one_${at}` });
    const row = page.locator("tbody tr").filter({ hasText: orderId });
    const hasOnly = async (word) => {
      const outcomes = await page.locator("tbody td:first-child").allInnerTexts();
      assert.deepEqual([...new Set(outcomes.map((text) => text.trim()))], [word]);
    };

    // It is not on the first page, but the filter covers all executions.
    await shopper.click(shopper.link("Executions"));
    await page.getByText(/^1–50 of \d+$/).waitFor();
    assert.equal(await row.count(), 0);
    await shopper.click(shopper.button(/^Declined \(\d+\)$/));
    await row.waitFor();
    await hasOnly("Declined");
    // The address opens the same list, and the back button works.
    await page.reload();
    await page.locator('#show-declined[aria-pressed="true"]').waitFor();
    await row.waitFor();
    await page.goBack();
    await page.locator('#show-all[aria-pressed="true"]').waitFor();

    // The next page continues the list.
    await shopper.click(shopper.link("Older"));
    await page.getByText(/^51–\d+ of \d+$/).waitFor();
    await row.waitFor();
    await shopper.click(shopper.link("Newest"));
    await page.getByText(/^1–50 of \d+$/).waitFor();

    // It is found by its order.
    await page.getByLabel("Order, charge or refund, or a part of its id").fill(orderId);
    await shopper.click(shopper.button("Find"));
    await page.getByText("1–1 of 1").waitFor();
    await hasOnly("Declined");
    // It is found by its charge, but not among the failed executions.
    const charge = await row.getByRole("link").innerText();
    await page.goto(`${outputs.shopUrl}/executions?find=${charge}`);
    await row.waitFor();
    await page.goto(`${outputs.shopUrl}/executions?find=${others}-54&outcome=failed`);
    await page.getByText("1–1 of 1").waitFor();
    await hasOnly("Failed");
  }));
});

describe("at the bank, by hand", () => {
  withBrowser();

  async function openCharge(shopper, orderId) {
    const orders = await ask("/api/orders");
    const { chargeId } = orders.find((order) => order.orderId === orderId);
    await shopper.page.goto(`${outputs.bankUrl}/charges/${chargeId}`);
    await shopper.button("Settle").waitFor();
    return chargeId;
  }

  async function paidOrder(shopper) {
    await shopper.openShop();
    await shopper.pay(APPROVED);
    await shopper.confirm();
    return shopper.isTold("paid");
  }

  async function isNoted(shopper, text) {
    await shopper.page.getByRole("status").getByText(text).waitFor();
  }

  async function hasState(shopper, state) {
    await shopper.page.locator(`dl [data-state="${state}"]`).waitFor();
  }

  test("the bank's dialect for a charge can be changed", () => visit(async (shopper) => {
    const chargeId = await openCharge(shopper, await paidOrder(shopper));
    await shopper.page.getByLabel("How the bank speaks of this charge").selectOption("amounts-as-text");
    await isNoted(shopper, 'Dialect: the bank speaks "amounts-as-text".');
    const answer = await fetch(`${outputs.bankUrl}/sandbox/charges/${chargeId}`);
    assert.equal((await answer.json()).dialect, "amounts-as-text");
  }));

  test("a charge is settled and refunded, and an impossible action shows its error", () => visit(async (shopper) => {
    await openCharge(shopper, await paidOrder(shopper));
    await shopper.click(shopper.button("Settle"));
    await isNoted(shopper, "Settlement: the charge is Settled.");
    await hasState(shopper, "Settled");
    await shopper.click(shopper.button("Void"));
    await shopper.page.getByRole("alert").getByText("only a charge in the state Authorized can be voided").waitFor();
    await shopper.click(shopper.button("Refund what is left"));
    await isNoted(shopper, "Refund: the charge is Refund Sent.");
    await hasState(shopper, "Refund Sent");
    await shopper.page.getByRole("table", { name: "Refunds" }).getByText("1,500.00 THB").waitFor();
  }));

  test("a part is refunded, and the shop is not notified if that is not wanted", () => visit(async (shopper) => {
    const chargeId = await openCharge(shopper, await paidOrder(shopper));
    await shopper.page.getByLabel("Notify the shop of a settlement").uncheck();
    await shopper.click(shopper.button("Settle"));
    await hasState(shopper, "Settled");
    const part = shopper.page.getByLabel("A part, in baht");
    await part.fill("1,20");
    await shopper.click(shopper.button("Refund this part"));
    assert.equal(await part.evaluate((input) => input.validity.patternMismatch), true, "the browser sends no such amount");
    await part.fill("1500.01");
    await shopper.click(shopper.button("Refund this part"));
    await shopper.page.getByRole("alert").getByText("1500.00 THB of the charge are left to refund").waitFor();
    for (const count of [1, 2]) {
      await part.fill("120.5");
      await part.press("Enter");
      const parts = shopper.page.getByRole("table", { name: "Refunds" }).getByText("120.50 THB");
      await parts.nth(count - 1).waitFor();
    }
    await shopper.page.locator("dl").getByText("1,259.00 THB").waitFor();
    const record = await (await fetch(`${outputs.bankUrl}/sandbox/charges/${chargeId}`)).json();
    assert.deepEqual(record.notifications.map((sent) => sent.transaction_state), ["Authorized"]);
  }));

  test("the bank refuses what the shop asks for, and accepts it again", () => visit(async (shopper) => {
    const chargeId = await openCharge(shopper, await paidOrder(shopper));
    const asked = shopper.page.getByLabel("Voids and refunds that the shop asks for");
    for (const [how, noted] of [["error", "refuses"], ["fail", "refuses"], ["", "accepts"]]) {
      await asked.selectOption(how);
      await isNoted(shopper, `Voids and refunds: the bank ${noted} those of the shop.`);
      const record = await (await fetch(`${outputs.bankUrl}/sandbox/charges/${chargeId}`)).json();
      assert.equal(record.refusing, how || null);
    }
  }));

  test("the nightly batch settles every authorised charge", () => visit(async (shopper) => {
    const chargeId = await openCharge(shopper, await paidOrder(shopper));
    await shopper.click(shopper.link("Charges"));
    await shopper.click(shopper.button("Settle every authorised charge"));
    await isNoted(shopper, /Settlement: \d+ charges? (is|are) settled\./);
    const row = shopper.page.locator("tr", { hasText: chargeId });
    await row.locator('[data-state="Settled"]').waitFor();
  }));

  test("a charge is voided", () => visit(async (shopper) => {
    await openCharge(shopper, await paidOrder(shopper));
    await shopper.click(shopper.button("Void"));
    await isNoted(shopper, "Void: the charge is Voided.");
    await hasState(shopper, "Voided");
  }));

  test("a second callback and a second notification change nothing", () => visit(async (shopper) => {
    const orderId = await paidOrder(shopper);
    const chargeId = await openCharge(shopper, orderId);
    await shopper.click(shopper.button("Send the callback twice at once"));
    await isNoted(shopper, "Two callbacks: the shop answered 303 and 303.");
    await shopper.click(shopper.button("Send the notification again"));
    await isNoted(shopper, "Notification: the shop answered 200.");
    const { executions, events } = await ask(`/api/payments/${chargeId}`);
    assert.deepEqual(executions.map(({ name }) => name), [chargeId]);
    assert.equal(events.length, 1);
  }));

  test("a callback that comes late pays the order", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(/^Callback lost/);
    await shopper.confirm();
    await shopper.page.getByRole("heading", { name: "The way back is lost" }).waitFor();
    const chargeId = shopper.page.url().split("/").at(-1);
    await shopper.page.goto(`${outputs.bankUrl}/charges/${chargeId}`);
    await shopper.click(shopper.button(/^Send the callback in/));
    await isNoted(shopper, "Late callback: the shop answered 303.");
    await shopper.page.goto(`${outputs.shopUrl}/executions/${chargeId}`);
    await shopper.page.locator('#facts[data-outcome="paid"]').waitFor();
  }));

  test("the shopper leaves, comes back, mistypes the password, and pays", () => visit(async (shopper) => {
    await shopper.openShop();
    await shopper.pay(APPROVED);
    await shopper.click(shopper.button("Leave without an answer"));
    await shopper.click(shopper.link("Back to the payment"));
    await shopper.page.getByLabel("One-time password").fill("000000");
    await shopper.confirm();
    await shopper.page.getByRole("alert").getByText("The password is wrong. 2 tries are left.").waitFor();
    await shopper.page.getByLabel("One-time password").fill("123456");
    await shopper.confirm();
    await shopper.isTold("paid");
  }));
});

describe("money is given back", () => {
  withBrowser();

  /** Pays an order, and returns its id. */
  async function paidOrder(shopper) {
    await shopper.openShop();
    await shopper.pay(APPROVED);
    await shopper.confirm();
    return shopper.isTold("paid");
  }

  async function openOrder(shopper, orderId) {
    await shopper.click(shopper.link("Orders", { exact: true }));
    await shopper.click(shopper.link(orderId, { exact: true }));
    await shopper.button("Give the money back").waitFor();
  }

  /** Settles the order's charge at the bank's page, and comes back to the order's. */
  async function settle(shopper) {
    const { page } = shopper;
    const order = page.url();
    await shopper.click(shopper.link(/at the bank$/));
    await shopper.click(shopper.button("Settle"));
    await page.locator('dl [data-state="Settled"]').waitFor();
    await page.goto(order);
    await shopper.button("Give the money back").waitFor();
  }

  /** Fills in the form and sends it; without an amount, for all that is left. */
  async function giveBack(shopper, amount, reason = "") {
    const { page } = shopper;
    await shopper.click(page.getByRole("radio", { name: amount === undefined ? /^All that is left/ : "A part of it" }));
    if (amount !== undefined) await page.getByLabel("Amount in baht").fill(amount);
    await page.getByLabel(/^Reason/).fill(reason);
    const id = await page.locator("#refund-id").innerText();
    await shopper.click(shopper.button("Give the money back"));
    return id;
  }

  /** The ledger's line of a refund. */
  function line(shopper, refundId) {
    return shopper.page.locator(`#refund-${refundId}`);
  }

  /** Asserts that the picture shows exactly these states as reached, and which of them are not `done`. */
  async function showsRefund(shopper, states, others = {}) {
    const picture = await shopper.picture();
    const expected = Object.fromEntries([
      ...Object.keys(picture).map((state) => [state, "untouched"]),
      ...states.map((state) => [state, "done"]),
      ...Object.entries(others),
    ]);
    assert.deepEqual(picture, expected);
    await isColoured(shopper);
  }

  async function refundsAtTheBank(shopper) {
    const { chargeId } = (await ask("/api/orders")).find(({ orderId }) => shopper.page.url().endsWith(orderId));
    const answer = await fetch(`${outputs.bankUrl}/sandbox/charges/${chargeId}`);
    const { refunds, transaction_state } = await answer.json();
    return { amounts: refunds.map(({ amount }) => String(amount)), state: transaction_state };
  }

  test("a part of a settled order goes back, and then the rest", () => visit(async (shopper) => {
    const { page } = shopper;
    const orderId = await paidOrder(shopper);
    await openOrder(shopper, orderId);
    await settle(shopper);
    const part = await giveBack(shopper, "120.50", "2 items missing");
    await page.getByRole("status").getByText("120.50 THB goes back: the bank has accepted it. 1379.50 THB can still be given back.").waitFor();
    await line(shopper, part).getByText("Sent", { exact: true }).waitFor();
    await line(shopper, part).getByText("2 items missing").waitFor();
    await page.locator("#facts").getByText("partially refunded").waitFor();
    // The form is empty, and another refund.
    assert.equal(await page.getByLabel(/^Reason/).inputValue(), "");
    assert.notEqual(await page.locator("#refund-id").innerText(), part);

    const rest = await giveBack(shopper);
    await page.getByRole("status").getByText(/^1379\.50 THB goes back/).waitFor();
    await page.getByText("There is nothing left to give back.").waitFor();
    await page.locator('#facts[data-status="refunded"]').waitFor();
    assert.deepEqual(await refundsAtTheBank(shopper), { amounts: ["120.5", "1379.5"], state: "Refund Sent" });

    // The execution shows each step, and leads to the payment's and to the other refund's.
    await shopper.click(line(shopper, part).getByRole("link", { name: part }));
    await page.locator('#facts[data-outcome="refunded"]').waitFor();
    await showsRefund(shopper, ["CheckRefund", "RefundState", "InquireCharge", "RefundWay", "RefundCharge", "RecordRefund", "NotifyRefund", "RefundDone", "done"]);
    await page.locator("#facts").getByText("120.50 THB").waitFor();
    await shopper.click(page.locator("#around").getByRole("link", { name: rest }));
    await page.locator("#facts").getByText("1,379.50 THB").waitFor();
    await shopper.click(page.locator("#around").getByRole("link", { name: /^chrg_/ }));
    await page.locator('#facts[data-outcome="paid"]').waitFor();

    // The bank's page, the notifications, the list of orders and the shopper's page say the same.
    await shopper.click(shopper.link(/at the bank$/));
    const refunds = page.getByRole("table", { name: "Refunds" });
    await refunds.getByText("120.50 THB").waitFor();
    await refunds.getByText("1,379.50 THB").waitFor();
    await page.goto(`${outputs.shopUrl}/notifications`);
    for (const [id, text] of [[part, `120.50 THB by ${part}; 1,379.50 THB left`], [rest, `1,379.50 THB by ${rest}; 0.00 THB left`]]) {
      const row = page.getByRole("row").filter({ hasText: id });
      await row.getByText("refund.succeeded").first().waitFor();
      await row.getByText(text).first().waitFor();
      await row.getByText("Signature right").waitFor();
    }
    await page.goto(`${outputs.shopUrl}/thankyou?orderId=${orderId}`);
    await page.locator('#status[data-state="refunded"]').waitFor();
    await page.locator("#facts").getByText("1,500.00 THB").last().waitFor();
    await shopper.click(shopper.link("Orders", { exact: true }));
    await page.locator(`#order-${orderId}`).getByText("Refunded", { exact: true }).waitFor();
    // It is found by its refund.
    await page.goto(`${outputs.shopUrl}/executions?find=${part}`);
    await page.getByText("1–1 of 1").waitFor();
    await page.locator("tbody tr").getByText("Refund", { exact: true }).waitFor();
  }));

  test("all of an order that is not settled is cancelled", () => visit(async (shopper) => {
    const { page } = shopper;
    await openOrder(shopper, await paidOrder(shopper));
    const refund = await giveBack(shopper);
    await page.getByRole("status").getByText(/^1500\.00 THB goes back/).waitFor();
    await line(shopper, refund).getByText("Cancelled before settlement.").waitFor();
    assert.equal((await refundsAtTheBank(shopper)).state, "Voided");
    await shopper.click(line(shopper, refund).getByRole("link", { name: refund }));
    await page.locator('#facts[data-outcome="refunded"]').waitFor();
    await showsRefund(shopper, ["CheckRefund", "RefundState", "InquireCharge", "RefundWay", "VoidCharge", "RecordRefund", "NotifyRefund", "RefundDone", "done"]);
  }));

  test("a part of an order that is not settled waits, and goes back after settlement", () => visit(async (shopper) => {
    const { page } = shopper;
    await openOrder(shopper, await paidOrder(shopper));
    const order = page.url();
    const refund = await giveBack(shopper, "120.50");
    await page.getByRole("status").getByText("It waits until the charge is settled").waitFor();
    await line(shopper, refund).getByText("Waits until the charge is settled.").waitFor();
    assert.equal((await refundsAtTheBank(shopper)).state, "Authorized");
    await shopper.click(line(shopper, refund).getByRole("link", { name: refund }));
    await page.locator('#facts[data-outcome="running"]').waitFor();
    await showsRefund(shopper, ["CheckRefund", "RefundState", "InquireCharge", "RefundWay"], { AwaitSettlement: "running" });
    await page.locator("#graph").getByText(/^Waiting/).waitFor();

    await page.goto(order);
    await settle(shopper);
    await shopper.click(line(shopper, refund).getByRole("button", { name: /^Ask the bank now/ }));
    await page.getByRole("status").getByText(/^120\.50 THB goes back/).waitFor();
    await line(shopper, refund).getByText("Sent", { exact: true }).waitFor();
    assert.deepEqual(await refundsAtTheBank(shopper), { amounts: ["120.5"], state: "Refund Sent" });
  }));

  test("an impossible refund says why, and nothing goes back", () => visit(async (shopper) => {
    const { page } = shopper;
    await openOrder(shopper, await paidOrder(shopper));
    for (const [amount, message] of [
      ["", /^InvalidRefund: .*amount/],
      ["12.345", /^InvalidRefund: .*amount/],
      ["-1", /^InvalidRefund: .*amount/],
      ["0", /^InvalidRefund: .*amount/],
      ["a lot", /^InvalidRefund: .*amount/],
      ["1500.01", /^RefundTooLarge: .*1500\.00/],
    ]) {
      const refund = await giveBack(shopper, amount);
      await page.getByRole("alert").getByText(message).waitFor();
      // What was typed can be corrected, and is another refund.
      assert.equal(await page.getByLabel("Amount in baht").inputValue(), amount);
      assert.notEqual(await page.locator("#refund-id").innerText(), refund);
    }
    await page.getByText("Nothing went back.").waitFor();
    assert.deepEqual(await refundsAtTheBank(shopper), { amounts: [], state: "Authorized" });
  }));

  test("a form that is sent twice is one refund", () => visit(async (shopper) => {
    const { page } = shopper;
    await openOrder(shopper, await paidOrder(shopper));
    await settle(shopper);
    await shopper.click(page.getByRole("radio", { name: "A part of it" }));
    await page.getByLabel("Amount in baht").fill("100");
    const first = await page.locator("#refund-id").innerText();
    await shopper.button("Give the money back").dblclick();
    await page.getByRole("status").getByText(/^100\.00 THB goes back/).waitFor();
    assert.deepEqual((await refundsAtTheBank(shopper)).amounts, ["100"]);

    // A browser without the page's own guard, or one that never saw the first answer.
    const refundId = `rf_twice_${Date.now()}`;
    const send = async (amount) => {
      const address = `${outputs.shopUrl}/api/orders/${page.url().split("/").at(-1)}/refunds`;
      const body = JSON.stringify({ refundId, amount });
      const response = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body });
      return { status: response.status, answer: await response.json() };
    };
    const answers = await Promise.all([send("200"), send("200"), send("200")]);
    for (const { status, answer } of answers) {
      assert.equal(status, 200);
      assert.equal(answer.isWell, true, answer.text);
    }
    assert.deepEqual((await refundsAtTheBank(shopper)).amounts, ["100", "200"]);
    // The same id for another amount is refused.
    const other = await send("300");
    assert.equal(other.status, 400);
    assert.match(other.answer.error, /asked for before, with other values/);
    assert.deepEqual((await refundsAtTheBank(shopper)).amounts, ["100", "200"]);
    // Nothing else was started that could give back more.
    const { lines } = await ask(`/api/executions?find=${page.url().split("/").at(-1)}`);
    assert.deepEqual(lines.filter(({ kind }) => kind === "refund").map(({ name }) => name), [refundId, first]);
  }));

  test("a refund that the bank refuses is tried again", () => visit(async (shopper) => {
    const { page } = shopper;
    await openOrder(shopper, await paidOrder(shopper));
    const order = page.url();
    const refusing = async (how) => {
      await page.goto(order);
      await shopper.click(shopper.link(/at the bank$/));
      await page.getByLabel("Voids and refunds that the shop asks for").selectOption(how);
      await page.getByRole("status").getByText(how ? /refuses/ : /accepts/).waitFor();
      await page.goto(order);
    };
    await refusing("error");
    const refund = await giveBack(shopper);
    await page.getByRole("status").getByText("The bank has refused it. It is tried again every half hour").waitFor();
    await line(shopper, refund).getByText("Is tried again.").waitFor();
    await shopper.click(line(shopper, refund).getByRole("link", { name: refund }));
    await showsRefund(shopper, ["CheckRefund", "RefundState", "InquireCharge", "RefundWay", "TakeBack"], { VoidCharge: "caught", AwaitRetry: "running" });
    await page.locator("#steps").getByText("RefundRefused").waitFor();
    await refusing("");
    await shopper.click(line(shopper, refund).getByRole("button", { name: /^Ask the bank now/ }));
    await page.getByRole("status").getByText(/^1500\.00 THB goes back/).waitFor();
    assert.equal((await refundsAtTheBank(shopper)).state, "Voided");
  }));

  test("a part that is given back at the bank's page counts as everything until a person says how much it was", () => visit(async (shopper) => {
    const { page } = shopper;
    await openOrder(shopper, await paidOrder(shopper));
    const order = page.url();
    await settle(shopper);
    await shopper.click(shopper.link(/at the bank$/));
    await page.getByLabel("A part, in baht").fill("100");
    await shopper.click(shopper.button("Refund this part"));
    await page.locator('dl [data-state="Refund Sent"]').waitFor();
    await page.goto(order);
    await line(shopper, "elsewhere").getByText("Not known").waitFor();
    await page.locator("#facts").getByText("0.00 THB, and an unknown amount by hand").waitFor();
    await page.getByText("There is nothing left to give back.").waitFor();
    await page.locator('#facts[data-status="paid"]').waitFor();
  }));

  test("money that is given back at the bank's page shows on the order", () => visit(async (shopper) => {
    const { page } = shopper;
    const orderId = await paidOrder(shopper);
    await openOrder(shopper, orderId);
    const order = page.url();
    await shopper.click(shopper.link(/at the bank$/));
    await shopper.click(shopper.button("Void"));
    await page.locator('dl [data-state="Voided"]').waitFor();
    await page.goto(order);
    await line(shopper, "elsewhere").getByText("By hand at the bank").waitFor();
    await line(shopper, "elsewhere").getByText("1,500.00 THB").waitFor();
    await page.locator('#facts[data-status="refunded"]').waitFor();
    await shopper.click(line(shopper, "elsewhere").getByRole("link"));
    await page.locator('#facts[data-outcome="elsewhere"]').waitFor();
    await showsRefund(shopper, ["CheckRefund", "RefundState", "InquireCharge", "RefundWay", "RecordElsewhere", "Elsewhere", "NotifyElsewhere", "RefundDone", "done"]);
    await shopper.click(shopper.link("Notifications"));
    const row = page.getByRole("row").filter({ hasText: orderId });
    await row.getByText("refund.elsewhere").first().waitFor();
  }));
});
