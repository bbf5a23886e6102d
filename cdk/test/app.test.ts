import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { functionCode } from "../lib/function-code";
import { ALARM_EMAIL, APP_DIRECTORY, REQUIRED, builtFunctions, fixedContext, temporaryDirectory } from "./support";

/** Runs the app as the CDK does, without credentials. */
function run(context: Record<string, string>): { status: number | null; stderr: string; output: string } {
  const output = temporaryDirectory();
  const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", "bin/payment3.ts"], {
    cwd: APP_DIRECTORY,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], CDK_OUTDIR: output, CDK_CONTEXT_JSON: JSON.stringify({ ...fixedContext(), ...context }) },
  });
  return { status, stderr, output };
}

test("the app writes a template that CloudFormation's own rules accept", () => {
  const { status, stderr, output } = run({ ...REQUIRED, branch: "master", alarmEmail: ALARM_EMAIL, assets: builtFunctions() });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  assert.ok(existsSync(join(output, "payment3-master.template.json")));
});

test("a missing setting ends it with one line for each, and no stack trace", () => {
  const { status, stderr } = run({ branch: "feature-a" });
  assert.equal(status, 1);
  assert.match(stderr, /^shopWebhookUrl is missing: .*\nmerchantIds is missing: .*\n$/);
});

test("a function that is not built ends it with the command that builds it", () => {
  const assets = builtFunctions();
  rmSync(join(assets, "notify", "bootstrap"));
  const { status, stderr } = run({ ...REQUIRED, assets });
  assert.equal(status, 1);
  assert.equal(
    stderr,
    `${join(assets, "notify", "bootstrap")} is missing: build the functions with \`cargo lambda build --release\`, ` +
      "or name the directory that holds <function>/bootstrap with -c assets=<directory>\n",
  );
});

test("the command is the one that builds into the given directory, for the given processor", () => {
  const nothing = temporaryDirectory();
  assert.throws(() => functionCode(join(nothing, "target", "local", "lambda"), "notify", "x86_64"), /build the functions with `cargo local build`/);
  assert.throws(() => functionCode(nothing, "notify", "arm64"), /build the functions with `cargo lambda build --release --arm64`/);
});
