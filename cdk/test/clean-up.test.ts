import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { ConfigurationError } from "../lib/configuration-error";
import { declareGoneBranch } from "../lib/gone-branch";
import { PaymentStack } from "../lib/payment-stack";
import { readSettings } from "../lib/settings";
import { APP_DIRECTORY, REQUIRED, builtFunctions, fixedContext, temporaryDirectory } from "./support";

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
    const deployed = new PaymentStack(new App({ outdir: temporaryDirectory() }), { settings });
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
