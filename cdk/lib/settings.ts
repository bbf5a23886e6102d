import { resolve } from "node:path";
import { type Branch, branchOf } from "./branch";
import { ConfigurationError } from "./configuration-error";
import { type Problem, callbackBaseProblem, defaultCallbackBaseProblem, originProblem, webUrlProblem } from "./urls";

/** The processor the functions are built for. */
export type ArchitectureName = (typeof ARCHITECTURES)[number];
const ARCHITECTURES = ["x86_64", "arm64"] as const;

/** Whose card is saved after a payment; ADDCARD always saves. */
export type SaveCardPolicy = (typeof SAVE_CARD_POLICIES)[number];
const YES_OR_NO = ["yes", "no"] as const;
const SAVE_CARD_POLICIES = ["every-order", "paid-only", "consented"] as const;

/** Everything that a deployment decides, checked. */
export interface Settings {
  /** The branch that the stack serves. */
  readonly branch: Branch;
  /** The processor the functions are built for. */
  readonly architecture: ArchitectureName;
  /** Absolute path of the directory that holds `<function>/bootstrap` for every function. */
  readonly assetsDirectory: string;
  /** Where the shop receives payment events. */
  readonly shopWebhookUrl: string;
  /** The merchant ids (15 digits each) that a checkout may name. */
  readonly merchantIds: readonly string[];
  /** Where a browser may be sent when a payment is done. */
  readonly callbackBases: readonly string[];
  /** Where a browser is sent when its checkout named no allowed base. */
  readonly defaultCallbackBase: string;
  /** The origins a browser may be sent to for 3DS. */
  readonly bankRedirectOrigins: readonly string[];
  /** Whose card is saved after a payment. */
  readonly saveCardPolicy: SaveCardPolicy;
  /** Whether callbacks for payments of master's checkout may be processed here: only where this branch shares master's account at the bank and its orders. */
  readonly borrowsMasterRecords: boolean;
}

/** What stands where the context says nothing. */
const DEFAULTS = {
  architecture: "x86_64",
  assets: "../target/lambda",
  defaultCallbackBase: "https://shop.villamarket.com",
  bankRedirectOrigins: [
    "https://kpaymentgateway.kasikornbank.com",
    "https://kpaymentgateway-services.kasikornbank.com",
    "https://dev-kpaymentgateway.kasikornbank.com",
    "https://dev-kpaymentgateway-services.kasikornbank.com",
  ].join(","),
  saveCardPolicy: "every-order",
  borrowMasterRecords: "no",
} as const;

/** The context keys of this app. */
const KEYS = [
  "branch",
  "architecture",
  "assets",
  "shopWebhookUrl",
  "merchantIds",
  "callbackBases",
  "defaultCallbackBase",
  "bankRedirectOrigins",
  "saveCardPolicy",
  "borrowMasterRecords",
] as const;
type Key = (typeof KEYS)[number];

/** Where settings come from. */
export interface SettingsSource {
  /** The context of the app: what `-c key=value` gave, beside the CDK's own keys. */
  readonly context: Readonly<Record<string, unknown>>;
  /** The directory that a relative assets path starts from. */
  readonly directory: string;
  /** The checked-out branch, asked only when the context names none. */
  readonly gitBranch: () => string | undefined;
}

/** Reads and checks all settings. Throws one {@link ConfigurationError} that names every mistake. */
export function readSettings(source: SettingsSource): Settings {
  const problems: string[] = [];
  const report = (key: Key, problem: string, example: string): void => {
    problems.push(`${key} ${problem}: give -c ${key}=${example}`);
  };

  /** The text of a key, or its default; reports a key that has neither. */
  const text = (key: Key, example: string, fallback?: string): string => {
    const value = source.context[key] ?? fallback;
    if (value === undefined || value === "") {
      report(key, "is missing", example);
    } else if (typeof value !== "string") {
      report(key, "is not a text", example);
    } else {
      return value.trim();
    }
    return "";
  };
  const oneOf = <T extends string>(key: Key, allowed: readonly T[], fallback: T): T => {
    const value = text(key, allowed.join("|"), fallback);
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined && value !== "") {
      report(key, `"${value}" is unknown`, allowed.join("|"));
    }
    return found ?? fallback;
  };
  const checked = (key: Key, example: string, problemOf: (text: string) => Problem, fallback?: string): string => {
    const value = text(key, example, fallback);
    const problem = value === "" ? undefined : problemOf(value);
    if (problem !== undefined) {
      report(key, `"${value}" ${problem}`, example);
    }
    return value;
  };
  const list = (key: Key, example: string, problemOf: (text: string) => Problem, fallback?: string): string[] => {
    const value = text(key, example, fallback);
    const entries = value === "" ? [] : value.split(",").map((entry) => entry.trim());
    for (const entry of entries) {
      const problem = entry === "" ? "is an empty entry" : problemOf(entry);
      if (problem !== undefined) {
        report(key, `"${entry}" ${problem}`, example);
      }
    }
    return [...new Set(entries)];
  };

  for (const key of unknownKeys(source.context)) {
    problems.push(`${key} is not a setting of this app: its settings are ${KEYS.join(", ")}`);
  }
  const defaultCallbackBase = checked("defaultCallbackBase", "https://shop.example", defaultCallbackBaseProblem, DEFAULTS.defaultCallbackBase);
  const settings: Settings = {
    branch: branchOf(text("branch", "<branch>", source.context["branch"] === undefined ? source.gitBranch() : undefined)),
    architecture: oneOf("architecture", ARCHITECTURES, DEFAULTS.architecture),
    assetsDirectory: resolve(source.directory, text("assets", "<directory>", DEFAULTS.assets)),
    shopWebhookUrl: checked("shopWebhookUrl", "https://shop.example/payment-events", webUrlProblem),
    merchantIds: list("merchantIds", "401000000000001,401000000000002", merchantIdProblem),
    callbackBases: list("callbackBases", "https://shop.example,yourapp://payments", callbackBaseProblem, defaultCallbackBase),
    defaultCallbackBase,
    bankRedirectOrigins: list("bankRedirectOrigins", "https://bank.example", originProblem, DEFAULTS.bankRedirectOrigins),
    saveCardPolicy: oneOf("saveCardPolicy", SAVE_CARD_POLICIES, DEFAULTS.saveCardPolicy),
    borrowsMasterRecords: oneOf("borrowMasterRecords", YES_OR_NO, DEFAULTS.borrowMasterRecords) === "yes",
  };
  if (settings.borrowsMasterRecords && settings.branch.isMaster) {
    report("borrowMasterRecords", "makes no sense on master itself", "no");
  }
  if (problems.length > 0) {
    throw new ConfigurationError(problems.join("\n"));
  }
  return settings;
}

function merchantIdProblem(text: string): Problem {
  return /^[0-9]{15}$/.test(text) ? undefined : "is not a merchant id of 15 digits";
}

/** Keys that somebody meant for this app: the CDK's own all hold a character besides letters. */
function unknownKeys(context: Readonly<Record<string, unknown>>): string[] {
  const known: readonly string[] = KEYS;
  return Object.keys(context).filter((key) => /^[A-Za-z]+$/.test(key) && !known.includes(key));
}
