// Draws the state machine as SVG. dagre places the states. This file draws them, so that every state can be reached by
// keyboard, is read by a screen reader, and shows its status in words as well as in colour.

import { Graph, layout } from "./vendor/dagre.js";
import { courseOf, duration } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const DONE = "done";
const HEIGHT = 44;
const LINE = 13;
const NOT_REACHED = "Not reached";

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const ruler = document.createElement("canvas").getContext("2d");

function width(text, font) {
  ruler.font = `${font} system-ui, sans-serif`;
  return ruler.measureText(text).width;
}

/** A choice or an error per line; a long name breaks before its last two words, such as `FailedException`. */
function labelLines({ labels, caught }) {
  if (!caught) return labels;
  return labels.flatMap((label) => label.split(/(?<=,) /)).flatMap((name) => (name.length > 18 ? name.split(/(?<=[a-z])(?=[A-Z][a-z]+[A-Z][a-z]+$)/) : [name]));
}

/** The transitions, with those that lead from one state to another in the same manner drawn as one. */
function merged(edges) {
  const ways = new Map();
  for (const { from, to, label, caught } of edges) {
    const key = JSON.stringify([from, to, caught]);
    if (!ways.has(key)) ways.set(key, { from, to, caught, labels: [] });
    if (label) ways.get(key).labels.push(label);
  }
  return [...ways.values()];
}

/** The positions of states and transitions. They are computed once, because they do not depend on the execution. */
export function place({ states, edges }) {
  const machine = { states, edges: merged(edges) };
  // Which one is narrower depends on the machine.
  const [first, second] = [placed(machine, 1), placed(machine, 8)];
  return first.size.width <= second.size.width ? first : second;
}

/** As `place`, where the ways forward are kept shorter than those of errors by this weight. */
function placed(machine, weight) {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 16, edgesep: 10, ranksep: 30, marginx: 10, marginy: 10 });
  for (const { name } of machine.states) {
    graph.setNode(name, { width: Math.ceil(Math.max(width(name, "600 14px"), width("Error handled · 59.9 s", "12px"))) + 18, height: HEIGHT });
  }
  graph.setNode(DONE, { width: 64, height: 30 });
  machine.edges.forEach((edge, at) => {
    const lines = labelLines(edge);
    graph.setEdge(edge.from, edge.to, {
      width: Math.ceil(Math.max(0, ...lines.map((line) => width(line, "12px")))) + (lines.length ? 8 : 0),
      height: lines.length * LINE,
      labelpos: "c",
      weight: edge.caught ? 1 : weight,
    }, String(at));
  });
  layout(graph);
  return {
    machine,
    size: graph.graph(),
    node: (name) => graph.node(name),
    edge: (edge, at) => graph.edge(edge.from, edge.to, String(at)),
  };
}

/** The transitions that were taken, by their index in the list. */
function taken(machine, steps, succeeded) {
  const ways = new Set();
  steps.forEach((step, at) => {
    const next = steps[at + 1]?.state ?? (succeeded ? DONE : null);
    const isWay = (edge) => edge.from === step.state && edge.to === next;
    const exact = machine.edges.findIndex((edge) => isWay(edge) && edge.caught === (step.course === "caught"));
    const way = exact >= 0 ? exact : machine.edges.findIndex(isWay);
    if (way >= 0) ways.add(way);
  });
  return ways;
}

function curve(points) {
  const at = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  const between = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  let path = `M ${at(points[0])}`;
  for (let i = 1; i < points.length - 1; i += 1) {
    const end = i === points.length - 2 ? points[i + 1] : between(points[i], points[i + 1]);
    path += ` Q ${at(points[i])} ${at(end)}`;
  }
  return points.length === 2 ? `${path} L ${at(points[1])}` : path;
}

function arrow(id) {
  return s("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" },
    s("path", { d: "M 0 0 L 8 4 L 0 8 z" }));
}

