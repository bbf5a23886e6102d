// Computes the tables of docs/scale.md from what one payment does, and one refund.
//
//   node docs/scale.mjs           writes them into docs/scale.md
//   node docs/scale.mjs --check   fails if docs/scale.md is not up to date
//
// Both fail if a target (ENDS) is missed: the cost of abandoned checkouts, of payments, of refunds and of an idle
// branch, and the speed of reconciliation.
//
// To compute with other figures, change ASSUMPTIONS or docs/prices.json and run it. The order of calls is that of
// activities/src. The paths through the state machines come from their definitions.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pathOf } from "../statemachine/path.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const DOCUMENT = join(HERE, "scale.md");
const source = (file) => readFileSync(join(HERE, "..", file), "utf8");
const PAYMENT = JSON.parse(source("statemachine/payment.asl.json"));
const REFUND = JSON.parse(source("statemachine/refund.asl.json"));

/** Reads a number from the code, so that it is not repeated here. */
function numberIn(file, pattern) {
  const found = pattern.exec(source(file))?.[1];
  if (found === undefined) {
    throw new Error(`${file} has no ${pattern} any more: correct the pattern in docs/scale.mjs`);
  }
  return Number(found.replaceAll("_", ""));
}
const MEMORY_MB = numberIn("cdk/lib/functions/payment-function.ts", /MEMORY_SIZE = (\d+)/);
const RECONCILE = "activities/src/activity/reconcile/mod.rs";
const RECONCILED_SECONDS = numberIn(RECONCILE, /FOR_AT_MOST: Duration = Duration::from_secs\((\d+)\)/);
const ASKING_AT_ONCE = numberIn(RECONCILE, /ASKING_AT_ONCE: usize = ([\d_]+)/);
const RECORDS_AT_MOST = numberIn(RECONCILE, /RECORDS_AT_MOST: usize = ([\d_]+)/);
const RECONCILE_EVERY = 60 * numberIn("cdk/lib/schedule.ts", /RECONCILE_EVERY = Duration\.minutes\((\d+)\)/);
const OPEN_SHARDS = numberIn("activities/src/domain/ids.rs", /OPEN_SHARDS: u8 = (\d+)/);
const routeLimit = (path) => numberIn("cdk/lib/http-api.ts", new RegExp(`path: "${path}[^]*?rate: (\\d+)`));

/** Figures that were not measured on AWS. */
const ASSUMPTIONS = {
  /** A function's memory, in GB. From the code, not assumed. */
  memoryGb: MEMORY_MB / 1024,
  /** Seconds of a warm run, with its calls to AWS but without the bank and the shop. */
  ownSeconds: 0.03,
  /** Seconds of one call to the bank. */
  bankSeconds: 0.5,
  /** Seconds of one check by reconciliation: an inquiry over an open connection, and the write of the next check. */
  lookSeconds: 0.35,
  /**
   * Processor seconds of one check: an inquiry and a call of DynamoDB, as measured in docs/performance.md. And the
   * memory for which Lambda gives a whole processor, in MB.
   */
  lookCpuSeconds: 0.0005,
  processorMb: 1769,
  /** Seconds that the shop takes to accept an event. */
  shopSeconds: 0.2,
  /** How often an app asks for an order's status until it is decided. */
  polls: 3,
  /** The size of a payment's record and of an order, in write units of 1 KB. */
  recordUnits: 1,
  orderUnits: 1,
  /** Bytes of logs: Lambda and the function for one run, Step Functions for one event, the API for one request. */
  runLogBytes: 1500,
  eventLogBytes: 450,
  requestLogBytes: 300,
  /** The share of requests that X-Ray traces, beyond the first in each second. */
  traced: 0.05,
  /** How often a part is put off that waits for the night in which the bank settles its charge. */
  nightHours: 12,
  /** Abandoned checkouts for each paid one. */
  abandoned: 0.1,
  /** Alarms of a branch with `alarmEmail`. Not assumed: the CDK app's snapshot lists them. */
  alarms: source("cdk/test/snapshot.txt").match(/^alarm /gm).length,
  /** Metrics with a value from a run of reconciliation that finds nothing: ReconcileRuns, DueRecords, OldestDue. */
  idleMetrics: 3,
  /** Minutes of a month of 730 hours. */
  monthMinutes: 43_800,
};

/**
 * The figures before reconciliation asked the bank itself. One run every five minutes started an execution for each
 * check. Every branch had two secrets, 34 alarms, three metrics, a dashboard, and 8,760 traced runs a month.
 */
