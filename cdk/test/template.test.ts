import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FUNCTIONS } from "../lib/functions/function-catalogue";
import { MACHINES, TABLES } from "../lib/names";
import { APP_DIRECTORY, type Resource, type Template, builtFunctions, physicalNames, render, resources, stateMachine, synthesise } from "./support";

const assets = builtFunctions();
const feature = synthesise(assets);
const master = synthesise(assets, { branch: "master" });

function only(template: Template, type: string): Resource {
  const found = resources(template, type);
  assert.equal(found.length, 1, type);
  return (found[0] as [string, Resource])[1];
}

function named(template: Template, type: string, property: string, name: string): Resource {
  const found = resources(template, type).find(([, { Properties }]) => Properties[property] === name);
  assert.ok(found, name);
  return found[1];
}

describe("names", () => {
  test("are payment3-<kebab>-<branch>", () => {
    const suffixed = (kebabs: readonly string[], type: string, prefix = ""): string[] => kebabs.map((kebab) => `${type} ${prefix}payment3-${kebab}-feature-a`);
    assert.deepEqual(
      physicalNames(feature).filter((name) => !name.startsWith("AWS::CloudWatch::Alarm ")).sort(),
      [
        ...suffixed(FUNCTIONS, "AWS::Lambda::Function"),
        ...suffixed(FUNCTIONS, "AWS::Logs::LogGroup", "/aws/lambda/"),
        ...suffixed(TABLES, "AWS::DynamoDB::Table"),
        ...suffixed(["gateway", "shop-webhook"], "AWS::SecretsManager::Secret"),
        ...suffixed(MACHINES, "AWS::StepFunctions::StateMachine"),
        ...suffixed(MACHINES, "AWS::Logs::LogGroup", "/aws/vendedlogs/states/"),
        ...suffixed(["back-office"], "AWS::IAM::ManagedPolicy"),
        "AWS::ApiGatewayV2::Api payment3-feature-a",
        "AWS::Logs::LogGroup /aws/vendedlogs/apis/payment3-feature-a",
        "AWS::CloudWatch::Dashboard payment3-feature-a",
        ...suffixed(["alarms"], "AWS::SNS::Topic"),
        ...[0, 1, 2, 3].map((number) => `AWS::Events::Rule payment3-reconcile-feature-a-${number}`),
      ].sort(),
    );
  });

  test("two branches share none, even if their git names are similar", () => {
    const templates = ["feature-a", "feature/a", "Feature-A", "master", "x".repeat(80), "x".repeat(81)].map((branch) => synthesise(assets, { branch }));
    const names = templates.flatMap(physicalNames);
    assert.equal(new Set(names).size, names.length);
  });

  test("of other resources are not fixed: CloudFormation makes them from the stack's name", () => {
    for (const { Type, Properties } of Object.values(feature.Resources)) {
      assert.ok(!("RoleName" in Properties || "PolicyName" in Properties), Type);
    }
  });
});

