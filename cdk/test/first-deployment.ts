import { join } from "node:path";
import { App, CfnResource } from "aws-cdk-lib";
import { stackName } from "../lib/names";
import { PaymentStack } from "../lib/payment-stack";
import { readSettings } from "../lib/settings/settings";

/*
 * The app, whose deployment fails once tables and secrets are made if FAILS is set. The runbook's tests deploy it to the
 * local AWS, where little else fails.
 */
const app = new App({ builtinCloudFormationValidation: false });
const context = app.node.getAllContext() as Record<string, unknown>;
const settings = readSettings({ context, directory: join(__dirname, ".."), gitBranch: () => undefined });
const stack = new PaymentStack(app, stackName(settings.branch), { settings });
if (process.env["FAILS"] !== undefined) {
  // No such log group.
  const failure = new CfnResource(stack, "Failure", { type: "AWS::Logs::LogStream", properties: { LogGroupName: "payment3-nothing" } });
  failure.node.addDependency(stack.node.findChild("Tables"), stack.node.findChild("Secrets"));
}
