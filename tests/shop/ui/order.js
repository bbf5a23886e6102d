// The page of an order: what was paid, what went back of it, and the form that gives money back.

import { byId, facts, h, pill, say, show, table } from "./dom.js";
import { baht, ENTRY, eventText, named, ORDER, time, WAITS } from "./format.js";
import { get, post, repeat } from "./data.js";

const orderId = decodeURIComponent(location.pathname.split("/").at(-1));
const base = `/api/orders/${encodeURIComponent(orderId)}`;

/** The id of the refund that the form asks for. A new form has a new one. */
let refundId;
let busy = false;
/** The ledger that a person was told about. What was told is old once it changes. */
let toldOf = null;

function newForm() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  const day = new Date().toISOString().slice(0, 10).replaceAll("-", "");
  refundId = `rf_${day}_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  say("refund-id", refundId);
}

function isPart() {
  return document.querySelector('input[name="much"]:checked').value === "part";
}

/** Says how a refund stands. */
function tell(answer) {
  say("note", answer.isWell ? answer.text : "");
  say("problem", answer.isWell ? "" : answer.text);
}

/** Does one thing at a time, and shows what came of it. */
async function act(doing, work) {
  if (busy) return;
  busy = true;
  byId("give").setAttribute("aria-disabled", "true");
  say("note", "");
  say("problem", "");
  say("progress", doing);
  toldOf = null;
  try {
    tell(await work());
    await look();
    toldOf = byId("ledger").dataset.shown;
  } catch (error) {
    say("problem", error.message);
  } finally {
    say("progress", "");
    byId("give").removeAttribute("aria-disabled");
    busy = false;
  }
}

byId("refund").addEventListener("change", () => {
  byId("part").hidden = !isPart();
});

byId("refund").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = { refundId, reason: byId("reason").value, ...(isPart() ? { amount: byId("amount").value } : {}) };
  act("Giving the money back …", async () => {
    try {
      const answer = await post(`${base}/refunds`, asked);
      // What is in the form now would be another refund.
      newForm();
      if (answer.isWell) byId("refund").reset();
      byId("part").hidden = !isPart();
      return answer;
    } catch (error) {
      // Refused: this form has done nothing, and its id may be another refund's. Where there was no answer, the same
      // form can be sent again.
      if (error.status === 400) newForm();
      throw error;
    }
  });
});

function again(entry) {
  act("Asking the bank …", () => post(`${base}/refunds/${encodeURIComponent(entry.refundId)}/again`));
}

/** The refund's executions, the oldest first. */
function executionsOf(entry, executions) {
  return executions.filter((line) => (entry.refundId === "elsewhere" ? line.kind === "elsewhere" : line.refundId === entry.refundId));
}

function isOpen(entry) {
  return entry.state === "reserved" || entry.state === "asked";
}

function ledger(refunds, executions) {
  if (refunds.length === 0) return h("p", {}, "Nothing went back.");
  return table("Ledger of refunds", ["Refund", "Amount", "State", "Reserved", "Changed", "Why", "Executions"], refunds.map((entry) => {
    const { word, tone, meaning } = named(ENTRY, entry.state);
    const runs = executionsOf(entry, executions);
    const waits = runs.findLast(({ status }) => status === "RUNNING")?.lastState;
    const said = entry.way === "voided" ? "Cancelled before settlement." : (isOpen(entry) && WAITS[waits]) || meaning;
    return {
      id: `refund-${entry.refundId}`,
      cells: [
        entry.refundId === "elsewhere" ? "By hand at the bank" : h("code", {}, entry.refundId),
        h("span", { class: "amount" }, baht(entry.amount) || "Not known"),
        [pill({ word, tone }), h("p", { class: "meaning" }, said ?? "")],
        time(entry.reserved),
        time(entry.changed),
        entry.reason ?? "",
        h("span", { class: "actions" },
          runs.map((line) => h("a", { href: `/executions/${encodeURIComponent(line.name)}` }, h("code", {}, line.name))),
          isOpen(entry) ? h("button", { type: "button", id: `again-${entry.refundId}`, "aria-label": `Ask the bank now about ${entry.refundId}`, onclick: () => again(entry) }, "Ask the bank now") : null),
      ],
    };
  }));
}

function told(events) {
  if (events.length === 0) return h("p", {}, "Nothing yet.");
  return h("ul", { class: "plain" }, events.map(({ body, receivedAt, verified }) =>
    h("li", {}, h("strong", {}, body.type ?? "Not an event"), " ", time(receivedAt), verified ? "" : " with a wrong signature",
      h("p", { class: "meaning" }, eventText(body)))));
}

function head({ order, account }, environment) {
  // An order that is gone can still have been paid.
  const data = order.data ?? {};
  const isGone = order.orderId === null;
  const { shown, chargeId } = account;
  const status = shown?.status ?? "none";
  return facts([
    ["Customer", data.ownerId && h("code", {}, data.ownerId)],
    ["Paid", baht(account.paid) || "Nothing"],
    ["Given back", shown && `${baht(shown.refunded)}${shown.refundedElsewhere ? ", and an unknown amount by hand" : ""}`],
    ["Left", baht(account.left)],
    ["Apps are told", pill(named(ORDER, status))],
    ["The order says", isGone ? "Nothing: it is gone" : data.payment?.status],
    ["Payment", chargeId && h("a", { href: `/executions/${encodeURIComponent(chargeId)}` }, "Execution")],
    ["Charge", chargeId && h("a", { href: `${environment.bankUrl}/charges/${encodeURIComponent(chargeId)}` }, h("code", {}, chargeId), " at the bank")],
    ["To pay it", isGone || data.payment?.isPaid ? null : h("a", { href: `/?order=${encodeURIComponent(orderId)}` }, "Checkout")],
  ]);
}

/** Why there is nothing to give back, where that is so. */
function nothing(account) {
  if (account.paid === null) return "No payment of this system has paid this order.";
  return /^0\.00$/.test(account.left) ? "There is nothing left to give back." : "";
}

let environment;

async function look() {
  const answer = await get(`${base}/account`);
  const { account, executions } = answer;
  const why = nothing(account);
  show(byId("facts"), JSON.stringify([answer.order, account.shown, account.left, account.chargeId]), () => head(answer, environment));
  byId("facts").dataset.status = account.shown?.status ?? "none";
  const shown = JSON.stringify([account.refunds, executions]);
  if (toldOf !== null && toldOf !== shown) {
    toldOf = null;
    say("note", "");
  }
  show(byId("ledger"), shown, () => ledger(account.refunds, executions));
  show(byId("told"), JSON.stringify(account.events), () => told(account.events));
  say("nothing", why);
  byId("nothing").hidden = why === "";
  byId("refund").hidden = why !== "";
  say("all", `All that is left: ${baht(account.left)}`);
}

async function start() {
  say("order", orderId);
  document.title = `Order ${orderId} · payment3`;
  newForm();
  environment = await get("/api/environment");
  await repeat(2000, look);
}

// A page from the browser's memory must not send a form that was sent before.
addEventListener("pageshow", (event) => event.persisted && newForm());
start().catch((error) => say("problem", error.message));
