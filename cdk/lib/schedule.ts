import { Duration } from "aws-cdk-lib";
import { Rule, RuleTargetInput, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import type { Function as ReconcileFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { Branch } from "./branch";
import { resourceName } from "./names";

/** How often each shard of the open payments is looked at. A payment that nobody called back for is due five minutes after its checkout. */
export const RECONCILE_EVERY = Duration.minutes(1);

/** The shards of the open index: `OPEN_SHARDS` in activities/src/domain/ids.rs, which a test compares. Each has a run of its own. */
export const SHARDS = 16;

/** Runs that one rule starts: AWS allows five targets, and four divide the shards evenly. */
const SHARDS_PER_RULE = 4;

/** Runs reconciliation, side by side for every shard. A run that fails is not repeated, neither by its rule nor by Lambda: the next one does its work. */
export class ReconcileSchedule extends Construct {
  constructor(scope: Construct, id: string, branch: Branch, reconcile: ReconcileFunction) {
    super(scope, id);
    // A run that is turned away stays in Lambda's queue for six hours, if one lets it: after an outage hundreds of runs would come at once.
    reconcile.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(1) });
    for (let first = 0; first < SHARDS; first += SHARDS_PER_RULE) {
      const number = first / SHARDS_PER_RULE;
      const shards = Array.from({ length: Math.min(SHARDS_PER_RULE, SHARDS - first) }, (_, index) => first + index);
      new Rule(this, `Rule${number}`, {
        ruleName: `${resourceName("reconcile", branch)}-${number}`,
        description: `Reconciles the card payments of branch ${branch.name}, shards ${shards.join(", ")}`,
        schedule: Schedule.rate(RECONCILE_EVERY),
        targets: shards.map((shard) => new LambdaFunction(reconcile, { event: RuleTargetInput.fromObject({ shard }), retryAttempts: 0 })),
      });
    }
  }
}
