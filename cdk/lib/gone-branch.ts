import { type App, Stack } from "aws-cdk-lib";
import { branchOf } from "./branch";
import { ConfigurationError } from "./configuration-error";
import { ContextReader } from "./context";
import { stackName } from "./names";
import { CONTEXT } from "./settings";

/**
 * Declares the stack of a deleted branch, by its name alone. That is enough to delete the stack, without the branch's
 * code and functions. The name is made as for a deployment. Throws a {@link ConfigurationError} for master, and if no
 * branch is given: what to delete is never guessed.
 */
export function declareGoneBranch(app: App, context: Readonly<Record<string, unknown>>): Stack {
  const given = new ContextReader(CONTEXT, context, {});
  const masterBranch = branchOf(given.text("masterBranch"));
  const branch = branchOf(given.text("branch"), masterBranch);
  if (given.problems.length > 0) {
    throw new ConfigurationError(given.problems.join("\n"));
  }
  if (branch.isMaster) {
    throw new ConfigurationError(`branch "${branch.name}" is production: its stack is not deleted from here. Give -c branch=<another>`);
  }
  return new Stack(app, stackName(branch), { description: `Card payments, branch ${branch.name}: to be deleted` });
}
