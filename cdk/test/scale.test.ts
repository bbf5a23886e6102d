import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { APP_DIRECTORY, temporaryDirectory } from "./support";

const ROOT = join(APP_DIRECTORY, "..");
const FILES = [
  "docs/scale.md",
  "docs/prices.json",
  "docs/scale.mjs",
  "statemachine/payment.asl.json",
  "cdk/lib/payment-function.ts",
  "cdk/lib/http-api.ts",
  "activities/src/activity/reconcile.rs",
  "activities/src/domain/ids.rs",
];

/** Holds the tables of the document in `root` against their computation. */
function check(root: string): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [join(root, "docs", "scale.mjs"), "--check"], { encoding: "utf8" });
}

/** A copy of what the computation needs, with one file changed. */
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

test("the tables of docs/scale.md are those that are computed", () => {
  const { status, stderr } = check(ROOT);
  assert.equal(status, 0, stderr);
});

test("a figure that was written by hand is found", () => {
  const { status, stderr } = check(changed("docs/scale.md", (text) => text.replace("| state transitions | 12 |", "| state transitions | 11 |")));
  assert.equal(status, 1);
  assert.match(stderr, /run `node docs\/scale\.mjs`/);
});

test("a path that the state machine does not have any more is found", () => {
  const { status, stderr } = check(changed("statemachine/payment.asl.json", (text) => text.replace('"Next": "NotifySuccess"', '"Next": "CloseRecord"')));
  assert.equal(status, 1);
  assert.match(stderr, /does not lead from PayOrder to NotifySuccess/);
});
