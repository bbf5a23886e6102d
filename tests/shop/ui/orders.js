// The order list.

import { byId, h, pill, say, show, table } from "./dom.js";
import { baht, named, ORDER, time } from "./format.js";
import { get, post, repeat } from "./data.js";

const asked = new Set();

function actions(order) {
  const of = `order ${order.orderId}`;
  const done = [];
  if (!order.isPaid) done.push(h("a", { class: "button", href: `/?order=${encodeURIComponent(order.orderId)}`, "aria-label": `Pay ${of}` }, "Pay"));
  if (order.chargeId) done.push(h("a", { class: "button", href: `/executions/${encodeURIComponent(order.chargeId)}`, "aria-label": `Execution of ${of}` }, "Execution"));
  if (order.status === "pending") {
    done.push(h("button", { id: `ask-${order.orderId}`, type: "button", "aria-label": `Reconcile now: ${of}`, "aria-disabled": asked.has(order.orderId) ? "true" : null, onclick: () => reconcile(order) }, "Reconcile now"));
  }
  return h("span", { class: "actions" }, done);
}

/** Reconciles a payment now, as the schedule would after five minutes. */
async function reconcile(order) {
  if (asked.has(order.orderId)) return;
  asked.add(order.orderId);
  say("problem", "");
  say("note", `Reconciliation asks the bank about order ${order.orderId} …`);
  try {
    await post(`/api/payments/${encodeURIComponent(order.chargeId)}/reconcile`);
    say("note", `Reconciliation has come back to order ${order.orderId}.`);
  } catch (error) {
    say("note", "");
    say("problem", error.message);
  } finally {
    asked.delete(order.orderId);
  }
}

/** What became of it; the order itself says that it is paid, and what went back. */
function standing({ isPaid, paymentStatus, status }) {
  if (!isPaid) return status ?? "none";
  return { refunded: "refunded", "partially refunded": "partlyRefunded" }[paymentStatus] ?? "paid";
}

function list(orders) {
  if (orders.length === 0) return h("p", {}, "There are no orders yet.");
  return table("Orders", ["Order", "Customer", "Total", "Status", "Made", "Actions"], orders.map((order) => ({
    id: `order-${order.orderId}`,
    cells: [
      h("a", { href: `/orders/${encodeURIComponent(order.orderId)}` }, h("code", {}, order.orderId)),
      h("code", {}, order.ownerId),
      h("span", { class: "amount" }, baht(order.grandTotal)),
      pill(named(ORDER, standing(order))),
      time(order.createdAt) || "Not known",
      actions(order),
    ],
  })));
}

repeat(2000, async () => {
  const orders = await get("/api/orders");
  show(byId("list"), JSON.stringify(orders), () => list(orders));
});
