import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import aslValidator = require("asl-validator");
import { FUNCTION_CATALOGUE, type FunctionName, FUNCTIONS, type FunctionSpec } from "../lib/functions/function-catalogue";
import { callsAws } from "../lib/functions/function-environment";
import { CONNECTING_MS, HTTP_API_LIMIT_SECONDS, HTTP_TIMEOUT_MS } from "../lib/functions/timeouts";
import { MACHINES } from "../lib/names";
import { DEFINITIONS, activitiesOf, placeholderOf } from "../lib/state-machine-definition";
import { APP_DIRECTORY, builtFunctions, render, resources, stateMachine, synthesise } from "./support";

const seconds = (name: FunctionName): number => FUNCTION_CATALOGUE[name].timeoutSeconds;
const parsed = Object.fromEntries(MACHINES.map((machine) => [machine, JSON.parse(DEFINITIONS[machine].text)]));

/** Every state with its name, including those inside Parallel and Map. */
function allStates(machine: any): [string, any][] {
  return Object.entries<any>(machine.States).flatMap(([name, state]) => [
    [name, state] as [string, any],
    ...[...(state.Branches ?? []), state.ItemProcessor, state.Iterator].filter((inner) => inner !== undefined).flatMap(allStates),
  ]);
}
/** Every task of every state machine: the definition's file, its name, and itself. */
const tasks = MACHINES.flatMap((machine) =>
  allStates(parsed[machine])
    .filter(([, state]) => state.Type === "Task")
    .map(([name, state]) => [DEFINITIONS[machine].file, name, state] as const),
);

/** The function that a task calls; undefined for a task that calls AWS itself. */
function functionOf(task: any): FunctionName | undefined {
  return task.Resource.includes(":lambda:invoke") ? activitiesOf(task.Arguments.FunctionName, "a task")[0] : undefined;
}

for (const machine of MACHINES) {
  describe(`the definition of the ${machine} machine`, () => {
    const { file, text, activities } = DEFINITIONS[machine];
    const template = synthesise(builtFunctions(), { saveCardPolicy: "consented" });
    const { Properties } = stateMachine(template, machine);
    const substitutions: Record<string, unknown> = Properties["DefinitionSubstitutions"];

    test("is valid Amazon States Language", () => {
      const deployed = text.replaceAll(/\$\{\w+Function\}/g, "arn:aws:lambda:ap-southeast-1:123456789012:function:any");
      const { isValid, errorsText } = aslValidator(JSON.parse(deployed));
      assert.ok(isValid, errorsText());
    });

    test("has exactly the placeholders that are substituted", () => {
      const asked = [...text.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1]);
      assert.deepEqual([...new Set(asked)].sort(), Object.keys(substitutions).sort());
    });

    test("gets the functions without a version, the table, and the payment machine the policy", () => {
      assert.notEqual(activities.length, 0);
      for (const name of activities) {
        assert.equal(render(template, substitutions[placeholderOf(name)]), `payment3-${name}-feature-a.Arn`);
      }
      assert.equal(render(template, substitutions["CardPaymentRecordTable"]), "payment3-card-payment-record-feature-a");
      assert.equal(substitutions["SaveCardPolicy"], machine === "payment" ? "consented" : undefined);
    });

    test("is the unchanged text of the file", () => {
      assert.equal(Properties["DefinitionString"], readFileSync(join(APP_DIRECTORY, "..", file), "utf8"));
    });
  });
}