const BEFORE = { abandoned: 2858.25, abandonedTransitions: 96, paid: 388.52, payments: 19, looks: 25, idle: 8.19 };

/**
 * The targets. They are promises: whoever changes one says beside it what that buys, and what was measured.
 */
const ENDS = {
  /** At most US dollars for a million abandoned checkouts. */
  abandoned: 285,
  /** At most US dollars for a million payments of new users, with their share of abandoned checkouts. */
  mixed: 420,
  /** At most US dollars for a thousand refunds: voided, refunded after settlement, and a part that waits for a night. */
  refunds: { voided: 0.3, refunded: 0.3, waited: 1.5 },
  /** At least payments a second that reconciliation is enough for. */
  payments: 1000,
  /** At most US dollars a month for a branch that nothing happens in. */
  idle: 2,
};

/** US dollars for one of each, in ap-southeast-1 unless docs/scale.md says otherwise. */
const PRICES = JSON.parse(source("docs/prices.json"));

// ---- What the functions do ------------------------------------------------------------------------------------------

/** A strongly consistent read of an item of at most 4 KB. */
const get = (table) => ({ call: "GetItem", table, read: 1 });
/** An eventually consistent read of an index. */
const query = (table) => ({ call: "Query", table, read: 0.5 });
const start = () => ({ call: "StartExecution", starts: 1 });
const bank = (call) => ({ call, bank: 1, seconds: ASSUMPTIONS.bankSeconds });
const shop = (call) => ({ call, shop: 1, seconds: ASSUMPTIONS.shopSeconds });
/** A record's share of a page of the open index, and its inquiry. Its time counts as if no checks ran in parallel. */
const look = () => [
  { call: "Query (a tenth)", table: "card-payment-record", read: 0.1 },
  { call: "GET charge", bank: 1, lookSeconds: ASSUMPTIONS.lookSeconds },
];

/**
 * A write of an item. `indexes` are the writes that it causes in the table's indexes, which hold all attributes: one if
 * the item is added, removed or changed, two if its key changes. In a transaction the item counts twice, its indexes
 * once.
 */
function write(call, table, indexes = {}, { transaction = false } = {}) {
  const units = table === "card-payment-record" ? ASSUMPTIONS.recordUnits : table === "order" ? ASSUMPTIONS.orderUnits : 1;
  const inIndexes = Object.values(indexes).reduce((sum, writes) => sum + writes, 0);
  return { call, table, item: units * (transaction ? 2 : 1), indexes, write: units * ((transaction ? 2 : 1) + inIndexes) };
}
const record = (call, indexes, options) => write(call, "card-payment-record", indexes, options);
const inTransaction = { transaction: true };

/** Index writes of an open record with a charge: no key changes; `lookAgainAt` changes; it leaves the open index. */
const CHANGED = { chargeId: 1, orderId: 1, open: 1 };
const MOVED = { chargeId: 1, orderId: 1, open: 2 };
const CLOSED = { chargeId: 1, orderId: 1, open: 1 };
/** Of a closed record, which is no longer in the open index. */
const AFTERWARDS = { chargeId: 1, orderId: 1 };

