import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, test } from "node:test";
import { APP_DIRECTORY, builtFunctions, resources, synthesise, temporaryDirectory } from "./support";

const ROOT = join(APP_DIRECTORY, "..");
const FILES = [
  "docs/scale.md",
  "docs/prices.json",
  "docs/scale.mjs",
  "statemachine/payment.asl.json",
  "statemachine/refund.asl.json",
  "statemachine/path.mjs",
  "cdk/lib/functions/payment-function.ts",
  "cdk/lib/http-api.ts",
  "cdk/lib/schedule.ts",
  "cdk/test/snapshot.txt",
  "activities/src/activity/reconcile/mod.rs",
  "activities/src/activity/reconcile/pending.rs",
  "activities/src/domain/ids.rs",
];

/** Compares the tables of the document in `root` with their computation. */
function check(root: string): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [join(root, "docs", "scale.mjs"), "--check"], { encoding: "utf8" });
}

/** Copies what the computation needs, and changes one file. Returns the copy's folder. */
function changed(file: string, change: (text: string) => string): string {
  const root = temporaryDirectory();
  for (const each of FILES) {
    mkdirSync(join(root, each, ".."), { recursive: true });
    cpSync(join(ROOT, each), join(root, each));
  }
  const before = readFileSync(join(root, file), "utf8");
  const after = change(before);
  assert.notEqual(after, before);
  writeFileSync(join(root, file), after);
  return root;
}

test("the path of each flow is the one that the model reads from the definition", async () => {
  const { pathOf } = await import(pathToFileURL(join(ROOT, "statemachine", "path.mjs")).href);
  const snapshot = readFileSync(join(ROOT, "tests", "model", "snapshot.txt"), "utf8");
  for (const machine of ["payment", "refund"]) {
    const definition = JSON.parse(readFileSync(join(ROOT, "statemachine", `${machine}.asl.json`), "utf8"));
    const [, part = ""] = snapshot.split(`[${machine}]\n`);
    const [own = ""] = part.split("\n[");
    const ways = [...own.matchAll(/^way (.*): (.*)$/gm)];
    assert.ok(ways.length > 2);
    for (const [, decided = "", path] of ways) {
      assert.equal(pathOf(definition, decided.split(" / ")).join(" "), path, decided);
    }
  }
});

test("a path may reach a state again if something was decided in between, and only then", async () => {
  const { pathOf } = await import(pathToFileURL(join(ROOT, "statemachine", "path.mjs")).href);
  const refund = JSON.parse(readFileSync(join(ROOT, "statemachine", "refund.asl.json"), "utf8"));
  const waiting = ["InquireCharge", "RefundWay", "AwaitSettlement"];
  const path = pathOf(refund, ["part, Authorized", "part, Authorized", "Settled"]);
  assert.deepEqual(path.slice(2, 10), [...waiting, ...waiting, "InquireCharge", "RefundWay"]);
  assert.equal(path.at(-1), "RefundDone");
  const endless = { StartAt: "Wait", States: { Wait: { Next: "Ask" }, Ask: { Next: "Wait" } } };
  assert.throws(() => pathOf(endless, []), /reaches Wait again and again/);
  assert.throws(() => pathOf(endless, ["never met"]), /reaches Wait again and again/);
});

test("the tables of docs/scale.md are up to date", () => {
  const { status, stderr } = check(ROOT);
  assert.equal(status, 0, stderr);
});

test("a figure that was changed by hand fails the check", () => {
  const { status, stderr } = check(changed("docs/scale.md", (text) => text.replace(/\| state transitions \| \d+ \|/, "| state transitions | 0 |")));
  assert.equal(status, 1);
  assert.match(stderr, /run `cargo local renew`/);
});

test("a path that a state machine no longer has fails the check", () => {
  for (const [file, comment, start] of [
    ["statemachine/payment.asl.json", "paid", "ParseCallback"],
    ["statemachine/refund.asl.json", "Settled", "CheckRefund"],
  ] as const) {
    const { status, stderr } = check(changed(file, (text) => text.replace(`"Comment": "${comment}"`, '"Comment": "another"')));
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`"${comment}" is not met on the path ${start} `));
  }
});

