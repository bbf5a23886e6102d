import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { functionCode } from "../lib/functions/function-code";
import { nodeProblem } from "../lib/node-version";
import { ALARM_EMAIL, APP_DIRECTORY, MASTER, PLACE, REQUIRED, builtFunctions, fixedContext, temporaryDirectory } from "./support";

/** Runs the app as the CDK does, without credentials. */
function run(context: Record<string, string>, app = join("bin", "payment3.ts"), warnings = "1"): { status: number | null; stderr: string; output: string } {
  const output = temporaryDirectory();
  const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", app], {
    cwd: APP_DIRECTORY,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], NODE_NO_WARNINGS: warnings, CDK_DEFAULT_ACCOUNT: "999999999999", CDK_DEFAULT_REGION: "eu-west-1", CDK_OUTDIR: output, CDK_CONTEXT_JSON: JSON.stringify({ ...fixedContext(), ...context }) },
  });
  return { status, stderr, output };
}

test("the app writes a template that passes CloudFormation's own rules", () => {
  const { status, stderr, output } = run({ ...MASTER, assets: builtFunctions() });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  assert.ok(existsSync(join(output, "payment3-master.template.json")));
});

/** Every setting. */
const EVERYTHING = {
  ...REQUIRED,
  ...PLACE,
  alarmEmail: ALARM_EMAIL,
  orderTable: "shop-orders",
  allowExistingOrderTable: "yes",
  borrowMasterRecords: "yes",
  bankFindsByReference: "yes",
  reservedConcurrency: "20",
  domainName: "api.shop.example",
  certificateArn: "arn:aws:acm:ap-southeast-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
  edgeDomainName: "pay.shop.example",
  edgeCertificateArn: "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
  edgeOrigin: "api.shop.example",
  executionKeyArn: "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
};

test("with every setting, each finding of cdk-nag is acknowledged with a reason", () => {
  const { status, stderr, output } = run({ ...EVERYTHING, assets: builtFunctions() });
  assert.equal(status, 0, stderr);
  assert.deepEqual(readdirSync(output).filter((file) => file.endsWith(".template.json")).sort(), [
    "payment3-edge-feature-a.template.json",
    "payment3-feature-a.template.json",
  ]);
  const { pluginReports } = JSON.parse(readFileSync(join(output, "validation-report.json"), "utf8"));
  const report = pluginReports.find(({ pluginName }: any) => pluginName === "AwsSolutions");
  assert.equal(report.conclusion, "success");
  assert.deepEqual(report.violations, []);
  assert.ok(report.suppressedViolations.length > 0);
  for (const { ruleName, reason } of report.suppressedViolations) {
    assert.ok(reason.length > 30, `${ruleName}: ${reason}`);
  }
});

test("a finding of cdk-nag fails the app", () => {
  const directory = temporaryDirectory();
  const file = join(directory, "app.ts");
  writeFileSync(
    file,
    `import { App, Stack, Validations } from "${join(APP_DIRECTORY, "node_modules", "aws-cdk-lib")}";
     import { Topic } from "${join(APP_DIRECTORY, "node_modules", "aws-cdk-lib", "aws-sns")}";
     import { AwsSolutionsChecks } from "${join(APP_DIRECTORY, "node_modules", "cdk-nag")}";
     const app = new App();
     new Topic(new Stack(app, "Loose"), "Topic");
     Validations.of(app).addPlugins(new AwsSolutionsChecks(app));`,
  );
  const { status } = run({}, file);
  assert.notEqual(status, 0);
});

test("both stacks are for the given account and nowhere else; what is not given is left to the credentials", () => {
  const places = (context: Record<string, string>): Record<string, unknown> => {
    const { status, stderr, output } = run({ ...context, assets: builtFunctions() });
    assert.equal(status, 0, stderr);
    const artifacts = Object.entries<any>(JSON.parse(readFileSync(join(output, "manifest.json"), "utf8")).artifacts);
    return Object.fromEntries(artifacts.filter(([, { type }]) => type === "aws:cloudformation:stack").map(([name, { environment }]) => [name, environment]));
  };
  assert.deepEqual(places({ ...EVERYTHING }), {
    "payment3-feature-a": `aws://${PLACE.account}/${PLACE.region}`,
    "payment3-edge-feature-a": `aws://${PLACE.account}/us-east-1`,
  });
  assert.deepEqual(places({ ...REQUIRED }), { "payment3-feature-a": "aws://unknown-account/unknown-region" });
});

