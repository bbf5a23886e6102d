// One charge: what happened to it, and everything that a person at the bank can do with it.

import { ask, baht, follow, h, say, state, table, time } from "/ui/parts.js";

const id = decodeURIComponent(location.pathname.split("/").at(-1));
const base = `/sandbox/charges/${encodeURIComponent(id)}`;
/** How late a late callback is, in seconds. */
const LATE = 10;

let busy = false;

async function act(what, path, body, method = "POST") {
  if (busy) return;
  busy = true;
  say("problem", "");
  say("note", `${what} …`);
  try {
    const answer = await ask(`${base}/${path}`, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) });
    say("note", `${what}: ${outcome(what, answer)}`);
  } catch (error) {
    say("note", "");
    say("problem", error.message);
  } finally {
    busy = false;
  }
}

/** The result of an action, in one sentence. */
function outcome(what, answer) {
  if (Array.isArray(answer)) return `the shop answered ${answer.map(({ status, error }) => status ?? error).join(" and ")}.`;
  if (answer.dialect && what === "Dialect") return `the bank speaks "${answer.dialect}".`;
  if (answer.transaction_state && answer.object === "charge") return `the charge is ${answer.transaction_state}.`;
  return answer.answer ? `the shop answered ${answer.answer}.` : `there was no answer: ${answer.error}.`;
}

function controls() {
  const button = (key, label, what, path, body) => h("button", { type: "button", id: key, onclick: () => act(what, path, body) }, label);
  return h("section", { class: "panel", "aria-labelledby": "controls" },
    h("h2", { id: "controls" }, "By hand"),
    h("p", {}, "As in the merchant's portal. The shop's system must cope with each, at any time."),
    h("div", { class: "actions" },
      button("settle", "Settle", "Settlement", "settle"),
      button("void", "Void", "Void", "void"),
      button("refund", "Refund what is left", "Refund", "refund"),
      button("notify", "Send the notification again", "Notification", "notify"),
      button("callback", "Send the callback", "Callback", "callback"),
      button("callback-twice", "Send the callback twice at once", "Two callbacks", "callback", { times: 2 }),
      button("callback-late", `Send the callback in ${LATE} seconds`, "Late callback", "callback", { delayMs: LATE * 1000 })));
}

/** How the bank speaks of the charge from now on: chosen with the card token, and changed here. */
function speech(charge) {
  const change = ({ target }) => act("Dialect", "dialect", { dialect: target.value }, "PUT");
  return h("section", { class: "panel", "aria-labelledby": "speech" },
    h("h2", { id: "speech" }, "Dialect"),
    h("p", {}, h("label", { for: "dialect" }, "How the bank speaks of this charge from now on")),
    h("select", { id: "dialect", onchange: change }, document.body.dataset.dialects.split(" ").map((name) =>
      h("option", { value: name, selected: name === charge.dialect }, name))));
}

function details(charge) {
  const entries = [
    ["State", state(charge.transaction_state)],
    ["Amount", baht(charge.amount)],
    ["For", charge.description],
    ["Reference", h("code", {}, charge.reference_order)],
    ["Card", `${charge.source.brand} ${charge.source.card_masking}`],
    ["Dialect", charge.dialect !== "usual" && charge.dialect],
    ["Made", time(charge.created)],
    ["Approval code", charge.approval_code],
    ["Refused", charge.failure_code && `${charge.failure_code} ${charge.failure_message}`],
    ["At the shop", document.body.dataset.shop && h("a", { href: `${document.body.dataset.shop}/executions/${encodeURIComponent(id)}` }, "Execution")],
    ["3-D Secure", charge.redirect_url && h("a", { href: new URL(charge.redirect_url).pathname }, "Open the shopper's page")],
  ];
  return h("dl", { class: "fields panel" }, entries.filter(([, value]) => value).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}

function section(title, empty, columns, rows) {
  return h("section", {}, h("h2", {}, title), rows.length ? table(title, columns, rows) : h("p", {}, empty));
}

follow(base, (charge) => [
  details(charge),
  controls(),
  speech(charge),
  section("History", "Nothing happened.", ["When", "State"], charge.history.map(({ at, transaction_state }) => [time(at), state(transaction_state)])),
  section("Notifications", "The shop was not notified.", ["When", "State", "The shop's answer"], charge.notifications.map(({ at, transaction_state, answer, error }) =>
    [time(at), state(transaction_state), answer ? String(answer) : error ?? "waiting"])),
  charge.refunds.length
    ? section("Refunds", "", ["When", "Amount", "Refund"], charge.refunds.map(({ at, amount, refund_id }) => [time(at), baht(amount), h("code", {}, refund_id)]))
    : null,
]);
