import assert from "node:assert/strict";
import { test } from "node:test";
import { FUNCTIONS, type FunctionName } from "../lib/names";
import { type Resource, type Template, builtFunctions, render, resources, synthesise } from "./support";

// The deployment that may do most.
const template = synthesise(builtFunctions(), { borrowMasterRecords: "yes" });

/** What may have the resource "*", and why. */
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
const masterRecords = "arn:AWS::Partition:dynamodb:AWS::Region:AWS::AccountId:table/payment3-card-payment-record-master";
const byCharge = `dynamodb:Query ${records}/index/chargeId_index`;
const orders = "payment3-order-feature-a.Arn";
const checkStatus = "payment3-check-status-feature-a.Arn";
const mapping = "payment3-kbank-user-mapping-feature-a.Arn";
const start = "states:StartExecution payment3-payment-feature-a.Arn";
const executions = "arn:AWS::Partition:states:AWS::Region:AWS::AccountId:execution:payment3-payment-feature-a:*";
const readGateway = "secretsmanager:GetSecretValue payment3-gateway-feature-a.Id";

/** All that a function may do beside its own logs and traces. */
const GRANTS: Readonly<Record<FunctionName, readonly string[]>> = {
  cardtoken: [
    `dynamodb:GetItem ${orders}`,
    `dynamodb:GetItem ${records}`,
    `dynamodb:PutItem ${records}`,
    `dynamodb:UpdateItem ${records}`,
    `dynamodb:GetItem ${checkStatus}`,
    `dynamodb:UpdateItem ${checkStatus}`,
    start,
    readGateway,
  ],
  callback: [
    `dynamodb:GetItem ${records}`,
    `dynamodb:PutItem ${records}`,
    `dynamodb:UpdateItem ${records}`,
    byCharge,
    `dynamodb:Query ${records}/index/orderId_index`,
    `dynamodb:GetItem ${checkStatus}`,
    `dynamodb:GetItem ${orders}`,
    `dynamodb:Query ${masterRecords}/index/chargeId_index`,
    start,
    readGateway,
  ],
  "parse-callback": [],
  "lookup-record": [
    `dynamodb:GetItem ${records}`,
    `dynamodb:PutItem ${records}`,
    `dynamodb:UpdateItem ${records}`,
    byCharge,
    `dynamodb:GetItem ${orders}`,
    `dynamodb:Query ${masterRecords}/index/chargeId_index`,
  ],
  "inquire-charge": [readGateway],
  "record-outcome": [
    `dynamodb:GetItem ${records}`,
    `dynamodb:UpdateItem ${records}`,
    "dynamodb:UpdateItem payment3-credit-card-notify-feature-a.Arn",
    `dynamodb:UpdateItem ${checkStatus}`,
    `dynamodb:UpdateItem ${masterRecords}`,
  ],
  "pay-order": [
    `dynamodb:GetItem ${orders}`,
    `dynamodb:UpdateItem ${orders}`,
    `dynamodb:GetItem ${records}`,
    `dynamodb:UpdateItem ${records}`,
    `dynamodb:UpdateItem ${checkStatus}`,
  ],
  notify: ["secretsmanager:GetSecretValue payment3-shop-webhook-feature-a.Id"],
  "ensure-kbank-user": [
    `dynamodb:GetItem ${mapping}`,
    `dynamodb:UpdateItem ${mapping}`,
    `dynamodb:GetItem ${records}`,
    `dynamodb:GetItem ${orders}`,
    readGateway,
  ],
  "add-card": [`dynamodb:GetItem ${records}`, `dynamodb:UpdateItem ${records}`, readGateway],
  "reverse-charge": [`dynamodb:UpdateItem ${records}`, `dynamodb:UpdateItem ${checkStatus}`, readGateway],
  "check-status": [`dynamodb:GetItem ${checkStatus}`],
  reconcile: [
    `dynamodb:UpdateItem ${records}`,
    `dynamodb:Query ${records}/index/open_index`,
    `dynamodb:UpdateItem ${checkStatus}`,
    start,
    `states:DescribeExecution ${executions}`,
    readGateway,
  ],
};

/** Every statement of a role, as "action resource". */
function grants(role: Resource): string[] {
  return statements(role).flatMap(({ Action, Resource: resource }) =>
    [Action].flat().flatMap((action) => [resource].flat().map((one) => `${action} ${render(template, one)}`)),
  );
}

function statements(role: Resource): any[] {
  return role.Properties["Policies"].flatMap((policy: any) => policy.PolicyDocument.Statement);
}

function functionNamed(name: string): Resource {
  const found = resources(template, "AWS::Lambda::Function").find(([, { Properties }]) => Properties["FunctionName"] === name);
  assert.ok(found, name);
  return found[1];
}

function roleOf(holder: Resource, property: string): [string, Resource] {
  const id: string = holder.Properties[property]["Fn::GetAtt"][0];
  const role = template.Resources[id];
  assert.ok(role, id);
  return [id, role];
}

