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
import { FilterPattern, LogGroup, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import type { FunctionName } from "./functions/function-catalogue";
import type { PaymentFunction } from "./functions/payment-function";
import { constructId, metricNamespace, stackName } from "./names";
import type { Branch } from "./settings/branch";
import { lifecycleOf } from "./settings/lifecycle";
import type { Domain } from "./settings/settings";

/** How many requests a route accepts: `rate` a second, and `burst` at once. API Gateway answers any more with 429. */
export interface Throttle {
  readonly rate: number;
  readonly burst: number;
}

/** The route of all requests that match no other route. */
const DEFAULT_ROUTE = "$default";

/** A public route, the function that serves it, and its limit. */
interface RouteSpec {
  readonly address: { readonly method: HttpMethod; readonly path: string } | typeof DEFAULT_ROUTE;
  readonly function: FunctionName;
  readonly throttle: Throttle;
  /** Why it needs no authorisation. */
  readonly open: string;
}

/**
 * The public routes. The limits are far above a shop's checkouts, and far below an account's 10,000 requests a second.
 * A flood on one route does not stop the others, or other systems of the account.
 */
export const ROUTES = [
  {
    address: { method: HttpMethod.POST, path: "/cardpayment" },
    function: "cardtoken",
    // Each request makes a charge at the bank.
    throttle: { rate: 50, burst: 100 },
    open: "The bank's script posts the checkout form from the shopper's browser. The card token in it pays once, and only the order's amount.",
  },
  {
    address: { method: HttpMethod.POST, path: "/cardtoken" },
    function: "cardtoken",
    throttle: { rate: 50, burst: 100 },
    open: "The same checkout, under the name that older pages of the shop use.",
  },
  {
    address: { method: HttpMethod.POST, path: "/callback" },
    function: "callback",
    throttle: { rate: 100, burst: 200 },
    open: "The bank sends the shopper's browser here, unsigned. The request is not trusted: it only says which charge to ask the bank about.",
  },
  {
    address: { method: HttpMethod.GET, path: "/callback" },
    function: "callback",
    throttle: { rate: 100, burst: 200 },
    open: "An app's browser may load its last address again, with the return in the query. It is not trusted either.",
  },
  {
    address: { method: HttpMethod.POST, path: "/notify" },
    function: "callback",
    // A separate limit: forged browser returns must not block the bank's notifications.
    throttle: { rate: 100, burst: 200 },
    open: "The bank signs its notifications with a checksum, and the function verifies it. API Gateway has no authorizer for that.",
  },
  {
    address: { method: HttpMethod.GET, path: "/checkstatus/{orderId}" },
    function: "check-status",
    // Apps poll it.
    throttle: { rate: 200, burst: 400 },
    open: "Apps ask for an order's status without an account. The answer holds status, amount and time, but no person and no charge.",
  },
  {
    // An HTTP API has no routes for addresses that end with a slash, and people easily set such an address at the bank.
    address: DEFAULT_ROUTE,
    function: "callback",
    throttle: { rate: 20, burst: 40 },
    open: "Returns and notifications to an address with a slash at the end are served as without it. Everything else gets a 404.",
  },
] as const satisfies readonly RouteSpec[];

/** The middle part of the name of a function that serves a route. */
export type RouteFunction = (typeof ROUTES)[number]["function"];

/** The route's key at API Gateway. */
export function routeKey({ address }: Pick<RouteSpec, "address">): string {
  return address === DEFAULT_ROUTE ? DEFAULT_ROUTE : `${address.method} ${address.path}`;
}

/**
 * What the access log says about a request: who was refused, on which route, and why. The IP address is the only
 * personal data in any log; it is needed to block an abuser. The path is left out, because it may name an order.
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

/** Requests that API Gateway throttled. It has no metric for them, so they are counted in the access log. */
const THROTTLED = '{ $.status = "429" }';

/**
 * Requests that were answered 5xx. One kind does not count: a notification that comes before its checkout has stored
 * the charge. It is answered 503 so that the bank sends it again. At a shop with many checkouts that is not rare.
 */
const FAILED = '{ ($.status = "5*") && (($.status != "503") || ($.routeKey != "POST /notify")) }';

/** What the API is made from. */
export interface PaymentApiProps {
  /** The branch that the API is named after. */
  readonly branch: Branch;
  /** The API's own public name; undefined if it has none. */
  readonly domain: Domain | undefined;
  /** The functions that serve the routes. */
  readonly functions: Readonly<Record<RouteFunction, PaymentFunction>>;
}

/** The public HTTP API of a branch. */
export class PaymentApi extends Construct {
  /** Base URL, without a slash at the end. */
  readonly url: string;
  readonly apiId: string;
  /** The stage that serves all requests, with API Gateway's metrics of them. */
  readonly stage: HttpStage;
  /** Requests that were throttled. */
  readonly throttledRequests: Metric;
  /** Requests that were answered 5xx, as {@link FAILED} counts them. */
  readonly failedRequests: Metric;
  /** Where the DNS record of `domainName` must point; undefined without that setting. */
  readonly domainTarget: string | undefined;

  constructor(scope: Construct, id: string, { branch, domain, functions }: PaymentApiProps) {
    super(scope, id);
    const lifecycle = lifecycleOf(branch);
    const api = new HttpApi(this, "Api", {
      apiName: stackName(branch),
      description: `Card payments of branch ${branch.name}`,
      createDefaultStage: false,
      // An API with its own domain name has no other address.
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
      // Every route has its own limit. This one is for a route that somebody adds without a limit.
      throttle: { rateLimit: 1, burstLimit: 1 },
      accessLogSettings: {
        destination: new LogGroupLogDestination(accessLog),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG_FIELDS)),
      },
    });
    (stage.node.defaultChild as CfnStage).routeSettings = Object.fromEntries(
      ROUTES.map((route) => [routeKey(route), { ThrottlingRateLimit: route.throttle.rate, ThrottlingBurstLimit: route.throttle.burst }]),
    );
    // One integration for each function; its routes share it.
    const integrations = new Map<RouteFunction, HttpLambdaIntegration>();
    for (const route of ROUTES) {
      const integration =
        integrations.get(route.function) ??
        new HttpLambdaIntegration(constructId(route.function), functions[route.function].lambda, {
          payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
        });
      integrations.set(route.function, integration);
      const added =
        route.address === DEFAULT_ROUTE
          ? [new HttpRoute(api, "Elsewhere", { httpApi: api, routeKey: HttpRouteKey.DEFAULT, integration })]
          : api.addRoutes({ path: route.address.path, methods: [route.address.method], integration });
      // A stage can limit only routes that already exist.
      stage.node.addDependency(...added);
      added.forEach((one) => acknowledge(one, "AwsSolutions-APIG4", route.open));
    }
    this.apiId = api.apiId;
    this.stage = stage;
    this.domainTarget = domain === undefined ? undefined : this.map(api, stage, domain);
    this.url = domain === undefined ? api.apiEndpoint : `https://${domain.name}`;
  }

  /** Gives the API its own domain name. Returns where the name's DNS record must point. */
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
