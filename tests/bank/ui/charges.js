// All charges, the newest first.

import { baht, follow, h, state, table, time } from "/ui/parts.js";

follow("/sandbox/charges", (charges) => {
  if (charges.length === 0) return h("p", {}, "There are no charges yet.");
  return table("Charges", ["Charge", "State", "Amount", "For", "Card", "Made"], [...charges].reverse().map((charge) => [
    h("a", { href: `/charges/${encodeURIComponent(charge.id)}` }, h("code", {}, charge.id)),
    state(charge.transaction_state),
    h("span", { class: "amount" }, baht(charge.amount)),
    charge.description,
    `${charge.source.brand} ${charge.source.card_masking}`,
    time(charge.created),
  ]));
});