describe("tables", () => {
  const index = (name: string, ...keys: [string, string][]): unknown => ({
    IndexName: name,
    KeySchema: keys.map(([AttributeName, KeyType]) => ({ AttributeName, KeyType })),
    Projection: { ProjectionType: "ALL" },
  });

  test("have the keys and indexes that the functions use", () => {
    const records = named(feature, "AWS::DynamoDB::Table", "TableName", "payment3-card-payment-record-feature-a").Properties;
    assert.deepEqual(records["KeySchema"], [{ AttributeName: "tokenId", KeyType: "HASH" }]);
    assert.deepEqual(records["GlobalSecondaryIndexes"], [
      index("chargeId_index", ["chargeId", "HASH"]),
      index("orderId_index", ["orderId", "HASH"]),
      index("open_index", ["openShard", "HASH"], ["lookAgainAt", "RANGE"]),
    ]);
    const types = Object.fromEntries(records["AttributeDefinitions"].map((attribute: any) => [attribute.AttributeName, attribute.AttributeType]));
    assert.deepEqual(types, { tokenId: "S", chargeId: "S", orderId: "S", openShard: "N", lookAgainAt: "N" });

    const keys = (kebab: string): unknown =>
      named(feature, "AWS::DynamoDB::Table", "TableName", `payment3-${kebab}-feature-a`).Properties["KeySchema"].map((key: any) => `${key.KeyType} ${key.AttributeName}`);
    assert.deepEqual(keys("credit-card-notify"), ["HASH chargeId", "RANGE outcome"]);
    assert.deepEqual(keys("kbank-user-mapping"), ["HASH ownerId"]);
    assert.deepEqual(keys("check-status"), ["HASH orderId"]);
    assert.deepEqual(keys("order"), ["HASH orderId"]);
  });

  test("are on demand; master keeps its tables, other branches delete theirs", () => {
    for (const [template, policy, kept] of [[master, "Retain", true], [feature, "Delete", false]] as const) {
      for (const [id, table] of resources(template, "AWS::DynamoDB::Table")) {
        assert.equal(table.Properties["BillingMode"], "PAY_PER_REQUEST", id);
        assert.equal(table.DeletionPolicy, policy, id);
        assert.equal(table.Properties["DeletionProtectionEnabled"], kept, id);
        assert.equal(table.Properties["PointInTimeRecoverySpecification"].PointInTimeRecoveryEnabled, kept, id);
      }
    }
  });
});

describe("functions", () => {
  const environment = (template: Template, name: string): Record<string, unknown> =>
    named(template, "AWS::Lambda::Function", "FunctionName", name).Properties["Environment"].Variables;

  test("run a bootstrap with little memory, are traced, and log to their own group", () => {
    for (const [id, { Properties }] of resources(feature, "AWS::Lambda::Function")) {
      const { Runtime, Handler, MemorySize, TracingConfig, Architectures, LoggingConfig, FunctionName } = Properties as any;
      // Traces of sixteen runs a minute would cost more than the rest of an idle branch.
      const Mode = FunctionName === "payment3-reconcile-feature-a" ? "PassThrough" : "Active";
      assert.deepEqual({ Runtime, Handler, MemorySize, TracingConfig, Architectures }, {
        Runtime: "provided.al2023", Handler: "bootstrap", MemorySize: 256, TracingConfig: { Mode }, Architectures: ["x86_64"],
      }, id);
      assert.equal(render(feature, LoggingConfig.LogGroup), `/aws/lambda/${FunctionName}`);
    }
    const arm = synthesise(assets, { architecture: "arm64" });
    for (const [id, { Properties }] of resources(arm, "AWS::Lambda::Function")) {
      assert.deepEqual(Properties["Architectures"], ["arm64"], id);
    }
  });

  test("each run their own program", () => {
    const code = resources(feature, "AWS::Lambda::Function").map(([, { Properties }]) => Properties["Code"].S3Key);
    assert.equal(new Set(code).size, FUNCTIONS.length);
  });

  test("know master's records only if the deployment borrows them, and master lends them", () => {
    const known = (template: Template, branch: string) => {
      const { MASTER_CARD_PAYMENT_RECORD_TABLE, LENDS_RECORDS, BRANCH } = environment(template, `payment3-lookup-record-${branch}`);
      return { MASTER_CARD_PAYMENT_RECORD_TABLE, LENDS_RECORDS, BRANCH };
    };
    const nothing = { MASTER_CARD_PAYMENT_RECORD_TABLE: undefined, LENDS_RECORDS: undefined };
    assert.deepEqual(known(feature, "feature-a"), { ...nothing, BRANCH: "feature-a" });
    const borrower = synthesise(assets, { borrowMasterRecords: "yes" });
    assert.deepEqual(known(borrower, "feature-a"), {
      ...nothing, MASTER_CARD_PAYMENT_RECORD_TABLE: "payment3-card-payment-record-master", BRANCH: "feature-a",
    });
    const master = synthesise(assets, { branch: "master" });
    assert.deepEqual(known(master, "master"), { ...nothing, LENDS_RECORDS: "true", BRANCH: "master" });
  });

  test("trust the bank's \"no such charge\" only if the deployment says so", () => {
    const believes = (template: Template) => environment(template, "payment3-reconcile-feature-a")["BANK_FINDS_BY_REFERENCE"];
    assert.equal(believes(feature), undefined);
    assert.equal(believes(synthesise(assets, { bankFindsByReference: "yes" })), "true");
  });

  test("get the values of the settings", () => {
    const template = synthesise(assets, {
      callbackBases: "https://shop.example,yourapp://payments",
      defaultCallbackBase: "https://shop.example",
      bankRedirectOrigins: "http://127.0.0.1:4600",
    });
    const cardtoken = environment(template, "payment3-cardtoken-feature-a");
    assert.equal(cardtoken["CALLBACK_BASES"], "https://shop.example,yourapp://payments");
    assert.equal(cardtoken["DEFAULT_CALLBACK_BASE"], "https://shop.example");
    assert.equal(cardtoken["BANK_REDIRECT_ORIGINS"], "http://127.0.0.1:4600");
    assert.equal(cardtoken["MERCHANT_IDS"], "401000000000001,401000000000002");
    assert.equal(render(template, cardtoken["ORDER_TABLE"]), "payment3-order-feature-a");
    assert.equal(render(template, cardtoken["STATE_MACHINE_ARN"]), "payment3-payment-feature-a.Arn");
    assert.equal(cardtoken["REFUND_STATE_MACHINE_ARN"], undefined);
    const callback = environment(template, "payment3-callback-feature-a");
    assert.equal(render(template, callback["STATE_MACHINE_ARN"]), "payment3-payment-feature-a.Arn");
    assert.equal(render(template, callback["REFUND_STATE_MACHINE_ARN"]), "payment3-refund-feature-a.Arn");
    assert.equal(environment(template, "payment3-notify-feature-a")["SHOP_WEBHOOK_URL"], "https://shop.example/events");
  });
});

