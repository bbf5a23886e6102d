import { join } from "node:path";
import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { EdgeStack } from "../lib/edge-stack";
import { edgeStackName, stackName } from "../lib/names";
import { nodeProblem } from "../lib/node-version";
import { PaymentStack } from "../lib/payment-stack";
import { ConfigurationError } from "../lib/settings/configuration-error";
import { currentGitBranch } from "../lib/settings/git";
import { readSettings } from "../lib/settings/settings";

const problem = nodeProblem(process.versions.node, new Date().toISOString().slice(0, 10));
if (problem !== undefined) {
  // A warning of Node's own: NODE_NO_WARNINGS=1 silences it, with the others about this version.
  process.emitWarning(problem);
}
const directory = join(__dirname, "..");
const app = new App();
try {
  const settings = readSettings({
    context: app.node.getAllContext() as Record<string, unknown>,
    directory,
    gitBranch: () => currentGitBranch(directory),
  });
  const { branch, account, edge } = settings;
  new PaymentStack(app, stackName(branch), { settings });
  if (edge !== undefined) {
    new EdgeStack(app, edgeStackName(branch), { branch, account, edge });
  }
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
} catch (error) {
  if (!(error instanceof ConfigurationError)) {
    throw error;
  }
  console.error(error.message);
  process.exit(1);
}
