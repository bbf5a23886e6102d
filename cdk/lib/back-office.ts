import { ManagedPolicy, PolicyDocument, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { readExecutionsWithKey } from "./execution-key";
import { acknowledgeExecutions, executionsArn } from "./functions/function-statements";
import { resourceName } from "./names";
import type { Branch } from "./settings/branch";

/** What the policy is made from. */
export interface BackOfficePolicyProps {
  /** The branch that the policy belongs to. */
  readonly branch: Branch;
  /** ARN of the state machine of refunds. */
  readonly refundMachineArn: string;
  /** ARN of the KMS key that encrypts the executions; undefined for a key that AWS owns. */
  readonly executionKeyArn: string | undefined;
}

/** What a back office may do: start a refund, and see how it goes. Attach it to the back office's role or user. */
export class BackOfficePolicy extends Construct {
  /** ARN of the policy. */
  readonly arn: string;

  constructor(scope: Construct, id: string, { branch, refundMachineArn, executionKeyArn }: BackOfficePolicyProps) {
    super(scope, id);
    const policy = new ManagedPolicy(this, "Policy", {
      managedPolicyName: resourceName("back-office", branch),
      description: `Lets a back office give back card payments of branch ${branch.name}, and look at its refunds`,
      document: new PolicyDocument({
        statements: [
          new PolicyStatement({ sid: "StartRefunds", actions: ["states:StartExecution"], resources: [refundMachineArn] }),
          new PolicyStatement({
            sid: "LookAtRefunds",
            actions: ["states:DescribeExecution", "states:GetExecutionHistory"],
            resources: [executionsArn("refund", branch)],
          }),
          ...(executionKeyArn === undefined ? [] : [readExecutionsWithKey(executionKeyArn, resourceName("refund", branch))]),
        ],
      }),
    });
    acknowledgeExecutions(policy, "refund", branch, "A back office looks at any refund of this branch. It names the executions itself, so their names are not known here.");
    this.arn = policy.managedPolicyArn;
  }
}
