import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { App, Stack } from "aws-cdk-lib";
import { parse } from "yaml";
import { ALARM_EMAIL, APP_DIRECTORY, REQUIRED, builtFunctions, temporaryDirectory } from "./support";

const GITHUB = join(APP_DIRECTORY, "..", ".github");

/** The lines of GitHub's workflows, by file. */
const WORKFLOWS: ReadonlyMap<string, readonly string[]> = new Map(
  readdirSync(join(GITHUB, "workflows")).map((file) => [file, readFileSync(join(GITHUB, "workflows", file), "utf8").split("\n")]),
);

/** A workflow as GitHub reads it. */
function workflow(file: string): any {
  return parse((WORKFLOWS.get(file) ?? []).join("\n"));
}

/** What GitHub knows of a run. */
interface Run {
  readonly github: Record<string, unknown>;
  readonly vars?: Record<string, string>;
  readonly needs?: Record<string, { readonly result: string }>;
  readonly inputs?: Record<string, string>;
}

/** The value of an expression, or of a text with expressions. GitHub's operators are those of JavaScript. */
function evaluate(text: string, { github, vars = {}, needs = {}, inputs = {} }: Run): unknown {
  const value = (expression: string): unknown =>
    new Function("github", "vars", "needs", "inputs", "startsWith", "cancelled", `return ${expression}`)(
      github, vars, needs, inputs, (whole: string, start: string) => whole.startsWith(start), () => false,
    );
  const whole = /^\$\{\{((?:(?!\}\}).)*)\}\}$/.exec(text)?.[1];
  return whole === undefined && text.includes("${{") ? text.replace(/\$\{\{(.*?)\}\}/g, (_, expression) => String(value(expression))) : value(whole ?? text);
}

const REPOSITORY = "shop/payment3";

function push(branch: string, runId = 1): Run {
  return { github: { event_name: "push", event: {}, repository: REPOSITORY, ref: `refs/heads/${branch}`, ref_name: branch, run_id: runId } };
}

/** A pull request from a branch of a repository into another branch. */
function pullRequest(from: { readonly repository?: string; readonly head?: string; readonly base?: string } = {}, runId = 1): Run {
  const { repository = REPOSITORY, head = "feature-a", base = "master" } = from;
  const event = { pull_request: { head: { repo: { full_name: repository } } } };
  return { github: { event_name: "pull_request", event, repository: REPOSITORY, ref: "refs/pull/7/merge", ref_name: "7/merge", head_ref: head, base_ref: base, run_id: runId } };
}

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
  }
  // The only write permission: an identity token for AWS, where a stack is compared, deployed or deleted.
  const writers = [...WORKFLOWS.keys()].flatMap((file) =>
    Object.entries<any>(workflow(file).jobs).flatMap(([job, { permissions }]) =>
      Object.entries(permissions).filter(([, access]) => access !== "read").map(([name, access]) => `${file} ${job} ${name}: ${access}`),
    ),
  );
  assert.deepEqual(writers.sort(), [
    "clean-up.yml destroy id-token: write",
    "deploy.yml stack id-token: write",
    "stack.yml changes id-token: write",
    "stack.yml deploy id-token: write",
  ]);
});

test("a pull request gets an AWS role only if it comes from this repository, from a person, and for production", () => {
  const { build, stack } = workflow("deploy.yml").jobs;
  const builds = (run: Run) => evaluate(build.if, run);
  assert.equal(builds(push("feature-a")), true);
  assert.equal(builds(pullRequest()), true);
  assert.equal(builds(pullRequest({ repository: "stranger/payment3" })), false);
  assert.equal(builds(pullRequest({ head: "dependabot/npm_and_yarn/cdk/aws-cdk-lib-3" })), false);
  assert.equal(builds(pullRequest({ base: "feature-b" })), false);

  const continues = (run: Run, ci: string, built: string) => evaluate(stack.if, { ...run, needs: { ci: { result: ci }, build: { result: built } } });
  assert.deepEqual(stack.needs, ["ci", "build"]);
  assert.equal(continues(push("master"), "success", "success"), true);
  for (const ci of ["failure", "cancelled", "skipped"]) {
    assert.equal(continues(push("master"), ci, "success"), false, ci);
  }
  assert.equal(continues(pullRequest(), "skipped", "success"), true);
  assert.equal(continues(pullRequest(), "skipped", "skipped"), false);
  assert.equal(continues(push("master"), "success", "failure"), false);
});

