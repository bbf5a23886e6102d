// The page of one execution: the graph, the steps, and the payment's record. It updates while the execution runs.

import { byId, facts, h, json, pill, say, show } from "./dom.js";
import { baht, between, courseOf, COURSES, duration, explained, KINDS, named, OUTCOMES, SAVED, time, WAITS } from "./format.js";
import { get, repeat } from "./data.js";
import { draw, place } from "./graph.js";

const name = decodeURIComponent(location.pathname.split("/").at(-1));
/** The smallest scale of the picture at the start: its words must be readable. */
const SMALLEST = 0.68;

let scale = null;
let settled = 0;

function resize() {
  const svg = byId("graph").querySelector("svg");
  if (!svg) return;
  svg.setAttribute("width", Math.round(svg.dataset.width * scale));
  svg.setAttribute("height", Math.round(svg.dataset.height * scale));
}

function fitting() {
  const svg = byId("graph").querySelector("svg");
  return Math.min(1, (byId("graph").clientWidth - 4) / svg.dataset.width);
}

/** Scrolls to the state that was reached last, once for each state. */
function follow(steps) {
  const last = steps.at(-1)?.state;
  const canvas = byId("graph");
  if (!last || canvas.dataset.follows === last) return;
  canvas.dataset.follows = last;
  const node = canvas.querySelector(`[data-state="${CSS.escape(last)}"]`).getBoundingClientRect();
  const frame = canvas.getBoundingClientRect();
  canvas.scrollBy({ left: node.x + node.width / 2 - frame.x - frame.width / 2, top: node.y + node.height / 2 - frame.y - frame.height / 2 });
}

function zoom(factor) {
  scale = Math.min(2, Math.max(0.2, scale * factor));
  resize();
}

byId("smaller").addEventListener("click", () => zoom(1 / 1.25));
byId("larger").addEventListener("click", () => zoom(1.25));
byId("fit").addEventListener("click", () => {
  scale = fitting();
  resize();
});

/** A click on a state in the picture opens its step. */
byId("graph").addEventListener("click", (event) => {
  const id = event.target.closest("a")?.getAttribute("href")?.slice(1);
  const details = id && byId(id)?.querySelector("details");
  if (!details) return;
  event.preventDefault();
  details.open = true;
  details.querySelector("summary").focus();
});

/** The link to the record opens it. */
byId("facts").addEventListener("click", (event) => {
  const record = event.target.closest('[href="#record"]') && byId("record");
  if (record) record.open = true;
});

function part(title, value) {
  return value === undefined || value === null ? null : [h("h3", {}, title), json(value)];
}

function step(step, states) {
  const { comment, kind } = states.get(step.state) ?? {};
  const same = JSON.stringify(step.result) === JSON.stringify(step.output);
  return [
    h("details", {},
      h("summary", {}, h("span", { class: "state" }, step.state), pill(courseOf(step.course, kind)),
        h("span", { class: "took" }, duration(step.milliseconds))),
      h("p", {}, comment ?? ""),
      h("p", {}, "Entered ", time(step.entered)),
      part("Input", step.input),
      part("Answer of its task", step.result),
      same ? null : part("Output", step.output)),
    step.retries > 0 ? h("p", { class: "retries" }, `Tried ${step.retries + 1} times`) : null,
    step.errors.length > 0
      ? h("ul", { class: "errors" }, step.errors.map(({ error, cause }) => h("li", {}, h("strong", {}, error), ` ${explained(cause)}`)))
      : null,
  ].filter(Boolean);
}

/** Redraws only the steps that changed, so that an open step stays open. */
function steps(execution, states) {
  const list = byId("steps");
  execution.steps.forEach((each, at) => {
    const id = `step-${at + 1}`;
    let item = byId(id);
    if (!item) {
      item = h("li", { id });
      list.append(item);
    }
    item.dataset.state = each.state;
    item.dataset.status = each.course;
    const wasOpen = item.querySelector("details")?.open ?? false;
    show(item, JSON.stringify(each), () => step(each, states));
    item.querySelector("details").open = wasOpen;
  });
}

