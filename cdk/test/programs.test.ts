import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FUNCTION_CATALOGUE, FUNCTIONS, type FunctionName, type FunctionSpec } from "../lib/functions/function-catalogue";
import { APP_DIRECTORY, builtFunctions, resources, synthesise } from "./support";

/*
 * Compares what the functions' programs read and connect to with what the catalogue gives them. The sources are read as
 * text: a program's `main` names its parts, and activities/src/wiring.rs shows which variables each part reads.
 */

const SOURCES = join(APP_DIRECTORY, "..", "activities", "src");
const source = (...file: string[]): string => readFileSync(join(SOURCES, ...file), "utf8");

/** The environment variables that a part of a program reads. */
interface Reads {
  /** Required variables: without them it does not start. */
  readonly needed: ReadonlySet<string>;
  /** Optional variables. */
  readonly possible: ReadonlySet<string>;
}

/** The text of each function of wiring.rs, by name. */
const PARTS = new Map([...source("wiring.rs").matchAll(/^( *)(?:pub )?(?:async )?fn (\w+)\(.*?^\1\}/gms)].map(([text, , name = ""]) => [name, text]));

/** The variables that a text reads, and those of all parts that it calls. */
function readsOf(text: string): Reads {
  const read: { needed: Set<string>; possible: Set<string> } = { needed: new Set(), possible: new Set() };
  for (const [, name = "", optional] of text.matchAll(/"([A-Z]+(?:_[A-Z]+)*)"(?:\)\.(ok|is_ok)\(\))?/g)) {
    read[optional === undefined ? "needed" : "possible"].add(name);
  }
  if (text.includes("Sdk::load()")) {
    read.needed.add("AWS_TIMEOUT_MS");
  }
  for (const [, part = ""] of text.matchAll(/(?:aws\.|self\.|wiring::(?:Aws::)?|\b)(\w+)\(/g)) {
    const called = PARTS.get(part);
    if (called !== undefined && called !== text) {
      const { needed, possible } = readsOf(called);
      needed.forEach((name) => read.needed.add(name));
      possible.forEach((name) => read.possible.add(name));
    }
  }
  return read;
}

const template = synthesise(builtFunctions());
const environment = (name: FunctionName): string[] => {
  const found = resources(template, "AWS::Lambda::Function").find(([, { Properties }]) => Properties["FunctionName"] === `payment3-${name}-feature-a`);
  assert.ok(found, `cdk/lib/functions/function-catalogue.ts has ${name}, but neither the definition nor a route calls it`);
  return Object.keys(found[1].Properties["Environment"].Variables).filter((variable) => variable !== "RUST_LOG");
};

test("every program is in the catalogue, and every function there has a program", () => {
  const programs = readdirSync(join(SOURCES, "bin")).map((file) => file.replace(/\.rs$/, ""));
  assert.deepEqual(programs.sort(), [...FUNCTIONS].sort(), "activities/src/bin and cdk/lib/functions/function-catalogue.ts");
});

for (const name of FUNCTIONS) {
  describe(name, () => {
    const program = source("bin", `${name}.rs`);

    test("gets exactly the variables that it reads", () => {
      const { needed, possible } = readsOf(program);
      const given = environment(name);
      const wrong = (what: string) => `activities/src/bin/${name}.rs ${what}: see \`${name}\` in cdk/lib/functions/function-catalogue.ts`;
      assert.deepEqual([...needed].filter((variable) => !given.includes(variable)), [], wrong("reads variables that it does not get"));
      assert.deepEqual(given.filter((variable) => !needed.has(variable) && !possible.has(variable)), [], wrong("gets variables that it does not read"));
    });

    test("connects before its first event only to services that it may use, and to DynamoDB if it has tables", () => {
      const spec: FunctionSpec = FUNCTION_CATALOGUE[name];
      const connected = [...program.matchAll(/Service::(\w+)/g)].map(([, service = ""]) => service);
      const may: Readonly<Record<string, boolean>> = {
        DynamoDb: spec.tables !== undefined,
        SecretsManager: (spec.callsBank ?? spec.callsShop) !== undefined,
        StepFunctions: spec.starts !== undefined,
      };
      for (const service of connected) {
        assert.ok(may[service], `activities/src/bin/${name}.rs connects to ${service}, but the catalogue does not allow it`);
      }
      assert.equal(connected.includes("DynamoDb"), spec.tables !== undefined, `activities/src/bin/${name}.rs has tables and does not connect to DynamoDB`);
    });
  });
}
