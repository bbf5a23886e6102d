import { Duration } from "aws-cdk-lib";
import { Rule, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import type { Function as ReconcileFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { Branch } from "./branch";
import { resourceName } from "./names";

/** How often open payments are looked at. A payment that nobody called back for is due five minutes after its checkout. */
export const RECONCILE_EVERY = Duration.minutes(5);

/** Runs reconciliation. A run that fails is not repeated, neither by the rule nor by Lambda: the next one does its work. */
export class ReconcileSchedule extends Construct {
  constructor(scope: Construct, id: string, branch: Branch, reconcile: ReconcileFunction) {
    super(scope, id);
    reconcile.configureAsyncInvoke({ retryAttempts: 0 });
    new Rule(this, "Rule", {
      ruleName: resourceName("reconcile", branch),
      description: `Reconciles the card payments of branch ${branch.name}`,
      schedule: Schedule.rate(RECONCILE_EVERY),
      targets: [new LambdaFunction(reconcile, { retryAttempts: 0 })],
    });
  }
}