test("what production would become is shown in an environment that only reads, before production's own environment asks for approval", () => {
  const { changes, deploy } = workflow("stack.yml").jobs;
  const shown = (run: Run) => [evaluate(changes.environment, run), evaluate(changes.env.BRANCH, run)];
  assert.deepEqual(shown(push("master")), ["production-diff", "master"]);
  assert.deepEqual(shown(push("feature-a")), ["branches", "feature-a"]);
  assert.deepEqual(shown(pullRequest()), ["production-diff", "master"]);
  const renamed = { vars: { MASTER_BRANCH: "main" } };
  assert.deepEqual(shown({ ...push("main"), ...renamed }), ["production-diff", "main"]);
  assert.deepEqual(shown({ ...pullRequest({ base: "main" }), ...renamed }), ["production-diff", "main"]);
  assert.equal(changes.if, undefined);

  assert.equal(deploy.needs, "changes");
  assert.equal(evaluate(deploy.environment, push("master")), "production");
  assert.equal(evaluate(deploy.environment, push("feature-a")), "branches");
  assert.equal(evaluate(deploy.if, push("master")), true);
  assert.equal(evaluate(deploy.if, pullRequest()), false);
  // What was shown is deployed: nothing is synthesised again.
  const scripts = deploy.steps.map(({ run = "" }) => run).join("\n");
  assert.match(scripts, /cdk deploy --app cdk\.out /);
  assert.doesNotMatch(scripts, /synth|--context/);
});

test("tests and deployments wait in queues of their own, and a clean-up waits for its branch's deployment", () => {
  const { concurrency, jobs } = workflow("deploy.yml");
  // A waiting deployment holds up no later push.
  assert.notEqual(evaluate(concurrency.group, push("master", 1)), evaluate(concurrency.group, push("master", 2)));
  assert.equal(evaluate(concurrency["cancel-in-progress"], push("master")), false);
  assert.equal(evaluate(concurrency.group, pullRequest({}, 1)), evaluate(concurrency.group, pullRequest({}, 2)));
  assert.equal(evaluate(concurrency["cancel-in-progress"], pullRequest()), true);

  const queue = (run: Run) => evaluate(jobs.stack.concurrency.group, run);
  assert.equal(jobs.stack.concurrency["cancel-in-progress"], false);
  assert.equal(queue(push("feature-a", 1)), "stack-feature-a");
  assert.equal(queue(push("feature-a", 2)), "stack-feature-a");
  assert.ok(!String(queue(pullRequest())).startsWith("stack-"));
  for (const cleanUp of [
    { github: { event_name: "delete", event: { ref: "feature-a" } } },
    { github: { event_name: "workflow_dispatch", event: {} }, inputs: { branch: "feature-a" } },
  ]) {
    assert.equal(evaluate(workflow("clean-up.yml").concurrency.group, cleanUp), "stack-feature-a");
  }

  const ci = workflow("ci.yml").concurrency;
  assert.equal(evaluate(ci.group, push("feature-a", 1)), "ci-push-refs/heads/feature-a");
  assert.equal(evaluate(ci["cancel-in-progress"], push("feature-a")), false);
  // Nothing else in these workflows waits.
  const queues = ["deploy.yml", "stack.yml", "ci.yml"].flatMap((file) => Object.entries<any>(workflow(file).jobs).filter(([, job]) => job.concurrency !== undefined).map(([name]) => name));
  assert.deepEqual(queues, ["stack"]);
  assert.equal(workflow("stack.yml").concurrency, undefined);
});

