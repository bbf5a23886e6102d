import { CfnOutput, Stack } from "aws-cdk-lib";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import { AllowedMethods, CachePolicy, Distribution, HttpVersion, OriginRequestPolicy, SecurityPolicyProtocol, ViewerProtocolPolicy } from "aws-cdk-lib/aws-cloudfront";
import { HttpOrigin } from "aws-cdk-lib/aws-cloudfront-origins";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import { CfnLoggingConfiguration, CfnWebACL } from "aws-cdk-lib/aws-wafv2";
import type { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import { resourceName, stackName } from "./names";
import type { Branch } from "./settings/branch";
import { lifecycleOf } from "./settings/lifecycle";
import { type Edge, EDGE_REGION, environmentOf } from "./settings/settings";

/** The largest body that the firewall lets through, in bytes: `MAX_BODY` of activities/src/domain/fields.rs. */
export const MAX_BODY_BYTES = 8192;

/** Checkouts from one address in five minutes. Mobile carriers put thousands of shoppers behind one address. */
export const MAX_CHECKOUTS = 500;

/** A rule of the firewall, without its priority and its metric. */
type Rule = Pick<CfnWebACL.RuleProperty, "name" | "statement"> & Partial<Pick<CfnWebACL.RuleProperty, "action" | "overrideAction">>;

/** What the stack is made from. */
export interface EdgeStackProps {
  /** The branch whose API the firewall is before. */
  readonly branch: Branch;
  /** The account that is deployed to; undefined for that of the credentials. */
  readonly account: string | undefined;
  /** The distribution's public name, and where its requests go. */
  readonly edge: Edge;
}

/**
 * A CloudFront distribution with a web application firewall in front of the HTTP API, which cannot have a firewall
 * itself. CloudFront requires it to be in us-east-1, so this stack knows the API only by its name.
 */
export class EdgeStack extends Stack {
  constructor(scope: Construct, id: string, { branch, account, edge }: EdgeStackProps) {
    super(scope, id, {
      description: `Firewall before the card payments of branch ${branch.name}`,
      env: environmentOf({ account, region: EDGE_REGION }),
      terminationProtection: lifecycleOf(branch).protected,
      tags: { application: "payment3", branch: branch.name },
    });
    const firewall = this.declareFirewall(branch);
    const distribution = new Distribution(this, "Distribution", {
      comment: `Card payments of branch ${branch.name}`,
      domainNames: [edge.name],
      certificate: Certificate.fromCertificateArn(this, "Certificate", edge.certificateArn),
      minimumProtocolVersion: SecurityPolicyProtocol.TLS_V1_2_2021,
      httpVersion: HttpVersion.HTTP2_AND_3,
      webAclId: firewall.attrArn,
      defaultBehavior: {
        origin: new HttpOrigin(edge.origin),
        allowedMethods: AllowedMethods.ALLOW_ALL,
        // Every response belongs to one shopper.
        cachePolicy: CachePolicy.CACHING_DISABLED,
        originRequestPolicy: OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
        viewerProtocolPolicy: ViewerProtocolPolicy.HTTPS_ONLY,
      },
    });
    acknowledge(distribution, "AwsSolutions-CFR1", "Shoppers travel, and the bank may send its notifications from any country.");
    acknowledge(distribution, "AwsSolutions-CFR3", "The API logs every request, and the firewall logs every request that it refuses. A third log would only store more addresses.");
    new CfnOutput(this, "EdgeTarget", { value: distribution.distributionDomainName, description: "Point the DNS record of edgeDomainName here" });
  }

  /** The firewall, with a log of the requests that it refuses. */
  private declareFirewall(branch: Branch): CfnWebACL {
    const lifecycle = lifecycleOf(branch);
    const firewall = new CfnWebACL(this, "Firewall", {
      name: stackName(branch),
      scope: "CLOUDFRONT",
      defaultAction: { allow: {} },
      visibilityConfig: visibility(stackName(branch)),
      rules: RULES.map((rule, priority) => ({ ...rule, priority, visibilityConfig: visibility(rule.name) })),
    });
    const log = new LogGroup(this, "Refusals", {
      // AWS requires this prefix.
      logGroupName: `aws-waf-logs-${resourceName("edge", branch)}`,
      retention: lifecycle.accessLogRetention,
      removalPolicy: lifecycle.companions,
    });
    new CfnLoggingConfiguration(this, "Logging", {
      resourceArn: firewall.attrArn,
      // Not the ARN attribute of the log group, which ends in ":*".
      logDestinationConfigs: [this.formatArn({ service: "logs", resource: `log-group:${log.logGroupName}` })],
      redactedFields: [{ queryString: {} }, { singleHeader: { Name: "cookie" } }, { singleHeader: { Name: "authorization" } }],
      loggingFilter: {
        DefaultBehavior: "DROP",
        Filters: [{ Behavior: "KEEP", Requirement: "MEETS_ANY", Conditions: [{ ActionCondition: { Action: "BLOCK" } }] }],
      },
    });
    return firewall;
  }
}

/**
 * The rules, by priority. AWS's "common" group is left out: it treats a form that contains a URL as an attack, and a
 * checkout has a URL in `callback`.
 */
const RULES: readonly Rule[] = [
  managed("AWSManagedRulesAmazonIpReputationList"),
  managed("AWSManagedRulesKnownBadInputsRuleSet"),
  {
    name: "oversized-body",
    action: { block: {} },
    statement: {
      sizeConstraintStatement: {
        fieldToMatch: { body: { oversizeHandling: "MATCH" } },
        comparisonOperator: "GT",
        size: MAX_BODY_BYTES,
        textTransformations: [{ priority: 0, type: "NONE" }],
      },
    },
  },
  {
    name: "many-checkouts",
    action: { block: {} },
    statement: {
      rateBasedStatement: {
        limit: MAX_CHECKOUTS,
        evaluationWindowSec: 300,
        aggregateKeyType: "IP",
        // Only checkouts: the bank sends all its notifications from a few addresses, and apps poll.
        scopeDownStatement: { orStatement: { statements: ["/cardpayment", "/cardtoken"].map(isPath) } },
      },
    },
  },
];

function isPath(path: string): CfnWebACL.StatementProperty {
  return {
    byteMatchStatement: {
      fieldToMatch: { uriPath: {} },
      positionalConstraint: "EXACTLY",
      searchString: path,
      textTransformations: [{ priority: 0, type: "NONE" }],
    },
  };
}

function managed(name: string): Rule {
  return { name, overrideAction: { none: {} }, statement: { managedRuleGroupStatement: { vendorName: "AWS", name } } };
}

/**
 * Counts requests, but keeps no samples of them: samples would hold card tokens. The metric's name must not be one that
 * AWS WAF keeps for itself: `All`, `Default_Action`.
 */
function visibility(metricName: string): CfnWebACL.VisibilityConfigProperty {
  return { cloudWatchMetricsEnabled: true, metricName, sampledRequestsEnabled: false };
}