/** The calls of each step. A step is `<function>` or `<function> (<case>)`. */
const STEPS = {
  cardtoken: [
    get("card-payment-record"),
    get("order"),
    record("TransactWriteItems", { orderId: 1, open: 1 }, inTransaction),
    write("TransactWriteItems", "check-status", {}, inTransaction),
    bank("POST charge"),
    get("card-payment-record"),
    record("TransactWriteItems", { chargeId: 1, orderId: 1, open: 2 }, inTransaction),
    write("TransactWriteItems", "check-status", {}, inTransaction),
  ],
  "callback (browser)": [query("card-payment-record"), start()],
  "callback (notification)": [query("card-payment-record"), get("card-payment-record"), start(), record("UpdateItem", MOVED)],
  "check-status": [get("check-status")],
  "parse-callback": [],
  // Only production claims the record first, because other branches may borrow it.
  "lookup-record": [get("card-payment-record"), record("UpdateItem (claim)", CHANGED)],
  "inquire-charge": [bank("GET charge")],
  "record-outcome": [
    record("TransactWriteItems", CHANGED, inTransaction),
    write("TransactWriteItems", "credit-card-notify", {}, inTransaction),
  ],
  "record-outcome (declined)": [
    record("TransactWriteItems", CHANGED, inTransaction),
    write("TransactWriteItems", "credit-card-notify", {}, inTransaction),
    write("TransactWriteItems", "check-status", {}, inTransaction),
  ],
  "pay-order": [
    get("order"),
    write("TransactWriteItems", "order", {}, inTransaction),
    record("TransactWriteItems", CHANGED, inTransaction),
    write("TransactWriteItems", "check-status", {}, inTransaction),
  ],
  notify: [{ call: "GetSecretValue", secrets: 1 }, shop("POST event")],
  "ensure-kbank-user": [
    get("kbank-user-mapping"),
    write("UpdateItem (claim)", "kbank-user-mapping"),
    get("card-payment-record"),
    get("order"),
    bank("POST customer"),
    write("UpdateItem (save)", "kbank-user-mapping"),
  ],
  "ensure-kbank-user (existed)": [get("kbank-user-mapping")],
  "add-card": [get("card-payment-record"), bank("POST card"), record("UpdateItem", CHANGED)],
  CloseRecord: [record("UpdateItem", CLOSED)],
  // The first refund of a payment also opens its ledger.
  "check-refund": [
    query("card-payment-record"),
    get("check-status"),
    query("card-payment-record"),
    get("card-payment-record"),
    record("UpdateItem (open)", AFTERWARDS),
    record("UpdateItem (reserve)", AFTERWARDS),
  ],
  "void-charge": [record("UpdateItem (asked)", AFTERWARDS), bank("POST void"), record("UpdateItem (sent)", AFTERWARDS)],
  "refund-charge": [record("UpdateItem (asked)", AFTERWARDS), bank("POST refund"), record("UpdateItem (sent)", AFTERWARDS)],
  "record-refund": [
    get("card-payment-record"),
    get("order"),
    record("TransactWriteItems", AFTERWARDS, inTransaction),
    write("TransactWriteItems", "order", {}, inTransaction),
    write("TransactWriteItems", "check-status", {}, inTransaction),
  ],
  "reconcile (not decided)": [...look(), record("UpdateItem", MOVED)],
  "reconcile (gives up)": [
    ...look(),
    record("TransactWriteItems", CLOSED, inTransaction),
    write("TransactWriteItems", "check-status", {}, inTransaction),
  ],
};

/** Steps without their own run of a function. Reconciliation's runs are counted for an idle branch. */
const NO_RUN = ["CloseRecord", "reconcile (not decided)", "reconcile (gives up)"];

// ---- The paths of a payment -----------------------------------------------------------------------------------------

const POLLS = Array.from({ length: ASSUMPTIONS.polls }, () => "check-status");
const ENTRANCE = ["cardtoken", "callback (browser)", "callback (notification)", ...POLLS];

/** Seconds until reconciliation's next check of an undecided payment of this age. */
function lookAgainAfter(age) {
  const file = "activities/src/activity/reconcile/pending.rs";
  const arms = /fn look_again_after\(age: i64\) -> i64 \{\s*match age \{([^}]*)\}/.exec(source(file))?.[1];
  if (arms === undefined) {
    throw new Error(`${file} has no \`look_again_after\` any more: correct the pattern in docs/scale.mjs`);
  }
  const units = { MINUTE: 60, HOUR: 3600, DAY: 86400 };
  const seconds = (text) => text.split("*").reduce((product, term) => product * (units[term.trim()] ?? Number(term.replaceAll("_", ""))), 1);
  const found = arms
    .trim()
    .split(/,\s*/)
    .filter((arm) => arm !== "")
    .map((arm) => arm.split("=>").map((side) => side.trim()))
    .find(([ages]) => ages === "_" || age < seconds(ages.split("..")[1]));
  return seconds(found[1]);
}

/** How often an abandoned payment is checked before the last check, which gives it up. The first is after 5 minutes. */
function looks() {
  let [due, looked] = [300, 0];
  for (;;) {
    const run = Math.ceil(due / RECONCILE_EVERY) * RECONCILE_EVERY;
    if (run > 7 * 86400) {
      return looked;
    }
    // The run reaches it a second later.
    due = run + 1 + lookAgainAfter(run);
    looked += 1;
  }
}
const LOOKS = looks();
/** Checks a second in all shards. A run's processor time, parallel inquiries and number of records limit them. */
const LOOKS_A_SECOND =
  (OPEN_SHARDS / RECONCILE_EVERY) *
  Math.min(
    (RECONCILED_SECONDS * MEMORY_MB) / ASSUMPTIONS.processorMb / ASSUMPTIONS.lookCpuSeconds,
    (RECONCILED_SECONDS * ASKING_AT_ONCE) / ASSUMPTIONS.lookSeconds,
    RECORDS_AT_MOST,
  );