describe("a target that is missed fails the check", () => {
  const refused = (file: string, change: (text: string) => string): string => {
    const { status, stderr } = check(changed(file, change));
    assert.equal(status, 1);
    return stderr;
  };

  test("reconciliation must manage a thousand payments a second", () => {
    const stderr = refused("activities/src/activity/reconcile/mod.rs", (text) => text.replace(/(ASKING_AT_ONCE: usize =) \d+/, "$1 8"));
    assert.match(stderr, /^payments a second that it is enough for: [\d,]+, which must be at least 1,000$/m);
  });

  test("an abandoned checkout must not be checked too often", () => {
    const stderr = refused("activities/src/activity/reconcile/pending.rs", (text) => text.replace("_ => DAY,", "_ => HOUR,"));
    assert.match(stderr, /^US\$ for a million abandoned checkouts: [\d.]+, which must be at most \d+$/m);
    assert.match(stderr, /^US\$ for a million payments of new users, .*, which must be at most \d+$/m);
  });

  test("a refund must not take more states, nor ask too often while it waits for settlement", () => {
    const more = refused("statemachine/refund.asl.json", (text) =>
      text.replace('"StartAt": "CheckRefund",', '"StartAt": "Four",').replace('"States": {', '"States": { "Four": { "Next": "Three" }, "Three": { "Next": "Two" }, "Two": { "Next": "One" }, "One": { "Next": "CheckRefund" },'),
    );
    assert.match(more, /^US\$ for a thousand refunds, voided: [\d.]+, which must be at most [\d.]+$/m);
    const oftener = refused("docs/scale.mjs", (text) => text.replace("nightHours: 12", "nightHours: 24"));
    assert.match(oftener, /^US\$ for a thousand refunds, of a part that waits for a night: [\d.]+, which must be at most [\d.]+$/m);
  });

  test("an idle branch must cost at most two dollars a month", () => {
    const stderr = refused("docs/prices.json", (text) => text.replace('"secretMonth": 0.4', '"secretMonth": 0.5'));
    assert.match(stderr, /^US\$ a month for a branch that nothing happens in: 2\.\d+, which must be at most 2$/m);
  });
});

test("nothing in an idle branch costs anything, except what docs/scale.md counts", () => {
  const branch = synthesise(builtFunctions(), { alarmEmail: undefined });
  // Paid by the request, by the gigabyte, or not at all.
  const free = [
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    // Only a metric that gets a number costs something.
    "AWS::Logs::MetricFilter",
    "AWS::StepFunctions::StateMachine",
  ];
  const paid = Object.values(branch.Resources).map(({ Type }) => Type).filter((type) => !free.includes(type));
  assert.deepEqual(paid, ["AWS::SecretsManager::Secret", "AWS::SecretsManager::Secret"]);
  const counted = readFileSync(join(ROOT, "docs", "scale.md"), "utf8");
  assert.match(counted, /^\| two secrets \| 0\.80 \| 0\.80 \|$/m);
  for (const [id, { Properties }] of resources(branch, "AWS::DynamoDB::Table")) {
    assert.equal(Properties["BillingMode"], "PAY_PER_REQUEST", id);
    assert.notEqual(Properties["PointInTimeRecoverySpecification"]?.PointInTimeRecoveryEnabled, true, id);
  }
  for (const [id, { Properties }] of resources(branch, "AWS::Lambda::Function")) {
    assert.equal(Properties["ReservedConcurrentExecutions"], undefined, id);
  }
});

test("the alarms that a watched branch pays for are counted, each at the price of a standard one", () => {
  const watched = resources(synthesise(builtFunctions()), "AWS::CloudWatch::Alarm");
  assert.match(readFileSync(join(ROOT, "docs", "scale.md"), "utf8"), new RegExp(`^\\| ${watched.length} alarms \\| 0\\.00 \\|`, "m"));
  for (const [id, { Properties }] of watched) {
    // A high resolution, or an expression over several metrics, costs more.
    assert.deepEqual([Properties["Period"] % 60, Properties["Metrics"]], [0, undefined], id);
  }
});
