import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { APP_DIRECTORY, temporaryDirectory } from "./support";

const GITHUB = join(APP_DIRECTORY, "..", ".github");

/** The lines of GitHub's workflows, by file. */
const WORKFLOWS: ReadonlyMap<string, readonly string[]> = new Map(
  readdirSync(join(GITHUB, "workflows")).map((file) => [file, readFileSync(join(GITHUB, "workflows", file), "utf8").split("\n")]),
);

/** The lines of shell scripts: those of `run` steps, which are indented more than the key. */
function scriptLines(lines: readonly string[]): string[] {
  const scripts: string[] = [];
  let depth: number | undefined;
  for (const line of lines) {
    const indentation = line.search(/\S/);
    if (depth !== undefined && (indentation === -1 || indentation > depth)) {
      scripts.push(line);
      continue;
    }
    const run = /^(\s*(?:- )?)run: (.*)$/.exec(line);
    depth = run?.[1]?.length;
    scripts.push(...(run?.[2] === undefined ? [] : [run[2]]));
  }
  return scripts;
}

test("every action is pinned to a commit with its version in a comment, everywhere to the same one", () => {
  const commits = new Map<string, string>();
  for (const [file, lines] of WORKFLOWS) {
    const uses = lines.map((line) => /^\s*(?:- )?uses: (.*)$/.exec(line)?.[1]).filter((action) => action !== undefined);
    for (const action of uses.filter((action) => !action.startsWith("./"))) {
      const [, name, commit] = /^([\w.-]+\/[\w./-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/.exec(action) ?? [];
      assert.ok(name !== undefined && commit !== undefined, `${file}: ${action}`);
      assert.equal(commits.get(name) ?? commit, commit, `${file}: ${action}`);
      commits.set(name, commit);
    }
  }
  assert.ok(commits.size > 0);
});

test("no script contains an expression, whose value could be an attacker's", () => {
  let scripts = 0;
  for (const [file, lines] of WORKFLOWS) {
    for (const line of scriptLines(lines)) {
      assert.ok(!line.includes("${{"), `${file}: ${line.trim()}`);
      scripts += 1;
    }
  }
  assert.ok(scripts > 20, "the scripts were not found");
});

test("a workflow has no permissions except those that a job asks for", () => {
  for (const [file, lines] of WORKFLOWS) {
    assert.ok(lines.includes("permissions: {}"), file);
    // The only write permission: an identity token for AWS, where a stack is deployed or deleted.
    const writes = lines.filter((line) => /: write\b/.test(line)).map((line) => line.trim().split(" #")[0]);
    const deploys = !["ci.yml", "nightly.yml"].includes(file);
    assert.deepEqual(writes, deploys ? ["id-token: write"] : [], file);
  }
});

/** Runs .github/cdk with a script in the place of the CDK and of Node. */
function wrapped(script: string, given: readonly string[], environment: Record<string, string> = {}) {
  const directory = temporaryDirectory();
  const programs = join(directory, "cdk", "node_modules", ".bin");
  mkdirSync(programs, { recursive: true });
  for (const program of ["cdk", "node"]) {
    writeFileSync(join(programs, program), `#!/bin/sh\n${script}\n`);
    chmodSync(join(programs, program), 0o755);
  }
  mkdirSync(join(directory, ".github"));
  cpSync(join(GITHUB, "cdk"), join(directory, ".github", "cdk"));
  const result = spawnSync(join(directory, ".github", "cdk"), given, {
    encoding: "utf8",
    env: { PATH: `${programs}:${process.env["PATH"]}`, TMPDIR: directory, BRANCH: "feature-a", MASTER_BRANCH: "master", ...environment },
  });
  assert.deepEqual(readdirSync(directory).sort(), [".github", "cdk"], "something was left behind");
  assert.deepEqual(readdirSync(join(directory, "cdk")), ["node_modules"]);
  return result;
}

const SHOW = 'printf "%s\\n" "$@"';

test("the branch's name reaches the CDK as one argument, and no other setting can change the branch", () => {
  const hostile = 'x;touch pwned;$(touch pwned)`touch pwned`"\'&|';
  const environment = { BRANCH: hostile, CDK_CONTEXT: "branch=master\r\nmerchantIds=401000000000001\n\ncallbackBases=https://shop.example,yourapp://a b" };
  const context = [
    ...["--context", "branch=master"],
    ...["--context", "merchantIds=401000000000001"],
    ...["--context", "callbackBases=https://shop.example,yourapp://a b"],
    ...["--context", "masterBranch=master"],
    ...["--context", `branch=${hostile}`],
  ];
  for (const [given, called] of [
    [["deploy", "--all"], ["deploy", "--all"]],
    [["stop-executions"], ["--import", "tsx", "bin/stop-executions.ts"]],
  ] as const) {
    const { status, stdout, stderr } = wrapped(SHOW, given, environment);
    assert.equal(status, 0, stderr);
    assert.deepEqual(stdout.trimEnd().split("\n"), [...called, ...context]);
  }
});

test("a failure that a person has to repair says where the document says how", () => {
  const document = readFileSync(join(GITHUB, "..", "docs", "deploy.md"), "utf8");
  const failure = (said: string) => wrapped(`echo "${said}" >&2; exit 7`, ["deploy"]);
  for (const [said, heading] of [
    ["Stack [arn:aws:cloudformation:x] cannot be deleted while TerminationProtection is enabled", "A first deployment of production that failed"],
    ["Resource handler returned message: State Machine is being deleted: 'arn:aws:states:x' (Service: Sfn, Status Code: 400)", "A state machine that is still being deleted"],
    ["An error occurred (StateMachineDeleting)", "A state machine that is still being deleted"],
  ] as const) {
    const { status, stdout, stderr } = failure(said);
    assert.equal(status, 7);
    assert.equal(stdout, `${said}\n`);
    assert.match(stderr, new RegExp(`^what to do is in docs/deploy.md, "${heading}"\n$`));
    assert.ok(document.includes(`### ${heading}\n`), heading);
  }
  assert.equal(failure("Access denied").stderr, "");
  assert.equal(wrapped('echo "StateMachineDeleting"', ["deploy"]).stderr, "", "a deployment that succeeds needs no hint");
});

test("a branch's executions are stopped before its stack is deleted, by a role that can stop no production", () => {
  const lines = WORKFLOWS.get("clean-up.yml")?.map((line) => line.trim()) ?? [];
  const stop = lines.indexOf("run: .github/cdk stop-executions");
  assert.ok(stop > lines.findIndex((line) => line.startsWith("role-to-assume:")) && stop < lines.findIndex((line) => line.includes(".github/cdk destroy")));
  const roles = readFileSync(join(GITHUB, "aws-roles.yaml"), "utf8");
  const [, policy = ""] = /PolicyName: StopExecutions\n(.*?)\n {8}- !If/s.exec(roles) ?? [];
  const [, allowed = "", denied = ""] = /Effect: Allow(.*)Effect: Deny(.*)/s.exec(policy) ?? [];
  for (const action of ["cloudformation:DescribeStacks", "states:ListExecutions", "states:StopExecution", "events:DisableRule"]) {
    assert.ok(allowed.includes(action), action);
  }
  for (const refused of ["states:StopExecution", "events:DisableRule", "execution:payment3-payment-${MasterBranch}:", "execution:payment3-refund-${MasterBranch}:", "rule/payment3-reconcile-${MasterBranch}-?"]) {
    assert.ok(denied.includes(refused), refused);
  }
});
