import { spawnSync } from "node:child_process";
import { MONEY_IS_REAL, resourceName, stackName } from "../names";
import { reconcileRules } from "../schedule";
import type { Branch } from "../settings/branch";
import { ConfigurationError } from "../settings/configuration-error";
import type { GoneBranch } from "./gone-branch";

/** Calls AWS with the arguments of its command line. Undefined if what is asked for does not exist. */
export type Aws = (...call: readonly string[]) => any;

/** How AWS says that a stack, a state machine, a rule or an execution does not exist. */
const MISSING = /does not exist|DoesNotExist|ResourceNotFoundException/;

/** How often it looks for executions that have begun meanwhile. */
const ROUNDS = 10;

/** The AWS command line, with the credentials of whoever calls. */
export function awsCli(region: string | undefined): Aws {
  return (...call) => {
    const place = region === undefined ? [] : ["--region", region];
    const { error, status, stdout, stderr } = spawnSync("aws", [...call, "--output", "json", ...place], { encoding: "utf8", maxBuffer: 2 ** 28 });
    if (error !== undefined) {
      throw new ConfigurationError(`the AWS command line is needed, and could not be run: ${error.message}`);
    }
    if (status === 0) {
      return stdout.trim() === "" ? {} : JSON.parse(stdout);
    }
    if (MISSING.test(stderr)) {
      return undefined;
    }
    throw new ConfigurationError(`aws ${call.slice(0, 2).join(" ")} failed:\n${stderr.trim()}`);
  };
}

/**
 * Stops all running executions of a branch whose money is not real, and says what it did. Where money is real, it stops
 * nothing and throws a {@link ConfigurationError} while anything runs: deleting the stack would end it halfway.
 */
export function stopExecutions({ branch, account }: GoneBranch, aws: Aws): string {
  const name = stackName(branch);
  const stack = aws("cloudformation", "describe-stacks", "--stack-name", name)?.Stacks[0];
  if (stack === undefined) {
    return `${name}: there is no such stack, so nothing runs`;
  }
  const found = stack.StackId.split(":")[4];
  if (account !== undefined && account !== found) {
    throw new ConfigurationError(`${name} was found in account ${found}, not in ${account}: use the credentials of ${account}`);
  }
  const outputs: Record<string, string> = Object.fromEntries((stack.Outputs ?? []).map((output: any) => [output.OutputKey, output.OutputValue]));
  const machines = [outputs["StateMachineArn"], outputs["RefundStateMachineArn"]].filter((arn) => arn !== undefined);
  const open = openRecords(branch, aws);
  // A stack from before this output existed says nothing. So its money counts as real. So does what master began and this
  // branch has taken over, whatever its settings have become since.
  if (outputs[MONEY_IS_REAL] !== "no" || open.some(({ origin }) => origin?.S === "borrowed")) {
    const waiting = running(machines, aws).length;
    if (waiting > 0 || open.length > 0) {
      throw new ConfigurationError(
        `${name} works with real money: ${waiting} of its executions are running, and ${open.length} of its payments are open. ` +
          "Nothing was stopped. Delete the stack when they have ended (docs/deploy.md, Delete a branch)",
      );
    }
    return `${name}: nothing runs, and no payment is open`;
  }
  // Reconciliation would start stopped payments again.
  for (const rule of reconcileRules(branch)) {
    aws("events", "disable-rule", "--name", rule);
  }
  const stopped = new Set<string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const left = running(machines, aws);
    if (left.length === 0) {
      return `${name}: ${stopped.size} executions were stopped`;
    }
    for (const execution of left) {
      // Without a cause: to write one, a caller needs the key that encrypts the history (API reference, StopExecution).
      aws("stepfunctions", "stop-execution", "--execution-arn", execution);
      stopped.add(execution);
    }
  }
  throw new ConfigurationError(`${name}: ${stopped.size} executions were stopped, and others begin: stop what starts them, then run this again`);
}

/** The open records of a branch: payments that may still become something, such as one that waits for 3-D Secure. */
function openRecords(branch: Branch, aws: Aws): readonly any[] {
  const table = resourceName("card-payment-record", branch);
  return aws("dynamodb", "scan", "--table-name", table, "--index-name", "open_index", "--projection-expression", "origin")?.Items ?? [];
}

function running(machines: readonly string[], aws: Aws): string[] {
  return machines.flatMap((machine) => {
    const answer = aws("stepfunctions", "list-executions", "--state-machine-arn", machine, "--status-filter", "RUNNING");
    return (answer?.executions ?? []).map(({ executionArn }: any) => executionArn as string);
  });
}
