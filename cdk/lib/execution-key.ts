import { Aws } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";

/**
 * Lets a state machine encrypt its definition, its executions' histories and its logs with a key of the account. The
 * encryption context restricts this to the one state machine and to logs of this account. Both statements are those of
 * "Data at rest encryption in Step Functions" in AWS's developer guide. The key's own policy lets log delivery decrypt.
 */
export function useExecutionKey(keyArn: string, stateMachineName: string): PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: "EncryptExecutions",
      actions: ["kms:Decrypt", "kms:GenerateDataKey"],
      resources: [keyArn],
      conditions: ofStateMachine(stateMachineName),
    }),
    new PolicyStatement({
      sid: "EncryptLogs",
      actions: ["kms:GenerateDataKey"],
      resources: [keyArn],
      // Not a pattern: the "*" is part of the name that log delivery uses for its source.
      conditions: context("SourceArn", `logs:${Aws.REGION}:${Aws.ACCOUNT_ID}:*`),
    }),
  ];
}

/** Lets a caller read executions of a state machine, and of no other, which a key of the account encrypts. */
export function readExecutionsWithKey(keyArn: string, stateMachineName: string): PolicyStatement {
  return new PolicyStatement({
    sid: "DecryptExecutions",
    actions: ["kms:Decrypt"],
    resources: [keyArn],
    conditions: ofStateMachine(stateMachineName),
  });
}

function ofStateMachine(name: string): Record<string, Record<string, string>> {
  return context("aws:states:stateMachineArn", `states:${Aws.REGION}:${Aws.ACCOUNT_ID}:stateMachine:${name}`);
}

function context(name: string, arn: string): Record<string, Record<string, string>> {
  return { StringEquals: { [`kms:EncryptionContext:${name}`]: `arn:${Aws.PARTITION}:${arn}` } };
}