test("every function and the state machine have a role of their own, and there is no other", () => {
  const holders = [
    ...resources(template, "AWS::Lambda::Function").map(([, resource]) => roleOf(resource, "Role")[0]),
    ...resources(template, "AWS::StepFunctions::StateMachine").map(([, resource]) => roleOf(resource, "RoleArn")[0]),
  ];
  assert.equal(new Set(holders).size, holders.length);
  assert.deepEqual(new Set(resources(template, "AWS::IAM::Role").map(([id]) => id)), new Set(holders));
});

for (const name of FUNCTIONS) {
  test(`${name} may do what it needs, and nothing else`, () => {
    const [, role] = roleOf(functionNamed(`payment3-${name}-feature-a`), "Role");
    const logs = `/aws/lambda/payment3-${name}-feature-a.Arn`;
    const traces = name === "reconcile" ? [] : ["xray:PutTraceSegments *", "xray:PutTelemetryRecords *"];
    const telemetry = [`logs:CreateLogStream ${logs}`, `logs:PutLogEvents ${logs}`, ...traces];
    assert.deepEqual(grants(role).sort(), [...GRANTS[name], ...telemetry].sort());
  });
}

test("the state machine may call its nine functions and update records", () => {
  const [[, stateMachine]] = resources(template, "AWS::StepFunctions::StateMachine") as [[string, Resource]];
  const [, role] = roleOf(stateMachine, "RoleArn");
  const called = FUNCTIONS.filter((name) => !["cardtoken", "callback", "check-status", "reconcile"].includes(name));
  assert.deepEqual(
    grants(role).sort(),
    [
      ...called.map((name) => `lambda:InvokeFunction payment3-${name}-feature-a.Arn`),
      `dynamodb:UpdateItem ${records}`,
      ...WILDCARD_RESOURCES.flatMap(({ actions }) => actions.map((action) => `${action} *`)),
    ].sort(),
  );
});

test("a key for the execution history is the state machine's, for its own histories and this account's logs alone", () => {
  const key = "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";
  const encrypted = synthesise(builtFunctions(), { executionKeyArn: key });
  const holders = resources(encrypted, "AWS::IAM::Role").filter(([, role]) => JSON.stringify(role).includes("kms:"));
  assert.equal(holders.length, 1);
  const found = statements((holders[0] as [string, Resource])[1]).filter(({ Resource: resource }) => resource === key);
  assert.deepEqual(
    found.map(({ Action, Condition }) => [Action, Object.entries(Condition.StringEquals).map(([name, value]) => `${name} ${render(encrypted, value)}`)]),
    [
      [
        ["kms:Decrypt", "kms:GenerateDataKey"],
        ["kms:EncryptionContext:aws:states:stateMachineArn arn:AWS::Partition:states:AWS::Region:AWS::AccountId:stateMachine:payment3-payment-feature-a"],
      ],
      ["kms:GenerateDataKey", ["kms:EncryptionContext:SourceArn arn:AWS::Partition:logs:AWS::Region:AWS::AccountId:*"]],
    ],
  );
});

test("a role serves one service, the state machine's for this account alone", () => {
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

test("no policy stands outside of the roles but the alarm topic's, and no managed policy is attached", () => {
  const outside = Object.values(template.Resources).filter(({ Type }) => /^AWS::IAM::(?!Role$)|Policy$/.test(Type));
  assert.deepEqual(outside.map(({ Type }) => Type), ["AWS::SNS::TopicPolicy"]);
  for (const [id, role] of resources(template, "AWS::IAM::Role")) {
    assert.deepEqual(role.Properties["ManagedPolicyArns"] ?? [], [], id);
  }
});

/** Every policy document of a template, wherever it is, with the resource that has it. */
function policyDocuments(from: Template): [string, any][] {
  const within = (value: unknown): any[] => {
    if (typeof value !== "object" || value === null) {
      return [];
    }
    return "Statement" in value ? [value] : Object.values(value).flatMap(within);
  };
  return Object.entries(from.Resources).flatMap(([id, { Properties }]) => within(Properties).map((document) => [id, document] as [string, any]));
}

test("no statement has a wildcard that is not listed with its reason, with any setting", () => {
  const key = "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";
  const most = synthesise(builtFunctions(), { borrowMasterRecords: "yes", executionKeyArn: key, orderTable: "shop-orders", allowExistingOrderTable: "yes" });
  const documents = policyDocuments(most);
  // Each role has who may take it and what it may do; the topic has who may publish.
  assert.equal(documents.length, 2 * resources(most, "AWS::IAM::Role").length + 1);
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
      if (named.includes(executions)) {
        // Executions have the names of charges, so that only their state machine can be named.
        assert.deepEqual([actions, named], [["states:DescribeExecution"], [executions]], where);
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
      // One for each route that leads to it.
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