test("a branch that was deleted while its tests ran is not deployed any more: its clean-up is over by then", () => {
  const { steps, env } = workflow("stack.yml").jobs.deploy;
  const position = (name: string) => steps.findIndex((step: any) => step.name === name);
  const { run } = steps[position("Make sure that the branch still exists")];
  assert.ok(position("Make sure that the branch still exists") < position("Log in to AWS"));
  assert.equal(evaluate(env.BRANCH, push("feature/a")), "feature/a");
  const directory = temporaryDirectory();
  const asked = (answer: string, attempt = 1) => {
    writeFileSync(join(directory, "gh"), `#!/bin/sh\nprintf '%s\\n' "$@" > "${directory}/arguments"\n${answer}\n`, { mode: 0o755 });
    return spawnSync("bash", ["-e", "-c", run], {
      encoding: "utf8",
      env: {
        ...{ PATH: `${directory}:${process.env["PATH"]}`, GITHUB_REPOSITORY: REPOSITORY, BRANCH: "feature/a#$(touch pwned)" },
        ...{ GITHUB_SHA: "1".repeat(40), GITHUB_RUN_ATTEMPT: String(attempt) },
      },
    });
  };
  const same = `echo ${"1".repeat(40)}`;
  const newer = `echo ${"2".repeat(40)}`;
  assert.equal(asked(same).status, 0);
  assert.deepEqual(readFileSync(join(directory, "arguments"), "utf8").trimEnd().split("\n"), ["api", "repos/shop/payment3/git/ref/heads/feature/a%23%24(touch%20pwned)", "--jq", ".object.sha"]);
  const gone = asked("echo 'gh: Not Found (HTTP 404)' >&2; exit 1");
  assert.equal(gone.status, 1);
  assert.match(gone.stderr, /HTTP 404\)\n.*nothing is deployed/);
  // A newer push waits behind this one, unless this one is run again after it.
  assert.deepEqual([asked(newer).status, asked(same, 2).status, asked(newer, 2).status], [0, 0, 1]);
});

test("nothing of what the build made is unpacked where it could replace what runs with access to AWS", () => {
  for (const [job, files] of [
    ["changes", ["functions.tar"]],
    ["deploy", ["assembly.tar", "check.tar"]],
  ] as const) {
    const directory = temporaryDirectory();
    const artifact = join(directory, "temp", "artifact");
    mkdirSync(artifact, { recursive: true });
    mkdirSync(join(directory, "cdk"));
    const hostile = join(directory, "hostile");
    for (const name of [".github/cdk", "cdk/node_modules/.bin/cdk", "cdk.out/manifest.json", "payment3-local", "notify/bootstrap"]) {
      mkdirSync(join(hostile, name, ".."), { recursive: true });
      writeFileSync(join(hostile, name), "hostile");
    }
    for (const file of files) {
      assert.equal(spawnSync("tar", ["--create", "--file", join(artifact, file), "--directory", hostile, "."]).status, 0);
      // As the workflows pack them: names without a dot before them.
      assert.equal(spawnSync("tar", ["--append", "--file", join(artifact, file), "--directory", hostile, "cdk.out", "payment3-local"]).status, 0);
    }
    rmSync(hostile, { recursive: true });
    const { steps } = workflow("stack.yml").jobs[job];
    const unpacking = steps.find(({ name }: any) => /^Unpack/.test(name));
    const { status, stderr } = spawnSync("bash", ["-e", "-c", unpacking.run], { cwd: directory, encoding: "utf8", env: { PATH: process.env["PATH"], RUNNER_TEMP: join(directory, "temp") } });
    assert.equal(status, 0, stderr);
    assert.deepEqual(readdirSync(directory).sort(), job === "changes" ? ["cdk", "target", "temp"] : ["cdk", "temp"]);
    assert.deepEqual(readdirSync(join(directory, "cdk")), job === "changes" ? [] : ["cdk.out"]);
    for (const { uses = "", with: given } of steps) {
      assert.ok(!uses.startsWith("actions/download-artifact@") || given.path === "${{ runner.temp }}/artifact", `${job} downloads into ${given?.path}`);
    }
  }
});

// "Supported Node.js versions for the AWS CDK" in AWS's developer guide: 20 until 2026-10-30, 24 until 2028-10-30.
test("the workflows run on a Node.js that the CDK supports", () => {
  for (const file of ["ci.yml", "clean-up.yml", "deploy.yml", "nightly.yml", "stack.yml"]) {
    const steps = Object.values<any>(workflow(file).jobs).flatMap(({ steps = [] }) => steps);
    for (const { uses = "", with: given } of steps) {
      assert.ok(!uses.startsWith("actions/setup-node@") || given["node-version"] === "24", `${file}: Node.js ${given?.["node-version"]}`);
    }
  }
});

