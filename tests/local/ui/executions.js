// The list of executions.

import { byId, h, pill, show, table } from "./dom.js";
import { baht, between, named, OUTCOMES, time } from "./format.js";
import { get, repeat } from "./data.js";

let wanted = new URLSearchParams(location.search).get("outcome") ?? "";
let lines = [];

function filter() {
  const counts = {};
  for (const { outcome } of lines) counts[outcome] = (counts[outcome] ?? 0) + 1;
  const known = Object.keys(OUTCOMES).filter((outcome) => counts[outcome] || outcome === wanted);
  const button = (outcome, word, count) => h("button", {
    type: "button",
    id: `show-${outcome || "all"}`,
    "aria-pressed": String(outcome === wanted),
    onclick: () => choose(outcome),
  }, `${word} (${count})`);
  return [button("", "All", lines.length), ...known.map((outcome) => button(outcome, named(OUTCOMES, outcome).word, counts[outcome] ?? 0))];
}

function choose(outcome) {
  wanted = outcome;
  history.replaceState(null, "", outcome ? `?outcome=${outcome}` : location.pathname);
  render();
}

function list(shown) {
  if (lines.length === 0) return h("p", {}, "Nothing was executed yet. ", h("a", { href: "/" }, "Pay something"), ".");
  if (shown.length === 0) return h("p", {}, "No execution has this outcome.");
  return table("Executions", ["Outcome", "Execution", "Order", "Amount", "Started", "Took", "State reached"], shown.map((line) => ({
    cells: [
      pill(named(OUTCOMES, line.outcome)),
      h("a", { href: `/executions/${encodeURIComponent(line.name)}` }, h("code", {}, line.name)),
      h("code", {}, line.orderId ?? ""),
      h("span", { class: "amount" }, baht(line.amount)),
      time(line.started),
      between(line.started, line.stopped) || "still running",
      line.lastState ?? "",
    ],
  })));
}

function render() {
  const shown = lines.filter(({ outcome }) => !wanted || outcome === wanted);
  show(byId("filter"), JSON.stringify([wanted, lines.map(({ outcome }) => outcome)]), filter);
  show(byId("list"), JSON.stringify(shown), () => list(shown));
}

repeat(2000, async () => {
  lines = await get("/api/executions");
  render();
});