/** Checks for one payment, with its share of abandoned checkouts. */
const LOOKS_A_PAYMENT = ASSUMPTIONS.abandoned * (LOOKS + 1);

/**
 * `decided` are the decisions of the execution, undefined if there is none. `special` are the cases of steps. `more`
 * are the steps outside the execution.
 */
const FLOWS = [
  {
    name: "paid, a new user whose card is saved",
    decided: ["paid", "the policy says yes"],
    more: ENTRANCE,
  },
  {
    name: "paid, a known user whose next card is saved",
    decided: ["paid", "the policy says yes", "existed, not declined"],
    special: { "ensure-kbank-user": "existed" },
    more: ENTRANCE,
  },
  { name: "paid, no card to save", decided: ["paid"], more: ENTRANCE },
  {
    name: "declined, no card to save",
    decided: ["declined"],
    special: { "record-outcome": "declined" },
    more: ENTRANCE,
  },
  {
    name: "abandoned at 3-D Secure",
    more: ["cardtoken", ...POLLS, ...Array.from({ length: LOOKS }, () => "reconcile (not decided)"), "reconcile (gives up)"],
  },
];

/** Refunds of paid orders. Their executions are started by a back office, and their events go to the shop. */
const REFUNDS = [
  { name: "all of it, before settlement: voided", machine: REFUND, decided: ["whole, Authorized"], more: [] },
  { name: "all or a part, after settlement: refunded", machine: REFUND, decided: ["Settled"], more: [] },
  {
    name: `a part, before settlement: asks ${ASSUMPTIONS.nightHours} times in vain, an hour apart, then refunded`,
    machine: REFUND,
    decided: [...Array.from({ length: ASSUMPTIONS.nightHours }, () => "part, Authorized"), "Settled"],
    more: [],
  },
];