/** The role of the workflows, without CloudFormation's tags. */
function role(): any {
  return parse(readFileSync(join(GITHUB, "aws-roles.yaml"), "utf8"), { logLevel: "silent" }).Resources.Role.Properties;
}

/** What the environment `production-diff` may do in AWS: actions, each with a resource as the template writes it. */
function readingRights(): { readonly actions: readonly string[]; readonly resources: readonly string[] } {
  const [condition, policy] = role().Policies[0];
  assert.equal(condition, "OnlyReads");
  const [statement, ...others] = policy.PolicyDocument.Statement;
  assert.deepEqual([policy.PolicyName, others, statement.Effect], ["ReadTemplates", [], "Allow"]);
  return { actions: statement.Action, resources: statement.Resource.filter((resource: unknown) => typeof resource === "string") };
}

test("the role that shows changes reads the templates of these stacks, and nothing else, for production's branch and pull requests", () => {
  // The role of a deployment instead, and at the edge as well; that of branches also stops executions.
  const [[, , otherwise], [stops, stopping], [edge], ...others] = role().Policies;
  assert.deepEqual([otherwise.PolicyName, stops, stopping.PolicyName, edge, others], ["UseTheCdk", "IsBranches", "StopExecutions", "DeploysEdge", []]);
  const [statement] = role().AssumeRolePolicyDocument.Statement;
  assert.deepEqual(statement.Condition.StringLike["token.actions.githubusercontent.com:ref"], [
    ["refs/heads/${Branch}", { Branch: ["IsBranches", "*", "MasterBranch"] }],
    ["OnlyReads", "refs/pull/*/merge", "AWS::NoValue"],
  ]);
  assert.deepEqual(readingRights(), {
    actions: ["cloudformation:DescribeStacks", "cloudformation:GetTemplate"],
    resources: ["arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/payment3-*/*"],
  });
});

/** AWS for a role with the given rights: STS, and a CloudFormation with at most one stack. */
async function fakeAws(allowed: readonly string[], deployed: () => string | undefined): Promise<{ readonly address: string; readonly denied: string[]; close(): void }> {
  const denied: string[] = [];
  const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const asked = new URLSearchParams(Buffer.concat(chunks).toString());
    const action = asked.get("Action") ?? "";
    const name = asked.get("StackName") ?? "";
    const answer = (status: number, body: string) => response.writeHead(status, { "content-type": "text/xml" }).end(body);
    const succeed = (result: string) => answer(200, `<${action}Response><${action}Result>${result}</${action}Result></${action}Response>`);
    const fail = (status: number, code: string, message: string) =>
      answer(status, `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`);
    const template = deployed();
    if (action === "GetCallerIdentity") {
      succeed("<Arn>arn:aws:sts::123456789012:assumed-role/reader/test</Arn><UserId>reader</UserId><Account>123456789012</Account>");
    } else if (!allowed.includes(`cloudformation:${action}`) || !name.startsWith("payment3-")) {
      denied.push(action);
      fail(403, "AccessDenied", `not authorized to perform ${action}`);
    } else if (template === undefined) {
      fail(400, "ValidationError", `Stack with id ${name} does not exist`);
    } else if (action === "DescribeStacks") {
      const id = `arn:aws:cloudformation:ap-southeast-1:123456789012:stack/${name}/0`;
      succeed(`<Stacks><member><StackName>${name}</StackName><StackId>${id}</StackId><CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus></member></Stacks>`);
    } else {
      succeed(`<TemplateBody>${escaped(template)}</TemplateBody>`);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, denied, close: () => server.close() };
}

/** A checkout in which the steps of the job that shows changes can run. */
function checkout(): string {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, ".github"));
  cpSync(join(GITHUB, "cdk"), join(directory, ".github", "cdk"));
  mkdirSync(join(directory, "cdk"));
  cpSync(join(APP_DIRECTORY, "cdk.json"), join(directory, "cdk", "cdk.json"));
  for (const each of ["bin", "lib", "node_modules", "package.json", "tsconfig.json"]) {
    symlinkSync(join(APP_DIRECTORY, each), join(directory, "cdk", each));
  }
  return directory;
}

