import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigurationError } from "../lib/settings/configuration-error";
import type { ContextKey } from "../lib/settings/context";
import { CONTEXT, type Key, type Settings, readSettings } from "../lib/settings/settings";
import { APP_DIRECTORY, MASTER, PLACE, REQUIRED, fixedContext } from "./support";

const DIRECTORY = join("/", "checkout", "cdk");
const CERTIFICATE = "arn:aws:acm:ap-southeast-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";
const EDGE_CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";
const KEY = "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";
/** Settings that must be given together. */
const TOGETHER = {
  orderTable: "shop-orders",
  allowExistingOrderTable: "yes",
  domainName: "pay.shop.example",
  certificateArn: CERTIFICATE,
  edgeDomainName: "shield.shop.example",
  edgeCertificateArn: EDGE_CERTIFICATE,
  edgeOrigin: "pay.shop.example",
};

function settings(context: Record<string, unknown>, gitBranch?: string): Settings {
  return readSettings({ context, directory: DIRECTORY, gitBranch: () => gitBranch });
}

/** The problems with a context, one a line. */
function problems(context: Record<string, unknown>, gitBranch?: string): string[] {
  try {
    settings(context, gitBranch);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.message.split("\n");
  }
  return [];
}

test("the required settings are enough", () => {
  assert.deepEqual(settings({ ...fixedContext(), ...REQUIRED }), {
    branch: { name: "feature-a", isMaster: false },
    masterBranch: { name: "master", isMaster: true },
    account: undefined,
    region: undefined,
    architecture: "x86_64",
    assetsDirectory: join("/", "checkout", "target", "lambda"),
    orderTable: undefined,
    shopWebhookUrl: "https://shop.example/events",
    merchantIds: ["401000000000001", "401000000000002"],
    callbackBases: ["https://shop.villamarket.com"],
    defaultCallbackBase: "https://shop.villamarket.com",
    bankRedirectOrigins: [
      "https://kpaymentgateway.kasikornbank.com",
      "https://kpaymentgateway-services.kasikornbank.com",
      "https://dev-kpaymentgateway.kasikornbank.com",
      "https://dev-kpaymentgateway-services.kasikornbank.com",
    ],
    saveCardPolicy: "every-order",
    borrowsMasterRecords: false,
    bankFindsByReference: false,
    alarmEmail: undefined,
    runbook: "docs/runbook.md",
    reservedConcurrency: undefined,
    domain: undefined,
    edge: undefined,
    executionKeyArn: undefined,
  });
});

test("every setting can be given", () => {
  const given = settings({
    branch: "Fix/It",
    architecture: "arm64",
    assets: "../target/local/lambda",
    shopWebhookUrl: "http://127.0.0.1:4602/events",
    merchantIds: " 401000000000001 , 401000000000001",
    callbackBases: "http://127.0.0.1:4601,yourapp://payments,other://,https://shop.example/th",
    defaultCallbackBase: "http://shop.localhost:4601",
    bankRedirectOrigins: "http://127.0.0.1:4600",
    saveCardPolicy: "consented",
    borrowMasterRecords: "yes",
    bankFindsByReference: "yes",
    masterBranch: "Main",
    ...PLACE,
    orderTable: "shop.orders_2",
    allowExistingOrderTable: "yes",
    alarmEmail: "oncall@shop.example",
    runbook: "https://git.example/runbook.md",
    reservedConcurrency: "50",
    domainName: "pay.shop.example",
    certificateArn: CERTIFICATE,
    edgeDomainName: "shield.shop.example",
    edgeCertificateArn: EDGE_CERTIFICATE,
    edgeOrigin: "pay.shop.example",
    executionKeyArn: KEY,
  });
  assert.match(given.branch.name, /^fix-it-/);
  assert.equal(given.architecture, "arm64");
  assert.equal(given.assetsDirectory, join("/", "checkout", "target", "local", "lambda"));
  assert.deepEqual(given.merchantIds, ["401000000000001"]);
  assert.deepEqual(given.callbackBases, ["http://127.0.0.1:4601", "yourapp://payments", "other://", "https://shop.example/th"]);
  assert.deepEqual(given.bankRedirectOrigins, ["http://127.0.0.1:4600"]);
  assert.equal(given.saveCardPolicy, "consented");
  assert.equal(given.borrowsMasterRecords, true);
  assert.equal(given.bankFindsByReference, true);
  assert.match(given.masterBranch.name, /^main-/);
  assert.equal(given.account, PLACE.account);
  assert.equal(given.region, PLACE.region);
  assert.equal(given.orderTable, "shop.orders_2");
  assert.equal(given.alarmEmail, "oncall@shop.example");
  assert.equal(given.runbook, "https://git.example/runbook.md");
  assert.equal(given.reservedConcurrency, 50);
  assert.deepEqual(given.domain, { name: "pay.shop.example", certificateArn: CERTIFICATE });
  assert.deepEqual(given.edge, { name: "shield.shop.example", certificateArn: EDGE_CERTIFICATE, origin: "pay.shop.example" });
  assert.equal(given.executionKeyArn, KEY);
});

