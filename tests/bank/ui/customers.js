// All customers and their saved cards, the newest first.

import { follow, h, table, time } from "/ui/parts.js";

follow("/sandbox/customers", (customers) => {
  if (customers.length === 0) return h("p", {}, "There are no customers yet.");
  return table("Customers", ["Customer", "Saved cards", "Since"], [...customers].reverse().map((customer) => [
    h("code", {}, customer.id),
    h("ul", { class: "plain" }, customer.cards.map(({ brand, card_masking }) => h("li", {}, `${brand} ${card_masking}`))),
    time(customer.created),
  ]));
});