test("approvers and reviewers see what changes, with the rights of the reading role, and nothing when only the commit differs", async () => {
  const assets = builtFunctions();
  let deployed: string | undefined;
  const aws = await fakeAws(readingRights().actions, () => deployed);
  const steps: readonly any[] = workflow("stack.yml").jobs.changes.steps;
  /** Runs steps of the job at a commit. Returns the template and the summary. */
  const show = async (directory: string, commit: string, names = ["Synthesise", "Show the changes"]): Promise<{ readonly template: string; readonly summary: string }> => {
    const summary = join(directory, `${names.length}.md`);
    for (const name of names) {
      const { run } = steps.find((step) => step.name === name);
      const child = spawn("bash", ["-e", "-c", run], {
        cwd: directory,
        env: {
          ...{ PATH: process.env["PATH"], HOME: directory, CI: "true", GITHUB_SHA: commit, GITHUB_STEP_SUMMARY: summary },
          ...{ BRANCH: "master", MASTER_BRANCH: "master", ARCHITECTURE: "x86_64", REPOSITORY_URL: "https://github.com/shop/payment3" },
          CDK_CONTEXT: `account=123456789012\nregion=ap-southeast-1\nmerchantIds=${REQUIRED.merchantIds}\nshopWebhookUrl=${REQUIRED.shopWebhookUrl}\nalarmEmail=${ALARM_EMAIL}\nassets=${assets}`,
          ...{ AWS_ENDPOINT_URL: aws.address, AWS_REGION: "ap-southeast-1", AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_EC2_METADATA_DISABLED: "true", CDK_HOME: directory },
        },
      });
      const output: string[] = [];
      child.stdout.on("data", (data) => output.push(String(data)));
      child.stderr.on("data", (data) => output.push(String(data)));
      assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0, output.join(""));
    }
    return { template: readFileSync(join(directory, "cdk", "cdk.out", "payment3-master.template.json"), "utf8"), summary: readFileSync(summary, "utf8") };
  };
  try {
    const first = await show(checkout(), "1".repeat(40));
    assert.match(first.summary, /^<pre>\nStack payment3-master [^]*\[\+\] AWS::DynamoDB::Table [^]*<\/pre>\n$/);
    assert.match(first.template, /https:\/\/github\.com\/shop\/payment3\/blob\/master\/docs\/runbook\.md#reconcile-not-running/);
    deployed = first.template;
    const directory = checkout();
    const same = await show(directory, "2".repeat(40));
    assert.equal(same.template, first.template);
    assert.match(same.summary, /^<pre>\nStack payment3-master .*\nThere were no differences\n\n\n.*Number of stacks with differences: 0\n\n<\/pre>\n$/);
    // What differs is shown, and no text of it ends the block.
    deployed = first.template.replace('"Card payments, branch master"', '"</pre> There were no differences"');
    const { summary } = await show(directory, "2".repeat(40), ["Show the changes"]);
    assert.match(summary, /Description: &lt;\/pre> There were no differences to Card payments, branch master\n[^]*Number of stacks with differences: 1/);
    assert.equal(summary.split("</pre>").length, 2);
    // The CDK tries its role for looking up, and gets no further than the template.
    assert.deepEqual(new Set(aws.denied), new Set(["AssumeRole"]));
  } finally {
    aws.close();
  }
});

