import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FUNCTIONS } from "../lib/functions/function-catalogue";
import { MACHINES } from "../lib/names";
import { DEFINITIONS } from "../lib/state-machine-definition";
import { APP_DIRECTORY, type Resource, type Template, assertSnapshot, builtFunctions, grants, render, resources, roleOf, roleOfFunction, stateMachine, statements, synthesise } from "./support";

// With the setting that grants most.
const template = synthesise(builtFunctions(), { borrowMasterRecords: "yes" });

/** The actions that may have the resource "*", and why. */
const WILDCARD_RESOURCES: readonly { readonly actions: readonly string[]; readonly reason: string }[] = [
  { actions: ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], reason: "X-Ray has no resource types for sending traces" },
  { actions: ["xray:GetSamplingRules", "xray:GetSamplingTargets"], reason: "X-Ray has no resource types for asking what to sample" },
  {
    actions: [
      "logs:CreateLogDelivery",
      "logs:GetLogDelivery",
      "logs:UpdateLogDelivery",
      "logs:DeleteLogDelivery",
      "logs:ListLogDeliveries",
      "logs:PutResourcePolicy",
      "logs:DescribeResourcePolicies",
      "logs:DescribeLogGroups",
    ],
    reason: "CloudWatch Logs has no resource types for log delivery",
  },
];

const records = "payment3-card-payment-record-feature-a.Arn";
const executionsOf = (machine: string) => `arn:AWS::Partition:states:AWS::Region:AWS::AccountId:execution:payment3-${machine}-feature-a:*`;
const machines = "arn:AWS::Partition:states:AWS::Region:AWS::AccountId:stateMachine";
/** A key of the account, and a deployment that encrypts executions with it. */
const KEY = "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";
const encrypted = synthesise(builtFunctions(), { executionKeyArn: KEY });

/** The policy for a back office. */
function backOffice(from: Template): Resource {
  const found = resources(from, "AWS::IAM::ManagedPolicy");
  assert.equal(found.length, 1);
  return (found[0] as [string, Resource])[1];
}

test("every function and every state machine have their own role, and there are no other roles", () => {
  const holders = [
    ...resources(template, "AWS::Lambda::Function").map(([, resource]) => roleOf(template, resource, "Role")[0]),
    ...resources(template, "AWS::StepFunctions::StateMachine").map(([, resource]) => roleOf(template, resource, "RoleArn")[0]),
  ];
  assert.equal(new Set(holders).size, holders.length);
  assert.deepEqual(new Set(resources(template, "AWS::IAM::Role").map(([id]) => id)), new Set(holders));
});

for (const name of FUNCTIONS) {
  test(`${name} may write only its own logs and traces`, () => {
    const logs = `/aws/lambda/payment3-${name}-feature-a.Arn`;
    const traces = name === "reconcile" ? [] : ["xray:PutTraceSegments *", "xray:PutTelemetryRecords *"];
    const telemetry = grants(template, roleOfFunction(template, name)).filter((grant) => /^(logs|xray):/.test(grant));
    assert.deepEqual(telemetry.sort(), [`logs:CreateLogStream ${logs}`, `logs:PutLogEvents ${logs}`, ...traces].sort());
  });
}

test("the permissions of functions, state machines and a back office, and the alarms, are as in the snapshot", () => {
  const ofFunctions = [...FUNCTIONS].sort().flatMap((name) => [
    `${name} may`,
    ...grants(template, roleOfFunction(template, name))
      .filter((grant) => !/^(logs|xray):/.test(grant))
      .sort()
      .map((grant) => `  ${grant}`),
  ]);
  const alarms = resources(template, "AWS::CloudWatch::Alarm").map(([, { Properties }]) => `alarm ${Properties["AlarmName"]}`);
  const ofMachines = MACHINES.flatMap((machine) => [
    `the ${machine} machine may`,
    ...grants(template, roleOf(template, stateMachine(template, machine), "RoleArn")[1])
      .filter((grant) => !/^(logs|xray):/.test(grant))
      .sort()
      .map((grant) => `  ${grant}`),
  ]);
  const ofBackOffice = grants(template, backOffice(template)).map((grant) => `  ${grant}`);
  assertSnapshot("snapshot.txt", [...ofFunctions, ...ofMachines, "a back office may", ...ofBackOffice, ...alarms.sort()]);
});

for (const machine of MACHINES) {
  test(`the ${machine} machine may call its functions and update records`, () => {
    const [, role] = roleOf(template, stateMachine(template, machine), "RoleArn");
    assert.deepEqual(
      grants(template, role).sort(),
      [
        ...DEFINITIONS[machine].activities.map((name) => `lambda:InvokeFunction payment3-${name}-feature-a.Arn`),
        `dynamodb:UpdateItem ${records}`,
        ...WILDCARD_RESOURCES.flatMap(({ actions }) => actions.map((action) => `${action} *`)),
      ].sort(),
    );
  });
}

