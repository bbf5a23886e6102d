// The events that the shop received.

import { byId, h, json, pill, show, table } from "./dom.js";
import { get, repeat } from "./data.js";
import { time } from "./format.js";

function verdict(event) {
  if (!event.verified) return [pill({ word: "Signature wrong", tone: "bad" }), ` ${event.refusal}`];
  return [pill({ word: "Signature right", tone: "good" }), event.repeated ? " seen before" : ""];
}

function charge(event) {
  const id = event.body?.data?.chargeId;
  return id ? h("a", { href: `/executions/${encodeURIComponent(id)}` }, h("code", {}, id)) : "";
}

function list(events) {
  if (events.length === 0) return h("p", {}, "No event was received yet. Pay something, and look again.");
  return table("Notifications", ["Received", "Event", "Order", "Charge", "Signature", "Answered", "Body"], events.map((event, at) => ({
    cells: [
      time(event.receivedAt),
      h("strong", {}, event.body?.type ?? "Not an event"),
      h("code", {}, event.body?.data?.orderId ?? ""),
      charge(event),
      verdict(event),
      String(event.answered),
      // Events only come in front: counted from the end, each keeps its number.
      h("details", { id: `event-${events.length - at}` }, h("summary", { "aria-label": `JSON of ${event.id}` }, "JSON"), json(event.body)),
    ],
  })));
}

repeat(2000, async () => {
  const events = (await get("/webhooks/payment3")).reverse();
  show(byId("list"), JSON.stringify(events), () => list(events));
});
