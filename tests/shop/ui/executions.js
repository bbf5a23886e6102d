// The list of executions. The filters stand in the address only.

import { byId, h, pages, pill, say, show, table } from "./dom.js";
import { baht, between, KINDS, named, OUTCOMES, time, WAITS } from "./format.js";
import { get, repeat } from "./data.js";

/** The address of this page with other parameters, without blank ones. */
function address(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  return query.size > 0 ? `?${query}` : location.pathname;
}

function wanted(name) {
  return new URLSearchParams(location.search).get(name)?.trim() ?? "";
}

/** Sets a filter, and starts with the newest execution. */
function choose(changes) {
  history.pushState(null, "", address({ ...changes, after: "" }));
  look();
}

function filter(outcomes) {
  const names = new Set([...Object.keys(OUTCOMES), ...Object.keys(outcomes), wanted("outcome")]);
  const shown = [...names].filter((outcome) => outcome && (outcomes[outcome] || outcome === wanted("outcome")));
  const all = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const button = (outcome, word, count) => h("button", {
    type: "button",
    id: `show-${outcome || "all"}`,
    "aria-pressed": String(outcome === wanted("outcome")),
    onclick: () => choose({ outcome }),
  }, `${word} (${count})`);
  return [button("", "All", all), ...shown.map((outcome) => button(outcome, named(OUTCOMES, outcome).word, outcomes[outcome] ?? 0))];
}

function nothing() {
  if (wanted("outcome")) return "No matching execution has this outcome.";
  if (wanted("find")) return `No execution is of an order, a charge or a refund with “${wanted("find")}”.`;
  return ["Nothing was executed yet. ", h("a", { href: "/" }, "Pay something"), "."];
}

function list(lines) {
  if (lines.length === 0) return h("p", {}, nothing());
  return table("Executions", ["Outcome", "Execution", "Kind", "Order", "Amount", "Started", "Took", "State reached"], lines.map((line) => {
    const { word, tone, meaning = line.stopped ? "" : WAITS[line.lastState] } = named(OUTCOMES, line.outcome);
    return {
      cells: [
        [pill({ word, tone }), meaning ? h("p", { class: "meaning" }, meaning) : ""],
        h("a", { href: `/executions/${encodeURIComponent(line.name)}` }, h("code", {}, line.name)),
        KINDS[line.kind],
        h("code", {}, line.orderId ?? ""),
        h("span", { class: "amount" }, baht(line.amount)),
        time(line.started),
        between(line.started, line.stopped) || "still running",
        line.lastState ?? "",
      ],
    };
  }));
}

async function refresh() {
  const { search } = location;
  const { lines, first, found, outcomes, older } = await get(`/api/executions${search}`);
  // A late answer may belong to other filters.
  if (search !== location.search) return;
  show(byId("filter"), JSON.stringify([search, outcomes]), () => filter(outcomes));
  say("found", lines.length > 0 ? `${first}–${first + lines.length - 1} of ${found}` : "");
  show(byId("list"), JSON.stringify([search, lines]), () => list(lines));
  show(byId("pages"), JSON.stringify([search, older]), () => pages(wanted("after") && address({ after: "" }), older && address({ after: older })));
}

/** Loads the list at once. Errors are shown by the next regular load. */
function look() {
  byId("find").value = wanted("find");
  refresh().catch(() => {});
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  choose({ find: byId("find").value.trim() });
});
addEventListener("popstate", look);
byId("find").value = wanted("find");
repeat(2000, refresh);