test("a back office may start refunds and look at them, and nothing else", () => {
  assert.deepEqual(grants(template, backOffice(template)), [
    "states:StartExecution payment3-refund-feature-a.Arn",
    `states:DescribeExecution ${executionsOf("refund")}`,
    `states:GetExecutionHistory ${executionsOf("refund")}`,
  ]);
  for (const { Effect } of statements(backOffice(template))) {
    assert.equal(Effect, "Allow");
  }
  // People attach it: the stack gives it to nobody.
  const { Roles, Users, Groups } = backOffice(template).Properties;
  assert.deepEqual([Roles, Users, Groups], [undefined, undefined, undefined]);
});

test("nothing but the bank's notifications and a back office starts refunds", () => {
  const starters = [...resources(template, "AWS::IAM::Role"), ...resources(template, "AWS::IAM::ManagedPolicy")].filter(([, resource]) =>
    grants(template, resource).includes("states:StartExecution payment3-refund-feature-a.Arn"),
  );
  assert.deepEqual(starters.map(([, resource]) => resource), [roleOfFunction(template, "callback"), backOffice(template)]);
});

/** What a role or a policy may do with the key, and in which encryption context. */
function keyUses(holder: Resource): unknown[] {
  const found = statements(holder).filter(({ Resource: resource }) => resource === KEY);
  return found.map(({ Action, Condition }) => [Action, Object.entries(Condition.StringEquals).map(([name, value]) => `${name} ${render(encrypted, value)}`)]);
}

test("a state machine may use the key for its own histories and this account's logs, who reads executions to read those, and nobody else", () => {
  const inContext = (machine: string) => [`kms:EncryptionContext:aws:states:stateMachineArn ${machines}:payment3-${machine}-feature-a`];
  for (const machine of MACHINES) {
    assert.deepEqual(keyUses(roleOf(encrypted, stateMachine(encrypted, machine), "RoleArn")[1]), [
      [["kms:Decrypt", "kms:GenerateDataKey"], inContext(machine)],
      ["kms:GenerateDataKey", ["kms:EncryptionContext:SourceArn arn:AWS::Partition:logs:AWS::Region:AWS::AccountId:*"]],
    ]);
  }
  assert.deepEqual(keyUses(backOffice(encrypted)), [["kms:Decrypt", inContext("refund")]]);
  // AWS answers DescribeExecution only to those who may decrypt what an execution's error says.
  assert.deepEqual(keyUses(roleOfFunction(encrypted, "reconcile")), [["kms:Decrypt", inContext("payment")]]);
  const holders = Object.values(encrypted.Resources).filter((resource) => JSON.stringify(resource).includes('"kms:'));
  assert.equal(holders.length, MACHINES.length + 2);
});

test("the documented policy of the key lets log delivery decrypt what a state machine encrypted for it", () => {
  const [, section = ""] = /^## A key of your own\n(.*?)^## /ms.exec(readFileSync(join(APP_DIRECTORY, "..", "docs", "deploy.md"), "utf8")) ?? [];
  const [, json = ""] = /```json\n(.*?)```/s.exec(section) ?? [];
  // AWS's example in "Data at rest encryption in Step Functions", which has no condition, with the one that AWS gives the
  // same service in "Encrypting event bus logs with AWS KMS in EventBridge". KMS decrypts only in the context in which the
  // role encrypted. No document says that log delivery names the account (`aws:SourceAccount`).
  const role = roleOf(encrypted, stateMachine(encrypted, "payment"), "RoleArn")[1];
  const { Condition } = statements(role).find(({ Sid }) => Sid === "EncryptLogs");
  const context = render(encrypted, Condition.StringEquals["kms:EncryptionContext:SourceArn"]);
  assert.deepEqual(JSON.parse(json), {
    Effect: "Allow",
    Principal: { Service: "delivery.logs.amazonaws.com" },
    Action: "kms:Decrypt",
    Resource: "*",
    Condition: {
      StringEquals: { "kms:EncryptionContext:SourceArn": context.replace("AWS::Partition", "aws").replace("AWS::Region", "<region>").replace("AWS::AccountId", "<account>") },
    },
  });
});

test("a role serves one service; a state machine's serves only this account", () => {
  for (const [id, role] of resources(template, "AWS::IAM::Role")) {
    const trust = role.Properties["AssumeRolePolicyDocument"].Statement;
    assert.equal(trust.length, 1, id);
    assert.equal(trust[0].Action, "sts:AssumeRole");
    if (trust[0].Principal.Service === "states.amazonaws.com") {
      assert.deepEqual(trust[0].Condition, { StringEquals: { "aws:SourceAccount": { Ref: "AWS::AccountId" } } });
    } else {
      assert.deepEqual(trust[0].Principal, { Service: "lambda.amazonaws.com" });
    }
  }
});

