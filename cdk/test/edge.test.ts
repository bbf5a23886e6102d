import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { EdgeStack, MAX_BODY_BYTES } from "../lib/edge-stack";
import { edgeStackName } from "../lib/names";
import { readSettings } from "../lib/settings/settings";
import { APP_DIRECTORY, MASTER, type Resource, type Template, fixedContext, resources, temporaryDirectory } from "./support";

const GIVEN = {
  edgeDomainName: "pay.shop.example",
  edgeCertificateArn: "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
  edgeOrigin: "abc.execute-api.ap-southeast-1.amazonaws.com",
};

function edgeStack(branch: string): { template: Template; region: string; terminationProtection: boolean | undefined } {
  const settings = readSettings({ context: { ...MASTER, ...GIVEN, branch }, directory: APP_DIRECTORY, gitBranch: () => undefined });
  const { account, edge } = settings;
  assert.ok(edge);
  const app = new App({ outdir: temporaryDirectory(), context: fixedContext(), builtinCloudFormationValidation: false });
  const stack = new EdgeStack(app, edgeStackName(settings.branch), { branch: settings.branch, account, edge });
  const artifact = app.synth().getStackByName(stack.stackName);
  return { template: artifact.template, region: artifact.environment.region, terminationProtection: artifact.terminationProtection };
}

const { template, region, terminationProtection } = edgeStack("feature-a");

function only(type: string): Record<string, any> {
  const found = resources(template, type);
  assert.equal(found.length, 1, type);
  return (found[0] as [string, Resource])[1].Properties;
}

test("the stack is in the region that CloudFront requires", () => {
  assert.equal(region, "us-east-1");
  assert.equal(terminationProtection, false);
  assert.equal(edgeStack("master").terminationProtection, true);
});

test("the distribution passes everything to the API's own name, over TLS, and caches nothing", () => {
  const config = only("AWS::CloudFront::Distribution")["DistributionConfig"];
  assert.deepEqual(config.Aliases, ["pay.shop.example"]);
  assert.equal(config.ViewerCertificate.MinimumProtocolVersion, "TLSv1.2_2021");
  assert.equal(config.Origins[0].DomainName, "abc.execute-api.ap-southeast-1.amazonaws.com");
  assert.equal(config.Origins[0].CustomOriginConfig.OriginProtocolPolicy, "https-only");
  const { ViewerProtocolPolicy, AllowedMethods, CachePolicyId } = config.DefaultCacheBehavior;
  assert.equal(ViewerProtocolPolicy, "https-only");
  assert.ok(AllowedMethods.includes("POST"));
  // AWS's managed policy "CachingDisabled".
  assert.equal(CachePolicyId, "4135ea2d-6df8-44a3-9df3-4b5a84be39ad");
  const [[firewallId]] = resources(template, "AWS::WAFv2::WebACL") as [[string, Resource]];
  assert.deepEqual(config.WebACLId, { "Fn::GetAtt": [firewallId, "Arn"] });
});

test("the firewall refuses known attackers, oversized bodies and too many checkouts", () => {
  const { Scope, DefaultAction, Rules } = only("AWS::WAFv2::WebACL");
  assert.equal(Scope, "CLOUDFRONT");
  assert.deepEqual(DefaultAction, { Allow: {} });
  assert.deepEqual(
    Rules.map(({ Name, Priority, Action, OverrideAction }: any) => [Name, Priority, Action?.Block !== undefined, OverrideAction?.None !== undefined]),
    [
      ["AWSManagedRulesAmazonIpReputationList", 0, false, true],
      ["AWSManagedRulesKnownBadInputsRuleSet", 1, false, true],
      ["oversized-body", 2, true, false],
      ["many-checkouts", 3, true, false],
    ],
  );
  const scope = Rules[3].Statement.RateBasedStatement.ScopeDownStatement.OrStatement;
  assert.deepEqual(scope.Statements.map((one: any) => one.ByteMatchStatement.SearchString), ["/cardpayment", "/cardtoken"]);
});

test("no metric has a name that AWS WAF keeps for itself", () => {
  const { Rules, VisibilityConfig } = only("AWS::WAFv2::WebACL");
  for (const { MetricName } of [VisibilityConfig, ...Rules.map((rule: any) => rule.VisibilityConfig)]) {
    assert.match(MetricName, /^(?!(all|default_action)$)[\w#:./-]{1,255}$/i);
  }
});

test("its body limit is exactly that of the functions", () => {
  const source = readFileSync(join(APP_DIRECTORY, "..", "activities", "src", "domain", "fields.rs"), "utf8");
  const [, factor, unit] = /pub const MAX_BODY: usize = (\d+) \* (\d+);/.exec(source) ?? [];
  assert.equal(MAX_BODY_BYTES, Number(factor) * Number(unit));
});

test("it logs refused requests, and keeps no samples, because a form holds a card token", () => {
  const { LoggingFilter, RedactedFields } = only("AWS::WAFv2::LoggingConfiguration");
  assert.equal(LoggingFilter.DefaultBehavior, "DROP");
  assert.deepEqual(LoggingFilter.Filters, [{ Behavior: "KEEP", Requirement: "MEETS_ANY", Conditions: [{ ActionCondition: { Action: "BLOCK" } }] }]);
  assert.ok(RedactedFields.length > 0);
  const { Rules, VisibilityConfig } = only("AWS::WAFv2::WebACL");
  for (const { SampledRequestsEnabled } of [VisibilityConfig, ...Rules.map((rule: any) => rule.VisibilityConfig)]) {
    assert.equal(SampledRequestsEnabled, false);
  }
});