test("a version of Node.js that the CDK does not support any more is named, and stops nothing", () => {
  assert.equal(nodeProblem("20.20.2", "2026-10-30"), undefined);
  assert.equal(nodeProblem("20.20.2", "2026-10-31"), "the AWS CDK does not support Node.js 20 since 2026-10-30: use Node.js 24");
  assert.equal(nodeProblem("23.1.0", "2026-10-31"), "the AWS CDK does not support Node.js 23: use Node.js 24");
  assert.equal(nodeProblem("24.1.0", "2028-10-30"), undefined);
  assert.equal(nodeProblem("26.0.0", "2026-12-01"), undefined);
  const said = nodeProblem(process.versions.node, new Date().toISOString().slice(0, 10));
  const { status, stderr } = run({ ...REQUIRED, assets: builtFunctions() }, undefined, "0");
  assert.equal(status, 0, stderr);
  assert.equal(stderr.includes("the AWS CDK does not support"), said !== undefined, stderr);
});

test("each missing setting is reported on one line, without a stack trace", () => {
  const { status, stderr } = run({ branch: "feature-a" });
  assert.equal(status, 1);
  assert.match(stderr, /^shopWebhookUrl is missing: .*\nmerchantIds is missing: .*\n$/);
});

test("a function that is not built is reported with the command that builds it", () => {
  const assets = builtFunctions();
  rmSync(join(assets, "notify", "bootstrap"));
  const { status, stderr } = run({ ...REQUIRED, assets });
  assert.equal(status, 1);
  assert.equal(
    stderr,
    `${join(assets, "notify", "bootstrap")} is missing: build the functions with \`cargo lambda build --release --package payment3-activities\`, ` +
      "or name the directory that holds <function>/bootstrap with -c assets=<directory>\n",
  );
});

/** The beginning of an ELF file, and the names of versions as the linker writes them. */
function program(machine: number, ...versions: string[]): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, Buffer.from(`\0libc.so.6\0${versions.join("\0")}\0`, "latin1")]);
}

test("a program for another processor or a newer C library than AWS Lambda's is reported before anything is deployed", () => {
  const [x86, arm] = [0x3e, 0xb7];
  const assets = builtFunctions();
  const packed = (directory: string, built: Buffer, architecture: "x86_64" | "arm64") => {
    writeFileSync(join(directory, "notify", "bootstrap"), built);
    return () => functionCode(directory, "notify", architecture);
  };
  assert.doesNotThrow(packed(assets, program(x86, "GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.34"), "x86_64"));
  assert.doesNotThrow(packed(assets, program(arm, "GLIBC_2.17"), "arm64"));
  assert.throws(packed(assets, program(x86, "GLIBC_2.4", "GLIBC_2.39", "GLIBC_2.36"), "x86_64"), /needs glibc 2\.39, and AWS Lambda has 2\.34: build it with `cargo lambda build --release --package payment3-activities`/);
  assert.throws(packed(assets, program(x86), "arm64"), /is not for arm64: build it with `cargo lambda build --release --package payment3-activities --arm64`/);
  // What the local AWS runs is built for this machine, the broken copies of the functions as well.
  for (const path of [["lambda"], ["mutants", "lambda"], ["lambda-release"]]) {
    const local = join(temporaryDirectory(), "target", "local", ...path);
    mkdirSync(join(local, "notify"), { recursive: true });
    assert.doesNotThrow(packed(local, program(x86, "GLIBC_2.39"), "x86_64"), local);
  }
});

test("the documented bootstrap reads no app: it needs neither settings nor built functions", () => {
  const documents = ["deploy.md", "pipelines.md"].map((name) => readFileSync(join(APP_DIRECTORY, "..", "docs", name), "utf8")).join("\n");
  const commands = [...documents.matchAll(/npx cdk bootstrap ([^`)]*)/g)].map(([, given = ""]) => given);
  assert.ok(commands.length >= 2);
  for (const given of commands) {
    const words = given.replaceAll(/<account>/g, "123456789012").replaceAll(/\$\w+/g, "ap-southeast-1").replaceAll('""', "EMPTY").split(" ");
    const { stderr } = spawnSync(process.execPath, [join("node_modules", "aws-cdk", "bin", "cdk"), "bootstrap", ...words.map((word) => word.replace("EMPTY", ""))], {
      cwd: APP_DIRECTORY,
      encoding: "utf8",
      env: { PATH: process.env["PATH"], HOME: temporaryDirectory(), AWS_EC2_METADATA_DISABLED: "true" },
    });
    // It gets as far as AWS, and here there are no credentials.
    assert.match(stderr, /no credentials have been configured/, given);
  }
});

test("the reported command builds into the given directory, for the given processor", () => {
  const nothing = temporaryDirectory();
  assert.throws(() => functionCode(join(nothing, "target", "local", "lambda"), "notify", "x86_64"), /build the functions with `cargo local up`/);
  assert.throws(() => functionCode(nothing, "notify", "arm64"), /build the functions with `cargo lambda build --release --package payment3-activities --arm64`/);
});