test("the only policies outside the roles are the alarm topic's and a back office's, and no managed policy is attached", () => {
  const outside = Object.values(template.Resources).filter(({ Type }) => /^AWS::IAM::(?!Role$)|Policy$/.test(Type));
  assert.deepEqual(outside.map(({ Type }) => Type).sort(), ["AWS::IAM::ManagedPolicy", "AWS::SNS::TopicPolicy"]);
  for (const [id, role] of resources(template, "AWS::IAM::Role")) {
    assert.deepEqual(role.Properties["ManagedPolicyArns"] ?? [], [], id);
  }
});

/** Every policy document in a template, with its resource's id. */
function policyDocuments(from: Template): [string, any][] {
  const within = (value: unknown): any[] => {
    if (typeof value !== "object" || value === null) {
      return [];
    }
    return "Statement" in value ? [value] : Object.values(value).flatMap(within);
  };
  return Object.entries(from.Resources).flatMap(([id, { Properties }]) => within(Properties).map((document) => [id, document] as [string, any]));
}

test("with every setting, each wildcard in a statement is listed with its reason", () => {
  const most = synthesise(builtFunctions(), { borrowMasterRecords: "yes", executionKeyArn: KEY, orderTable: "shop-orders", allowExistingOrderTable: "yes" });
  const documents = policyDocuments(most);
  // Two documents for each role: trust and permissions. One for the topic, and one for a back office.
  assert.equal(documents.length, 2 * resources(most, "AWS::IAM::Role").length + 2);
  for (const [id, document] of documents) {
    for (const statement of document.Statement) {
      const where = `${id}: ${JSON.stringify(statement)}`;
      assert.ok(!("NotAction" in statement || "NotResource" in statement || "NotPrincipal" in statement), where);
      const actions: string[] = [statement.Action].flat();
      assert.ok(!actions.some((action) => action.includes("*")), where);
      if (statement.Effect === "Deny") {
        continue;
      }
      assert.ok(!JSON.stringify(statement.Principal ?? {}).includes("*"), where);
      const named = [statement.Resource ?? []].flat().map((resource) => render(most, resource));
      if (named.includes(executionsOf("payment"))) {
        // Executions are named after charges, so the policy can name only the state machine.
        assert.deepEqual([actions, named], [["states:DescribeExecution"], [executionsOf("payment")]], where);
      } else if (named.includes(executionsOf("refund"))) {
        // A back office names its refunds itself.
        assert.deepEqual([actions, named], [["states:DescribeExecution", "states:GetExecutionHistory"], [executionsOf("refund")]], where);
        assert.equal(most.Resources[id]?.Type, "AWS::IAM::ManagedPolicy", where);
      } else if (named.some((resource) => resource.includes("*"))) {
        const listed = WILDCARD_RESOURCES.find((entry) => entry.actions.length === actions.length && entry.actions.every((action) => actions.includes(action)));
        assert.ok(listed, where);
        assert.equal(statement.Resource, "*", where);
      }
    }
  }
});

test("only the routes and the schedule of this stack may call its functions", () => {
  const permissions = resources(template, "AWS::Lambda::Permission").map(([, { Properties }]) => Properties);
  const [[apiId]] = resources(template, "AWS::ApiGatewayV2::Api") as [[string, Resource]];
  const ruleIds = resources(template, "AWS::Events::Rule").map(([id]) => id);
  const isOurs = (source: unknown) => [apiId, ...ruleIds].some((id) => JSON.stringify(source).includes(`"${id}"`));
  assert.deepEqual(
    permissions.map((permission) => [permission["Principal"], render(template, permission["FunctionName"]), isOurs(permission["SourceArn"])]).sort(),
    [
      // One for each route of the function.
      ["apigateway.amazonaws.com", "payment3-callback-feature-a.Arn", true],
      ["apigateway.amazonaws.com", "payment3-callback-feature-a.Arn", true],
      ["apigateway.amazonaws.com", "payment3-callback-feature-a.Arn", true],
      ["apigateway.amazonaws.com", "payment3-callback-feature-a.Arn", true],
      ["apigateway.amazonaws.com", "payment3-cardtoken-feature-a.Arn", true],
      ["apigateway.amazonaws.com", "payment3-cardtoken-feature-a.Arn", true],
      ["apigateway.amazonaws.com", "payment3-check-status-feature-a.Arn", true],
      ...ruleIds.map(() => ["events.amazonaws.com", "payment3-reconcile-feature-a.Arn", true]),
    ],
  );
});
