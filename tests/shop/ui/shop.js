// The checkout page.

import { byId, facts, say } from "./dom.js";
import { baht } from "./format.js";
import { get, post } from "./data.js";
import * as form from "./form.js";

const SPOILT = {
  total: (fields) => ({ ...fields, grandTotal: "1.00" }),
  user: (fields) => ({ ...fields, userId: form.newUser() }),
  merchant: (fields) => ({ ...fields, mid: "000000000000000" }),
};

/** The order in the address (`?order=`), for an order that was made before. */
async function orderToPay() {
  const id = new URLSearchParams(location.search).get("order");
  return id ? get(`/api/orders/${encodeURIComponent(id)}`) : null;
}

function preview(environment, order) {
  const made = order ?? { orderId: "(made when you pay)", ownerId: form.chosen("who") === "known" ? byId("user").value : "(a new user)", basketId: "(the order's)", grandTotal: byId("amount").value };
  byId("fields").replaceChildren(...facts(Object.entries(
    form.fields(environment, made, "(from the bank, for this card)", byId("save-card").checked))));
}

async function start() {
  const [environment, users, order] = await Promise.all([form.environment(), get("/api/users"), orderToPay()]);
  form.offerCards(environment.cards);
  form.offerDialects(environment.dialects);
  form.offerUsers(users);
  say("action", `${environment.apiUrl}/cardpayment`);
  if (order) {
    byId("new-order").hidden = true;
    byId("amount").disabled = true;
    byId("customer").hidden = true;
    byId("old-order").hidden = false;
    say("old-order", `Order ${order.orderId} of ${order.ownerId}`);
  }
  const amount = () => (order ? order.grandTotal : byId("amount").value);
  const update = () => {
    say("pay", `Pay ${baht(amount())}`);
    preview(environment, order);
  };
  byId("checkout").addEventListener("input", update);
  update();

  form.onSubmit(async () => {
    say("progress", "Making the order …");
    const ordered = order ?? await post("/orders", { ownerId: form.user(), grandTotal: byId("amount").value });
    say("progress", "Getting a card token from the bank …");
    const token = await form.token(environment);
    const asItShould = form.fields(environment, ordered, token, byId("save-card").checked);
    const spoil = SPOILT[byId("spoil").value] ?? ((fields) => fields);
    form.remember({ ownerId: ordered.ownerId, orderId: ordered.orderId });
    form.submit(environment, spoil(asItShould));
  });
  byId("checkout").dataset.ready = "true";
}

start().catch((error) => say("problem", error.message));
