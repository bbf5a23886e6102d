import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { declareGoneBranch, readGoneBranch } from "../lib/clean-up/gone-branch";
import { type Aws, awsCli, stopExecutions } from "../lib/clean-up/stop-executions";
import { MONEY_IS_REAL, stackName } from "../lib/names";
import { PaymentStack } from "../lib/payment-stack";
import { ConfigurationError } from "../lib/settings/configuration-error";
import { readSettings } from "../lib/settings/settings";
import { APP_DIRECTORY, MASTER, PLACE, REQUIRED, builtFunctions, fixedContext, resources, synthesise, temporaryDirectory } from "./support";

/** Valid git branch names that could break a shell command, a path or a template. */
const HOSTILE = ["feature/a", "Feature-A", "a;reboot", "$(reboot)", "`reboot`", "a'b\"c", "x&&y|z", "--all", "a=b", "การชำระเงิน", "a/../master", "x".repeat(200)];

/** Runs the app as the CDK does, without credentials. */
function run(context: Record<string, string>): { status: number | null; stderr: string; output: string } {
  const output = temporaryDirectory();
  const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", "bin/clean-up.ts"], {
    cwd: APP_DIRECTORY,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], CDK_OUTDIR: output, CDK_CONTEXT_JSON: JSON.stringify({ ...fixedContext(), ...context }) },
  });
  return { status, stderr, output };
}

function nameOf(context: Record<string, string>): string {
  return declareGoneBranch(new App({ outdir: temporaryDirectory() }), context).stackName;
}

test("the deleted stack has the name of the deployed one, for any branch name", () => {
  const assets = builtFunctions();
  for (const branch of HOSTILE) {
    const settings = readSettings({ context: { ...REQUIRED, assets, branch }, directory: APP_DIRECTORY, gitBranch: () => undefined });
    const deployed = new PaymentStack(new App({ outdir: temporaryDirectory() }), stackName(settings.branch), { settings });
    assert.equal(nameOf({ branch }), deployed.stackName, branch);
  }
});

test("it needs no functions, and declares only the one stack", () => {
  const { status, stderr, output } = run({ branch: "feature/a" });
  assert.equal(status, 0, stderr);
  assert.deepEqual(
    readdirSync(output).filter((file) => file.endsWith(".template.json")),
    [`${nameOf({ branch: "feature/a" })}.template.json`],
  );
});

test("settings of the deployment are accepted, mistyped ones are not", () => {
  assert.equal(nameOf({ ...REQUIRED, branch: "feature-a" }), "payment3-feature-a");
  assert.throws(() => nameOf({ branch: "feature-a", brnach: "x" }), ConfigurationError);
});

test("production is never deleted, whatever its branch is called", () => {
  assert.throws(() => nameOf({ branch: "master" }), /is production/);
  assert.throws(() => nameOf({ branch: "main", masterBranch: "main" }), /is production/);
  // Not production: git names are case-sensitive.
  assert.notEqual(nameOf({ branch: "Master" }), "payment3-master");

  const { status, stderr, output } = run({ branch: "master" });
  assert.equal(status, 1);
  assert.equal(stderr, 'branch "master" is production: its stack is not deleted from here. Give -c branch=<another>\n');
  assert.ok(!existsSync(join(output, "manifest.json")));
});

test("a branch must be named: neither the checked-out one nor an empty name counts", () => {
  assert.throws(() => nameOf({}), /^ConfigurationError: branch is missing/);
  assert.throws(() => nameOf({ branch: "" }), /^ConfigurationError: branch is missing/);
});

test("the stack is deleted in the account and region of its deployment, where they are given", () => {
  const { environment } = declareGoneBranch(new App({ outdir: temporaryDirectory() }), { branch: "feature-a", ...PLACE });
  assert.equal(environment, `aws://${PLACE.account}/${PLACE.region}`);
  assert.throws(() => nameOf({ branch: "feature-a", account: "1234" }), /^ConfigurationError: account "1234" is not the number/);
});

/** What a stack's deletion has to ask for, in an account with one stack of the branch `feature-a`. */
class Account {
  readonly stopped: string[] = [];
  readonly disabled: string[] = [];
  constructor(
    private readonly outputs: Record<string, string>,
    private readonly waiting: string[],
    private readonly restart = false,
    private readonly open: readonly object[] = [],
  ) {}

  readonly aws: Aws = (service, command, ...rest) => {
    const [, value = ""] = rest;
    switch (`${service} ${command}`) {
      case "cloudformation describe-stacks":
        return value === "payment3-feature-a"
          ? { Stacks: [{ StackId: `arn:aws:cloudformation:ap-southeast-1:${PLACE.account}:stack/${value}/1`, Outputs: Object.entries(this.outputs).map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue })) }] }
          : undefined;
      case "dynamodb scan":
        assert.deepEqual(rest.slice(0, 4), ["--table-name", "payment3-card-payment-record-feature-a", "--index-name", "open_index"]);
        return { Items: this.open };
      case "stepfunctions list-executions":
        assert.ok(rest.includes("RUNNING"));
        return { executions: this.waiting.filter((execution) => execution.startsWith(value) && (this.restart || !this.stopped.includes(execution))).map((executionArn) => ({ executionArn })) };
      case "stepfunctions stop-execution":
        assert.deepEqual(rest, ["--execution-arn", value], "no cause: it would need the key of the history");
        this.stopped.push(value);
        return {};
      case "events disable-rule":
        this.disabled.push(value);
        return {};
      default:
        throw new Error(`${service} ${command}`);
    }
  };
}

const MACHINES = { StateMachineArn: "payment", RefundStateMachineArn: "refund" };
const WAITING = ["payment:1", "refund:1", "refund:2"];
const GONE = readGoneBranch({ branch: "feature-a", ...PLACE });

