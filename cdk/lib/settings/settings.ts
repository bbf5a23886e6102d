import { resolve } from "node:path";
import type { Environment } from "aws-cdk-lib";
import { type Branch, branchOf } from "./branch";
import { ConfigurationError } from "./configuration-error";
import { type ContextKey, ContextReader } from "./context";
import { accountProblem, certificateProblem, domainProblem, emailProblem, keyProblem, merchantIdProblem, regionProblem, tableNameProblem } from "./formats";
import { callbackBaseProblem, defaultCallbackBaseProblem, originProblem, webUrlProblem } from "./urls";

/** The processor the functions are built for. */
export type ArchitectureName = (typeof ARCHITECTURES)[number];
const ARCHITECTURES = ["x86_64", "arm64"] as const;

/** Whose card is saved after a payment. A card verification (ADDCARD) always saves. */
export type SaveCardPolicy = (typeof SAVE_CARD_POLICIES)[number];
const SAVE_CARD_POLICIES = ["every-order", "paid-only", "consented"] as const;

const YES_OR_NO = ["no", "yes"] as const;

/** The region of certificates and web ACLs that CloudFront uses. */
export const EDGE_REGION = "us-east-1";

/** The highest reserved concurrency that is accepted: an account's default quota. */
const MOST_CONCURRENT = 1000;

/** A public domain name with its certificate. */
export interface Domain {
  /** The host name. */
  readonly name: string;
  /** ARN of the certificate. */
  readonly certificateArn: string;
}

/** A CloudFront distribution with a web application firewall in front of the API. */
export interface Edge extends Domain {
  /** The API's host name, which is known only after the payment stack is deployed. */
  readonly origin: string;
}

/** All settings of a deployment, checked. */
export interface Settings {
  /** The branch that the stack serves. */
  readonly branch: Branch;
  /** The branch that is production. */
  readonly masterBranch: Branch;
  /** The account that is deployed to. Without it, that of the credentials: whatever profile is chosen. */
  readonly account: string | undefined;
  /** The region that is deployed to. Without it, that of the credentials. */
  readonly region: string | undefined;
  /** The processor the functions are built for. */
  readonly architecture: ArchitectureName;
  /** Absolute path of the directory that holds `<function>/bootstrap` for every function. */
  readonly assetsDirectory: string;
  /** An existing order table; undefined if the stack makes one. */
  readonly orderTable: string | undefined;
  /** The merchant ids (15 digits each) that a checkout may name. */
  readonly merchantIds: readonly string[];
  /** Where the shop receives payment events. */
  readonly shopWebhookUrl: string;
  /** Where a browser may be sent when a payment is done. */
  readonly callbackBases: readonly string[];
  /** Where a browser is sent if its checkout named no allowed base. */
  readonly defaultCallbackBase: string;
  /** The origins a browser may be sent to for 3DS. */
  readonly bankRedirectOrigins: readonly string[];
  /** Whose card is saved after a payment. */
  readonly saveCardPolicy: SaveCardPolicy;
  /** Whether this branch may process payments of master. Only if both share the bank account and the orders. */
  readonly borrowsMasterRecords: boolean;
  /** Whether the bank finds charges by `reference_order`. Then its "no such charge" proves that there is none. */
  readonly bankFindsByReference: boolean;
  /** Who gets the alarms by e-mail. Without it, the branch has no alarms, no metrics for them and no dashboard. */
  readonly alarmEmail: string | undefined;
  /** The address of the runbook, for the links in the alarms. */
  readonly runbook: string;
  /** The reserved concurrency of each function; undefined if they share the account's. */
  readonly reservedConcurrency: number | undefined;
  /** The API's own public name. */
  readonly domain: Domain | undefined;
  /** The firewall in front of the API. */
  readonly edge: Edge | undefined;
  /** ARN of the KMS key for the definition and the histories of executions; undefined for a key that AWS owns. */
  readonly executionKeyArn: string | undefined;
}

