import { type App, Stack } from "aws-cdk-lib";
import { branchOf } from "./branch";
import { ConfigurationError } from "./configuration-error";
import { ContextReader } from "./context";
import { stackName } from "./names";
import { CONTEXT } from "./settings";

/**
 * Declares the stack of a branch that is gone by its name alone: enough to delete it, where neither the branch's code nor its functions are at hand any
 * more. Its name is made as a deployment makes it. Throws a {@link ConfigurationError} for master, and where no branch is named: what is deleted must
 * never be a guess.
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
