import { Alarm, ComparisonOperator, type IMetric, type Metric, Stats, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import type { ITopic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";
import type { FunctionName } from "../functions/function-catalogue";
import type { PaymentFunction } from "../functions/payment-function";
import type { PaymentApi } from "../http-api";
import { constructId, type MachineName, resourceName } from "../names";
import { RECONCILE_EVERY, SHARDS } from "../schedule";
import type { Branch } from "../settings/branch";
import type { StateMachine } from "../state-machine";
import { ACTIVITIES } from "../state-machine-definition";
import { type LogMetricName, type LogMetrics, PERIOD } from "./log-metrics";

/** A payment that is due for more seconds than this raises an alarm. Reconciliation runs every minute. */
export const OLDEST_DUE_SECONDS = 1800;

/** From this many 429 responses in five minutes an alarm is raised. A shop has none, even on its busiest day. */
export const MANY_THROTTLED = 20;

/**
 * Fewer runs of reconciliation than this in five minutes are too few. One run for each shard and minute makes 80. Some
 * may count in the period before or after, but not in three periods in a row. If one rule does not run, 60 are left.
 */
export const TOO_FEW_RUNS = Math.floor((SHARDS * PERIOD.toMinutes() * 7) / (RECONCILE_EVERY.toMinutes() * 8));

/**
 * What an alarm watches. It goes back to OK by itself either way, but only one kind may say so:
 *
 * - `condition`: something lasts, and the alarm ends when it is over. Then the person on call gets an all-clear.
 * - `event`: something happened that somebody must see to, and the metric counts it once. The alarm ends because nothing
 *   more is counted, not because somebody has seen to it. An all-clear would be a lie.
 */
type Watches = "condition" | "event";

/** What an alarm watches and says. */
interface AlarmSpec {
  /** Whether the end of the alarm means that all is well again. */
  readonly watches: Watches;
  /** One sentence for the person on call. */
  readonly meaning: string;
  readonly metric: IMetric;
  /** The alarm is raised from this value on; 1 if absent. */
  readonly threshold?: number;
  /** In how many periods in a row; 1 if absent. */
  readonly periods?: number;
  /** The alarm is raised below the threshold instead, and when there is no data. */
  readonly silence?: true;
  /** Without data the alarm stays as it is, because nobody knows whether it is over. */
  readonly lasts?: true;
  /** The section of the runbook; the alarm's name if absent. */
  readonly section?: string;
}

/** What alarms and dashboard watch. */
export interface Watched {
  /** The branch that they are named after. */
  readonly branch: Branch;
  /** The address of the runbook, to which they link. */
  readonly runbook: string;
  /** What the functions' logs say. */
  readonly logMetrics: LogMetrics;
  /** The functions whose runs are watched. */
  readonly functions: Readonly<Record<FunctionName, PaymentFunction>>;
  /** The state machines whose executions are watched. */
  readonly stateMachines: Readonly<Record<MachineName, StateMachine>>;
  /** The API whose requests are watched. */
  readonly api: PaymentApi;
}

/** What the alarms watch, and whom they tell. */
export interface AlarmsProps extends Watched {
  /** Where the alarms go. */
  readonly topic: ITopic;
}

/** The functions that nothing retries when they fail: the API's, and reconciliation. */
export const ENTRANCES = ["cardtoken", "callback", "check-status", "reconcile"] as const satisfies readonly FunctionName[];

/** The alarms of a branch. Each has a section in docs/runbook.md. */
export class Alarms extends Construct {
  readonly all: readonly Alarm[];

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    this.all = Object.entries(alarmSpecs(props)).map(([name, spec]) => this.declare(name, spec, props));
  }

  private declare(name: string, spec: AlarmSpec, { branch, runbook, topic }: AlarmsProps): Alarm {
    const alarm = new Alarm(this, constructId(name), {
      alarmName: resourceName(name, branch),
      alarmDescription: `${spec.meaning} ${runbook}#${spec.section ?? name}`,
      metric: spec.metric,
      threshold: spec.threshold ?? 1,
      evaluationPeriods: spec.periods ?? 1,
      comparisonOperator: spec.silence ? ComparisonOperator.LESS_THAN_THRESHOLD : ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: spec.silence ? TreatMissingData.BREACHING : spec.lasts ? TreatMissingData.IGNORE : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(topic));
    if (spec.watches === "condition") {
      alarm.addOkAction(new SnsAction(topic));
    }
    return alarm;
  }
}

function alarmSpecs({ logMetrics, functions, stateMachines, api }: AlarmsProps): Record<string, AlarmSpec> {
  const logged = (name: LogMetricName): Metric => logMetrics.get(name, { statistic: Stats.SUM });
  /** One alarm for each function, so that its name shows which function it is. */
  const ofFunctions = (section: string, metric: "errors" | "throttles", names: readonly FunctionName[], spec: Omit<AlarmSpec, "metric">): Record<string, AlarmSpec> =>
    Object.fromEntries(names.map((name) => [`${section}-${name}`, { ...spec, metric: functions[name][metric], section }]));
  /** One alarm for each kind of payment that stands. */
  const ofStanding = (meanings: Readonly<Record<string, string>>): Record<string, AlarmSpec> =>
    Object.fromEntries(
      Object.entries(meanings).map(([kind, meaning]) => {
        const metric = logMetrics.get("PaymentStands", { statistic: Stats.SUM, dimensionsMap: { kind } });
        return [`payment-stands-${kind}`, { watches: "event", meaning, metric, section: "payment-stands" }];
      }),
    );
  return {
    // Failed executions raise no alarm: reconciliation continues every payment that an outage stopped, and logs those
    // that it cannot continue. One alarm for each kind: a shop that is down for days must not hide a payment that waits
    // for a person's decision.
    ...ofStanding({
      definite: "A payment waits for a person's decision.",
      technical: "A payment has made no progress for an hour, despite retries: something in this system, in AWS or at the bank needs a repair.",
      shop: "The shop's endpoint has accepted no event of a payment for three days.",
    }),
    "executions-throttled": {
      watches: "condition",
      meaning: "Step Functions throttles payments: the account's quota is used up.",
      metric: stateMachines.payment.resource.metricThrottled(),
      periods: 2,
    },
    "charge-mismatch": { watches: "event", meaning: "The bank's charge differs from what checkout stored.", metric: logged("ChargeMismatch") },
    "charge-unknown": { watches: "event", meaning: "The bank does not know one of our charges, or knows it only in its other mode: the gateway secret may be wrong.", metric: logged("ChargeStillUnknown") },
    "outcome-conflict": { watches: "event", meaning: "The bank contradicts its earlier answer, or what was already done about it.", metric: logged("OutcomeConflict") },
    "order-unreadable": { watches: "event", meaning: "A shopper cannot pay an order, or a payment cannot be read, until the shop corrects the stored data.", metric: logged("OrderUnreadable") },
    "orphan-checkout": { watches: "event", meaning: "The bank cannot say whether a checkout was charged.", metric: logged("OrphanCheckout") },
    "orphan-charge": { watches: "event", meaning: "The bank has authorised a charge that has no record, or that another stack should handle but does not report.", metric: logged("OrphanCharge") },
    "unknown-state": { watches: "event", meaning: "The bank answers with a state that this system does not know: it may mean that money moved.", metric: logged("UnknownState") },
    "refusal-needs-person": { watches: "event", meaning: "An order refuses a paid charge, and only a person may reverse that charge.", metric: logged("RefusalNeedsPerson") },
    "refund-uncertain": { watches: "event", meaning: "Nobody can tell whether a refund took effect: a person looks in the bank's portal.", metric: logged("RefundUncertain") },
    // Three alarms with one section: one for each way in which a refund stops before its end.
    "refund-stuck": { watches: "event", meaning: "A refund cannot go on by itself: its amount stays reserved until a person has looked at it.", metric: logged("RefundStuck") },
    "refund-timed-out": { watches: "event", meaning: "The execution of a refund ran out of time: its amount stays reserved until a person has looked at it.", metric: stateMachines.refund.resource.metricTimedOut(), section: "refund-stuck" },
    "refund-aborted": { watches: "event", meaning: "Somebody stopped the execution of a refund: its amount stays reserved until a person has looked at it.", metric: stateMachines.refund.resource.metricAborted(), section: "refund-stuck" },
    "refund-elsewhere": { watches: "event", meaning: "Money of a paid order was given back by hand, and the shop must know how much.", metric: logged("RefundElsewhere") },
    "notifications-refused": { watches: "event", meaning: "The shop refuses events for good: it does not learn of payments.", metric: logged("NotificationsRefused") },
    "reconcile-behind": {
      watches: "condition",
      meaning: "Reconciliation reached a payment more than half an hour after it was due.",
      metric: logMetrics.get("OldestDue", { statistic: Stats.MAXIMUM }),
      threshold: OLDEST_DUE_SECONDS,
      periods: 2,
      // Every run logs the number. If there is none, nothing runs, which is no reason for an all-clear.
      lasts: true,
    },
    "reconcile-not-running": {
      watches: "condition",
      meaning: "Runs of reconciliation have been missing for a quarter of an hour: nothing re-checks the open payments of their shards.",
      metric: logged("ReconcileRuns"),
      threshold: TOO_FEW_RUNS,
      periods: 3,
      silence: true,
    },
    ...ofFunctions("function-errors", "errors", ENTRANCES, { watches: "condition", meaning: "A function of the API, or reconciliation, crashes or times out." }),
    ...ofFunctions("function-throttles", "throttles", ENTRANCES, { watches: "condition", meaning: "AWS Lambda throttles requests of shoppers, or runs of reconciliation." }),
    // AWS Lambda's own error count does not help: it includes each error that the state machine handles by name.
    "activity-crashes": { watches: "condition", meaning: "Activities crash or time out: their payments wait and are retried.", metric: logged("ActivityCrashes"), periods: 2 },
    ...ofFunctions("activity-throttles", "throttles", ACTIVITIES, {
      watches: "condition",
      meaning: "AWS Lambda throttles an activity: its payments wait and are retried.",
      periods: 2,
    }),
    "api-errors": {
      watches: "condition",
      meaning: "The API answers 5xx: shoppers cannot pay.",
      metric: api.failedRequests,
      threshold: 5,
    },
    "api-throttled": { watches: "condition", meaning: "The API throttles requests: a flood, or a limit that the shop has outgrown.", metric: api.throttledRequests, threshold: MANY_THROTTLED },
  };
}
