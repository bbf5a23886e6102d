import { test } from "node:test";
import { FUNCTIONS } from "../lib/functions/function-catalogue";
import { MACHINES, TABLES } from "../lib/names";
import { DEFINITIONS } from "../lib/state-machine-definition";
import { type Resource, type Template, assertSnapshot, builtFunctions, resources, roleOf, statements, synthesise } from "./support";

/*
 * What the simulator must not make up: what a deployment gives to functions, tables and state machines. The simulator
 * reads it from a file, so that it runs without Node.
 */

/** Where the simulated deployments stand. */
const REGION = "ap-southeast-1";
const ACCOUNT = "123456789012";

/** The settings of the simulated deployments, as on the local AWS. */
const CONTEXT = {
  shopWebhookUrl: "https://shop.example/events",
  merchantIds: "401000000000001",
  callbackBases: "https://shop.example,yourapp://payments",
  defaultCallbackBase: "https://shop.example",
  bankRedirectOrigins: "https://bank.example",
  bankFindsByReference: "yes",
};

/** The property with the name of a resource, and the ARN before that name. A secret's real ARN has a random end. */
const ARNS: Readonly<Record<string, readonly [property: string, arn: string]>> = {
  "AWS::DynamoDB::Table": ["TableName", `arn:aws:dynamodb:${REGION}:${ACCOUNT}:table/`],
  "AWS::Lambda::Function": ["FunctionName", `arn:aws:lambda:${REGION}:${ACCOUNT}:function:`],
  "AWS::SecretsManager::Secret": ["Name", `arn:aws:secretsmanager:${REGION}:${ACCOUNT}:secret:`],
  "AWS::StepFunctions::StateMachine": ["StateMachineName", `arn:aws:states:${REGION}:${ACCOUNT}:stateMachine:`],
};

