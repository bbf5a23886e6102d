// One charge: what happened to it, and everything that a person at the bank can do with it.

import { act, baht, follow, h, state, table, time } from "/ui/parts.js";

const id = decodeURIComponent(location.pathname.split("/").at(-1));
const base = `/sandbox/charges/${encodeURIComponent(id)}`;
/** How late a late callback is, in seconds. */
const LATE = 10;

/** By which way the money went back. */
const BY = { api: "through the API", portal: "in the portal" };

/** What the person has chosen; it outlives each showing of the page. */
const wish = { notify: true, part: "" };

function does(what, path, body, method) {
  return act(what, `${base}/${path}`, body, (answer) => outcome(what, answer), method);
}

/** The result of an action, in one sentence. */
function outcome(what, answer) {
  if (Array.isArray(answer)) return `the shop answered ${answer.map(({ status, error }) => status ?? error).join(" and ")}.`;
  if (what === "Dialect") return `the bank speaks "${answer.dialect}".`;
  if (what === "Voids and refunds") return answer.refusing ? "the bank refuses those of the shop." : "the bank accepts those of the shop.";
  if (answer.transaction_state && answer.object === "charge") return `the charge is ${answer.transaction_state}.`;
  return answer.answer ? `the shop answered ${answer.answer}.` : `there was no answer: ${answer.error}.`;
}

function controls() {
  const button = (key, label, what, path, body) => h("button", { type: "button", id: key, onclick: () => does(what, path, body?.()) }, label);
  const notify = () => ({ notify: wish.notify });
  const tells = ({ target }) => { wish.notify = target.checked; };
  return h("section", { class: "panel", "aria-labelledby": "controls" },
    h("h2", { id: "controls" }, "By hand"),
    h("p", {}, "As in the merchant's portal. The shop's system must cope with each, at any time."),
    h("div", { class: "actions" },
      button("settle", "Settle", "Settlement", "settle", notify),
      button("void", "Void", "Void", "void", notify),
      button("refund", "Refund what is left", "Refund", "refund", notify)),
    refundOfPart(),
    h("p", {}, h("label", {},
      h("input", { type: "checkbox", id: "tells", checked: wish.notify, onchange: tells }), " Notify the shop of a settlement, void or refund")),
    h("div", { class: "actions" },
      button("notify", "Send the notification again", "Notification", "notify"),
      button("callback", "Send the callback", "Callback", "callback"),
      button("callback-twice", "Send the callback twice at once", "Two callbacks", "callback", () => ({ times: 2 })),
      button("callback-late", `Send the callback in ${LATE} seconds`, "Late callback", "callback", () => ({ delayMs: LATE * 1000 }))));
}

function refundOfPart() {
  const typed = ({ target }) => { wish.part = target.value; };
  const refund = async (event) => {
    event.preventDefault();
    const [baht, satang = ""] = wish.part.trim().split(".");
    const amount = `${baht}.${satang.padEnd(2, "0")}`;
    if (await does("Refund", "refund", { amount, notify: wish.notify })) {
      wish.part = "";
      document.getElementById("part").value = "";
    }
  };
  return h("form", { class: "actions", onsubmit: refund },
    h("label", { for: "part" }, "A part, in baht"),
    h("input", { id: "part", inputmode: "decimal", autocomplete: "off", required: true, pattern: "[0-9]+([.][0-9]{1,2})?", title: "Baht with at most two decimals, such as 120.50", size: "10", value: wish.part, oninput: typed }),
    h("button", { id: "refund-part" }, "Refund this part"));
}

/** How the bank answers the shop about the charge from now on. */
function answers(charge) {
  const choice = (key, label, chosen, options, change) => [
    h("p", {}, h("label", { for: key }, label)),
    h("div", { class: "actions" }, h("select", { id: key, onchange: ({ target }) => change(target.value) }, options.map(([value, text]) =>
      h("option", { value, selected: value === chosen }, text)))),
  ];
  const refusals = [["", "They are accepted"], ["error", "They are refused: an error with 400"], ["fail", "They are refused: the charge with \"fail\" and 200"]];
  const dialects = document.body.dataset.dialects.split(" ").map((name) => [name, name]);
  return h("section", { class: "panel", "aria-labelledby": "answers" },
    h("h2", { id: "answers" }, "The bank's answers"),
    choice("refusing", "Voids and refunds that the shop asks for", charge.refusing ?? "", refusals, (how) =>
      does("Voids and refunds", "reversals", { refuse: how || null }, "PUT")),
    choice("dialect", "How the bank speaks of this charge from now on", charge.dialect, dialects, (dialect) =>
      does("Dialect", "dialect", { dialect }, "PUT")));
}

function details(charge) {
  const entries = [
    ["State", state(charge.transaction_state)],
    ["Amount", baht(charge.amount)],
    ["Left", charge.approval_code && baht(charge.left)],
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
  answers(charge),
  section("History", "Nothing happened.", ["When", "State"], charge.history.map(({ at, transaction_state, by }) =>
    [time(at), [state(transaction_state), by && ` ${BY[by]}`]])),
  charge.refunds.length
    ? section("Refunds", "", ["When", "Amount", "Asked for", "Reason", "Refund"], charge.refunds.map(({ at, amount, by, reason, refund_id }) =>
      [time(at), baht(amount), BY[by], reason ?? "none", h("code", {}, refund_id)]))
    : null,
  section("Notifications", "The shop was not notified.", ["When", "State", "The shop's answer"], charge.notifications.map(({ at, transaction_state, answer, error }) =>
    [time(at), state(transaction_state), answer ? String(answer) : error ?? "waiting"])),
]);
