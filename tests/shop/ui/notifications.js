// The events that the shop received.

import { byId, h, json, pages, pill, show, table } from "./dom.js";
import { get, repeat } from "./data.js";
import { eventText, time } from "./format.js";

/** How many a page shows. */
const LINES = 50;

/** The page starts below the event of this number, or with the newest. */
const before = new URLSearchParams(location.search).get("before");

function verdict(event) {
  if (!event.verified) return [pill({ word: "Signature wrong", tone: "bad" }), ` ${event.refusal}`];
  return [pill({ word: "Signature right", tone: "good" }), event.repeated ? " seen before" : ""];
}

/** What it is about; a refund's has a link to its execution. */
function kind({ body }) {
  const { refundId } = body?.data ?? {};
  const shown = [h("strong", {}, body?.type ?? "Not an event"), h("p", { class: "meaning" }, eventText(body))];
  // What was given back by hand has no execution of its own name.
  if (refundId && !refundId.startsWith("elsewhere")) shown.push(h("a", { href: `/executions/${encodeURIComponent(refundId)}` }, "Its execution"));
  return shown;
}

function order(event) {
  const id = event.body?.data?.orderId;
  if (!id) return "";
  return id === "ADDCARD" ? h("code", {}, id) : h("a", { href: `/orders/${encodeURIComponent(id)}` }, h("code", {}, id));
}

function charge(event) {
  const id = event.body?.data?.chargeId;
  return id ? h("a", { href: `/executions/${encodeURIComponent(id)}` }, h("code", {}, id)) : "";
}

function list(events) {
  if (events.length === 0) return h("p", {}, "No event was received yet. Pay something, and look again.");
  return table("Notifications", ["Received", "Event", "Order", "Charge", "Signature", "Answered", "Body"], events.map((event) => ({
    cells: [
      time(event.receivedAt),
      kind(event),
      order(event),
      charge(event),
      verdict(event),
      String(event.answered),
      h("details", { id: `event-${event.number}` }, h("summary", { "aria-label": `JSON of ${event.id}` }, "JSON"), json(event.body)),
    ],
  })));
}

repeat(2000, async () => {
  // One more than is shown, to know whether another page follows.
  const query = new URLSearchParams({ limit: LINES + 1, ...(before ? { before } : {}) });
  const events = (await get(`/webhooks/payment3?${query}`)).reverse();
  const shown = events.slice(0, LINES);
  const older = events.length > LINES && `?before=${shown.at(-1).number}`;
  show(byId("list"), JSON.stringify(shown), () => list(shown));
  show(byId("pages"), String(older), () => pages(before && location.pathname, older));
});