/** Runs .github/cdk with a script in the place of the CDK, and of Node where that runs a program. */
function wrapped(script: string, given: readonly string[], environment: Record<string, string> = {}) {
  const directory = temporaryDirectory();
  const programs = join(directory, "cdk", "node_modules", ".bin");
  mkdirSync(programs, { recursive: true });
  for (const program of ["cdk", "node"]) {
    const print = `[ "$1" != --print ] || exec "${process.execPath}" "$@"`;
    writeFileSync(join(programs, program), `#!/bin/sh\n${print}\n${script}\n`);
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

test("the alarms link to the runbook on the branch, whatever the branch is called, and a person's own setting comes later", () => {
  const link = (branch: string) => {
    const { stdout, stderr, status } = wrapped(SHOW, ["deploy", "--all"], { BRANCH: branch, CDK_CONTEXT: "runbook=https://wiki.example", REPOSITORY_URL: "https://github.com/shop/payment3" });
    assert.equal(status, 0, stderr);
    const given = stdout.split("\n").filter((line) => line.startsWith("runbook="));
    assert.equal(given[1], "runbook=https://wiki.example");
    return given[0];
  };
  assert.equal(link("master"), "runbook=https://github.com/shop/payment3/blob/master/docs/runbook.md");
  assert.equal(link("feature/a#1?$(b)%"), "runbook=https://github.com/shop/payment3/blob/feature/a%231%3F%24(b)%25/docs/runbook.md");
  for (const [file, lines] of WORKFLOWS) {
    const commits = lines.filter((line) => /GITHUB_SHA|github\.sha/.test(line) && !line.includes('$newest != "$GITHUB_SHA"'));
    assert.deepEqual(commits, [], `${file} would change every alarm with every commit`);
  }
});

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
  for (const [said, heading] of [
    ["Stack [arn:aws:cloudformation:x] cannot be deleted while TerminationProtection is enabled", "A first deployment of production that failed"],
    ["Resource handler returned message: State Machine is being deleted: 'arn:aws:states:x' (Service: Sfn, Status Code: 400)", "A state machine that is still being deleted"],
    ["An error occurred (StateMachineDeleting)", "A state machine that is still being deleted"],
  ] as const) {
    for (const stream of [1, 2]) {
      const { status, stdout, stderr } = wrapped(`echo "${said}" >&${stream}; exit 7`, ["deploy"]);
      const hint = `what to do is in docs/deploy.md, "${heading}"\n`;
      assert.equal(status, 7);
      assert.deepEqual([stdout, stderr], stream === 1 ? [`${said}\n`, hint] : ["", `${said}\n${hint}`]);
    }
    assert.ok(document.includes(`### ${heading}\n`), heading);
  }
  assert.equal(wrapped('echo "Access denied"; exit 7', ["deploy"]).stderr, "");
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

test("what is deployed is checked with rights to read, and without the session that deploys", () => {
  const directory = temporaryDirectory();
  const script = (name: string, text: string): void => writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  script(
    "aws",
    `case "$2" in
      get-caller-identity) echo arn:aws:sts::123456789012:assumed-role/payment3-github-production/x ;;
      assume-role) echo "$4" > "${directory}/role"; printf 'READS\tsecret\ttoken\n' ;;
    esac`,
  );
  script("sudo", 'printf "%s\\n" "$AWS_ACCESS_KEY_ID" "$1" "$2"; shift 2; exec "$@"');
  script("program", 'printf "%s\\n" "$@"; exit 1');
  const outputs = join(directory, "outputs.json");
  writeFileSync(outputs, JSON.stringify({ "payment3-edge-one": { EdgeTarget: "x" }, "payment3-one": { ApiUrl: "https://api.example" } }));
  const check = (context: Record<string, string>): ReturnType<typeof spawnSync> => {
    const app = new App({ context, outdir: join(directory, "cdk.out") });
    new Stack(app, "payment3-one");
    app.synth();
    return spawnSync(join(GITHUB, "check"), {
      encoding: "utf8",
      env: {
        PATH: `${directory}:${process.env["PATH"] ?? ""}`,
        AWS_ACCESS_KEY_ID: "DEPLOYS",
        AWS_REGION: "ap-southeast-1",
        ASSEMBLY: app.outdir,
        OUTPUTS: outputs,
        PROGRAM: join(directory, "program"),
      },
    });
  };
  const role = (qualifier: string): string => `arn:aws:iam::123456789012:role/cdk-${qualifier}-lookup-role-123456789012-ap-southeast-1\n`;
  const { status, stdout, stderr } = check({});
  // What the check says is what the step says.
  assert.equal(status, 1, String(stderr));
  assert.deepEqual(String(stdout).trimEnd().split("\n"), [
    "READS",
    "--user=nobody",
    "--preserve-env=AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN,AWS_REGION",
    ...["check", "--stack", "payment3-one"],
  ]);
  assert.equal(readFileSync(join(directory, "role"), "utf8"), role("hnb659fds"));
  check({ "@aws-cdk/core:bootstrapQualifier": "mine" });
  assert.equal(readFileSync(join(directory, "role"), "utf8"), role("mine"));
});
