import { Duration } from "aws-cdk-lib";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import {
  ApiMapping,
  type CfnStage,
  DomainName,
  HttpApi,
  HttpMethod,
  HttpRoute,
  HttpRouteKey,
  HttpStage,
  LogGroupLogDestination,
  PayloadFormatVersion,
  SecurityPolicy,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import { type Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { FilterPattern, LogGroup, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import { lifecycleOf } from "./lifecycle";
import type { FunctionName } from "./function-catalogue";
import { constructId, metricNamespace, stackName } from "./names";
import type { Domain, Settings } from "./settings";

/** Requests that a route lets through: `rate` a second, and `burst` at once. Beyond them API Gateway answers 429 by itself. */
export interface Throttle {
  readonly rate: number;
  readonly burst: number;
}

/** The route of what no other route takes. */
const ELSEWHERE = "$default";

/** A public route, the function that serves it, and how much of it there may be. */
interface RouteSpec {
  readonly address: { readonly method: HttpMethod; readonly path: string } | typeof ELSEWHERE;
  readonly function: FunctionName;
  readonly throttle: Throttle;
  /** Why it may be called without a token of ours. */
  readonly open: string;
}

/**
 * The public routes. The limits are far above a shop's checkouts and far below an account's 10,000 requests a second, so that nobody who floods one
 * route takes the others, or other systems of the account, along.
 */
export const ROUTES = [
  {
    address: { method: HttpMethod.POST, path: "/cardpayment" },
    function: "cardtoken",
    // Each one is a charge at the bank.
    throttle: { rate: 50, burst: 100 },
    open: "The bank's script posts the checkout form from the shopper's browser. What pays is the card token in it, good for one charge of the order's own amount.",
  },
  {
    address: { method: HttpMethod.POST, path: "/cardtoken" },
    function: "cardtoken",
    throttle: { rate: 50, burst: 100 },
    open: "The same checkout under the name that older pages of the shop know.",
  },
  {
    address: { method: HttpMethod.POST, path: "/callback" },
    function: "callback",
    throttle: { rate: 100, burst: 200 },
    open: "The bank sends the shopper's browser here, unsigned. Nothing in it is believed: it only says which charge to ask the bank about.",
  },
  {
    address: { method: HttpMethod.GET, path: "/callback" },
    function: "callback",
    throttle: { rate: 100, burst: 200 },
    open: "An app's browser asks for its last address again, with the return in its query. It is believed as little as the posted one.",
  },
  {
    address: { method: HttpMethod.POST, path: "/notify" },
    function: "callback",
    // Of its own, so that forged browser returns do not keep the bank's notifications out.
    throttle: { rate: 100, burst: 200 },
    open: "The bank signs its notifications with a checksum, which the function verifies: the gateway has no authorizer for that.",
  },
  {
    address: { method: HttpMethod.GET, path: "/checkstatus/{orderId}" },
    function: "check-status",
    // Apps poll it.
    throttle: { rate: 200, burst: 400 },
    open: "Apps ask for an order's status without an account: it holds status, amount and time, and names neither person nor charge.",
  },
  {
    // An HTTP API has no routes for addresses with a slash at the end, and such an address is set at the bank all too easily.
    address: ELSEWHERE,
    function: "callback",
    throttle: { rate: 20, burst: 40 },
    open: "Returns and notifications with a slash at the end of the address are what they are without it; everything else is 404.",
  },
] as const satisfies readonly RouteSpec[];
/** The middle part of the name of a function that serves a route. */
export type RouteFunction = (typeof ROUTES)[number]["function"];

/** How API Gateway knows a route. */
export function routeKey({ address }: Pick<RouteSpec, "address">): string {
  return address === ELSEWHERE ? ELSEWHERE : `${address.method} ${address.path}`;
}

/**
 * What the access log says of a request: who was refused, where, and why. The address is the only thing in any log that points at a person; without it
 * nobody could be shut out. The path is left out for the route, since it may name an order.
 */
export const ACCESS_LOG_FIELDS = {
  requestId: "$context.requestId",
  time: "$context.requestTimeEpoch",
  sourceIp: "$context.identity.sourceIp",
  routeKey: "$context.routeKey",
  status: "$context.status",
  refusal: "$context.error.responseType",
  functionStatus: "$context.integrationStatus",
  milliseconds: "$context.responseLatency",
  bytes: "$context.responseLength",
} as const;

/** Requests that API Gateway turned away, in the access log: it has no metric for them. */
const THROTTLED = '{ $.status = "429" }';
/**
 * Requests that were answered 5xx. A notification that comes before its checkout has stored the charge is kept and answered 503, so that the bank sends it
 * again: that is no failure, and at a shop with many checkouts it is not rare.
 */
const FAILED = '{ ($.status = "5*") && (($.status != "503") || ($.routeKey != "POST /notify")) }';

/** The public HTTP API of a branch. */
export class PaymentApi extends Construct {
  /** Base URL, without a slash at its end. */
  readonly url: string;
  /** Id of the API. */
  readonly apiId: string;
  /** Requests that were turned away because there were too many. */
  readonly throttledRequests: Metric;
  /** Requests that failed on our side. */
  readonly failedRequests: Metric;
  /** Where the DNS record of the API's own name must point; undefined without one. */
  readonly domainTarget: string | undefined;

  constructor(scope: Construct, id: string, settings: Settings, functions: Readonly<Record<RouteFunction, IFunction>>) {
    super(scope, id);
    const { branch, domain } = settings;
    const lifecycle = lifecycleOf(branch);
    const api = new HttpApi(this, "Api", {
      apiName: stackName(branch),
      description: `Card payments of branch ${branch.name}`,
      createDefaultStage: false,
      // With a name of its own, it has no other.
      disableExecuteApiEndpoint: domain !== undefined,
    });
    const accessLog = new LogGroup(this, "AccessLog", {
      logGroupName: `/aws/vendedlogs/apis/${stackName(branch)}`,
      retention: lifecycle.accessLogRetention,
      removalPolicy: lifecycle.companions,
    });
    const counted = (name: string, pattern: string): Metric =>
      new MetricFilter(this, name, {
        logGroup: accessLog,
        metricNamespace: metricNamespace(branch),
        metricName: `${name}Requests`,
        filterPattern: FilterPattern.literal(pattern),
      }).metric({ statistic: Stats.SUM, period: Duration.minutes(5) });
    this.throttledRequests = counted("Throttled", THROTTLED);
    this.failedRequests = counted("Failed", FAILED);
    const stage = new HttpStage(this, "DefaultStage", {
      httpApi: api,
      stageName: "$default",
      autoDeploy: true,
      // Every route has its own limit; this one is for a route that might be added without.
      throttle: { rateLimit: 1, burstLimit: 1 },
      accessLogSettings: {
        destination: new LogGroupLogDestination(accessLog),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG_FIELDS)),
      },
    });
    (stage.node.defaultChild as CfnStage).routeSettings = Object.fromEntries(
      ROUTES.map((route) => [routeKey(route), { ThrottlingRateLimit: route.throttle.rate, ThrottlingBurstLimit: route.throttle.burst }]),
    );
    // One integration for each function, which its routes share.
    const integrations = new Map<RouteFunction, HttpLambdaIntegration>();
    for (const route of ROUTES) {
      const integration =
        integrations.get(route.function) ??
        new HttpLambdaIntegration(constructId(route.function), functions[route.function], {
          payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
        });
      integrations.set(route.function, integration);
      const added =
        route.address === ELSEWHERE
          ? [new HttpRoute(api, "Elsewhere", { httpApi: api, routeKey: HttpRouteKey.DEFAULT, integration })]
          : api.addRoutes({ path: route.address.path, methods: [route.address.method], integration });
      // A stage may limit only routes that are there.
      stage.node.addDependency(...added);
      added.forEach((one) => acknowledge(one, "AwsSolutions-APIG4", route.open));
    }
    this.apiId = api.apiId;
    this.domainTarget = domain === undefined ? undefined : this.map(api, stage, domain);
    this.url = domain === undefined ? api.apiEndpoint : `https://${domain.name}`;
  }

  /** Gives the API its own name, and returns what the name must point to. */
  private map(api: HttpApi, stage: HttpStage, domain: Domain): string {
    const domainName = new DomainName(this, "Domain", {
      domainName: domain.name,
      certificate: Certificate.fromCertificateArn(this, "Certificate", domain.certificateArn),
      securityPolicy: SecurityPolicy.TLS_1_2,
    });
    new ApiMapping(this, "Mapping", { api, domainName, stage }).node.addDependency(stage);
    return domainName.regionalDomainName;
  }
}
