import { Aws } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";

/**
 * Lets a state machine encrypt its definition and its executions' histories with a key that the account owns, and encrypt what it logs for delivery. For
 * this state machine and for logs of this account alone: the encryption context says which.
 */
export function useExecutionKey(keyArn: string, stateMachineName: string): PolicyStatement[] {
  const context = (name: string, arn: string): Record<string, Record<string, string>> => ({
    StringEquals: { [`kms:EncryptionContext:${name}`]: `arn:${Aws.PARTITION}:${arn}` },
  });
  return [
    new PolicyStatement({
      sid: "EncryptExecutions",
      actions: ["kms:Decrypt", "kms:GenerateDataKey"],
      resources: [keyArn],
      conditions: context("aws:states:stateMachineArn", `states:${Aws.REGION}:${Aws.ACCOUNT_ID}:stateMachine:${stateMachineName}`),
    }),
    new PolicyStatement({
      sid: "EncryptLogs",
      actions: ["kms:GenerateDataKey"],
      resources: [keyArn],
      // A fixed text, not a pattern: this is what log delivery calls its source.
      conditions: context("SourceArn", `logs:${Aws.REGION}:${Aws.ACCOUNT_ID}:*`),
    }),
  ];
}