/** The step of a state: the function that it calls (`${PayOrderFunction}` is pay-order), or the state itself. */
function stepOf({ States }, state) {
  const name = /^\$\{(.*)Function\}$/.exec(States[state].Arguments?.FunctionName ?? "")?.[1];
  return name === undefined ? state : name.replace(/(?<!^)([A-Z])/g, "-$1").toLowerCase();
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** The calls of a step. */
function callsOf(step) {
  if (STEPS[step] === undefined) {
    throw new Error(`STEPS in docs/scale.mjs does not say what ${step} calls`);
  }
  return STEPS[step];
}

/** Everything that a flow uses. */
function use({ machine = PAYMENT, decided, special = {}, more }) {
  const executions = decided === undefined ? 0 : 1;
  const states = decided === undefined ? [] : pathOf(machine, decided);
  const isTask = (state) => machine.States[state].Type === "Task";
  const named = (step) => (special[step] === undefined ? step : `${step} (${special[step]})`);
  const steps = [...more, ...states.filter(isTask).map((state) => named(stepOf(machine, state)))];
  const calls = steps.flatMap(callsOf);
  // Consecutive writes of a step are one transaction.
  const requested = steps.flatMap((step) => callsOf(step).filter(({ call }, index, all) => call !== "TransactWriteItems" || all[index - 1]?.call !== call));
  const runs = steps.filter((step) => !NO_RUN.includes(step));
  const tasks = states.filter(isTask).length;
  const requests = more.filter((step) => /^(cardtoken|callback|check-status)/.test(step)).length;
  const total = (key) => sum(calls.map((call) => call[key] ?? 0));
  const records = calls.filter((call) => call.table === "card-payment-record" && call.write !== undefined);
  const runSeconds = runs.length * ASSUMPTIONS.ownSeconds + total("seconds");
  const seconds = runSeconds + total("lookSeconds");
  // A task: entered, scheduled, started, succeeded, left. Another state: entered, left. An execution: started, ended.
  const events = 5 * tasks + 2 * (states.length - tasks) + 2 * executions;
  return {
    transitions: states.length,
    executions,
    starts: total("starts"),
    runs: runs.length,
    runSeconds,
    seconds,
    gbSeconds: seconds * ASSUMPTIONS.memoryGb,
    writes: total("write"),
    reads: total("read"),
    requests,
    calls: requested.length,
    bank: total("bank"),
    shop: total("shop"),
    secrets: total("secrets"),
    events,
    logBytes: runs.length * ASSUMPTIONS.runLogBytes + events * ASSUMPTIONS.eventLogBytes + requests * ASSUMPTIONS.requestLogBytes,
    // Each request and each execution can start a trace.
    traces: (requests + executions) * ASSUMPTIONS.traced,
    recordWrites: sum(records.map((call) => call.write)),
    recordItems: sum(records.map((call) => call.item)),
    openWrites: sum(records.map((call) => (call.indexes.open ?? 0) * ASSUMPTIONS.recordUnits)),
    perStep: steps,
  };
}

const USED = FLOWS.map((flow) => ({ name: flow.name, ...use(flow) }));
const USED_BY_REFUNDS = REFUNDS.map((refund) => ({ name: refund.name, ...use(refund) }));
const [NEW_USER] = USED;
const ABANDONED = USED.at(-1);

/** The price of a million, by item. */
function price(used) {
  const millions = {
    "state transitions": used.transitions * PRICES.transition,
    "DynamoDB writes": used.writes * PRICES.writeUnit,
    "DynamoDB reads": used.reads * PRICES.readUnit,
    logs: used.logBytes * PRICES.logByte,
    "Lambda, time": used.gbSeconds * PRICES.gbSecond,
    "Lambda, runs": used.runs * PRICES.invocation,
    "HTTP API": used.requests * PRICES.request,
    "Secrets Manager": used.secrets * PRICES.secretCall,
    "X-Ray": used.traces * PRICES.trace,
  };
  return Object.fromEntries(Object.entries(millions).map(([what, each]) => [what, each * 1e6]));
}

// ---- The tables -----------------------------------------------------------------------------------------------------

const digits = (number, places = 0) => number.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
const isNumber = (cell) => /^[*\d.,/s]+$/.test(cell);
function table(head, rows) {
  const alignment = head.map((_, index) => (rows.every((row) => isNumber(row[index])) ? "--:" : "---"));
  return [head, alignment, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}
const trimmed = (number) => digits(number, 2).replace(/\.?0+$/, "");

function stepsTable() {
  const seen = [...new Set([...USED, ...USED_BY_REFUNDS].flatMap((used) => used.perStep))];
  const rows = Object.keys(STEPS)
    .filter((step) => seen.includes(step))
    .map((step) => {
      const calls = STEPS[step];
      // Consecutive writes are one transaction.
      const shown = calls
        .map(({ call }) => call)
        .join(", ")
        .replace(/TransactWriteItems(?:, TransactWriteItems)*/g, (all) => `TransactWriteItems of ${all.split(", ").length}`);
      const writes = calls.filter((call) => call.write !== undefined);
      return [
        step,
        shown === "" ? "none" : shown,
        trimmed(sum(calls.map((call) => call.read ?? 0))),
        digits(sum(writes.map((call) => call.item))),
        digits(sum(writes.map((call) => call.write - call.item))),
        digits(sum(writes.map((call) => call.write))),
      ];
    });
  return table(["step", "calls", "RRU", "WRU, items", "WRU, indexes", "WRU"], rows);
}

function usesTable() {
  const columns = [
    ["state transitions", (used) => digits(used.transitions)],
    ["executions", (used) => digits(used.executions)],
    ["Lambda runs", (used) => digits(used.runs)],
    ["Lambda seconds", (used) => digits(used.seconds, 2)],
    ["GB-seconds", (used) => digits(used.gbSeconds, 3)],
    ["WRU", (used) => digits(used.writes)],
    ["RRU", (used) => trimmed(used.reads)],
    ["HTTP requests", (used) => digits(used.requests)],
    ["calls to the bank", (used) => digits(used.bank)],
    ["history events", (used) => digits(used.events)],
    ["KB of logs", (used) => digits(used.logBytes / 1000, 1)],
  ];
  return table(["", ...USED.map((used) => used.name)], columns.map(([name, shown]) => [name, ...USED.map(shown)]));
}

function pricesTable() {
  const prices = USED.map(price);
  const rows = Object.keys(prices[0]).map((what) => [what, ...prices.map((each) => digits(each[what], 2))]);
  const totals = prices.map((each) => sum(Object.values(each)));
  return table(
    ["US$ for a million", ...USED.map((used) => used.name)],
    [...rows, ["**a million**", ...totals.map((total) => `**${digits(total, 2)}**`)], ["**one**", ...totals.map((total) => `**${digits(total / 1e6, 6)}**`)]],
  );
}

/** What refunds use and cost. */
function refundsTable() {
  const rows = USED_BY_REFUNDS.map((used) => [
    used.name,
    digits(used.transitions),
    digits(used.runs),
    digits(used.calls),
    digits(used.bank),
    digits(used.writes),
    digits(used.events),
    digits(million(used) / 1000, 2),
  ]);
  return table(["a refund", "states entered", "Lambda runs", "calls", "of them to the bank", "WRU", "history events", "US$ for a thousand"], rows);
}

/** The rate at which each limit is reached, for new users' payments with their share of abandoned checkouts. */
function limitsTable() {
  const mixed = (key) => NEW_USER[key] + ASSUMPTIONS.abandoned * ABANDONED[key];
  const rows = [
    ["our own limit of `POST /cardpayment` (cdk/lib/http-api.ts)", routeLimit("/cardpayment"), 1 + ASSUMPTIONS.abandoned],
    ["our own limit of `GET /checkstatus`", routeLimit("/checkstatus"), (1 + ASSUMPTIONS.abandoned) * ASSUMPTIONS.polls],
    ["our own limits of `POST /callback` and of `POST /notify`", Math.min(routeLimit("/callback"), routeLimit("/notify")), 1],
    [`reconciliation: ${ASKING_AT_ONCE} looks at once in each of ${OPEN_SHARDS} shards, for ${RECONCILED_SECONDS} s of each minute`, LOOKS_A_SECOND, LOOKS_A_PAYMENT],
    ["`StateTransition`", 800, mixed("transitions")],
    ["`StartExecution`", 150, mixed("starts")],
    [`Lambda: runs at the same time, without reconciliation's ${OPEN_SHARDS}`, 1000 - OPEN_SHARDS, mixed("runSeconds")],
    ["HTTP API: requests of the account", 10000, mixed("requests")],
    ["DynamoDB: `card-payment-record` with its indexes", 40000, mixed("recordWrites")],
    ["DynamoDB: a table on its first day, `card-payment-record` itself", 4000, mixed("recordItems")],
    ["DynamoDB: an index on its first day, `open_index`", 4000, mixed("openWrites")],
    [`DynamoDB: one of ${OPEN_SHARDS} keys of \`open_index\``, 1000, mixed("openWrites") / OPEN_SHARDS],
    ["Secrets Manager: `GetSecretValue`", 10000, mixed("secrets")],
  ];
  const shown = (used, limit) => (used > limit ? `**${digits(used)}**` : digits(used, used < 10 ? 1 : 0));
  return table(
    ["what", "limit, a second", "for one payment", "at 10/s", "at 100/s", "at 1,000/s", "enough for"],
    rows
      .map(([what, limit, each]) => ({ what, limit, each, most: limit / each }))
      .sort((one, other) => one.most - other.most)
      .map(({ what, limit, each, most }) => [
        what,
        limit < 10 ? digits(limit, 2) : digits(limit),
        digits(each, 2).replace(/\.?0+$/, ""),
        ...[10, 100, 1000].map((rate) => shown(each * rate, limit)),
        `${most < 10 ? digits(most, 1) : digits(Math.floor(most))}/s`,
      ]),
  );
}

function savingsTable() {
  const path = pathOf(PAYMENT, FLOWS[0].decided);
  const tail = path.slice(path.indexOf("NotifySuccess"));
  const tailRuns = tail.filter((state) => stepOf(PAYMENT, state) !== state && PAYMENT.States[state].Type === "Task").length;
  const tailSeconds = Math.ceil((tailRuns * ASSUMPTIONS.ownSeconds + ASSUMPTIONS.shopSeconds + ASSUMPTIONS.bankSeconds) * 10) / 10;
  const express = PRICES.expressRequest + tailSeconds * (64 / 1024) * PRICES.expressGbSecond;
  const run = ASSUMPTIONS.ownSeconds * ASSUMPTIONS.memoryGb * PRICES.gbSecond + PRICES.invocation + ASSUMPTIONS.runLogBytes * PRICES.logByte;
  const records = NEW_USER.perStep.flatMap((step) => STEPS[step]).filter((call) => call.table === "card-payment-record" && call.write !== undefined);
  const inIndex = (index) => sum(records.map((call) => (call.indexes[index] ?? 0) * ASSUMPTIONS.recordUnits));
  const rows = [
    [
      `the ${tail.length} states from NotifySuccess on as an Express workflow`,
      tail.length - 1,
      (tail.length - 1) * PRICES.transition - express,
      "Express runs for five minutes at most and at least once: the steps bear being repeated, but what is not done by then must go on in a Standard workflow",
    ],
    [
      "ParseCallback inside LookupRecord's function",
      1,
      PRICES.transition + run + 5 * ASSUMPTIONS.eventLogBytes * PRICES.logByte,
      "one state less to see in the console",
    ],
    [
      "`chargeId_index` and `orderId_index` with the keys alone (`KEYS_ONLY`)",
      0,
      (inIndex("chargeId") - 1 + inIndex("orderId") - 1) * PRICES.writeUnit - PRICES.readUnit,
      "the browser's callback then reads the record itself after the index, as the notification's does",
    ],
    [
      "execution logs of level `ERROR`",
      0,
      NEW_USER.events * ASSUMPTIONS.eventLogBytes * PRICES.logByte,
      "after 90 days nothing tells the steps of a payment any more",
    ],
  ];
  return table(
    ["change", "transitions less", "US$ less for a million", "its price"],
    rows.map(([what, transitions, each, costs]) => [what, digits(transitions), digits(each * 1e6, 2), costs]),
  );
}

/** US dollars for a million of a flow. */
const million = (used) => sum(Object.values(price(used)));

/** The cost of an idle branch for a month, by item: without alarms, and with alarms as on master. */
function idle() {
  const runs = OPEN_SHARDS * (60 / RECONCILE_EVERY) * ASSUMPTIONS.monthMinutes;
  const always = [
    ["two secrets", 2 * PRICES.secretMonth],
    [`${digits(runs)} runs of reconciliation`, runs * PRICES.invocation],
    ["their time", runs * ASSUMPTIONS.ownSeconds * ASSUMPTIONS.memoryGb * PRICES.gbSecond],
    ["their logs", runs * ASSUMPTIONS.runLogBytes * PRICES.logByte],
    ["their queries, each of an empty page", runs * 0.5 * PRICES.readUnit],
    ["their rules", 0],
  ].map(([what, each]) => [what, each, each]);
  return [
    ...always,
    [`${ASSUMPTIONS.alarms} alarms`, 0, ASSUMPTIONS.alarms * PRICES.alarmMonth],
    [`${ASSUMPTIONS.idleMetrics} metrics that these runs give numbers to`, 0, ASSUMPTIONS.idleMetrics * PRICES.metricMonth],
    ["a dashboard", 0, PRICES.dashboardMonth],
  ];
}
const IDLE = sum(idle().map(([, unwatched]) => unwatched));

function idleTable() {
  const rows = idle();
  const total = (column) => `**${digits(sum(rows.map((row) => row[column])), 2)}**`;
  return table(
    ["US$ a month", "a branch without `alarmEmail`", "a branch with it, as master"],
    [...rows.map(([what, ...each]) => [what, ...each.map((dollars) => digits(dollars, 2))]), ["**all**", total(1), total(2)]],
  );
}

/** The targets: what it is, before, now, the target, and whether it is met. */
function ends() {
  const [abandoned, paid] = [million(ABANDONED), million(NEW_USER)];
  const mixed = paid + ASSUMPTIONS.abandoned * abandoned;
  const payments = LOOKS_A_SECOND / LOOKS_A_PAYMENT;
  const dollars = (number) => digits(number, 2);
  const [voided, refunded, waited] = USED_BY_REFUNDS.map((used) => million(used) / 1000);
  const refunds = [
    ["voided", voided, ENDS.refunds.voided],
    ["refunded after settlement", refunded, ENDS.refunds.refunded],
    ["of a part that waits for a night", waited, ENDS.refunds.waited],
  ].map(([which, now, most]) => [`US$ for a thousand refunds, ${which}`, "by hand", dollars(now), `at most ${digits(most, 2)}`, now <= most]);
  return [
    ["US$ for a million abandoned checkouts", dollars(BEFORE.abandoned), dollars(abandoned), `at most ${ENDS.abandoned}`, abandoned <= ENDS.abandoned],
    ["state transitions of one", digits(BEFORE.abandonedTransitions), digits(ABANDONED.transitions), "none", ABANDONED.transitions === 0],
    [
      `US$ for a million payments of new users, with ${digits(ASSUMPTIONS.abandoned * 1e6)} abandoned checkouts`,
      dollars(BEFORE.paid + ASSUMPTIONS.abandoned * BEFORE.abandoned),
      dollars(mixed),
      `at most ${ENDS.mixed}`,
      mixed <= ENDS.mixed,
    ],
    ...refunds,
    ["looks a second that reconciliation has the time for", digits(BEFORE.looks), digits(Math.floor(LOOKS_A_SECOND)), `at least ${digits(ENDS.payments * LOOKS_A_PAYMENT)}`, payments >= ENDS.payments],
    ["payments a second that it is enough for", digits(BEFORE.payments), digits(Math.floor(payments)), `at least ${digits(ENDS.payments)}`, payments >= ENDS.payments],
    ["US$ a month for a branch that nothing happens in", dollars(BEFORE.idle), dollars(IDLE), `at most ${ENDS.idle}`, IDLE <= ENDS.idle],
  ];
}

/** A summary of the tables. */
function shortly() {
  const percent = (part, whole) => `${digits((100 * part) / whole)} %`;
  const [paid, abandoned] = [million(NEW_USER), million(ABANDONED)];
  const share = ASSUMPTIONS.abandoned;
  const transitions = 800 / (NEW_USER.transitions + share * ABANDONED.transitions);
  const checkouts = routeLimit("/cardpayment") / (1 + share);
  const total = (column) => digits(sum(idle().map((row) => row[column])), 2);
  return [
    `* A paid order costs **US$ ${digits(paid / 1e6, 5)}**, ${percent(price(NEW_USER)["state transitions"], paid)} of it for state transitions.`,
    `* A checkout that nobody finishes costs ${percent(abandoned, paid)} of that: it is asked about for a week, without a state transition.`,
    `* A refund costs US$ ${digits(million(USED_BY_REFUNDS[1]) / 1e6, 5)}; of a part that waits for a night, US$ ${digits(million(USED_BY_REFUNDS[2]) / 1e6, 5)}.`,
    `* With AWS's defaults and ${digits(10 * share)} abandoned checkout for ten paid ones, the system takes **${digits(Math.floor(transitions))} payments a second** for as`,
    `  long as you like; then the quota of state transitions is used up. (Our own limit of checkouts is lower, ${digits(Math.floor(checkouts))} a second, and one`,
    "  line to change.)",
    "* Nothing in the design stands in the way of 1,000 a second; the quotas to raise for that are in the list below.",
    `* A branch that nothing happens in costs US$ ${total(1)} a month; with alarms and a dashboard US$ ${total(2)}.`,
  ].join("\n");
}

/** An upper limit for the events of a payment's history: every state once, with all retries. */
function longestHistory() {
  const states = Object.values(PAYMENT.States);
  const tasks = states.filter((state) => state.Type === "Task");
  const retries = sum(tasks.flatMap((state) => state.Retry.map((retry) => retry.MaxAttempts)));
  return 5 * tasks.length + 2 * (states.length - tasks.length) + 2 + 3 * retries;
}

const SECTIONS = {
  steps: stepsTable(),
  uses: usesTable(),
  prices: pricesTable(),
  refunds: refundsTable(),
  limits: limitsTable(),
  ends: table(["", "before", "now", "the end"], ends().map((row) => row.slice(0, 4))),
  idle: idleTable(),
  savings: savingsTable(),
  short: shortly(),
  looks: `An abandoned checkout is looked at ${LOOKS + 1} times in its week: ${LOOKS} inquiries that put it off, and the one that gives it up. No execution is started.`,
  history: `All retries of all states together would be ${digits(longestHistory())} events.`,
};

function filled(text) {
  return Object.entries(SECTIONS).reduce((current, [name, content]) => {
    const [begin, end] = [`<!-- computed: ${name} -->\n`, "\n<!-- end -->"];
    const from = current.indexOf(begin);
    const to = current.indexOf(end, from);
    if (from === -1 || to === -1) {
      throw new Error(`docs/scale.md lacks the place for "${name}": ${begin.trim()} … ${end.trim()}`);
    }
    return current.slice(0, from + begin.length) + content + current.slice(to);
  }, text);
}

const before = readFileSync(DOCUMENT, "utf8");
const after = filled(before);
const problems = ends()
  .filter(([, , , , kept]) => !kept)
  .map(([what, , now, end]) => `${what}: ${now}, which must be ${end}`);
if (!process.argv.includes("--check")) {
  writeFileSync(DOCUMENT, after);
} else if (after !== before) {
  problems.push("docs/scale.md is not what docs/scale.mjs computes: run `cargo local renew`");
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
