import { Duration } from "aws-cdk-lib";
import { Metric, type MetricOptions } from "aws-cdk-lib/aws-cloudwatch";
import { FilterPattern, type ILogGroup, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import type { Branch } from "./branch";
import type { FunctionName } from "./function-catalogue";
import { metricNamespace } from "./names";
import { ACTIVITIES } from "./state-machine-definition";

/*
 * What is counted is read from the functions' log lines by metric filters: not embedded metrics, which would put namespaces and dimensions into the
 * programs, and not the CloudWatch API, which would be one more call (and client, and permission) on the way of a payment. A line that a person finds in
 * the log is the very line that was counted, and the whole list of metrics stands here.
 */

/** A condition on a log line, which is one JSON object: a field and the text that it must have, where `*` stands for anything. */
export interface LineCondition {
  /** Path of the field, as metric filters write it. */
  readonly field: `$.${string}`;
  /** What it must be. */
  readonly is: string;
}

/** A number that log lines give. */
export interface LogMetric {
  /** What it counts, for people. */
  readonly meaning: string;
  /** The functions in whose logs it is looked for. */
  readonly functions: readonly FunctionName[];
  /** Which lines count: those that meet all of one of these. */
  readonly lines: readonly (readonly LineCondition[])[];
  /** The field with the number; each line counts as one where there is none. */
  readonly value?: `$.${string}`;
  /** A field by which it is told apart, under this name. */
  readonly by?: Readonly<Record<string, `$.${string}`>>;
}

const error = (is: string): LineCondition => ({ field: "$.error", is });
const event = (is: string): LineCondition => ({ field: "$.event", is });

/** Every number that the functions' logs give. The words are those of `error` and `event` in activities/src. */
export const LOG_METRICS = {
  Charges: { meaning: "Charges created at the bank", functions: ["cardtoken"], lines: [[event("charge")]] },
  Outcomes: {
    meaning: "What the bank decided, written down",
    functions: ["record-outcome"],
    lines: [[event("outcome")]],
    by: { outcome: "$.outcome" },
  },
  CallbackToPaid: {
    meaning: "Milliseconds from the start of the execution, which the callback causes, to the paid order",
    functions: ["pay-order"],
    lines: [[event("done")]],
    value: "$.sinceStartMs",
  },
  Reversals: {
    meaning: "Money that went back: of orders that could not be paid, and of card verifications",
    functions: ["reverse-charge"],
    lines: [[event("reversal")]],
    by: { purpose: "$.purpose" },
  },
  SaveFailures: { meaning: "Cards that the bank would not keep", functions: ["ensure-kbank-user", "add-card"], lines: [[error("CardNotSaved")]] },
  CardsFailed: { meaning: "Cards that could not be saved within the time there is for it; nobody is called for those", functions: ["notify"], lines: [[event("cardFailed")]] },
  NotificationsRefused: { meaning: "Events that the shop refused for good", functions: ["notify"], lines: [[error("NotificationRefused")]] },
  NotificationsFailed: { meaning: "Deliveries of events that failed and are repeated", functions: ["notify"], lines: [[error("NotificationFailed")]] },
  BankUnavailable: {
    meaning: "Questions and orders to the bank that it did not answer",
    functions: ["inquire-charge", "ensure-kbank-user", "add-card", "reverse-charge"],
    lines: [[error("BankUnavailable")]],
  },
  Refusals: { meaning: "Requests that the functions refused", functions: ["cardtoken", "callback"], lines: [[event("refusal")]], by: { code: "$.code" } },
  PaymentStands: {
    meaning: "Times that a person was told of a payment which does not go on without one, by who can end it: a judgement, a repair of this system, or the shop; told again about once a day",
    functions: ["reconcile", "callback", "lookup-record"],
    lines: [[error("PaymentStands")]],
    by: { kind: "$.kind" },
  },
  DueRecords: { meaning: "Open payments that reconciliation looked at", functions: ["reconcile"], lines: [[event("reconciled")]], value: "$.seen" },
  OldestDue: {
    meaning: "Seconds that an open payment had been due when reconciliation came to it, the longest",
    functions: ["reconcile"],
    lines: [[event("reconciled")]],
    value: "$.oldestDueSeconds",
  },
  ReconcileRuns: { meaning: "Runs of reconciliation that came to their end: one for each shard and minute", functions: ["reconcile"], lines: [[event("reconciled")]] },
  ReconcileFailures: { meaning: "Records and shards that reconciliation could not handle", functions: ["reconcile"], lines: [[error("ReconcileFailed")]] },
  ChargeMismatch: {
    meaning: "Charges at the bank that are not what checkout stored",
    functions: ["cardtoken", "inquire-charge", "reverse-charge"],
    lines: [[error("ChargeMismatch")]],
  },
  ChargeStillUnknown: {
    meaning: "Inquiries for a charge that the bank does not know, ten minutes or more after checkout",
    functions: ["cardtoken", "inquire-charge", "reconcile"],
    lines: [[error("ChargeStillUnknown")]],
  },
  OutcomeConflict: {
    meaning: "Decisions of the bank that contradict the record",
    functions: ["record-outcome", "pay-order", "reverse-charge"],
    lines: [[error("OutcomeConflict")]],
  },
  OrderUnreadable: {
    meaning: "Orders that nobody can pay before the shop corrects them, and payments whose record cannot be read",
    functions: ["cardtoken", "callback"],
    lines: [[error("OrderUnreadable")]],
  },
  OrphanCheckout: { meaning: "Checkouts of which the bank cannot say whether it charged", functions: ["reconcile"], lines: [[error("OrphanCheckout")]] },
  OrphanCharge: { meaning: "Authorised charges that no record knows, or of which another stack that handles them does not say so", functions: ["callback"], lines: [[error("OrphanCharge")]] },
  UnknownState: {
    meaning: "Answers of the bank with a state, or a state beside a status, that is not known here",
    functions: ["inquire-charge", "callback", "reconcile", "reverse-charge"],
    lines: [[error("UnknownState")]],
  },
  RefusalNeedsPerson: { meaning: "Orders that refuse a payment which this system must not reverse by itself", functions: ["pay-order"], lines: [[error("RefusalNeedsPerson")]] },
  ActivityCrashes: {
    meaning: "Activities that ended without an answer: a crash, or a time-out",
    functions: ACTIVITIES,
    // What AWS Lambda writes at the end of every call.
    lines: [
      [{ field: "$.type", is: "platform.report" }, { field: "$.record.status", is: "timeout" }],
      [{ field: "$.type", is: "platform.report" }, { field: "$.record.errorType", is: "Runtime.*" }],
      [{ field: "$.message", is: "user handler panicked*" }],
    ],
  },
} as const satisfies Record<string, LogMetric>;
/** The name of a metric. */
export type LogMetricName = keyof typeof LOG_METRICS;

/** The metrics that the functions' logs give. */
export class LogMetrics extends Construct {
  private readonly namespace: string;

  constructor(scope: Construct, id: string, branch: Branch, logs: Readonly<Record<FunctionName, ILogGroup>>) {
    super(scope, id);
    this.namespace = metricNamespace(branch);
    for (const [name, metric] of Object.entries<LogMetric>(LOG_METRICS)) {
      for (const source of metric.functions) {
        new MetricFilter(this, `${name}-${source}`, {
          logGroup: logs[source],
          metricNamespace: this.namespace,
          metricName: name,
          filterPattern: FilterPattern.literal(filterPattern(metric)),
          metricValue: metric.value ?? "1",
          ...(metric.by === undefined ? {} : { dimensions: metric.by }),
        });
      }
    }
  }

  /** One of the metrics; of one that is told apart, the values under these dimensions. */
  get(name: LogMetricName, options: MetricOptions): Metric {
    return new Metric({ namespace: this.namespace, metricName: name, period: Duration.minutes(5), ...options });
  }
}

/** The conditions as CloudWatch Logs writes them. */
export function filterPattern({ lines }: LogMetric): string {
  const joined = (terms: readonly string[], word: string): string => (terms.length === 1 ? terms.join() : terms.map((term) => `(${term})`).join(` ${word} `));
  return `{ ${joined(lines.map((line) => joined(line.map(({ field, is }) => `${field} = "${is}"`), "&&")), "||")} }`;
}
