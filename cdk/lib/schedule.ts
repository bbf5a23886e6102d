import { Duration } from "aws-cdk-lib";
import { Rule, RuleTargetInput, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import type { Function as ReconcileFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import { resourceName } from "./names";
import type { Branch } from "./settings/branch";

/** How often each shard of open payments is checked. Without a callback, a payment is due 5 minutes after checkout. */
export const RECONCILE_EVERY = Duration.minutes(1);

/** The shards of the open index, each with its own run. A test compares it with `OPEN_SHARDS` of activities/src. */
export const SHARDS = 16;

/** Runs that one rule starts. AWS allows five targets, and four divide the shards evenly. */
const SHARDS_PER_RULE = 4;

/** The names of the rules that run a branch's reconciliation. */
export function reconcileRules(branch: Branch): string[] {
  return Array.from({ length: Math.ceil(SHARDS / SHARDS_PER_RULE) }, (_, number) => ruleName(branch, number));
}

function ruleName(branch: Branch, number: number): string {
  return `${resourceName("reconcile", branch)}-${number}`;
}

/**
 * How long a run may wait that did not begin. By default it waits for a day in EventBridge and for six hours in Lambda's
 * queue, and after an outage hundreds would run at once: "How EventBridge retries delivering events" in EventBridge's
 * user guide, "How Lambda handles errors and retries with asynchronous invocation" in Lambda's developer guide. Lambda
 * repeats a throttled run however few `retryAttempts` there are: those count failed runs. AWS's shortest time, a minute,
 * would drop every run as soon as Lambda's queue lags by that much.
 */
const MAX_EVENT_AGE = Duration.minutes(5);

/** What the schedule runs. */
export interface ReconcileScheduleProps {
  /** The branch that the rules are named after. */
  readonly branch: Branch;
  /** The function that reconciles one shard. */
  readonly reconcile: ReconcileFunction;
}

/**
 * Runs reconciliation for all shards at the same time. Neither the rule nor Lambda retries a failed run: the next run
 * does its work.
 */
export class ReconcileSchedule extends Construct {
  constructor(scope: Construct, id: string, { branch, reconcile }: ReconcileScheduleProps) {
    super(scope, id);
    const retry = { retryAttempts: 0, maxEventAge: MAX_EVENT_AGE };
    reconcile.configureAsyncInvoke(retry);
    for (let first = 0; first < SHARDS; first += SHARDS_PER_RULE) {
      const number = first / SHARDS_PER_RULE;
      const shards = Array.from({ length: Math.min(SHARDS_PER_RULE, SHARDS - first) }, (_, index) => first + index);
      new Rule(this, `Rule${number}`, {
        ruleName: ruleName(branch, number),
        description: `Reconciles the card payments of branch ${branch.name}, shards ${shards.join(", ")}`,
        schedule: Schedule.rate(RECONCILE_EVERY),
        targets: shards.map((shard) => new LambdaFunction(reconcile, { event: RuleTargetInput.fromObject({ shard }), ...retry })),
      });
    }
  }
}
