import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after } from "node:test";
import { App } from "aws-cdk-lib";
import { FUNCTIONS, type FunctionName } from "../lib/functions/function-catalogue";
import { type MachineName, stackName } from "../lib/names";
import { PaymentStack } from "../lib/payment-stack";
import { readSettings } from "../lib/settings/settings";

/** The directory of the CDK app. */
export const APP_DIRECTORY = join(__dirname, "..");

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, any>;
  readonly DeletionPolicy?: string;
  readonly DependsOn?: readonly string[];
}

/** A CloudFormation template. */
export interface Template {
  readonly Resources: Record<string, Resource>;
  readonly Outputs: Record<string, { readonly Value: unknown }>;
}

/** A directory that is removed after the tests of the file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "payment3-cdk-"));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A directory as a build makes it, with a tiny program for every function. */
export function builtFunctions(): string {
  const directory = temporaryDirectory();
  for (const name of FUNCTIONS) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, "bootstrap"), `#!/bin/sh\n# ${name}\n`, { mode: 0o755 });
  }
  return directory;
}

/** The context that cdk.json gives to every run. */
export function fixedContext(): Record<string, unknown> {
  return JSON.parse(readFileSync(join(APP_DIRECTORY, "cdk.json"), "utf8")).context;
}

/** The settings that a deployment must give. */
export const REQUIRED = { branch: "feature-a", shopWebhookUrl: "https://shop.example/events", merchantIds: "401000000000001,401000000000002" };

/** Who gets the alarms; required on master. */
export const ALARM_EMAIL = "oncall@shop.example";

/** Where master is deployed, which it must say. */
export const PLACE = { account: "123456789012", region: "ap-southeast-1" };

/** What master must give. */
export const MASTER = { ...REQUIRED, ...PLACE, branch: "master", alarmEmail: ALARM_EMAIL };

/** The template for the given context. Required settings and `alarmEmail` have defaults. */
export function synthesise(assets: string, context: Record<string, string | undefined> = {}): Template {
  const required = context["branch"] === MASTER.branch ? MASTER : REQUIRED;
  const given = { ...required, alarmEmail: ALARM_EMAIL, assets, ...context };
  const settings = readSettings({ context: given, directory: APP_DIRECTORY, gitBranch: () => undefined });
  const outdir = mkdtempSync(join(assets, ".cdk.out-"));
  // The built-in validation takes seconds. One test runs it, in app.test.ts.
  const app = new App({ outdir, context: fixedContext(), builtinCloudFormationValidation: false });
  const stack = new PaymentStack(app, stackName(settings.branch), { settings });
  return app.synth().getStackByName(stack.stackName).template;
}

/** The resources of a type, by logical id. */
export function resources(template: Template, type: string): [string, Resource][] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
}

/** A state machine of the branch `feature-a`. */
export function stateMachine(template: Template, machine: MachineName): Resource {
  const found = resources(template, "AWS::StepFunctions::StateMachine").find(([, { Properties }]) => Properties["StateMachineName"] === `payment3-${machine}-feature-a`);
  assert.ok(found, machine);
  return found[1];
}

/** The property with the physical name, for the resource types that have one here. */
const NAME_PROPERTY: Readonly<Record<string, string>> = {
  "AWS::ApiGatewayV2::Api": "Name",
  "AWS::CloudWatch::Alarm": "AlarmName",
  "AWS::CloudWatch::Dashboard": "DashboardName",
  "AWS::DynamoDB::Table": "TableName",
  "AWS::Events::Rule": "Name",
  "AWS::Lambda::Function": "FunctionName",
  "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
  "AWS::Logs::LogGroup": "LogGroupName",
  "AWS::SNS::Topic": "TopicName",
  "AWS::SecretsManager::Secret": "Name",
  "AWS::StepFunctions::StateMachine": "StateMachineName",
};

/** The physical names in a template, each after its type. */
export function physicalNames(template: Template): string[] {
  return Object.values(template.Resources).flatMap(({ Type, Properties }) => {
    const property = NAME_PROPERTY[Type];
    return property === undefined ? [] : [`${Type} ${Properties[property]}`];
  });
}

/** A template value as text. A reference becomes the physical name of its resource; `GetAtt` adds `.attribute`. */
export function render(template: Template, value: unknown): string {
  if (typeof value !== "object" || value === null) {
    return String(value);
  }
  const [[kind, argument]] = Object.entries(value) as [[string, any]];
  switch (kind) {
    case "Ref":
      return nameOf(template, argument);
    case "Fn::GetAtt":
      return `${nameOf(template, argument[0])}.${argument[1]}`;
    case "Fn::Join":
      return argument[1].map((part: unknown) => render(template, part)).join(argument[0]);
    default:
      throw new Error(`no text for ${JSON.stringify(value)}`);
  }
}

function nameOf(template: Template, logicalId: string): string {
  const resource = template.Resources[logicalId];
  const property = NAME_PROPERTY[resource?.Type ?? ""];
  return resource === undefined || property === undefined ? logicalId : resource.Properties[property];
}

/** Every statement of a role or a managed policy, as "action resource". */
export function grants(template: Template, holder: Resource): string[] {
  return statements(holder).flatMap(({ Action, Resource: resource }) =>
    [Action].flat().flatMap((action) => [resource].flat().map((one) => `${action} ${render(template, one)}`)),
  );
}

/** The statements of a role's own policies, or of a managed policy. */
export function statements({ Properties }: Resource): any[] {
  return (Properties["Policies"] ?? [Properties]).flatMap((policy: any) => policy.PolicyDocument.Statement);
}

/** The role in a property of a resource, with its logical id. */
export function roleOf(template: Template, holder: Resource, property: string): [string, Resource] {
  const id: string = holder.Properties[property]["Fn::GetAtt"][0];
  const role = template.Resources[id];
  assert.ok(role, id);
  return [id, role];
}

/** The role of a function of the branch `feature-a`. */
export function roleOfFunction(template: Template, name: FunctionName): Resource {
  const found = resources(template, "AWS::Lambda::Function").find(([, { Properties }]) => Properties["FunctionName"] === `payment3-${name}-feature-a`);
  assert.ok(found, name);
  return roleOf(template, found[1], "Role")[1];
}

/** Compares lines with a file, whose path begins in this folder. `cargo local renew` rewrites the file: read the difference then. */
export function assertSnapshot(file: string, lines: readonly string[]): void {
  const path = join(__dirname, file);
  if (process.env["RENEW"] !== undefined) {
    assert.equal(process.env["CI"], undefined, "a snapshot is renewed by a person who reads the difference, and not in CI");
    writeFileSync(path, `${lines.join("\n")}\n`);
    return;
  }
  const kept = readFileSync(path, "utf8").trimEnd().split("\n");
  const stale = `${relative(join(APP_DIRECTORY, ".."), path)} is not what the app synthesises: run \`cargo local renew\`, and read the difference`;
  assert.deepEqual(lines, kept, stale);
}
