import { join } from "node:path";
import { App } from "aws-cdk-lib";
import { ConfigurationError } from "../lib/configuration-error";
import { currentGitBranch } from "../lib/git";
import { PaymentStack } from "../lib/payment-stack";
import { readSettings } from "../lib/settings";

const directory = join(__dirname, "..");
const app = new App();
try {
  const settings = readSettings({
    context: app.node.getAllContext() as Record<string, unknown>,
    directory,
    gitBranch: () => currentGitBranch(directory),
  });
  new PaymentStack(app, { settings });
} catch (error) {
  if (!(error instanceof ConfigurationError)) {
    throw error;
  }
  console.error(error.message);
  process.exit(1);
}