test("a branch with another name can be production", () => {
  assert.ok(settings({ ...MASTER, branch: "main", masterBranch: "main" }).branch.isMaster);
  assert.ok(!settings({ ...REQUIRED, branch: "master", masterBranch: "main" }).branch.isMaster);
});

test("a branch other than master needs a flag to use an existing order table, so that no test marks real orders as paid", () => {
  assert.equal(settings({ ...MASTER, orderTable: "shop-orders" }).orderTable, "shop-orders");
  assert.equal(settings({ ...REQUIRED, orderTable: "shop-orders", allowExistingOrderTable: "yes" }).orderTable, "shop-orders");
  assert.deepEqual(problems({ ...REQUIRED, orderTable: "shop-orders" }), [
    "allowExistingOrderTable is missing: the branch feature-a is not master, and would mark orders in shop-orders as paid. If that is meant: " +
      "give -c allowExistingOrderTable=yes",
  ]);
  assert.deepEqual(problems({ ...REQUIRED, allowExistingOrderTable: "yes" }), [
    "orderTable is missing, which allowExistingOrderTable is about: give -c orderTable=shop-orders",
  ]);
});

test("master must name who gets its alarms, and where it is deployed, so that a wrong profile deploys nothing", () => {
  assert.deepEqual(problems({ ...REQUIRED, branch: "master" }), [
    "account is missing: with another profile's credentials, master would be deployed to another account: give -c account=<account>",
    "region is missing: with another profile's region, master would be deployed a second time: give -c region=ap-southeast-1",
    "alarmEmail is missing: nobody would hear master's alarms: give -c alarmEmail=oncall@shop.example",
  ]);
});