function drawnEdge(edge, { points, x, y }, isTaken) {
  const lines = labelLines(edge);
  const group = s("g", {
    class: `edge${edge.caught ? " caught" : ""}${isTaken ? " taken" : ""}`,
    "data-from": edge.from,
    "data-to": edge.to,
    "data-taken": isTaken,
    "aria-hidden": "true",
  }, s("path", { d: curve(points), "marker-end": `url(#arrow-${isTaken ? "taken" : "open"})` }));
  if (lines.length > 0) {
    group.append(s("text", { y: y - ((lines.length - 1) * LINE) / 2 + 4 },
      ...lines.map((line, at) => s("tspan", { x, dy: at === 0 ? 0 : LINE }, line))));
  }
  return group;
}

function shape(kind, box) {
  const { width: w, height: h } = box;
  if (kind === "Choice") {
    const c = 14;
    return s("polygon", { points: `${c},0 ${w - c},0 ${w},${h / 2} ${w - c},${h} ${c},${h} 0,${h / 2}` });
  }
  return s("rect", { width: w, height: h, rx: kind === "Task" ? 8 : h / 2 });
}

function drawnState(state, box, visit) {
  const course = visit?.step.course;
  const word = course ? courseOf(course, state.kind).word : NOT_REACHED;
  const took = visit ? duration(visit.step.milliseconds) : "";
  const said = took ? `${word} · ${took}` : word;
  const group = s(visit ? "a" : "g", {
    class: `node ${course ?? "untouched"}`,
    "data-state": state.name,
    "data-status": course ?? "untouched",
    "data-kind": state.kind,
    transform: `translate(${box.x - box.width / 2} ${box.y - box.height / 2})`,
  },
  shape(state.kind, box),
  s("text", { class: "name", x: box.width / 2, y: 18 }, state.name),
  " ",
  s("text", { class: "word", x: box.width / 2, y: 34 }, said));
  if (visit) {
    group.setAttribute("href", `#step-${visit.at + 1}`);
  } else {
    // A state that was reached has a step that says what it does.
    group.setAttribute("role", "img");
    group.setAttribute("aria-label", `${state.name} ${said}`);
    group.prepend(s("title", {}, state.comment));
  }
  return group;
}

/** The picture of an execution. `steps` come from the site; for each state the last visit counts. */
export function draw(placed, steps, succeeded) {
  const { machine, size } = placed;
  const visits = new Map(steps.map((step, at) => [step.state, { step, at }]));
  const ways = taken(machine, steps, succeeded);
  const end = placed.node(DONE);
  // Transitions that were taken are drawn last, on top.
  const edges = machine.edges
    .map((edge, at) => ({ isTaken: ways.has(at), drawn: drawnEdge(edge, placed.edge(edge, at), ways.has(at)) }))
    .sort((a, b) => a.isTaken - b.isTaken);
  return s("svg", {
    viewBox: `0 0 ${Math.ceil(size.width)} ${Math.ceil(size.height)}`,
    "data-width": Math.ceil(size.width),
    "data-height": Math.ceil(size.height),
    role: "group",
    "aria-label": "States of this execution",
  },
  s("defs", {}, arrow("arrow-open"), arrow("arrow-taken")),
  ...edges.map(({ drawn }) => drawn),
  ...machine.states.map((state) => drawnState(state, placed.node(state.name), visits.get(state.name))),
  s("g", {
    class: `end ${succeeded ? "done" : "untouched"}`,
    role: "img",
    "aria-label": succeeded ? "The end was reached" : "The end was not reached",
    "data-state": DONE,
    "data-status": succeeded ? "done" : "untouched",
    transform: `translate(${end.x - end.width / 2} ${end.y - end.height / 2})`,
  },
  s("rect", { width: end.width, height: end.height, rx: end.height / 2 }),
  s("text", { class: "name", x: end.width / 2, y: 20, "aria-hidden": "true" }, "End")));
}
