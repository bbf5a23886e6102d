import { Duration } from "aws-cdk-lib";
import { Alarm, ComparisonOperator, type IMetric, Metric, Stats, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import type { ITopic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";
import type { LogMetricName, LogMetrics } from "./log-metrics";
import type { FunctionName } from "./function-catalogue";
import { constructId, resourceName } from "./names";
import { RECONCILE_EVERY, SHARDS } from "./schedule";
import type { Settings } from "./settings";
import { ACTIVITIES } from "./state-machine-definition";

/** Seconds that a payment may be due before somebody is called: reconciliation comes every minute. */
export const OLDEST_DUE_SECONDS = 1800;

/** Answers of 429 in five minutes that are worth a look: a shop on its best day has none. */
export const MANY_THROTTLED = 20;

const PERIOD = Duration.minutes(5);

/**
 * Fewer runs of reconciliation in five minutes than this are too few. A run for each shard and minute are 80, of which some may count in the period before or
 * after, but not in three periods in a row. Where a single rule does not run, 60 are left.
 */
export const TOO_FEW_RUNS = Math.floor((SHARDS * PERIOD.toMinutes() * 7) / (RECONCILE_EVERY.toMinutes() * 8));

/** What rings. */
interface Ring {
  /** One sentence for whoever is woken up. */
  readonly meaning: string;
  /** What is watched. */
  readonly metric: IMetric;
  /** From where on it rings; 1 when absent. */
  readonly threshold?: number;
  /** How many periods in a row it must be so; 1 when absent. */
  readonly periods?: number;
  /** Whether silence rings: below the threshold, or nothing at all. */
  readonly silence?: true;
  /** The section of the runbook; the alarm's name when absent. */
  readonly section?: string;
}

/** What the alarms watch. */
export interface Watched {
  readonly settings: Settings;
  readonly logMetrics: LogMetrics;
  readonly stateMachineArn: string;
  /** 429s of the API, counted in its access log. */
  readonly throttledRequests: Metric;
  /** 5xx of the API, counted there, too. */
  readonly failedRequests: Metric;
  /** Where the alarms go. */
  readonly topic: ITopic;
}

/** The functions that nobody runs again when they fail: the API's, and reconciliation. */
export const ENTRANCES = ["cardtoken", "callback", "check-status", "reconcile"] as const satisfies readonly FunctionName[];

/** The alarms of a branch. Each has a section in docs/runbook.md. */
export class Alarms extends Construct {
  /** Every alarm. */
  readonly all: readonly Alarm[];

  constructor(scope: Construct, id: string, watched: Watched) {
    super(scope, id);
    this.all = Object.entries(rings(watched)).map(([name, ring]) => this.declare(name, ring, watched));
  }

  private declare(name: string, ring: Ring, { settings, topic }: Watched): Alarm {
    const alarm = new Alarm(this, constructId(name), {
      alarmName: resourceName(name, settings.branch),
      alarmDescription: `${ring.meaning} ${settings.runbook}#${ring.section ?? name}`,
      metric: ring.metric,
      threshold: ring.threshold ?? 1,
      evaluationPeriods: ring.periods ?? 1,
      comparisonOperator: ring.silence ? ComparisonOperator.LESS_THAN_THRESHOLD : ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: ring.silence ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(topic));
    // So that whoever was woken up learns when they may sleep again.
    alarm.addOkAction(new SnsAction(topic));
    return alarm;
  }
}

function rings({ settings, logMetrics, stateMachineArn, throttledRequests, failedRequests }: Watched): Record<string, Ring> {
  const ofExecutions = (metricName: string): Metric =>
    new Metric({ namespace: "AWS/States", metricName, dimensionsMap: { StateMachineArn: stateMachineArn }, statistic: Stats.SUM, period: PERIOD });
  const logged = (name: LogMetricName): Metric => logMetrics.get(name, { statistic: Stats.SUM });
  /** One for each function: whoever is woken up learns which one it is from the alarm's name. */
  const ofFunctions = (section: string, metricName: string, functions: readonly FunctionName[], ring: Omit<Ring, "metric">): Record<string, Ring> =>
    Object.fromEntries(
      functions.map((name) => {
        const dimensionsMap = { FunctionName: resourceName(name, settings.branch) };
        const metric = new Metric({ namespace: "AWS/Lambda", metricName, dimensionsMap, statistic: Stats.SUM, period: PERIOD });
        return [`${section}-${name}`, { ...ring, metric, section }];
      }),
    );
  /** One for each kind of payment that stands. */
  const ofStanding = (meanings: Readonly<Record<string, string>>): Record<string, Ring> =>
    Object.fromEntries(
      Object.entries(meanings).map(([kind, meaning]) => {
        const metric = logMetrics.get("PaymentStands", { statistic: Stats.SUM, dimensionsMap: { kind } });
        return [`payment-stands-${kind}`, { meaning, metric, section: "payment-stands" }];
      }),
    );
  return {
    // Not by the executions that fail: reconciliation goes on with all that an outage stopped, and says itself what it cannot go on with. One for each kind: a shop
    // that is away for days must not hide a payment that waits for a judgement.
    ...ofStanding({
      definite: "A payment waits for a person's judgement.",
      technical: "A payment has not gone on for an hour, however often it was tried: something of this system, of AWS or at the bank needs a repair.",
      shop: "The shop's endpoint has taken no event of a payment for three days.",
    }),
    "executions-throttled": {
      meaning: "Step Functions slows payments down: the account's quota is used up.",
      metric: ofExecutions("ExecutionThrottled"),
      periods: 2,
    },
    "charge-mismatch": { meaning: "The bank's charge is not the one that checkout stored.", metric: logged("ChargeMismatch") },
    "charge-unknown": { meaning: "The bank does not know a charge of ours, or only in its other mode: the gateway secret may be wrong.", metric: logged("ChargeStillUnknown") },
    "outcome-conflict": { meaning: "The bank contradicts what it said before, or what was done about it.", metric: logged("OutcomeConflict") },
    "order-unreadable": { meaning: "A shopper cannot pay an order, or a payment cannot be read, before the shop corrects what is stored.", metric: logged("OrderUnreadable") },
    "orphan-checkout": { meaning: "The bank cannot say whether a checkout was charged.", metric: logged("OrphanCheckout") },
    "orphan-charge": { meaning: "The bank has authorised a charge that no record knows, or that another stack handles and knows nothing of.", metric: logged("OrphanCharge") },
    "unknown-state": { meaning: "The bank answers with a state that is not known here: it may mean that money moved.", metric: logged("UnknownState") },
    "refusal-needs-person": { meaning: "A paid charge whose order refuses it, and which must not be reversed without a person.", metric: logged("RefusalNeedsPerson") },
    "notifications-refused": { meaning: "The shop refuses events for good: it does not know of payments.", metric: logged("NotificationsRefused") },
    "reconcile-behind": {
      meaning: "Reconciliation came to a payment more than half an hour after it was due.",
      metric: logMetrics.get("OldestDue", { statistic: Stats.MAXIMUM }),
      threshold: OLDEST_DUE_SECONDS,
      periods: 2,
    },
    "reconcile-not-running": {
      meaning: "Runs of reconciliation have been missing for a quarter of an hour: nobody comes back to the open payments of their shards.",
      metric: logged("ReconcileRuns"),
      threshold: TOO_FEW_RUNS,
      periods: 3,
      silence: true,
    },
    ...ofFunctions("function-errors", "Errors", ENTRANCES, { meaning: "A function of the API, or reconciliation, crashes or runs out of time." }),
    ...ofFunctions("function-throttles", "Throttles", ENTRANCES, { meaning: "AWS Lambda turns requests of shoppers, or runs of reconciliation, away." }),
    // Not by the errors that AWS Lambda counts: among those is every answer that the state machine knows by its name.
    "activity-crashes": { meaning: "Activities crash or run out of time: their payments wait, and are tried again.", metric: logged("ActivityCrashes"), periods: 2 },
    ...ofFunctions("activity-throttles", "Throttles", ACTIVITIES, {
      meaning: "AWS Lambda turns an activity away: its payments wait, and are tried again.",
      periods: 2,
    }),
    "api-errors": {
      meaning: "The API answers 5xx: shoppers cannot pay.",
      metric: failedRequests,
      threshold: 5,
    },
    "api-throttled": { meaning: "The API turns requests away: a flood, or a limit that the shop has outgrown.", metric: throttledRequests, threshold: MANY_THROTTLED },
  };
}
