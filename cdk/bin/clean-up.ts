import { App } from "aws-cdk-lib";
import { declareGoneBranch } from "../lib/clean-up/gone-branch";
import { ConfigurationError } from "../lib/settings/configuration-error";

// The template is empty and never deployed, so there is nothing to validate.
const app = new App({ builtinCloudFormationValidation: false });
try {
  declareGoneBranch(app, app.node.getAllContext() as Record<string, unknown>);
} catch (error) {
  if (!(error instanceof ConfigurationError)) {
    throw error;
  }
  console.error(error.message);
  process.exit(1);
}