describe("secrets", () => {
  test("have no value in the template: people set the gateway's, and AWS generates the webhook's", () => {
    const gateway = named(feature, "AWS::SecretsManager::Secret", "Name", "payment3-gateway-feature-a").Properties;
    assert.deepEqual(Object.keys(gateway).sort(), ["Description", "Name"]);
    const webhook = named(feature, "AWS::SecretsManager::Secret", "Name", "payment3-shop-webhook-feature-a").Properties;
    assert.ok(!("SecretString" in webhook));
    const { SecretStringTemplate, GenerateStringKey, PasswordLength, ExcludePunctuation } = webhook["GenerateSecretString"];
    assert.deepEqual({ SecretStringTemplate, GenerateStringKey, PasswordLength, ExcludePunctuation }, {
      SecretStringTemplate: "{}", GenerateStringKey: "signingKey", PasswordLength: 44, ExcludePunctuation: true,
    });
  });

  test("reach a function only by ARN: nothing in the template reads a value", () => {
    assert.doesNotMatch(JSON.stringify(feature), /\{\{resolve:|[ps]key_(?:test|prod)_/);
    for (const [id, { Properties }] of resources(feature, "AWS::Lambda::Function")) {
      for (const [variable, value] of Object.entries(Properties["Environment"].Variables)) {
        assert.doesNotMatch(variable, /KEY|PASSWORD|CREDENTIAL|TOKEN/, id);
        if (variable.includes("SECRET")) {
          assert.match(variable, /_SECRET_ARN$/, id);
          assert.match(render(feature, value), /^payment3-(?:gateway|shop-webhook)-feature-a\.Id$/, id);
        }
      }
    }
  });

  test("outlive only master's stack", () => {
    for (const [, secret] of resources(master, "AWS::SecretsManager::Secret")) {
      assert.equal(secret.DeletionPolicy, "RetainExceptOnCreate");
    }
    for (const [, secret] of resources(feature, "AWS::SecretsManager::Secret")) {
      assert.equal(secret.DeletionPolicy, "Delete");
    }
  });
});

describe("logs", () => {
  test("are kept for a year on master, its access log for three months, and for two weeks on other branches", () => {
    for (const [template, days, accessDays, policy] of [[master, 365, 90, "RetainExceptOnCreate"], [feature, 14, 14, "Delete"]] as const) {
      assert.equal(resources(template, "AWS::Logs::LogGroup").length, FUNCTIONS.length + MACHINES.length + 1);
      for (const [id, group] of resources(template, "AWS::Logs::LogGroup")) {
        const isAccessLog = group.Properties["LogGroupName"].startsWith("/aws/vendedlogs/apis/");
        assert.equal(group.Properties["RetentionInDays"], isAccessLog ? accessDays : days, id);
        assert.equal(group.DeletionPolicy, policy, id);
      }
    }
  });

  test("of executions hold every step, but no data", () => {
    for (const machine of MACHINES) {
      const { StateMachineType, TracingConfiguration, LoggingConfiguration } = stateMachine(feature, machine).Properties as any;
      assert.equal(StateMachineType, "STANDARD");
      assert.deepEqual(TracingConfiguration, { Enabled: true });
      assert.equal(LoggingConfiguration.Level, "ALL");
      assert.equal(LoggingConfiguration.IncludeExecutionData, false);
      assert.equal(render(feature, LoggingConfiguration.Destinations[0].CloudWatchLogsLogGroup.LogGroupArn), `/aws/vendedlogs/states/payment3-${machine}-feature-a.Arn`);
    }
  });
});

describe("reconciliation", () => {
  const rules = resources(feature, "AWS::Events::Rule").map(([, { Properties }]) => Properties);
  const targets = rules.flatMap(({ Targets }) => Targets);

  test("runs every minute, once for each shard", () => {
    const source = readFileSync(join(APP_DIRECTORY, "..", "activities", "src", "domain", "ids.rs"), "utf8");
    const shards = Number(/OPEN_SHARDS: u8 = (\d+);/.exec(source)?.[1]);
    assert.deepEqual(targets.map(({ Input }) => JSON.parse(Input)), Array.from({ length: shards }, (_, shard) => ({ shard })));
    for (const { ScheduleExpression, State } of rules) {
      assert.deepEqual({ ScheduleExpression, State }, { ScheduleExpression: "rate(1 minute)", State: "ENABLED" });
    }
    assert.deepEqual(new Set(targets.map(({ Arn }) => render(feature, Arn))), new Set(["payment3-reconcile-feature-a.Arn"]));
  });

  test("has at most five targets in a rule, as AWS allows, each with its own id", () => {
    for (const { Name, Targets } of rules) {
      assert.ok(Targets.length <= 5, Name);
      assert.equal(new Set(Targets.map(({ Id }: any) => Id)).size, Targets.length, Name);
    }
  });

  test("does not retry a failed run, and drops a throttled one after five minutes: the next runs do the work", () => {
    // EventBridge keeps what Lambda's queue did not take, and Lambda keeps what it has no room to run.
    for (const { RetryPolicy } of targets) {
      assert.deepEqual(RetryPolicy, { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 300 });
    }
    const { MaximumRetryAttempts, MaximumEventAgeInSeconds } = only(feature, "AWS::Lambda::EventInvokeConfig").Properties as any;
    assert.deepEqual({ MaximumRetryAttempts, MaximumEventAgeInSeconds }, { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 300 });
  });

  test("ends a run before the next run of its shard begins", () => {
    const reconcile = named(feature, "AWS::Lambda::Function", "FunctionName", "payment3-reconcile-feature-a").Properties;
    assert.ok(reconcile["Timeout"] < 60, `${reconcile["Timeout"]} s`);
  });
});

describe("HTTP API", () => {
  test("has the routes, each with its function, in payload format 2.0", () => {
    const routes = resources(feature, "AWS::ApiGatewayV2::Route").map(([, { Properties }]) => {
      const integrationId: string = Properties["Target"]["Fn::Join"][1].find((part: any) => typeof part === "object").Ref;
      const integration = feature.Resources[integrationId]?.Properties as any;
      return [Properties["RouteKey"], integration.PayloadFormatVersion, render(feature, integration.IntegrationUri)];
    });
    assert.deepEqual(routes.sort(), [
      ["$default", "2.0", "payment3-callback-feature-a.Arn"],
      ["GET /callback", "2.0", "payment3-callback-feature-a.Arn"],
      ["GET /checkstatus/{orderId}", "2.0", "payment3-check-status-feature-a.Arn"],
      ["POST /callback", "2.0", "payment3-callback-feature-a.Arn"],
      ["POST /cardpayment", "2.0", "payment3-cardtoken-feature-a.Arn"],
      ["POST /cardtoken", "2.0", "payment3-cardtoken-feature-a.Arn"],
      ["POST /notify", "2.0", "payment3-callback-feature-a.Arn"],
    ]);
  });

  test("has a limit for each route, and sets it after the route exists", () => {
    const stage = only(feature, "AWS::ApiGatewayV2::Stage");
    const { StageName, DefaultRouteSettings, RouteSettings } = stage.Properties as any;
    assert.equal(StageName, "$default");
    assert.deepEqual(DefaultRouteSettings, { ThrottlingRateLimit: 1, ThrottlingBurstLimit: 1 });
    assert.deepEqual(RouteSettings, {
      "POST /cardpayment": { ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 },
      "POST /cardtoken": { ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 },
      "POST /callback": { ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200 },
      "GET /callback": { ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200 },
      "POST /notify": { ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200 },
      "GET /checkstatus/{orderId}": { ThrottlingRateLimit: 200, ThrottlingBurstLimit: 400 },
      $default: { ThrottlingRateLimit: 20, ThrottlingBurstLimit: 40 },
    });
    const routes = resources(feature, "AWS::ApiGatewayV2::Route");
    assert.deepEqual(Object.keys(RouteSettings).sort(), routes.map(([, { Properties }]) => Properties["RouteKey"]).sort());
    for (const [id] of routes) {
      assert.ok(stage.DependsOn?.includes(id), `${id} does not exist yet when its limit is set`);
    }
  });

  test("logs every request and why it was refused, but not its path, which may name an order", () => {
    const { AccessLogSettings } = only(feature, "AWS::ApiGatewayV2::Stage").Properties as any;
    assert.equal(render(feature, AccessLogSettings.DestinationArn), "/aws/vendedlogs/apis/payment3-feature-a.Arn");
    const format = JSON.parse(AccessLogSettings.Format);
    assert.equal(format.status, "$context.status");
    assert.equal(format.refusal, "$context.error.responseType");
    assert.doesNotMatch(AccessLogSettings.Format, /\$context\.(?:path|customDomain|authorizer|identity\.userAgent)/);
  });

  test("has only its own domain name if the deployment gives one", () => {
    const template = synthesise(assets, {
      domainName: "pay.shop.example",
      certificateArn: "arn:aws:acm:ap-southeast-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
    });
    assert.equal(only(template, "AWS::ApiGatewayV2::Api").Properties["DisableExecuteApiEndpoint"], true);
    assert.equal(only(feature, "AWS::ApiGatewayV2::Api").Properties["DisableExecuteApiEndpoint"], false);
    const { DomainName, DomainNameConfigurations } = only(template, "AWS::ApiGatewayV2::DomainName").Properties as any;
    assert.equal(DomainName, "pay.shop.example");
    assert.equal(DomainNameConfigurations[0].SecurityPolicy, "TLS_1_2");
    const mapping = only(template, "AWS::ApiGatewayV2::ApiMapping");
    assert.equal(mapping.Properties["Stage"], "$default");
    assert.ok(mapping.DependsOn?.includes(resources(template, "AWS::ApiGatewayV2::Stage")[0]?.[0] ?? ""));
    assert.equal(render(template, template.Outputs["ApiUrl"]?.Value), "https://pay.shop.example");
    assert.ok(template.Outputs["DomainTarget"]);
  });
});

describe("an existing order table", () => {
  const template = synthesise(assets, { orderTable: "shop-orders", allowExistingOrderTable: "yes" });

  test("is used instead of a new one", () => {
    assert.ok(!resources(template, "AWS::DynamoDB::Table").some(([, { Properties }]) => /order-/.test(Properties["TableName"])));
    const cardtoken = named(template, "AWS::Lambda::Function", "FunctionName", "payment3-cardtoken-feature-a").Properties;
    assert.equal(cardtoken["Environment"].Variables.ORDER_TABLE, "shop-orders");
    assert.equal(template.Outputs["OrderTable"]?.Value, "shop-orders");
  });

  test("can be used by the same functions as the stack's own", () => {
    const writers = resources(template, "AWS::IAM::Role").filter(([, role]) => JSON.stringify(role).includes(":table/shop-orders"));
    assert.equal(writers.length, ["cardtoken", "callback", "lookup-record", "pay-order", "ensure-kbank-user", "check-refund", "record-refund", "record-elsewhere"].length);
  });
});

describe("reserved concurrency", () => {
  const reserved = (template: Template): Record<string, unknown> =>
    Object.fromEntries(resources(template, "AWS::Lambda::Function").map(([, { Properties }]) => [Properties["FunctionName"], Properties["ReservedConcurrentExecutions"]]));

  test("is not set by default", () => {
    assert.ok(Object.values(reserved(feature)).every((count) => count === undefined));
  });

  test("is set for each function; reconciliation has two runs for each shard", () => {
    const counts = reserved(synthesise(assets, { reservedConcurrency: "20" }));
    for (const name of FUNCTIONS) {
      assert.equal(counts[`payment3-${name}-feature-a`], name === "reconcile" ? 32 : 20, name);
    }
  });
});

describe("a key for the execution history", () => {
  const key = "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";

  test("encrypts that of both state machines", () => {
    const encrypted = synthesise(assets, { executionKeyArn: key });
    for (const machine of MACHINES) {
      const { EncryptionConfiguration } = stateMachine(encrypted, machine).Properties as any;
      assert.deepEqual(EncryptionConfiguration, { Type: "CUSTOMER_MANAGED_KMS_KEY", KmsKeyId: key, KmsDataKeyReusePeriodSeconds: 900 });
      assert.equal((stateMachine(feature, machine).Properties as any).EncryptionConfiguration, undefined);
    }
  });
});

test("the outputs name every resource that people and tools need", () => {
  const outputs = Object.fromEntries(Object.entries(feature.Outputs).map(([name, { Value }]) => [name, render(feature, Value)]));
  assert.deepEqual(outputs, {
    ApiUrl: "payment3-feature-a.ApiEndpoint",
    ApiId: "payment3-feature-a",
    StateMachineArn: "payment3-payment-feature-a.Arn",
    RefundStateMachineArn: "payment3-refund-feature-a.Arn",
    BackOfficePolicyArn: "payment3-back-office-feature-a",
    GatewaySecretArn: "payment3-gateway-feature-a.Id",
    ShopWebhookSecretArn: "payment3-shop-webhook-feature-a.Id",
    AlarmTopicArn: "payment3-alarms-feature-a",
    MoneyIsReal: "no",
    CardPaymentRecordTable: "payment3-card-payment-record-feature-a",
    CreditCardNotifyTable: "payment3-credit-card-notify-feature-a",
    KbankUserMappingTable: "payment3-kbank-user-mapping-feature-a",
    CheckStatusTable: "payment3-check-status-feature-a",
    OrderTable: "payment3-order-feature-a",
  });
});
