import { type MachineName, resourceName, type TableName } from "../names";
import type { Secrets } from "../secrets";
import type { Settings } from "../settings/settings";
import type { StateMachine } from "../state-machine";
import type { Tables } from "../tables";
import { FUNCTION_CATALOGUE, type FunctionName, type FunctionSpec, type SettingVariable } from "./function-catalogue";
import { HTTP_TIMEOUT_MS } from "./timeouts";

/** What functions are connected to. */
export interface Wiring {
  /** The deployment's settings. The catalogue's entries together need most of them. */
  readonly settings: Settings;
  /** The branch's tables. */
  readonly tables: Tables;
  /** The branch's secrets. */
  readonly secrets: Secrets;
  /** The state machines. Absent for the functions that they call: those are declared before them. */
  readonly stateMachines?: Readonly<Record<MachineName, StateMachine>>;
}

/** The environment variables of a function: only what its entry in the catalogue needs. */
export function functionEnvironment(name: FunctionName, wiring: Wiring): Record<string, string> {
  const spec: FunctionSpec = FUNCTION_CATALOGUE[name];
  const { settings, tables, secrets } = wiring;
  const environment: Record<string, string> = { RUST_LOG: "info" };
  for (const table of Object.keys(spec.tables ?? {}) as TableName[]) {
    environment[tableVariable(table)] = tables.get(table).tableName;
  }
  if (spec.masterRecords) {
    environment["BRANCH"] = settings.branch.name;
    if (settings.borrowsMasterRecords) {
      environment["MASTER_CARD_PAYMENT_RECORD_TABLE"] = resourceName("card-payment-record", settings.masterBranch);
    }
    if (settings.branch.isMaster) {
      environment["LENDS_RECORDS"] = "true";
    }
  }
  for (const machine of spec.starts ?? []) {
    environment[MACHINE_VARIABLES[machine]] = requireStateMachine(name, machine, wiring);
  }
  if (spec.callsBank) {
    environment["GATEWAY_SECRET_ARN"] = secrets.gatewayArn;
    environment["BANK_TIMEOUT_MS"] = String(HTTP_TIMEOUT_MS.bank);
  }
  if (spec.believesReferences && settings.bankFindsByReference) {
    environment["BANK_FINDS_BY_REFERENCE"] = "true";
  }
  if (spec.callsShop) {
    environment["SHOP_WEBHOOK_SECRET_ARN"] = secrets.shopWebhookArn;
    environment["SHOP_WEBHOOK_URL"] = settings.shopWebhookUrl;
    environment["SHOP_TIMEOUT_MS"] = String(HTTP_TIMEOUT_MS.shop);
  }
  if (callsAws(spec)) {
    environment["AWS_TIMEOUT_MS"] = String(HTTP_TIMEOUT_MS.aws);
  }
  for (const variable of spec.settings ?? []) {
    environment[variable] = settingValue(variable, settings);
  }
  return environment;
}

/** The variables with the state machines' ARNs. */
const MACHINE_VARIABLES: Readonly<Record<MachineName, string>> = { payment: "STATE_MACHINE_ARN", refund: "REFUND_STATE_MACHINE_ARN" };

/** A state machine's ARN, for a function that needs it. */
export function requireStateMachine(name: FunctionName, machine: MachineName, wiring: Wiring): string {
  if (wiring.stateMachines === undefined) {
    throw new Error(`${name} starts executions, so it must be declared after the state machines`);
  }
  return wiring.stateMachines[machine].arn;
}

/** Whether a function calls an AWS API. Reading a secret counts. */
export function callsAws(spec: FunctionSpec): boolean {
  return [spec.tables, spec.starts, spec.callsBank, spec.callsShop].some((need) => need !== undefined);
}

/** `card-payment-record` as `CARD_PAYMENT_RECORD_TABLE`. */
function tableVariable(table: TableName): string {
  return `${table.toUpperCase().replaceAll("-", "_")}_TABLE`;
}

function settingValue(variable: SettingVariable, settings: Settings): string {
  switch (variable) {
    case "MERCHANT_IDS":
      return settings.merchantIds.join(",");
    case "CALLBACK_BASES":
      return settings.callbackBases.join(",");
    case "DEFAULT_CALLBACK_BASE":
      return settings.defaultCallbackBase;
    case "BANK_REDIRECT_ORIGINS":
      return settings.bankRedirectOrigins.join(",");
  }
}
