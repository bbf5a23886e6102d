import { Duration } from "aws-cdk-lib";
import { AlarmStatusWidget, Dashboard, GraphWidget, type IMetric, SingleValueWidget, Stats, TextWidget } from "aws-cdk-lib/aws-cloudwatch";
import { Construct } from "constructs";
import { MACHINES, stackName } from "../names";
import type { StateMachine } from "../state-machine";
import { type Alarms, ENTRANCES, type Watched } from "./alarms";
import type { LogMetrics } from "./log-metrics";

/** What the dashboard shows. */
export interface PaymentDashboardProps extends Watched {
  /** The alarms whose states are shown. */
  readonly alarms: Alarms;
}

const HALF = 12;

/** The dashboard of a branch's payments: alarms, open payments, outcomes, and the health of each part. */
export class PaymentDashboard extends Construct {
  constructor(scope: Construct, id: string, { branch, runbook, alarms, logMetrics, functions, stateMachines, api }: PaymentDashboardProps) {
    super(scope, id);
    const sum = (name: Parameters<LogMetrics["get"]>[0], label: string, dimensionsMap?: Record<string, string>): IMetric =>
      logMetrics.get(name, { statistic: Stats.SUM, label, ...(dimensionsMap === undefined ? {} : { dimensionsMap }) });

    new Dashboard(this, "Dashboard", { dashboardName: stackName(branch), defaultInterval: Duration.hours(12) }).addWidgets(
      new TextWidget({ width: 24, height: 1, markdown: `**Card payments, branch ${branch.name}** · what to do about an alarm: ${runbook}` }),
      new AlarmStatusWidget({ width: 24, height: 4, title: "Alarms", alarms: [...alarms.all] }),
      new SingleValueWidget({
        width: HALF,
        title: "Reconciliation",
        metrics: [sum("DueRecords", "open payments checked"), logMetrics.get("OldestDue", { statistic: Stats.MAXIMUM, label: "seconds the oldest was due" })],
      }),
      graph("From callback to paid (ms)", [
        logMetrics.get("CallbackToPaid", { statistic: Stats.p(50), label: "p50" }),
        logMetrics.get("CallbackToPaid", { statistic: Stats.p(95), label: "p95" }),
        logMetrics.get("CallbackToPaid", { statistic: Stats.MAXIMUM, label: "maximum" }),
      ]),
      graph("Charges and their outcomes", [
        sum("Charges", "charges created"),
        ...["paid", "declined", "returned"].map((outcome) => sum("Outcomes", outcome, { outcome })),
      ]),
      graph("Reversals, cards not saved, events not delivered", [
        sum("Reversals", "orders reversed", { purpose: "order" }),
        sum("Reversals", "verifications reversed", { purpose: "verification" }),
        sum("SaveFailures", "cards refused by the bank"),
        sum("CardsFailed", "cards not saved in time"),
        sum("NotificationsRefused", "events refused"),
        sum("NotificationsFailed", "deliveries failed"),
      ]),
      graph("Refunds", [
        sum("Refunds", "voided, before settlement", { way: "voided" }),
        sum("Refunds", "refunded, after settlement", { way: "refunded" }),
        sum("RefundElsewhere", "given back by hand"),
        sum("RefundsRefused", "requests that the bank refused"),
        sum("RefundsUnanswered", "requests not sent, or answer lost"),
        sum("RefundUncertain", "uncertain"),
        sum("RefundStuck", "stuck"),
      ]),
      graph("Payments that stand", [
        ...["definite", "technical", "shop"].map((kind) => sum("PaymentStands", kind, { kind })),
      ]),
      ...MACHINES.map((machine) => graph(`Executions of the ${machine} machine`, executionMetrics(stateMachines[machine]))),
      graph("Wrong at the bank, or with us", [
        ...(["BankUnavailable", "ChargeMismatch", "ChargeStillUnknown", "OutcomeConflict", "OrderUnreadable", "OrphanCheckout", "OrphanCharge", "UnknownState", "RefusalNeedsPerson"] as const).map((name) => sum(name, name)),
        sum("ReconcileFailures", "ReconcileFailures"),
        sum("ActivityCrashes", "ActivityCrashes"),
      ]),
      graph("Requests", [
        api.stage.metricCount({ statistic: Stats.SUM, label: "all" }),
        api.stage.metricClientError({ label: "4xx" }),
        api.stage.metricServerError({ label: "5xx" }),
        api.failedRequests.with({ label: "5xx in the alarm" }),
        api.throttledRequests.with({ label: "429" }),
      ]),
      graph("Duration of functions, p95 (ms)", ENTRANCES.map((name) => functions[name].duration.with({ statistic: Stats.p(95), label: name }))),
    );
  }
}

/** What Step Functions counts of a state machine's executions. */
function executionMetrics({ resource }: StateMachine): IMetric[] {
  return [
    resource.metricStarted(),
    resource.metricSucceeded(),
    resource.metricFailed(),
    resource.metricTimedOut(),
    resource.metricAborted(),
    resource.metricThrottled(),
  ].map((metric) => metric.with({ label: metric.metricName }));
}

function graph(title: string, left: IMetric[]): GraphWidget {
  return new GraphWidget({ width: HALF, title, left });
}