const PSEUDO_PARAMETERS: Readonly<Record<string, string>> = { "AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT };

/** A value as CloudFormation gives it to a resource. */
function resolved(template: Template, value: any): string {
  if (typeof value === "string") {
    return value;
  }
  const [[kind, argument]] = Object.entries<any>(value) as [[string, any]];
  if (kind === "Fn::Join") {
    return argument[1].map((part: unknown) => resolved(template, part)).join(argument[0]);
  }
  const pseudo = PSEUDO_PARAMETERS[argument];
  if (pseudo !== undefined) {
    return pseudo;
  }
  const id: string = kind === "Ref" ? argument : argument[0];
  const resource = template.Resources[id];
  const [property, arn] = ARNS[resource?.Type ?? ""] ?? [];
  if (resource === undefined || property === undefined || !["Ref", "Fn::GetAtt"].includes(kind)) {
    throw new Error(`no text for ${JSON.stringify(value)}`);
  }
  const name: string = resource.Properties[property];
  return kind === "Ref" && resource.Type === "AWS::DynamoDB::Table" ? name : `${arn}${name}`;
}

/** What a role allows the code that is simulated: actions, each with a resource. Logs and traces are written by Lambda and Step Functions themselves. */
function rights(template: Template, holder: Resource, property: string): string[] {
  const [, role] = roleOf(template, holder, property);
  const all = statements(role).flatMap(({ Effect, Action, Resource: resource, Condition }) => {
    const ours = [Action].flat().filter((action: string) => !/^(logs|xray):/.test(action));
    if (ours.length > 0 && (Effect !== "Allow" || Condition !== undefined)) {
      throw new Error("the simulator knows only statements that allow, without a condition");
    }
    return ours.flatMap((action) => [resource].flat().map((one) => `${action} ${resolved(template, one)}`));
  });
  return all.sort();
}

function byName<Name extends string, Facts>(names: readonly Name[], branch: string, template: Template, type: string, facts: (resource: Resource["Properties"], id: string) => Facts): Record<Name, Facts> {
  const [property] = ARNS[type] as readonly [string, string];
  const all = new Map(resources(template, type).map(([id, { Properties }]) => [Properties[property], [Properties, id]] as const));
  const entries = names.map((name) => {
    const found = all.get(`payment3-${name}-${branch}`);
    if (found === undefined) {
      throw new Error(`${branch} has no ${name}`);
    }
    return [name, facts(...found)] as const;
  });
  return Object.fromEntries(entries) as Record<Name, Facts>;
}

/** The keys of a table or an index: name and type, first the partition's. */
function keys(table: Resource["Properties"], schema: readonly any[]): unknown {
  return schema.map(({ AttributeName }) => ({ name: AttributeName, type: table["AttributeDefinitions"].find((one: any) => one.AttributeName === AttributeName).AttributeType }));
}

function seconds(rate: string): number {
  const [, count, unit] = /^rate\((\d+) (minute|hour)s?\)$/.exec(rate) ?? [];
  if (count === undefined) {
    throw new Error(`not a rate: ${rate}`);
  }
  return Number(count) * (unit === "hour" ? 3600 : 60);
}

function deployment(branch: string, context: Record<string, string>): unknown {
  const template = synthesise(builtFunctions(), { ...CONTEXT, ...context, branch });
  const functionOf = (id: string): string => {
    const found = template.Resources[id]?.Properties["FunctionName"] as string | undefined;
    const name = FUNCTIONS.find((one) => `payment3-${one}-${branch}` === found);
    if (name === undefined) {
      throw new Error(`${id} is no function of ${branch}`);
    }
    return name;
  };
  const invocations = new Map(resources(template, "AWS::Lambda::EventInvokeConfig").map(([, { Properties }]) => [functionOf(Properties["FunctionName"].Ref), Properties]));
  const integrations = new Map(resources(template, "AWS::ApiGatewayV2::Integration").map(([id, { Properties }]) => [id, functionOf(Properties["IntegrationUri"]["Fn::GetAtt"][0])]));
  const [stage] = resources(template, "AWS::ApiGatewayV2::Stage") as [[string, Resource]];
  const limits = stage[1].Properties["RouteSettings"];
  return {
    branch,
    region: REGION,
    account: ACCOUNT,
    tables: byName(TABLES, branch, template, "AWS::DynamoDB::Table", (table) => ({
      name: table["TableName"],
      key: keys(table, table["KeySchema"]),
      indexes: (table["GlobalSecondaryIndexes"] ?? []).map((index: any) => ({
        name: index.IndexName,
        key: keys(table, index.KeySchema),
        projection: index.Projection.ProjectionType,
      })),
    })),
    secrets: byName(["gateway", "shop-webhook"], branch, template, "AWS::SecretsManager::Secret", (_, id) => resolved(template, { Ref: id })),
    functions: byName(FUNCTIONS, branch, template, "AWS::Lambda::Function", (lambda, id) => ({
      arn: resolved(template, { "Fn::GetAtt": [id, "Arn"] }),
      timeoutSeconds: lambda["Timeout"],
      memoryMegabytes: lambda["MemorySize"],
      environment: Object.fromEntries(Object.entries(lambda["Environment"].Variables).map(([name, value]) => [name, resolved(template, value)])),
      rights: rights(template, template.Resources[id] as Resource, "Role"),
    })),
    machines: byName(MACHINES, branch, template, "AWS::StepFunctions::StateMachine", (machine, id) => ({
      arn: resolved(template, { Ref: id }),
      definition: DEFINITIONS[MACHINES.find((one) => `payment3-${one}-${branch}` === machine["StateMachineName"]) ?? "payment"].file,
      substitutions: Object.fromEntries(Object.entries(machine["DefinitionSubstitutions"]).map(([name, value]) => [name, resolved(template, value)])),
      rights: rights(template, template.Resources[id] as Resource, "RoleArn"),
    })),
    routes: resources(template, "AWS::ApiGatewayV2::Route")
      .map(([, { Properties }]) => ({
        key: Properties["RouteKey"] as string,
        function: integrations.get(Properties["Target"]["Fn::Join"][1][1].Ref),
        ratePerSecond: limits[Properties["RouteKey"]].ThrottlingRateLimit,
        burst: limits[Properties["RouteKey"]].ThrottlingBurstLimit,
      }))
      .sort((one, other) => (one.key < other.key ? -1 : 1)),
    schedule: resources(template, "AWS::Events::Rule").flatMap(([, { Properties }]) =>
      Properties["Targets"].map((target: any) => {
        const name = functionOf(target.Arn["Fn::GetAtt"][0]);
        return {
          everySeconds: seconds(Properties["ScheduleExpression"]),
          function: name,
          input: JSON.parse(target.Input),
          retries: target.RetryPolicy.MaximumRetryAttempts,
          functionRetries: invocations.get(name)?.["MaximumRetryAttempts"],
          eventAgeSeconds: invocations.get(name)?.["MaximumEventAgeInSeconds"],
        };
      }),
    ),
  };
}

test("the simulator's deployments are what the app synthesises", () => {
  const deployments = [deployment("master", {}), deployment("feature-a", { borrowMasterRecords: "yes" })];
  assertSnapshot("../../tests/sim/deployment.json", JSON.stringify(deployments, undefined, 2).split("\n"));
});
