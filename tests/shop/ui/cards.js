// Saved cards, and the verification of a new one.

import { byId, h, say, show } from "./dom.js";
import { get, repeat } from "./data.js";
import * as form from "./form.js";

function saved(users) {
  const holders = users.filter(({ cards }) => cards.length > 0);
  if (holders.length === 0) return h("p", {}, "Nobody has a saved card yet.");
  return h("ul", { class: "plain" }, holders.map(({ ownerId, customerId, cards }) =>
    h("li", {},
      h("p", {}, h("strong", {}, ownerId), " is ", h("code", {}, customerId)),
      h("ul", { class: "plain" }, cards.map(({ brand, card_masking }) =>
        h("li", { class: "saved" }, `${brand} ${card_masking}`))))));
}

async function start() {
  const [environment, users] = await Promise.all([form.environment(), get("/api/users")]);
  form.offerCards(environment.cards);
  form.offerDialects(environment.dialects);
  form.offerUsers(users);
  form.onSubmit(async () => {
    const ownerId = form.user();
    say("progress", "Getting a card token from the bank …");
    const token = await form.token(environment);
    const order = { orderId: "ADDCARD", ownerId, basketId: "ADDCARD", grandTotal: "1.00" };
    form.remember({ ownerId, orderId: "ADDCARD" });
    form.submit(environment, form.fields(environment, order, token, true));
  });
  byId("checkout").dataset.ready = "true";
  await repeat(2000, async () => {
    const users = await get("/api/users");
    show(byId("saved"), JSON.stringify(users), () => saved(users));
  });
}

start().catch((error) => say("problem", error.message));