/** The settings, as docs/deploy.md lists them. */
export const CONTEXT = {
  branch: { example: "<branch>" },
  masterBranch: { example: "main", fallback: "master" },
  account: { example: "<account>" },
  region: { example: "ap-southeast-1" },
  architecture: { example: "arm64", fallback: "x86_64" },
  assets: { example: "<directory>", fallback: "../target/lambda" },
  orderTable: { example: "shop-orders" },
  allowExistingOrderTable: { example: "yes", fallback: "no" },
  merchantIds: { example: "401000000000001,401000000000002" },
  shopWebhookUrl: { example: "https://shop.example/payment-events" },
  callbackBases: { example: "https://shop.example,yourapp://payments" },
  defaultCallbackBase: { example: "https://shop.example", fallback: "https://shop.villamarket.com" },
  bankRedirectOrigins: {
    example: "https://bank.example",
    fallback: [
      "https://kpaymentgateway.kasikornbank.com",
      "https://kpaymentgateway-services.kasikornbank.com",
      "https://dev-kpaymentgateway.kasikornbank.com",
      "https://dev-kpaymentgateway-services.kasikornbank.com",
    ].join(","),
  },
  saveCardPolicy: { example: "consented", fallback: "every-order" },
  borrowMasterRecords: { example: "yes", fallback: "no" },
  bankFindsByReference: { example: "yes", fallback: "no" },
  alarmEmail: { example: "oncall@shop.example" },
  runbook: { example: "https://git.example/payment3/docs/runbook.md", fallback: "docs/runbook.md" },
  reservedConcurrency: { example: "50" },
  domainName: { example: "pay.shop.example" },
  certificateArn: { example: "arn:aws:acm:<region>:<account>:certificate/<id>" },
  edgeDomainName: { example: "pay.shop.example" },
  edgeCertificateArn: { example: `arn:aws:acm:${EDGE_REGION}:<account>:certificate/<id>` },
  edgeOrigin: { example: "<ApiId>.execute-api.<region>.amazonaws.com" },
  executionKeyArn: { example: "arn:aws:kms:<region>:<account>:key/<id>" },
} as const satisfies Record<string, ContextKey>;

/** The key of a setting. */
export type Key = keyof typeof CONTEXT;

/** Where settings come from. */
export interface SettingsSource {
  /** The context of the app: what `-c key=value` gave, and the CDK's own keys. */
  readonly context: Readonly<Record<string, unknown>>;
  /** The directory that a relative path in `assets` starts from. */
  readonly directory: string;
  /** Returns the checked-out branch. Called only if the context names no branch. */
  readonly gitBranch: () => string | undefined;
}

/** Whether executions move money of real shoppers: on master, and where a branch pays or processes what is not its own. */
export function isMoneyReal({ branch, orderTable, borrowsMasterRecords }: Settings): boolean {
  return branch.isMaster || orderTable !== undefined || borrowsMasterRecords;
}

/** Where a stack is deployed. What is not given comes from the credentials of whoever deploys. */
export function environmentOf({ account, region }: Pick<Settings, "account" | "region">): Environment {
  return { ...(account === undefined ? {} : { account }), ...(region === undefined ? {} : { region }) };
}

