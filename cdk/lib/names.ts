import type { Branch } from "./branch";

/** The tables, by the middle part of their names. */
export const TABLES = ["card-payment-record", "credit-card-notify", "kbank-user-mapping", "check-status", "order"] as const;
/** The middle part of a table's name. */
export type TableName = (typeof TABLES)[number];

/** The functions, by the middle part of their names, which is also the name of their binary. */
export const FUNCTIONS = [
  "cardtoken",
  "callback",
  "parse-callback",
  "lookup-record",
  "inquire-charge",
  "record-outcome",
  "pay-order",
  "notify",
  "ensure-kbank-user",
  "add-card",
  "reverse-charge",
  "check-status",
  "reconcile",
] as const;
/** The middle part of a function's name. */
export type FunctionName = (typeof FUNCTIONS)[number];

/** The physical name of a branch's resource: `payment3-<kebab>-<branch>`. */
export function resourceName(kebab: string, branch: Branch): string {
  return `payment3-${kebab}-${branch.name}`;
}


/** The name of a branch's stack, and of what there is only one of in a stack. */
export function stackName(branch: Branch): string {
  return `payment3-${branch.name}`;
}

/** Where a branch's metrics are. */
export function metricNamespace(branch: Branch): string {
  return `payment3/${branch.name}`;
}

/** `pay-order` as `PayOrder`: the id of a construct. */
export function constructId(kebab: string): string {
  return kebab.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
