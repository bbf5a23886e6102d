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

test("the branch's name reaches the CDK as one argument, and no other setting can change the branch", () => {
  const directory = temporaryDirectory();
  const program = join(directory, "cdk", "node_modules", ".bin", "cdk");
  mkdirSync(join(program, ".."), { recursive: true });
  writeFileSync(program, '#!/bin/sh\nprintf "%s\\n" "$@"\n');
  chmodSync(program, 0o755);
  mkdirSync(join(directory, ".github"));
  cpSync(join(GITHUB, "cdk"), join(directory, ".github", "cdk"));

  const hostile = 'x;touch pwned;$(touch pwned)`touch pwned`"\'&|';
  const { status, stdout, stderr } = spawnSync(join(directory, ".github", "cdk"), ["deploy", "--all"], {
    encoding: "utf8",
    env: {
      PATH: process.env["PATH"],
      BRANCH: hostile,
      MASTER_BRANCH: "master",
      CDK_CONTEXT: "branch=master\r\nmerchantIds=401000000000001\n\ncallbackBases=https://shop.example,yourapp://a b",
    },
  });
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split("\n"), [
    ...["deploy", "--all"],
    ...["--context", "branch=master"],
    ...["--context", "merchantIds=401000000000001"],
    ...["--context", "callbackBases=https://shop.example,yourapp://a b"],
    ...["--context", "masterBranch=master"],
    ...["--context", `branch=${hostile}`],
  ]);
  assert.deepEqual(readdirSync(join(directory, "cdk")), ["node_modules"]);
});
