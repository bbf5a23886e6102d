import { HttpApi, HttpMethod, HttpStage, PayloadFormatVersion } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { Branch } from "./branch";
import { type FunctionName, constructId, stackName } from "./names";

/** Requests that the whole API lets through: far above a shop's checkouts, far below an account's share of 10,000 per second. */
export const THROTTLE = { rateLimit: 100, burstLimit: 200 } as const;

/** The public routes, and the functions that serve them. */
export const ROUTES = [
  { method: HttpMethod.POST, path: "/cardpayment", function: "cardtoken" },
  { method: HttpMethod.POST, path: "/callback", function: "callback" },
  { method: HttpMethod.POST, path: "/notify", function: "callback" },
  { method: HttpMethod.GET, path: "/checkstatus/{orderId}", function: "check-status" },
] as const satisfies readonly { method: HttpMethod; path: string; function: FunctionName }[];
/** The middle part of the name of a function that serves a route. */
export type RouteFunction = (typeof ROUTES)[number]["function"];

/** The public HTTP API of a branch. */
export class PaymentApi extends Construct {
  /** Base URL, without a slash at its end. */
  readonly url: string;
  /** Id of the API. */
  readonly apiId: string;

  constructor(scope: Construct, id: string, branch: Branch, functions: Readonly<Record<RouteFunction, IFunction>>) {
    super(scope, id);
    const api = new HttpApi(this, "Api", {
      apiName: stackName(branch),
      description: `Card payments of branch ${branch.name}`,
      createDefaultStage: false,
    });
    new HttpStage(this, "DefaultStage", { httpApi: api, stageName: "$default", autoDeploy: true, throttle: THROTTLE });
    // One integration for each function, which its routes share.
    const integrations = new Map<RouteFunction, HttpLambdaIntegration>();
    for (const route of ROUTES) {
      const integration =
        integrations.get(route.function) ??
        new HttpLambdaIntegration(constructId(route.function), functions[route.function], {
          payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
        });
      integrations.set(route.function, integration);
      api.addRoutes({ path: route.path, methods: [route.method], integration });
    }
    this.url = api.apiEndpoint;
    this.apiId = api.apiId;
  }
}
