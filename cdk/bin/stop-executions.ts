/*
 * Stops what a deleted branch still executes, so that its stack can be deleted: AWS deletes a state machine only when
 * all of its executions have ended, and a refund may wait for weeks (API reference of Step Functions, DeleteStateMachine;
 * re:Post, "state machine stuck in the DELETING status"). Takes the same -c key=value as the CDK.
 */
import { parseArgs } from "node:util";
import { readGoneBranch } from "../lib/clean-up/gone-branch";
import { awsCli, stopExecutions } from "../lib/clean-up/stop-executions";
import { ConfigurationError } from "../lib/settings/configuration-error";

try {
  const { values } = parseArgs({ options: { context: { type: "string", short: "c", multiple: true } } });
  const pairs = (values.context ?? []).map((pair) => [pair.split("=", 1)[0], pair.slice(pair.indexOf("=") + 1)]);
  const gone = readGoneBranch(Object.fromEntries(pairs));
  console.log(stopExecutions(gone, awsCli(gone.region)));
} catch (error) {
  if (!(error instanceof ConfigurationError)) {
    throw error;
  }
  console.error(error.message);
  process.exit(1);
}