test("settings that depend on each other must be given together", () => {
  assert.deepEqual(problems({ ...REQUIRED, domainName: "pay.shop.example" }), [
    "certificateArn is missing, which domainName needs: give -c certificateArn=arn:aws:acm:<region>:<account>:certificate/<id>",
  ]);
  assert.deepEqual(problems({ ...REQUIRED, edgeDomainName: "pay.shop.example", edgeCertificateArn: EDGE_CERTIFICATE }), [
    "edgeOrigin is missing, which edgeDomainName and edgeCertificateArn needs: give -c edgeOrigin=<ApiId>.execute-api.<region>.amazonaws.com",
  ]);
  const domain = { domainName: "pay.shop.example", certificateArn: CERTIFICATE };
  const edge = { edgeDomainName: "pay.shop.example", edgeCertificateArn: EDGE_CERTIFICATE, edgeOrigin: "a.execute-api.x.amazonaws.com" };
  assert.match(problems({ ...REQUIRED, ...domain, ...edge })[0] ?? "", /^edgeDomainName "pay.shop.example" is the API's own domainName/);
});

test("master cannot borrow records", () => {
  assert.deepEqual(problems({ ...MASTER, borrowMasterRecords: "yes" }), [
    "borrowMasterRecords makes no sense on master itself: give -c borrowMasterRecords=no",
  ]);
});

test("the callback bases default to the default base", () => {
  assert.deepEqual(settings({ ...REQUIRED, defaultCallbackBase: "https://other.example" }).callbackBases, ["https://other.example"]);
});

test("the branch comes from git when none is given", () => {
  const { branch: _, ...rest } = REQUIRED;
  assert.equal(settings(rest, "from-git").branch.name, "from-git");
  assert.equal(settings(REQUIRED, "from-git").branch.name, "feature-a");
  assert.deepEqual(problems(rest), ["branch is missing: give -c branch=<branch>"]);
  assert.deepEqual(problems({ ...rest, branch: "" }, "from-git"), ["branch is missing: give -c branch=<branch>"]);
});

test("all missing settings are reported at once, each with its flag", () => {
  assert.deepEqual(problems({}), [
    "branch is missing: give -c branch=<branch>",
    "shopWebhookUrl is missing: give -c shopWebhookUrl=https://shop.example/payment-events",
    "merchantIds is missing: give -c merchantIds=401000000000001,401000000000002",
  ]);
});

test("an invalid value is reported with its flag", () => {
  const cases: [string, unknown, RegExp][] = [
    ["account", "12345678901", /^account "12345678901" is not the number of an AWS account, 12 digits: give -c account=<account>$/],
    ["account", 123456789012, /^account is not a text/],
    ["region", "Singapore", /^region "Singapore" is not the name of an AWS region: give -c region=ap-southeast-1$/],
    ["region", "ap-southeast-1a", /is not the name of an AWS region/],
    ["architecture", "x86", /^architecture "x86" is unknown: give -c architecture=x86_64\|arm64$/],
    ["saveCardPolicy", "never", /^saveCardPolicy "never" is unknown: give -c saveCardPolicy=every-order\|paid-only\|consented$/],
    ["merchantIds", "40100000000000", /^merchantIds "40100000000000" is not a merchant id of 15 digits/],
    ["merchantIds", "401000000000001,,401000000000002", /^merchantIds "" is an empty entry/],
    ["merchantIds", 401000000000001, /^merchantIds is not a text/],
    ["shopWebhookUrl", "shop.example", /is not an absolute URL/],
    ["shopWebhookUrl", "http://shop.example/events", /must be https/],
    ["shopWebhookUrl", "http://localhost.evil.example/", /must be https/],
    ["shopWebhookUrl", "http://127.0.0.1.evil.example/", /must be https/],
    ["shopWebhookUrl", "ftp://shop.example/", /must be https/],
    ["shopWebhookUrl", "https://user:word@shop.example/", /must not hold credentials/],
    ["shopWebhookUrl", "https://shop.example/#x", /must not hold a fragment/],
    ["shopWebhookUrl", "https://shop.example/a b", /is not an absolute URL/],
    ["bankRedirectOrigins", "https://bank.example/", /must be an origin alone/],
    ["bankRedirectOrigins", "https://bank.example/pay", /must be an origin alone/],
    ["bankRedirectOrigins", "http://bank.example", /must be https/],
    ["callbackBases", "javascript://x", /has the scheme javascript/],
    ["callbackBases", "data://text/html", /has the scheme data/],
    ["callbackBases", "yourapp:payments", /must begin with a lower-case scheme and :\/\//],
    ["callbackBases", "YourApp://payments", /must begin with a lower-case scheme and :\/\//],
    ["callbackBases", "https://shop.example?next=", /must not hold a query/],
    ["callbackBases", "https://shop.example,http://shop.example", /"http:\/\/shop.example" must be https/],
    ["callbackBases", "/relative", /is not an absolute URL/],
    ["defaultCallbackBase", "http://shop.example", /must be https/],
    ["defaultCallbackBase", "yourapp://", /is a whole scheme/],
    ["bankFindsByReference", "maybe", /^bankFindsByReference "maybe" is unknown: give -c bankFindsByReference=no\|yes$/],
    ["borrowMasterRecords", "maybe", /^borrowMasterRecords "maybe" is unknown: give -c borrowMasterRecords=no\|yes$/],
    ["alarmEmail", "oncall", /is not an e-mail address/],
    ["alarmEmail", "a@b.example,c@d.example", /is not an e-mail address/],
    ["reservedConcurrency", "0", /is not a whole number from 1 to 1000/],
    ["reservedConcurrency", "1001", /is not a whole number from 1 to 1000/],
    ["reservedConcurrency", "many", /is not a whole number from 1 to 1000/],
    ["executionKeyArn", "alias/payments", /is not the ARN of a KMS key/],
    ["executionKeyArn", KEY.replace("key/", "alias/"), /is not the ARN of a KMS key/],
  ];
  const together: [string, string, RegExp][] = [
    ["orderTable", "my orders", /is not the name of a DynamoDB table/],
    ["domainName", "https://pay.shop.example", /is not a lower-case domain name/],
    ["domainName", "localhost", /is not a lower-case domain name/],
    ["domainName", "127.0.0.1", /is not a lower-case domain name/],
    ["certificateArn", KEY, /is not the ARN of a certificate:/],
    ["edgeCertificateArn", CERTIFICATE, /is not the ARN of a certificate in us-east-1:/],
    ["edgeOrigin", "https://a.execute-api.x.amazonaws.com", /is not a lower-case domain name/],
  ];
  for (const [key, value, expected] of cases) {
    const found = problems({ ...REQUIRED, callbackBases: "https://shop.example", [key]: value });
    assert.equal(found.length, 1, `${key}=${value}: ${found.join("; ")}`);
    assert.match(found[0] ?? "", expected);
    assert.match(found[0] ?? "", new RegExp(`give -c ${key}=`));
  }
  for (const [key, value, expected] of together) {
    assert.match(problems({ ...REQUIRED, ...TOGETHER, [key]: value }).join("; "), expected, `${key}=${value}`);
  }
});

test("a misspelled setting is refused, not ignored", () => {
  assert.match(problems({ ...REQUIRED, saveCardPolic: "consented" })[0] ?? "", /^saveCardPolic is not a setting of this app: its settings are branch, /);
});

test("docs/deploy.md lists every setting with its default", () => {
  const document = readFileSync(join(APP_DIRECTORY, "..", "docs", "deploy.md"), "utf8");
  const [, table = ""] = /^## Settings\n(.*?)^## /ms.exec(document) ?? [];
  const rows = [...table.matchAll(/^\| `(\w+)` \| (.*?) \| (.*) \|$/gm)].map(([, key = "", fallback = "", meaning = ""]) => ({ key, fallback, meaning }));
  assert.deepEqual(rows.map(({ key }) => key), Object.keys(CONTEXT));
  for (const { key, fallback, meaning } of rows) {
    assert.ok(meaning.length > 10, key);
    const known: ContextKey = CONTEXT[key as Key];
    // The document describes the bank's hosts in words.
    if (known.fallback !== undefined && key !== "bankRedirectOrigins") {
      assert.equal(fallback, `\`${known.fallback}\``, key);
    }
  }
});
