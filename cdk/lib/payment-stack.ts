import { CfnOutput, Stack } from "aws-cdk-lib";
import type { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import type { LogGroup } from "aws-cdk-lib/aws-logs";
import type { Topic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";
import { AlarmTopic } from "./observability/alarm-topic";
import { Alarms, type Watched } from "./observability/alarms";
import { BackOfficePolicy } from "./back-office";
import { PaymentDashboard } from "./observability/dashboard";
import type { Wiring } from "./functions/function-environment";
import { PaymentApi, ROUTES, type RouteFunction } from "./http-api";
import { lifecycleOf } from "./settings/lifecycle";
import { LogMetrics } from "./observability/log-metrics";
import type { FunctionName } from "./functions/function-catalogue";
import { constructId, type MachineName, MONEY_IS_REAL, stackName, TABLES } from "./names";
import { PaymentFunction } from "./functions/payment-function";
import { ReconcileSchedule } from "./schedule";
import { Secrets } from "./secrets";
import { type Settings, environmentOf, isMoneyReal } from "./settings/settings";
import { StateMachine } from "./state-machine";
import { ACTIVITIES } from "./state-machine-definition";
import { Tables } from "./tables";

/** What a stack is made from. */
export interface PaymentStackProps {
  /** The deployment's settings. */
  readonly settings: Settings;
}

/** The payment saga of one branch, for any account and region. */
export class PaymentStack extends Stack {
  constructor(scope: Construct, { settings }: PaymentStackProps) {
    const { branch } = settings;
    super(scope, stackName(branch), {
      description: `Card payments, branch ${branch.name}`,
      env: environmentOf(settings),
      terminationProtection: lifecycleOf(branch).protected,
      tags: { application: "payment3", branch: branch.name },
    });

    const tables = new Tables(this, "Tables", settings);
    const secrets = new Secrets(this, "Secrets", branch);
    const wiring: Wiring = { settings, tables, secrets };

    const functions = new Construct(this, "Functions");
    const activities = declareFunctions(functions, ACTIVITIES, wiring);
    const parts = { settings, tables, activities: lambdas(activities) };
    const substitutions = { SaveCardPolicy: settings.saveCardPolicy };
    const stateMachineArns: Readonly<Record<MachineName, string>> = {
      payment: new StateMachine(this, "Payment", { machine: "payment", ...parts, substitutions }).arn,
      refund: new StateMachine(this, "Refund", { machine: "refund", ...parts }).arn,
    };
    const backOffice = new BackOfficePolicy(this, "BackOffice", settings, stateMachineArns.refund);
    const starters: Wiring = { ...wiring, stateMachineArns };
    const entrances = declareFunctions<RouteFunction>(
      functions,
      ROUTES.map((route) => route.function),
      starters,
    );
    const { reconcile } = declareFunctions<"reconcile">(functions, ["reconcile"], starters);
    new ReconcileSchedule(this, "Reconciliation", branch, reconcile.lambda);
    const api = new PaymentApi(this, "Http", settings, lambdas(entrances));

    const { throttledRequests, failedRequests, apiId } = api;
    const logGroups = logsOf({ ...activities, ...entrances, reconcile });
    const watched = { settings, stateMachineArns, throttledRequests, failedRequests };
    const topic = settings.alarmEmail === undefined ? undefined : this.watch(settings.alarmEmail, logGroups, watched, apiId);

    const output = (name: string, value: string, description: string): void => {
      new CfnOutput(this, name, { value, description });
    };
    output("ApiUrl", api.url, "Base URL of the HTTP API");
    output("ApiId", apiId, "Id of the HTTP API");
    if (api.domainTarget !== undefined) {
      output("DomainTarget", api.domainTarget, "Point the DNS record of domainName here");
    }
    output("StateMachineArn", stateMachineArns.payment, "The state machine of payments");
    output("RefundStateMachineArn", stateMachineArns.refund, "The state machine of refunds");
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
  private watch(
    alarmEmail: string,
    logGroups: Readonly<Record<FunctionName, LogGroup>>,
    watched: Omit<Watched, "logMetrics" | "topic">,
    apiId: string,
  ): Topic {
    const { settings } = watched;
    const observability = new Construct(this, "Observability");
    const logMetrics = new LogMetrics(observability, "Metrics", settings.branch, logGroups);
    const { topic } = new AlarmTopic(observability, "AlarmTopic", settings.branch, alarmEmail);
    const alarms = new Alarms(observability, "Alarms", { ...watched, logMetrics, topic });
    new PaymentDashboard(observability, "Dashboard", { ...watched, logMetrics, apiId, alarms });
    return topic;
  }
}

/** Declares functions and returns them by name. A name that is given twice is declared once. */
function declareFunctions<Name extends FunctionName>(scope: Construct, names: readonly Name[], wiring: Wiring): Record<Name, PaymentFunction> {
  const declared = [...new Set(names)].map((name) => [name, new PaymentFunction(scope, name, wiring)] as const);
  return Object.fromEntries(declared) as Record<Name, PaymentFunction>;
}

function lambdas<Name extends FunctionName>(functions: Readonly<Record<Name, PaymentFunction>>): Record<Name, LambdaFunction> {
  return map(functions, ({ lambda }) => lambda);
}

function logsOf<Name extends FunctionName>(functions: Readonly<Record<Name, PaymentFunction>>): Record<Name, LogGroup> {
  return map(functions, ({ logGroup }) => logGroup);
}

function map<Name extends FunctionName, Part>(functions: Readonly<Record<Name, PaymentFunction>>, part: (one: PaymentFunction) => Part): Record<Name, Part> {
  const entries = Object.entries<PaymentFunction>(functions).map(([name, one]) => [name, part(one)] as const);
  return Object.fromEntries(entries) as Record<Name, Part>;
}