describe("time limits", () => {
  test("every task has one", () => {
    assert.notEqual(tasks.length, 0);
    for (const [file, name, task] of tasks) {
      assert.equal(typeof task.TimeoutSeconds, "number", `${file}: ${name} has no TimeoutSeconds`);
    }
  });

  test("every task that calls a function names a function of the catalogue", () => {
    for (const [file, name, task] of tasks) {
      assert.equal(functionOf(task) !== undefined, task.Resource.includes(":lambda:invoke"), `${file}: ${name}`);
    }
    assert.throws(() => activitiesOf("${NobodyFunction}", "a file"), /^\w+: a file calls \$\{NobodyFunction\}.*function-catalogue\.ts/);
  });

  test("a task's limit is longer than its function's, or than one AWS call", () => {
    for (const [file, name, task] of tasks) {
      const called = functionOf(task);
      const inner = called === undefined ? HTTP_TIMEOUT_MS.aws / 1000 : seconds(called) + CONNECTING_MS / 1000;
      assert.ok(task.TimeoutSeconds > inner, `${file}: TimeoutSeconds of ${name} is ${task.TimeoutSeconds} and must be more than ${inner}, because ${called ?? "one AWS call"} may take that long`);
    }
  });

  test("a function's limit is longer than each of its HTTP calls", () => {
    for (const name of FUNCTIONS) {
      const spec: FunctionSpec = FUNCTION_CATALOGUE[name];
      const calls = [
        ...(spec.callsBank ? [HTTP_TIMEOUT_MS.bank] : []),
        ...(spec.callsShop ? [HTTP_TIMEOUT_MS.shop] : []),
        ...(callsAws(spec) ? [HTTP_TIMEOUT_MS.aws] : []),
      ];
      for (const call of calls) {
        assert.ok(call < seconds(name) * 1000, `${name} ends before a call of ${call} ms`);
      }
    }
  });

  test("functions with several calls have time for all of them in sequence", () => {
    const given = (activity: string, constant: string): number => {
      const source = readFileSync(join(APP_DIRECTORY, "..", "activities", "src", "activity", `${activity}.rs`), "utf8");
      return Number(new RegExp(`const ${constant}: Duration = Duration::from_secs\\((\\d+)\\);`).exec(source)?.[1]) * 1000;
    };
    const atTheBank = given("reverse_charge", "AT_THE_BANK");
    // Three calls at their time limits: an inquiry, the reversal, another inquiry.
    assert.equal(atTheBank, 3 * HTTP_TIMEOUT_MS.bank);
    for (const [name, calls] of [
      // Find the record, note that the bank is asked, read the key, ask the bank, start an execution or make it due.
      ["callback", 4 * HTTP_TIMEOUT_MS.aws + given("callback/start", "ASK_WITHIN")],
      ["notify", 2 * HTTP_TIMEOUT_MS.aws + HTTP_TIMEOUT_MS.shop],
      ["reverse-charge", 2 * HTTP_TIMEOUT_MS.aws + atTheBank],
      // Read the ledger, write that it asks, read the key, ask the bank, write what it answered. Each read or write may
      // be repeated, because another execution wrote first.
      ["void-charge", 6 * HTTP_TIMEOUT_MS.aws + HTTP_TIMEOUT_MS.bank],
      ["refund-charge", 6 * HTTP_TIMEOUT_MS.aws + HTTP_TIMEOUT_MS.bank],
      // Read what it is about, and write it; once more, because another execution wrote first.
      ["check-refund", 6 * HTTP_TIMEOUT_MS.aws],
      ["find-refund", 6 * HTTP_TIMEOUT_MS.aws],
      ["record-refund", 6 * HTTP_TIMEOUT_MS.aws],
      ["record-elsewhere", 6 * HTTP_TIMEOUT_MS.aws],
      // The time in which it starts on records, and the limit of the last record.
      ["reconcile", given("reconcile/mod", "FOR_AT_MOST") + given("reconcile/mod", "RECORD_WITHIN")],
    ] as const) {
      assert.ok(calls < seconds(name) * 1000, `${name} ends before its calls of ${calls} ms`);
    }
  });

  test("a lease lasts longer than its function runs, and retries wait longer than a dead process's lease", () => {
    const source = readFileSync(join(APP_DIRECTORY, "..", "activities", "src", "tables", "mapping.rs"), "utf8");
    const holds = Number(/const LEASE_HOLDS_FOR: i64 = (\d+);/.exec(source)?.[1]);
    assert.ok(holds > seconds("ensure-kbank-user") + CONNECTING_MS / 1000, `a lease of ${holds} s`);
    const retrier = parsed["payment"].States.EnsureKBankUser.Retry.find((rule: any) => rule.ErrorEquals.includes("CustomerBeingCreated"));
    assert.equal(retrier.JitterStrategy, undefined);
    let waits = 0;
    for (let attempt = 0; attempt < retrier.MaxAttempts; attempt++) {
      waits += Math.min(retrier.IntervalSeconds * retrier.BackoffRate ** attempt, retrier.MaxDelaySeconds);
    }
    assert.ok(waits > 2 * holds, `${waits} s of waits for a lease of ${holds} s`);
  });

  test("the bank is asked what became of a refund only when no request for it is on its way any more", () => {
    const { AwaitAnswer, CheckRefund } = parsed["refund"].States;
    assert.equal(AwaitAnswer.Seconds, "{% $max([$answersWithin, $pause]) %}");
    const waits: number = CheckRefund.Assign.answersWithin;
    for (const name of ["void-charge", "refund-charge"] as const) {
      // The state may give up before the function ends, and the bank may take as long again as we wait for it.
      assert.ok(waits > 2 * seconds(name) + HTTP_TIMEOUT_MS.bank / 1000, `AwaitAnswer waits ${waits} s, ${name} runs for ${seconds(name)} s`);
    }
  });

  test("a route's function answers before the API gives up", () => {
    for (const name of ["cardtoken", "callback", "check-status"] as const) {
      assert.ok(seconds(name) + CONNECTING_MS / 1000 < HTTP_API_LIMIT_SECONDS, name);
    }
  });

  test("the deployed functions have these limits", () => {
    for (const [, { Properties }] of resources(synthesise(builtFunctions()), "AWS::Lambda::Function")) {
      const name = FUNCTIONS.find((kebab) => Properties["FunctionName"] === `payment3-${kebab}-feature-a`);
      assert.ok(name);
      assert.equal(Properties["Timeout"], seconds(name));
      const variables = Properties["Environment"].Variables;
      assert.ok([undefined, "15000"].includes(variables.BANK_TIMEOUT_MS) && [undefined, "8000"].includes(variables.SHOP_TIMEOUT_MS));
    }
  });
});