/** Reads and checks all settings. Throws a {@link ConfigurationError} that lists every mistake. */
export function readSettings(source: SettingsSource): Settings {
  const { context } = source;
  const given: ContextReader<Key> = new ContextReader<Key>(CONTEXT, context, {
    branch: context["branch"] === undefined ? source.gitBranch() : undefined,
    callbackBases: typeof context["defaultCallbackBase"] === "string" ? context["defaultCallbackBase"] : CONTEXT.defaultCallbackBase.fallback,
  });
  const masterBranch = branchOf(given.text("masterBranch"));
  const settings: Settings = {
    branch: branchOf(given.text("branch"), masterBranch),
    masterBranch,
    account: given.optional("account", accountProblem),
    region: given.optional("region", regionProblem),
    architecture: given.oneOf("architecture", ARCHITECTURES),
    assetsDirectory: resolve(source.directory, given.text("assets")),
    orderTable: given.optional("orderTable", tableNameProblem),
    shopWebhookUrl: given.text("shopWebhookUrl", webUrlProblem),
    merchantIds: given.list("merchantIds", merchantIdProblem),
    callbackBases: given.list("callbackBases", callbackBaseProblem),
    defaultCallbackBase: given.text("defaultCallbackBase", defaultCallbackBaseProblem),
    bankRedirectOrigins: given.list("bankRedirectOrigins", originProblem),
    saveCardPolicy: given.oneOf("saveCardPolicy", SAVE_CARD_POLICIES),
    borrowsMasterRecords: given.oneOf("borrowMasterRecords", YES_OR_NO) === "yes",
    bankFindsByReference: given.oneOf("bankFindsByReference", YES_OR_NO) === "yes",
    alarmEmail: given.optional("alarmEmail", emailProblem),
    runbook: given.text("runbook"),
    reservedConcurrency: given.count("reservedConcurrency", MOST_CONCURRENT),
    domain: readDomain(given),
    edge: readEdge(given),
    executionKeyArn: given.optional("executionKeyArn", keyProblem),
  };
  checkTogether(given, settings);
  if (given.problems.length > 0) {
    throw new ConfigurationError(given.problems.join("\n"));
  }
  return settings;
}

function readDomain(given: ContextReader<Key>): Domain | undefined {
  const name = given.optional("domainName", domainProblem);
  const certificateArn = given.optional("certificateArn", certificateProblem);
  requireTogether(given, { domainName: name, certificateArn });
  return name === undefined || certificateArn === undefined ? undefined : { name, certificateArn };
}

function readEdge(given: ContextReader<Key>): Edge | undefined {
  const name = given.optional("edgeDomainName", domainProblem);
  const certificateArn = given.optional("edgeCertificateArn", (text) => certificateProblem(text, EDGE_REGION));
  const origin = given.optional("edgeOrigin", domainProblem);
  requireTogether(given, { edgeDomainName: name, edgeCertificateArn: certificateArn, edgeOrigin: origin });
  return name === undefined || certificateArn === undefined || origin === undefined ? undefined : { name, certificateArn, origin };
}

/** Reports what is missing of settings that must be given together. */
function requireTogether(given: ContextReader<Key>, values: Readonly<Partial<Record<Key, string | undefined>>>): void {
  const entries = Object.entries(values) as [Key, string | undefined][];
  const present = entries.filter(([, value]) => value !== undefined).map(([key]) => key);
  if (present.length === 0) {
    return;
  }
  for (const [key] of entries.filter(([, value]) => value === undefined)) {
    given.report(key, `is missing, which ${present.join(" and ")} needs`);
  }
}

/** Reports mistakes that show only in a combination of settings. */
function checkTogether(given: ContextReader<Key>, settings: Settings): void {
  const { branch, masterBranch, account, region, orderTable, borrowsMasterRecords, alarmEmail, domain, edge } = settings;
  const allowed = given.oneOf("allowExistingOrderTable", YES_OR_NO) === "yes";
  if (orderTable !== undefined && !branch.isMaster && !allowed) {
    given.report(
      "allowExistingOrderTable",
      `is missing: the branch ${branch.name} is not ${masterBranch.name}, and would mark orders in ${orderTable} as paid. If that is meant`,
      "yes",
    );
  }
  if (allowed && orderTable === undefined) {
    given.report("orderTable", "is missing, which allowExistingOrderTable is about");
  }
  if (borrowsMasterRecords && branch.isMaster) {
    given.report("borrowMasterRecords", "makes no sense on master itself", "no");
  }
  if (branch.isMaster && account === undefined) {
    given.report("account", "is missing: with another profile's credentials, master would be deployed to another account");
  }
  if (branch.isMaster && region === undefined) {
    given.report("region", "is missing: with another profile's region, master would be deployed a second time");
  }
  if (branch.isMaster && alarmEmail === undefined) {
    given.report("alarmEmail", "is missing: nobody would hear master's alarms");
  }
  if (domain !== undefined && domain.name === edge?.name) {
    given.report("edgeDomainName", `"${edge.name}" is the API's own domainName, but must be another`);
  }
}
