import { CfnOutput, Stack } from "aws-cdk-lib";
import type { Topic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";
import { BackOfficePolicy } from "./back-office";
import type { FunctionName } from "./functions/function-catalogue";
import type { Wiring } from "./functions/function-environment";
import { PaymentFunction } from "./functions/payment-function";
import { PaymentApi, ROUTES, type RouteFunction } from "./http-api";
import { constructId, type MachineName, MONEY_IS_REAL, TABLES } from "./names";
import { AlarmTopic } from "./observability/alarm-topic";
import { Alarms, type Watched } from "./observability/alarms";
import { PaymentDashboard } from "./observability/dashboard";
import { LogMetrics } from "./observability/log-metrics";
import { ReconcileSchedule } from "./schedule";
import { Secrets } from "./secrets";
import { lifecycleOf } from "./settings/lifecycle";
import { type Settings, environmentOf, isMoneyReal } from "./settings/settings";
import { StateMachine } from "./state-machine";
import { ACTIVITIES } from "./state-machine-definition";
import { Tables } from "./tables";

/** What a stack is made from. */
export interface PaymentStackProps {
  /** The deployment's settings: the stack needs nearly all of them. */
  readonly settings: Settings;
}

/** The payment saga of one branch, for any account and region. */
export class PaymentStack extends Stack {
  constructor(scope: Construct, id: string, { settings }: PaymentStackProps) {
    const { branch, executionKeyArn, alarmEmail } = settings;
    super(scope, id, {
      description: `Card payments, branch ${branch.name}`,
      env: environmentOf(settings),
      terminationProtection: lifecycleOf(branch).protected,
      tags: { application: "payment3", branch: branch.name },
    });

    const tables = new Tables(this, "Tables", { branch, orderTable: settings.orderTable });
    const secrets = new Secrets(this, "Secrets", { branch });
    const wiring: Wiring = { settings, tables, secrets };

    const functions = new Construct(this, "Functions");
    const activities = declareFunctions(functions, ACTIVITIES, wiring);
    const parts = { branch, executionKeyArn, records: tables.get("card-payment-record"), activities };
    const substitutions = { SaveCardPolicy: settings.saveCardPolicy };
    const stateMachines: Readonly<Record<MachineName, StateMachine>> = {
      payment: new StateMachine(this, "Payment", { machine: "payment", ...parts, substitutions }),
      refund: new StateMachine(this, "Refund", { machine: "refund", ...parts }),
    };
    const backOffice = new BackOfficePolicy(this, "BackOffice", { branch, executionKeyArn, refundMachineArn: stateMachines.refund.arn });
    const starters: Wiring = { ...wiring, stateMachines };
    const entrances = declareFunctions<RouteFunction>(
      functions,
      ROUTES.map((route) => route.function),
      starters,
    );
    const { reconcile } = declareFunctions<"reconcile">(functions, ["reconcile"], starters);
    new ReconcileSchedule(this, "Reconciliation", { branch, reconcile: reconcile.lambda });
    const api = new PaymentApi(this, "Http", { branch, domain: settings.domain, functions: entrances });

    const watched = { branch, runbook: settings.runbook, functions: { ...activities, ...entrances, reconcile }, stateMachines, api };
    const topic = alarmEmail === undefined ? undefined : this.watch(alarmEmail, watched);

    const output = (name: string, value: string, description: string): void => {
      new CfnOutput(this, name, { value, description });
    };
    output("ApiUrl", api.url, "Base URL of the HTTP API");
    output("ApiId", api.apiId, "Id of the HTTP API");
    if (api.domainTarget !== undefined) {
      output("DomainTarget", api.domainTarget, "Point the DNS record of domainName here");
    }
    output("StateMachineArn", stateMachines.payment.arn, "The state machine of payments");
    output("RefundStateMachineArn", stateMachines.refund.arn, "The state machine of refunds");
    output("BackOfficePolicyArn", backOffice.arn, "Attach this to the role or user that may give money back");
    output("GatewaySecretArn", secrets.gatewayArn, "Put the bank's address and keys here");
    output("ShopWebhookSecretArn", secrets.shopWebhookArn, "The key that signs events to the shop");
    if (topic !== undefined) {
      output("AlarmTopicArn", topic.topicArn, "Where the alarms go: subscribe pagers and chats here");
    }
    output(MONEY_IS_REAL, isMoneyReal(settings) ? "yes" : "no", "Whether executions must end by themselves before this stack is deleted");
    for (const table of TABLES) {
      output(`${constructId(table)}Table`, tables.get(table).tableName, `Name of the table ${table}`);
    }
  }

  /** Metrics, alarms with their topic, and the dashboard. They cost more than the rest of an idle branch. */
  private watch(alarmEmail: string, watched: Omit<Watched, "logMetrics">): Topic {
    const { branch, functions } = watched;
    const observability = new Construct(this, "Observability");
    const logMetrics = new LogMetrics(observability, "Metrics", { branch, functions });
    const { topic } = new AlarmTopic(observability, "AlarmTopic", { branch, alarmEmail });
    const alarms = new Alarms(observability, "Alarms", { ...watched, logMetrics, topic });
    new PaymentDashboard(observability, "Dashboard", { ...watched, logMetrics, alarms });
    return topic;
  }
}

/** Declares functions and returns them by name. A name that is given twice is declared once. */
function declareFunctions<Name extends FunctionName>(scope: Construct, names: readonly Name[], wiring: Wiring): Record<Name, PaymentFunction> {
  const declared = [...new Set(names)].map((name) => [name, new PaymentFunction(scope, constructId(name), { name, ...wiring })] as const);
  return Object.fromEntries(declared) as Record<Name, PaymentFunction>;
}
