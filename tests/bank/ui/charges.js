// All charges, the newest first, and the nightly batch.

import { act, baht, follow, h, state, table, time } from "/ui/parts.js";

function batch() {
  const outcome = ({ settled }) => (settled.length === 1 ? "1 charge is settled." : `${settled.length} charges are settled.`);
  const settle = () => act("Settlement", "/sandbox/settle", {}, outcome);
  return h("section", { class: "panel", "aria-labelledby": "batch" },
    h("h2", { id: "batch" }, "The nightly batch"),
    h("p", {}, "Until it runs, a charge can only be voided as a whole. Afterwards all of it or parts can be refunded."),
    h("div", { class: "actions" },
      h("button", { type: "button", id: "settle", onclick: settle }, "Settle every authorised charge")));
}

follow("/sandbox/charges", (charges) => {
  if (charges.length === 0) return h("p", {}, "There are no charges yet.");
  const list = table("Charges", ["Charge", "State", "Amount", "For", "Card", "Made"], [...charges].reverse().map((charge) => [
    h("a", { href: `/charges/${encodeURIComponent(charge.id)}` }, h("code", {}, charge.id)),
    state(charge.transaction_state),
    [h("span", { class: "amount" }, baht(charge.amount)), charge.refunds.length > 0 && h("div", { class: "left" }, `${baht(charge.left)} left`)],
    charge.description,
    `${charge.source.brand} ${charge.source.card_masking}`,
    time(charge.created),
  ]));
  return [batch(), h("section", {}, list)];
});
