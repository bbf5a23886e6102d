import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";

/** Lets a function write to its own log group only. The stack makes the group, so the function need not create it. */
export function writeLogs(logGroup: ILogGroup): PolicyStatement {
  return new PolicyStatement({
    sid: "WriteOwnLogs",
    actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
    // The ARN attribute of a log group ends in ":*", which covers its streams.
    resources: [logGroup.logGroupArn],
  });
}

/** Lets a role send traces. X-Ray has no resource types for these actions, so the resource must be "*". */
export function sendTraces(): PolicyStatement {
  return new PolicyStatement({
    sid: "SendTraces",
    actions: ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
    resources: ["*"],
  });
}

/** Lets a state machine ask which executions to trace. X-Ray has no resource types for these actions either. */
export function readSamplingRules(): PolicyStatement {
  return new PolicyStatement({
    sid: "ReadSamplingRules",
    actions: ["xray:GetSamplingRules", "xray:GetSamplingTargets"],
    resources: ["*"],
  });
}

/**
 * Lets Step Functions set up the delivery of its logs. CloudWatch Logs has no resource types for these actions, so the
 * resource must be "*".
 */
export function deliverLogs(): PolicyStatement {
  return new PolicyStatement({
    sid: "DeliverLogs",
    actions: [
      "logs:CreateLogDelivery",
      "logs:GetLogDelivery",
      "logs:UpdateLogDelivery",
      "logs:DeleteLogDelivery",
      "logs:ListLogDeliveries",
      "logs:PutResourcePolicy",
      "logs:DescribeResourcePolicies",
      "logs:DescribeLogGroups",
    ],
    resources: ["*"],
  });
}
