// The thank-you page. The address holds the status that the browser brought back; the page shows the status of the API.

import { byId, facts, h, pill, say, show } from "./dom.js";
import { baht, named, ORDER } from "./format.js";
import { get, repeat } from "./data.js";

const query = new URLSearchParams(location.search);
const orderId = query.get("orderId") ?? "";
const isVerification = orderId === "ADDCARD";

const TEXTS = {
  pending: ["We are waiting for the bank", "Your payment is being checked. You do not need to pay again: this page looks again every second."],
  paid: ["Thank you", "Your order is paid."],
  refunded: ["Your money was given back", "The order was paid, and all of it went back to your card."],
  declined: ["The payment did not succeed", "The bank declined it. You have not been charged."],
  reversed: ["Your money is on its way back", "The bank charged the card, but the order could not be paid."],
  saved: ["Your card is saved", "The 1.00 THB of the verification goes back to you."],
  refused: ["Your card was not saved", "The bank did not verify it."],
};

const WORDS = { ...ORDER, saved: { word: "Saved", tone: "good" }, refused: { word: "Not saved", tone: "bad" } };

function tell(state, amount, { refunded, refundedElsewhere } = {}) {
  const [heading, explanation] = TEXTS[state] ?? ["Your payment", `Its status is ${state}.`];
  say("heading", heading);
  say("explanation", explanation);
  document.title = `${heading} · payment3`;
  const status = byId("status");
  show(status, state, () => pill(named(WORDS, state)));
  status.dataset.state = state;
  const back = refunded === "0.00" && !refundedElsewhere ? "" : baht(refunded);
  show(byId("facts"), `${state} ${amount} ${back} ${refundedElsewhere}`, () => facts([
    ["Order", isVerification ? "Card verification" : orderId],
    ["Amount", baht(amount)],
    ["Given back", refundedElsewhere ? `${back}, and more by hand` : back],
    ["The address says", query.get("status")],
  ]));
}

async function payment() {
  let answer;
  try {
    answer = await get(`/api/payment3/checkstatus/${encodeURIComponent(orderId)}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    say("heading", "No payment was started");
    say("explanation", "The shop knows no payment for this order.");
    return false;
  }
  tell(answer.status, answer.amount, answer);
  await link();
  return answer.status === "pending";
}

/** A verification has no order and no check status. The shop learns its end from the event. */
async function verification() {
  const { ownerId, at } = JSON.parse(sessionStorage.getItem("payment") ?? "{}");
  const events = await get("/webhooks/payment3?orderId=ADDCARD&limit=50");
  const told = events.findLast((event) => event.verified && event.body.data.ownerId === ownerId && event.receivedAt >= at);
  if (!told) {
    tell("pending", "1.00");
    return true;
  }
  tell(told.body.type === "card.saved" ? "saved" : "refused", "1.00");
  links(told.body.data.chargeId);
  return false;
}

async function link() {
  const orders = await get("/api/orders");
  links(orders.find((order) => order.orderId === orderId)?.chargeId);
}

function links(chargeId) {
  show(byId("links"), chargeId ?? "none", () => [
    h("a", { href: "/", class: "button" }, "Back to the shop"),
    h("a", { href: "/orders", class: "button" }, "Your orders"),
    ...(chargeId ? [h("a", { href: `/executions/${encodeURIComponent(chargeId)}`, class: "button" }, "See how it went")] : []),
  ]);
}

links();
repeat(1000, isVerification ? verification : payment);