function head(execution, environment) {
  const outcome = named(OUTCOMES, execution.outcome);
  const meaning = outcome.meaning ?? (execution.stopped ? null : WAITS[execution.lastState]);
  const order = execution.orderId;
  show(byId("facts"), JSON.stringify([outcome, meaning, execution.stopped, execution.chargeId, order, execution.failure]), () => facts([
    ["Outcome", meaning ? h("span", {}, pill(outcome), ` ${meaning}`) : pill(outcome)],
    ["Kind", KINDS[execution.kind]],
    ["Refund", execution.refundId && h("code", {}, execution.refundId)],
    ["Order", order === "ADDCARD" ? "Card verification" : order && h("a", { href: `/orders/${encodeURIComponent(order)}` }, h("code", {}, order))],
    ["Amount", baht(execution.amount)],
    ["Charge", execution.chargeId && h("a", { href: `${environment.bankUrl}/charges/${encodeURIComponent(execution.chargeId)}` }, h("code", {}, execution.chargeId), " at the bank")],
    ["Card", SAVED[execution.output?.card] && pill(SAVED[execution.output.card])],
    ["Record", execution.chargeId && h("a", { href: "#record" }, "What it left behind")],
    ["Started", time(execution.started)],
    ["Took", between(execution.started, execution.stopped) || "still running"],
    ["Failed with", execution.failure && `${execution.failure.error}: ${explained(execution.failure.cause)}`],
  ]));
  byId("facts").dataset.outcome = execution.outcome;
  say("announcement", `${outcome.word}, in ${execution.lastState ?? "no state yet"}`);
}

function picture(placed, execution) {
  const canvas = byId("graph");
  const succeeded = execution.status === "SUCCEEDED";
  const key = JSON.stringify([execution.status, execution.steps.map(({ state, course, milliseconds }) => [state, course, milliseconds])]);
  show(canvas, key, () => draw(placed, execution.steps, succeeded));
  scale ??= Math.max(SMALLEST, fitting());
  resize();
  follow(execution.steps);
}

function around(payment) {
  const block = (title, value, link) => h("details", { id: title.toLowerCase().replaceAll(/[^a-z]/g, "-") },
    h("summary", {}, title), link ?? null, value ? json(value) : h("p", {}, "There is none."));
  return [
    h("ul", { class: "plain others" }, payment.executions.map((other) =>
      h("li", {},
        other.name === name ? h("span", { "aria-current": "page" }, h("code", {}, other.name), " (this one)") : h("a", { href: `/executions/${encodeURIComponent(other.name)}` }, h("code", {}, other.name)),
        ` ${KINDS[other.kind]}, ${baht(other.amount)} `, pill(named(OUTCOMES, other.outcome))))),
    block("Record", payment.record),
    block("Order", payment.order),
    block("Charge at the bank", payment.charge),
    block("Notifications", payment.events),
  ];
}

async function start() {
  say("name", name);
  document.title = `${name} · payment3`;
  const environment = await get("/api/environment");
  byId("legend").append(...[...Object.values(COURSES), { word: "Not reached", tone: "plain" }].map((course) => h("li", {}, pill(course))));
  let placed;
  let states;
  await repeat(1000, async () => {
    const execution = await get(`/api/executions/${encodeURIComponent(name)}`);
    if (!placed) {
      const machine = await get(`/api/executions/${encodeURIComponent(name)}/graph`);
      placed = place(machine);
      states = new Map(machine.states.map((state) => [state.name, state]));
    }
    head(execution, environment);
    picture(placed, execution);
    steps(execution, states);
    if (execution.chargeId) {
      const payment = await get(`/api/payments/${encodeURIComponent(execution.chargeId)}`).catch(() => null);
      if (payment) show(byId("around"), JSON.stringify(payment), () => around(payment));
    }
    // After the end only the events to the shop may still follow.
    settled = execution.stopped ? settled + 1 : 0;
    return settled < 3;
  });
}

start().catch((error) => say("problem", error.message));
