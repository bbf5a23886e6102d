import { type App, Stack } from "aws-cdk-lib";
import { stackName } from "../names";
import { type Branch, branchOf } from "../settings/branch";
import { ConfigurationError } from "../settings/configuration-error";
import { ContextReader } from "../settings/context";
import { accountProblem, regionProblem } from "../settings/formats";
import { CONTEXT, type Settings, environmentOf } from "../settings/settings";

/** A branch whose stack is to be deleted, and where that stack is. */
export interface GoneBranch extends Pick<Settings, "account" | "region"> {
  /** The branch. It is not production. */
  readonly branch: Branch;
}

/**
 * Reads which branch is to be deleted. The name is made as for a deployment. Throws a {@link ConfigurationError} for
 * master, and if no branch is given: what to delete is never guessed.
 */
export function readGoneBranch(context: Readonly<Record<string, unknown>>): GoneBranch {
  const given = new ContextReader(CONTEXT, context, {});
  const branch = branchOf(given.text("branch"), branchOf(given.text("masterBranch")));
  const gone = { branch, account: given.optional("account", accountProblem), region: given.optional("region", regionProblem) };
  if (given.problems.length > 0) {
    throw new ConfigurationError(given.problems.join("\n"));
  }
  if (branch.isMaster) {
    throw new ConfigurationError(`branch "${branch.name}" is production: its stack is not deleted from here. Give -c branch=<another>`);
  }
  return gone;
}

/** Declares the stack of a deleted branch. Its name is enough to delete it, without the branch's code and functions. */
export function declareGoneBranch(app: App, context: Readonly<Record<string, unknown>>): Stack {
  const { branch, ...place } = readGoneBranch(context);
  return new Stack(app, stackName(branch), { description: `Card payments, branch ${branch.name}: to be deleted`, env: environmentOf(place) });
}
