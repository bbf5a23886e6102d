import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigurationError } from "../lib/configuration-error";
import { type Settings, readSettings } from "../lib/settings";
import { REQUIRED, fixedContext } from "./support";

const DIRECTORY = join("/", "checkout", "cdk");

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

test("what must be given is enough", () => {
  assert.deepEqual(settings({ ...fixedContext(), ...REQUIRED }), {
    branch: { name: "feature-a", isMaster: false },
    architecture: "x86_64",
    assetsDirectory: join("/", "checkout", "target", "lambda"),
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
  });
});

test("everything can be given", () => {
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
  });
  assert.match(given.branch.name, /^fix-it-/);
  assert.equal(given.architecture, "arm64");
  assert.equal(given.assetsDirectory, join("/", "checkout", "target", "local", "lambda"));
  assert.deepEqual(given.merchantIds, ["401000000000001"]);
  assert.deepEqual(given.callbackBases, ["http://127.0.0.1:4601", "yourapp://payments", "other://", "https://shop.example/th"]);
  assert.deepEqual(given.bankRedirectOrigins, ["http://127.0.0.1:4600"]);
  assert.equal(given.saveCardPolicy, "consented");
  assert.equal(given.borrowsMasterRecords, true);
});

test("master borrows from nobody", () => {
  assert.deepEqual(problems({ ...REQUIRED, branch: "master", borrowMasterRecords: "yes" }), [
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

test("every missing setting is named with its flag, all at once", () => {
  assert.deepEqual(problems({}), [
    "branch is missing: give -c branch=<branch>",
    "shopWebhookUrl is missing: give -c shopWebhookUrl=https://shop.example/payment-events",
    "merchantIds is missing: give -c merchantIds=401000000000001,401000000000002",
  ]);
});

test("a value that cannot be is named with its flag", () => {
  const cases: [string, unknown, RegExp][] = [
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
  ];
  for (const [key, value, expected] of cases) {
    const found = problems({ ...REQUIRED, callbackBases: "https://shop.example", [key]: value });
    assert.equal(found.length, 1, `${key}=${value}: ${found.join("; ")}`);
    assert.match(found[0] ?? "", expected);
    assert.match(found[0] ?? "", new RegExp(`give -c ${key}=`));
  }
});

test("a misspelled setting is refused, not ignored", () => {
  assert.match(problems({ ...REQUIRED, saveCardPolic: "consented" })[0] ?? "", /^saveCardPolic is not a setting of this app: its settings are branch, /);
});
