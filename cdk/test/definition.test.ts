import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import aslValidator = require("asl-validator");
import { FUNCTION_CATALOGUE, type FunctionName, FUNCTIONS, type FunctionSpec } from "../lib/function-catalogue";
import { callsAws } from "../lib/function-environment";
import { ACTIVITIES, DEFINITION as text, activitiesOf, placeholderOf } from "../lib/state-machine-definition";
import { CONNECTING_MS, HTTP_API_LIMIT_SECONDS, HTTP_TIMEOUT_MS } from "../lib/timeouts";
import { APP_DIRECTORY, type Resource, builtFunctions, render, resources, synthesise } from "./support";

const seconds = (name: FunctionName): number => FUNCTION_CATALOGUE[name].timeoutSeconds;
const definition = JSON.parse(text);

/** Every state with its name, also those inside of Parallel and Map. */
function allStates(machine: any): [string, any][] {
  return Object.entries<any>(machine.States).flatMap(([name, state]) => [
    [name, state] as [string, any],
    ...[...(state.Branches ?? []), state.ItemProcessor, state.Iterator].filter((inner) => inner !== undefined).flatMap(allStates),
  ]);
}
const tasks = allStates(definition).filter(([, state]) => state.Type === "Task");

/** The function that a task calls; undefined for a task that calls AWS itself. */
function functionOf(task: any): FunctionName | undefined {
  return task.Resource.includes(":lambda:invoke") ? activitiesOf(task.Arguments.FunctionName)[0] : undefined;
}

test("the definition is valid Amazon States Language", () => {
  const deployed = text.replaceAll(/\$\{\w+Function\}/g, "arn:aws:lambda:ap-southeast-1:123456789012:function:any");
  const { isValid, errorsText } = aslValidator(JSON.parse(deployed));
  assert.ok(isValid, errorsText());
});

describe("what the stack puts into the definition", () => {
  const template = synthesise(builtFunctions(), { saveCardPolicy: "consented" });
  const [[, stateMachine]] = resources(template, "AWS::StepFunctions::StateMachine") as [[string, Resource]];
  const substitutions: Record<string, unknown> = stateMachine.Properties["DefinitionSubstitutions"];

  test("is all that it asks for, and nothing else", () => {
    const asked = [...text.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1]);
    assert.deepEqual([...new Set(asked)].sort(), Object.keys(substitutions).sort());
  });

  test("are the functions, unqualified, the table and the policy", () => {
    for (const name of ACTIVITIES) {
      assert.equal(render(template, substitutions[placeholderOf(name)]), `payment3-${name}-feature-a.Arn`);
    }
    assert.equal(render(template, substitutions["CardPaymentRecordTable"]), "payment3-card-payment-record-feature-a");
    assert.equal(substitutions["SaveCardPolicy"], "consented");
  });

  test("goes into the very text of the file", () => {
    assert.equal(stateMachine.Properties["DefinitionString"], text);
  });
});

describe("time limits", () => {
  test("every task has one", () => {
    assert.notEqual(tasks.length, 0);
    for (const [name, task] of tasks) {
      assert.equal(typeof task.TimeoutSeconds, "number", `${name} has no TimeoutSeconds`);
    }
  });

  test("every task that calls a function names one of the catalogue", () => {
    for (const [name, task] of tasks) {
      assert.equal(functionOf(task) !== undefined, task.Resource.includes(":lambda:invoke"), name);
    }
    assert.throws(() => activitiesOf("${NobodyFunction}"), /\$\{NobodyFunction\}.*function-catalogue\.ts/);
  });

  test("a task's is longer than its function's, or than one call of AWS", () => {
    for (const [name, task] of tasks) {
      const called = functionOf(task);
      const inner = called === undefined ? HTTP_TIMEOUT_MS.aws / 1000 : seconds(called) + CONNECTING_MS / 1000;
      assert.ok(task.TimeoutSeconds > inner, `statemachine/payment.asl.json: TimeoutSeconds of ${name} is ${task.TimeoutSeconds} and must be more than ${inner}, as ${called ?? "one call of AWS"} may take that long`);
    }
  });

  test("a function's is longer than each of its HTTP calls", () => {
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

  test("the longest of them have time for their calls one after the other", () => {
    const given = (activity: string, constant: string): number => {
      const source = readFileSync(join(APP_DIRECTORY, "..", "activities", "src", "activity", `${activity}.rs`), "utf8");
      return Number(new RegExp(`const ${constant}: Duration = Duration::from_secs\\((\\d+)\\);`).exec(source)?.[1]) * 1000;
    };
    const atTheBank = given("reverse_charge", "AT_THE_BANK");
    // Three calls that each take as long as they may: what the charge is, its reversal, and what it is then.
    assert.equal(atTheBank, 3 * HTTP_TIMEOUT_MS.bank);
    for (const [name, calls] of [
      // Finding the record, saying that the bank is asked, the key, the bank, and a start or a word that the payment is due.
      ["callback", 4 * HTTP_TIMEOUT_MS.aws + given("callback/start", "ASK_WITHIN")],
      ["notify", 2 * HTTP_TIMEOUT_MS.aws + HTTP_TIMEOUT_MS.shop],
      ["reverse-charge", 2 * HTTP_TIMEOUT_MS.aws + atTheBank],
      // Records are taken up for the one time, and the last of them is cut off after the other.
      ["reconcile", given("reconcile/mod", "FOR_AT_MOST") + given("reconcile/mod", "RECORD_WITHIN")],
    ] as const) {
      assert.ok(calls < seconds(name) * 1000, `${name} ends before its calls of ${calls} ms`);
    }
  });

  test("the lease of a dead process is waited for longer than it holds, and it holds longer than its function runs", () => {
    const source = readFileSync(join(APP_DIRECTORY, "..", "activities", "src", "tables", "mapping.rs"), "utf8");
    const holds = Number(/const LEASE_HOLDS_FOR: i64 = (\d+);/.exec(source)?.[1]);
    assert.ok(holds > seconds("ensure-kbank-user") + CONNECTING_MS / 1000, `a lease of ${holds} s`);
    const retrier = definition.States.EnsureKBankUser.Retry.find((rule: any) => rule.ErrorEquals.includes("CustomerBeingCreated"));
    assert.equal(retrier.JitterStrategy, undefined);
    let waits = 0;
    for (let attempt = 0; attempt < retrier.MaxAttempts; attempt++) {
      waits += Math.min(retrier.IntervalSeconds * retrier.BackoffRate ** attempt, retrier.MaxDelaySeconds);
    }
    assert.ok(waits > 2 * holds, `${waits} s of waits for a lease of ${holds} s`);
  });

  test("a route's function answers before the API gives up", () => {
    for (const name of ["cardtoken", "callback", "check-status"] as const) {
      assert.ok(seconds(name) + CONNECTING_MS / 1000 < HTTP_API_LIMIT_SECONDS, name);
    }
  });

  test("the deployed functions have these", () => {
    for (const [, { Properties }] of resources(synthesise(builtFunctions()), "AWS::Lambda::Function")) {
      const name = FUNCTIONS.find((kebab) => Properties["FunctionName"] === `payment3-${kebab}-feature-a`);
      assert.ok(name);
      assert.equal(Properties["Timeout"], seconds(name));
      const variables = Properties["Environment"].Variables;
      assert.ok([undefined, "15000"].includes(variables.BANK_TIMEOUT_MS) && [undefined, "8000"].includes(variables.SHOP_TIMEOUT_MS));
    }
  });
});
