// The checkout form of the shop's page and of the cards' page: the customer, the card, and the form that is posted.

import { byId, h, say } from "./dom.js";
import { CARDS, grouped } from "./format.js";
import { get, post } from "./data.js";

/** A new user id. */
export function newUser() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `usr_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Fills in the sandbox cards: one of each kind, and a second one that is approved. */
export function offerCards(cards) {
  const seen = {};
  const offered = cards.filter(({ manner }) => {
    seen[manner] = (seen[manner] ?? 0) + 1;
    return seen[manner] <= (manner === "approved" ? 2 : 1);
  });
  byId("cards").append(...offered.map(({ number, brand, manner }, at) =>
    h("label", { class: "choice card" },
      h("input", { type: "radio", name: "card", value: number, checked: at === 0 }),
      h("span", {}, h("span", { class: "manner" }, CARDS[manner]), " ",
        h("span", { class: "number" }, `${brand} ${grouped(number)}`)))));
}

/** Fills in the dialects of the bank. */
export function offerDialects(dialects) {
  byId("dialect").append(...dialects.map(({ name, meaning }) => h("option", { value: name }, `${name}: ${meaning}`)));
}

/** Fills in the users, those with saved cards first. The list shows when a known user is chosen. */
export function offerUsers(users) {
  const sorted = [...users].sort((a, b) => b.cards.length - a.cards.length || a.ownerId.localeCompare(b.ownerId));
  byId("user").replaceChildren(...sorted.map(({ ownerId, cards }) => {
    const saved = cards.length === 0 ? "no saved card" : cards.length === 1 ? "1 saved card" : `${cards.length} saved cards`;
    return h("option", { value: ownerId }, `${ownerId} (${saved})`);
  }));
  for (const choice of document.getElementsByName("who")) {
    choice.addEventListener("change", () => {
      byId("known-user").hidden = chosen("who") !== "known";
    });
  }
}

/** The value of a group of radio buttons. */
export function chosen(name) {
  return document.querySelector(`input[name="${name}"]:checked`)?.value;
}

/** The user who pays. */
export function user() {
  return chosen("who") === "known" ? byId("user").value : newUser();
}

/** Gets a token for the chosen card from the bank. The card number is sent only to the bank. */
export async function token(environment) {
  const { token } = await post(`${environment.bankUrl}/sandbox/tokens`, { cardNumber: chosen("card"), dialect: byId("dialect").value });
  return token;
}

/** The fields of the form: first those of KPayment.js, then those of the shop. */
export function fields(environment, order, token, saveCard) {
  return {
    token,
    mid: environment.merchantId,
    saveCard: String(saveCard),
    paymentMethods: "card",
    orderId: order.orderId,
    userId: order.ownerId,
    customerId: order.ownerId,
    basketId: order.basketId,
    grandTotal: order.grandTotal,
    callback: location.origin,
  };
}

/** Posts the form, and lets the browser follow the answer. */
export function submit(environment, fields) {
  const form = byId("payment");
  form.action = `${environment.apiUrl}/cardpayment`;
  form.replaceChildren(...Object.entries(fields).map(([name, value]) => h("input", { type: "hidden", name, value })));
  form.submit();
}

/** Runs `work` when the form is sent, once at a time, and shows its progress and errors. */
export function onSubmit(work) {
  const button = byId("pay");
  byId("checkout").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    say("problem", "");
    try {
      await work();
      say("progress", "Going to the bank …");
    } catch (error) {
      say("progress", "");
      say("problem", error.message);
      button.removeAttribute("aria-disabled");
    }
  });
  // The back button may show the page as it was before.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    button.removeAttribute("aria-disabled");
    say("progress", "");
  });
}

/** Keeps in this tab what the thank-you page needs and the redirect does not carry. */
export function remember(payment) {
  sessionStorage.setItem("payment", JSON.stringify({ ...payment, at: new Date().toISOString() }));
}

/** The environment's addresses and cards. */
export function environment() {
  return get("/api/environment");
}
