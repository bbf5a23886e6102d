import { Duration } from "aws-cdk-lib";
import { Metric, type MetricOptions } from "aws-cdk-lib/aws-cloudwatch";
import { FilterPattern, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import type { FunctionName } from "../functions/function-catalogue";
import type { PaymentFunction } from "../functions/payment-function";
import { metricNamespace } from "../names";
import type { Branch } from "../settings/branch";
import { ACTIVITIES } from "../state-machine-definition";

/*
 * Metric filters count the functions' log lines. Embedded metrics would put namespaces and dimensions into the
 * programs. The CloudWatch API would be one more call, client and permission in every payment. The line that a person
 * finds in the log is the line that was counted, and all metrics are listed in this file.
 */

/** A condition on a log line, which is a JSON object: a field and its value, in which `*` matches anything. */
export interface LineCondition {
  /** The path of the field, as metric filters write it. */
  readonly field: `$.${string}`;
  /** The value. */
  readonly is: string;
}

/** A metric that is made from log lines. */
export interface LogMetric {
  /** What it counts. */
  readonly meaning: string;
  /** The functions whose logs are searched. */
  readonly functions: readonly FunctionName[];
  /** A line counts if it meets all conditions of one of these lists. */
  readonly lines: readonly (readonly LineCondition[])[];
  /** The field with the number. If absent, each line counts as one. */
  readonly value?: `$.${string}`;
  /** The dimension that splits the metric: its name, and the field with its value. */
  readonly by?: Readonly<Record<string, `$.${string}`>>;
}

const error = (is: string): LineCondition => ({ field: "$.error", is });
const event = (is: string): LineCondition => ({ field: "$.event", is });

/** Every metric of the functions' logs. Its values of `error` and `event` are those in activities/src. */
export const LOG_METRICS = {
  Charges: { meaning: "Charges created at the bank", functions: ["cardtoken"], lines: [[event("charge")]] },
  Outcomes: {
    meaning: "Decisions of the bank that were written down",
    functions: ["record-outcome"],
    lines: [[event("outcome")]],
    by: { outcome: "$.outcome" },
  },
  CallbackToPaid: {
    meaning: "Milliseconds from the start of the execution to the paid order. The callback starts the execution",
    functions: ["pay-order"],
    lines: [[event("done")]],
    value: "$.sinceStartMs",
  },
  Reversals: {
    meaning: "Charges that were reversed: of orders that could not be paid, and of card verifications",
    functions: ["reverse-charge"],
    lines: [[event("reversal")]],
    by: { purpose: "$.purpose" },
  },
  SaveFailures: { meaning: "Cards that the bank refused to save", functions: ["ensure-kbank-user", "add-card"], lines: [[error("CardNotSaved")]] },
  CardsFailed: { meaning: "Cards that were not saved in time; they raise no alarm", functions: ["notify"], lines: [[event("cardFailed")]] },
  NotificationsRefused: { meaning: "Events that the shop refused for good", functions: ["notify"], lines: [[error("NotificationRefused")]] },
  NotificationsFailed: { meaning: "Deliveries of events that failed and are retried", functions: ["notify"], lines: [[error("NotificationFailed")]] },
  BankUnavailable: {
    meaning: "Requests that the bank did not answer",
    functions: ["inquire-charge", "ensure-kbank-user", "add-card", "reverse-charge"],
    lines: [[error("BankUnavailable")]],
  },
  Refusals: { meaning: "Requests that the functions refused", functions: ["cardtoken", "callback"], lines: [[event("refusal")]], by: { code: "$.code" } },
  PaymentStands: {
    meaning: "Reports of a payment that stands, by what it needs: a person's decision, a technical repair, or the shop. Repeated: of a technical repair each hour, of the others about once a day",
    functions: ["reconcile", "callback", "lookup-record"],
    lines: [[error("PaymentStands")]],
    by: { kind: "$.kind" },
  },
  DueRecords: { meaning: "Open payments that reconciliation checked", functions: ["reconcile"], lines: [[event("reconciled")]], value: "$.seen" },
  OldestDue: {
    meaning: "The longest time that an open payment was due before reconciliation checked it, in seconds",
    functions: ["reconcile"],
    lines: [[event("reconciled")]],
    value: "$.oldestDueSeconds",
  },
  ReconcileRuns: { meaning: "Completed runs of reconciliation: one for each shard and minute", functions: ["reconcile"], lines: [[event("reconciled")]] },
  ReconcileFailures: { meaning: "Records and shards that reconciliation could not handle", functions: ["reconcile"], lines: [[error("ReconcileFailed")]] },
  ChargeMismatch: {
    meaning: "Charges at the bank that differ from what checkout stored",
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
    meaning: "Orders that nobody can pay until the shop corrects them, and payments whose record cannot be read",
    functions: ["cardtoken", "callback"],
    lines: [[error("OrderUnreadable")]],
  },
  OrphanCheckout: { meaning: "Checkouts for which the bank cannot say whether it charged", functions: ["reconcile"], lines: [[error("OrphanCheckout")]] },
  OrphanCharge: { meaning: "Authorised charges that have no record, or that another stack should handle but does not report", functions: ["callback"], lines: [[error("OrphanCharge")]] },
  UnknownState: {
    meaning: "Answers of the bank with an unknown state, or an unknown pair of state and status",
    functions: ["inquire-charge", "callback", "reconcile", "reverse-charge"],
    lines: [[error("UnknownState")]],
  },
  Refunds: {
    meaning: "Refunds that the bank accepted, by the way that the money went: voided or refunded",
    functions: ["record-refund"],
    lines: [[event("refund")]],
    by: { way: "$.way" },
  },
  RefundsRefused: { meaning: "Refunds that the bank refused; they are tried for three days", functions: ["void-charge", "refund-charge"], lines: [[error("RefundRefused")]] },
  RefundsUnanswered: {
    meaning: "Requests for refunds that were not sent, or whose answer was lost",
    functions: ["void-charge", "refund-charge"],
    lines: [[error("RefundNotSent")], [error("AnswerLost")]],
  },
  RefundUncertain: { meaning: "Refunds of which nobody can tell whether they took effect", functions: ["find-refund"], lines: [[error("RefundUncertain")]] },
  RefundStuck: { meaning: "Refunds that cannot go on by themselves", functions: ["report-stuck"], lines: [[error("RefundStuck")]] },
  RefundElsewhere: { meaning: "Money of paid orders that was given back by hand", functions: ["record-elsewhere"], lines: [[error("RefundElsewhere")]] },
  RefusalNeedsPerson: { meaning: "Orders that refuse a payment that only a person may reverse", functions: ["pay-order"], lines: [[error("RefusalNeedsPerson")]] },
  ActivityCrashes: {
    meaning: "Activities that ended without an answer: by a crash or a timeout",
    functions: ACTIVITIES,
    // The last line that AWS Lambda writes for each call, or a panic's.
    lines: [
      [{ field: "$.type", is: "platform.report" }, { field: "$.record.status", is: "timeout" }],
      [{ field: "$.type", is: "platform.report" }, { field: "$.record.errorType", is: "Runtime.*" }],
      [{ field: "$.message", is: "user handler panicked*" }],
    ],
  },
} as const satisfies Record<string, LogMetric>;

/** The time over which a value of a metric is made. */
export const PERIOD = Duration.minutes(5);

/** The name of a metric. */
export type LogMetricName = keyof typeof LOG_METRICS;

/** What the metrics are made from. */
export interface LogMetricsProps {
  /** The branch whose namespace holds the metrics. */
  readonly branch: Branch;
  /** The functions whose logs are searched. */
  readonly functions: Readonly<Record<FunctionName, PaymentFunction>>;
}

/** Declares the metrics of the functions' logs. */
export class LogMetrics extends Construct {
  private readonly namespace: string;

  constructor(scope: Construct, id: string, { branch, functions }: LogMetricsProps) {
    super(scope, id);
    this.namespace = metricNamespace(branch);
    for (const [name, metric] of Object.entries<LogMetric>(LOG_METRICS)) {
      for (const source of metric.functions) {
        new MetricFilter(this, `${name}-${source}`, {
          logGroup: functions[source].logGroup,
          metricNamespace: this.namespace,
          metricName: name,
          filterPattern: FilterPattern.literal(filterPattern(metric)),
          metricValue: metric.value ?? "1",
          ...(metric.by === undefined ? {} : { dimensions: metric.by }),
        });
      }
    }
  }

  /** A metric. If it has a dimension, `options` must give the dimension's value. */
  get(name: LogMetricName, options: MetricOptions): Metric {
    return new Metric({ namespace: this.namespace, metricName: name, period: PERIOD, ...options });
  }
}

/** The conditions as CloudWatch Logs writes them. */
export function filterPattern({ lines }: LogMetric): string {
  const joined = (terms: readonly string[], word: string): string => (terms.length === 1 ? terms.join() : terms.map((term) => `(${term})`).join(` ${word} `));
  return `{ ${joined(lines.map((line) => joined(line.map(({ field, is }) => `${field} = "${is}"`), "&&")), "||")} }`;
}
