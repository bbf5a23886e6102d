import assert from "node:assert/strict";
import { test } from "node:test";
import { FUNCTIONS } from "../lib/functions/function-catalogue";
import { MACHINES, resourceName, stackName, TABLES } from "../lib/names";
import { MAX_BRANCH_LENGTH, branchOf } from "../lib/settings/branch";
import { builtFunctions, resources, synthesise } from "./support";

const name = (gitName: string): string => branchOf(gitName).name;

test("a valid name stays as it is", () => {
  for (const gitName of ["master", "main", "local", "feature-a", "2026-q4", "a".repeat(MAX_BRANCH_LENGTH)]) {
    assert.equal(name(gitName), gitName);
  }
});

test("a changed or cut name ends in a digest of the git name", () => {
  assert.match(name("feature/a"), /^feature-a-[0-9a-f]{8}$/);
  assert.match(name("Feature_A!"), /^feature-a-[0-9a-f]{8}$/);
  assert.match(name("การชำระเงิน"), /^branch-[0-9a-f]{8}$/);
  assert.match(name("---"), /^branch-[0-9a-f]{8}$/);
  assert.match(name("a".repeat(MAX_BRANCH_LENGTH + 1)), /^a{23}-[0-9a-f]{8}$/);
  assert.match(name(`${"a".repeat(22)}/${"b".repeat(20)}`), /^a{22}-[0-9a-f]{8}$/);
});

test("no branch's stack has the name of another stack", () => {
  assert.match(name("edge-main"), /^edge-main-[0-9a-f]{8}$/);
  assert.match(name("github-production"), /^github-production-[0-9a-f]{8}$/);
  for (const gitName of ["edge", "github", "edgy-main"]) {
    assert.equal(name(gitName), gitName);
  }
});

test("no two git names share a branch name", () => {
  const gitNames = ["feature-a", "feature/a", "feature_a", "Feature-a", "FEATURE-A", "feature--a", "feature-a-", "-feature-a", "feature.a", "", "-", "--"];
  gitNames.push(...gitNames.map((gitName) => gitName.padEnd(40, "x")), ...gitNames.map((gitName) => gitName.padEnd(41, "x")));
  // The changed names too: a git branch may have such a name.
  gitNames.push(...gitNames.map(name).filter((changed) => !gitNames.includes(changed)));
  assert.equal(new Set(gitNames.map(name)).size, new Set(gitNames).size);
});

test("every name is made of lower-case letters, digits and hyphens, within the limit", () => {
  for (const gitName of ["A b", "a/../b", "x".repeat(300), "--a--", "é", "a\nb", "${x}", "*", "a--b", "İ"]) {
    assert.match(name(gitName), /^[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.ok(name(gitName).length <= MAX_BRANCH_LENGTH);
  }
});

test("only master is master", () => {
  const master = branchOf("master");
  assert.ok(branchOf("master", master).isMaster);
  for (const gitName of ["Master", "MASTER", "master/", "main", "master-2"]) {
    assert.ok(!branchOf(gitName, master).isMaster, gitName);
  }
  assert.ok(branchOf("main", branchOf("main")).isMaster);
});

test("the longest branch fits every limit of AWS", () => {
  const branch = branchOf("x".repeat(300));
  for (const kebab of FUNCTIONS) {
    assert.ok(resourceName(kebab, branch).length <= 64, kebab);
  }
  for (const kebab of TABLES) {
    assert.ok(resourceName(kebab, branch).length <= 255, kebab);
  }
  for (const kebab of MACHINES) {
    assert.ok(resourceName(kebab, branch).length <= 80, kebab);
  }
  assert.ok(resourceName("back-office", branch).length <= 128);
  assert.ok(stackName(branch).length <= 128);
});

test("no resource of one branch has the name of another resource of another branch", () => {
  const suffix = "-feature-a";
  const alarms = resources(synthesise(builtFunctions()), "AWS::CloudWatch::Alarm").map(([, { Properties }]) => Properties["AlarmName"].slice("payment3-".length, -suffix.length));
  for (const kebabs of [FUNCTIONS, TABLES, MACHINES, ["gateway", "shop-webhook"], alarms]) {
    for (const one of kebabs) {
      assert.ok(!kebabs.some((other) => other.startsWith(`${one}-`)), `${one} is the beginning of another name`);
    }
  }
});