test("what a deleted branch executes is stopped, and reconciliation starts nothing again", () => {
  const account = new Account({ ...MACHINES, [MONEY_IS_REAL]: "no" }, WAITING);
  assert.equal(stopExecutions(GONE, account.aws), "payment3-feature-a: 3 executions were stopped");
  assert.deepEqual(account.stopped, WAITING);
  const rules = resources(synthesise(builtFunctions()), "AWS::Events::Rule").map(([, { Properties }]) => Properties["Name"]);
  assert.deepEqual(account.disabled, rules);
});

test("nothing is stopped where money is real, or where nobody knows; and the deletion does not go on", () => {
  for (const outputs of [{ ...MACHINES, [MONEY_IS_REAL]: "yes" }, MACHINES]) {
    const account = new Account(outputs, WAITING);
    assert.throws(() => stopExecutions(GONE, account.aws), /^ConfigurationError: payment3-feature-a works with real money: 3 of its executions are running, and 0 of its payments are open. Nothing was stopped/);
    assert.deepEqual([account.stopped, account.disabled], [[], []]);
    assert.equal(stopExecutions(GONE, new Account(outputs, []).aws), "payment3-feature-a: nothing runs, and no payment is open");
    // Such as one that waits for 3-D Secure.
    assert.throws(() => stopExecutions(GONE, new Account(outputs, [], false, [{}]).aws), /0 of its executions are running, and 1 of its payments are open/);
  }
});

test("what master began is real money, also where the branch borrows no more; its own open payments are not", () => {
  const outputs = { ...MACHINES, [MONEY_IS_REAL]: "no" };
  const borrowed = new Account(outputs, WAITING, false, [{ origin: { S: "own" } }, { origin: { S: "borrowed" } }]);
  assert.throws(() => stopExecutions(GONE, borrowed.aws), /works with real money: 3 of its executions are running, and 2 of its payments are open/);
  assert.deepEqual([borrowed.stopped, borrowed.disabled], [[], []]);
  assert.match(stopExecutions(GONE, new Account(outputs, WAITING, false, [{}, { origin: { S: "own" } }]).aws), /3 executions were stopped/);
});

test("the stack says that money is real on master, and where a branch works with what is not its own", () => {
  const assets = builtFunctions();
  const said = (context: Record<string, string>): unknown => synthesise(assets, context).Outputs[MONEY_IS_REAL]?.Value;
  assert.equal(said({}), "no");
  assert.equal(said({ ...MASTER }), "yes");
  assert.equal(said({ orderTable: "shop-orders", allowExistingOrderTable: "yes" }), "yes");
  assert.equal(said({ borrowMasterRecords: "yes" }), "yes");
});

test("the end says so if executions go on beginning, if there is no stack, or if it is another account's", () => {
  const restless = new Account({ ...MACHINES, [MONEY_IS_REAL]: "no" }, WAITING, true);
  assert.throws(() => stopExecutions(GONE, restless.aws), /others begin: stop what starts them, then run this again/);
  const unknown = readGoneBranch({ branch: "feature-b" });
  assert.match(stopExecutions(unknown, restless.aws), /there is no such stack/);
  const elsewhere = readGoneBranch({ branch: "feature-a", account: "999999999999" });
  assert.throws(() => stopExecutions(elsewhere, restless.aws), /was found in account 123456789012, not in 999999999999/);
  // A first deployment that failed has no outputs.
  assert.equal(stopExecutions(GONE, new Account({}, []).aws), "payment3-feature-a: nothing runs, and no payment is open");
});

/** A directory with a program `aws` that writes down its arguments and answers as told. */
function fakeAws(script: string): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "aws"), `#!/bin/sh\nprintf '%s\\n' "$@" > ${directory}/called\n${script}\n`);
  chmodSync(join(directory, "aws"), 0o755);
  return directory;
}

test("AWS is asked in the given region; what does not exist is no error, everything else is", () => {
  const path = process.env["PATH"];
  const answer = (script: string): unknown => {
    const directory = fakeAws(script);
    process.env["PATH"] = `${directory}:${path}`;
    try {
      return [awsCli("ap-southeast-1")("events", "disable-rule"), readFileSync(join(directory, "called"), "utf8").split("\n").slice(-3, -1)];
    } finally {
      process.env["PATH"] = path;
    }
  };
  assert.deepEqual(answer("echo '{\"a\": 1}'"), [{ a: 1 }, ["--region", "ap-southeast-1"]]);
  assert.deepEqual(answer(":"), [{}, ["--region", "ap-southeast-1"]]);
  assert.deepEqual(answer("echo 'Stack with id payment3-x does not exist' >&2; exit 254"), [undefined, ["--region", "ap-southeast-1"]]);
  assert.throws(() => answer("echo 'An error occurred (AccessDenied)' >&2; exit 254"), /^ConfigurationError: aws events disable-rule failed:\nAn error occurred \(AccessDenied\)$/);
});

test("the program that stops them refuses production, and takes any name as one argument", () => {
  const stop = (...given: string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", "bin/stop-executions.ts", ...given], {
      cwd: APP_DIRECTORY,
      encoding: "utf8",
      env: { PATH: `${fakeAws("echo 'does not exist' >&2; exit 254")}:${process.env["PATH"]}` },
    });
  assert.deepEqual([stop("-c", "branch=master").status, stop("--context", "masterBranch=main", "-c", "branch=main").status], [1, 1]);
  const { status, stdout, stderr } = stop("--context", "branch=x;reboot=$(reboot)");
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^payment3-x-reboot-reboot-[0-9a-f]{8}: there is no such stack/);
});
