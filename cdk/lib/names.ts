import type { Branch } from "./settings/branch";

/** The tables, by the middle part of their names. */
export const TABLES = ["card-payment-record", "credit-card-notify", "kbank-user-mapping", "check-status", "order"] as const;
/** The middle part of a table's name. */
export type TableName = (typeof TABLES)[number];

/** The state machines, by the middle part of their names. */
export const MACHINES = ["payment", "refund"] as const;
/** The middle part of a state machine's name. */
export type MachineName = (typeof MACHINES)[number];

/** The physical name of a branch's resource: `payment3-<kebab>-<branch>`. */
export function resourceName(kebab: string, branch: Branch): string {
  return `payment3-${kebab}-${branch.name}`;
}

/** The name of a branch's stack, and of resources that exist once in a stack. */
export function stackName(branch: Branch): string {
  return `payment3-${branch.name}`;
}

/** The name of the stack of the firewall before a branch's API. */
export function edgeStackName(branch: Branch): string {
  return `payment3-edge-${branch.name}`;
}

/** The CloudWatch namespace of a branch's metrics. */
export function metricNamespace(branch: Branch): string {
  return `payment3/${branch.name}`;
}

/** The stack's output that says whether its executions may be stopped when it is deleted: not if it is `yes`. */
export const MONEY_IS_REAL = "MoneyIsReal";

/** `pay-order` as `PayOrder`: the id of a construct. */
export function constructId(kebab: string): string {
  return kebab.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
