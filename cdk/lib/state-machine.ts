import { Aws } from "aws-cdk-lib";
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import { CfnStateMachine, type IStateMachine, StateMachine as CdkStateMachine } from "aws-cdk-lib/aws-stepfunctions";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import { useExecutionKey } from "./execution-key";
import type { FunctionName } from "./functions/function-catalogue";
import type { PaymentFunction } from "./functions/payment-function";
import { deliverLogs, readSamplingRules, sendTraces } from "./functions/telemetry-statements";
import { type MachineName, resourceName } from "./names";
import type { Branch } from "./settings/branch";
import { lifecycleOf } from "./settings/lifecycle";
import { DEFINITIONS, placeholderOf } from "./state-machine-definition";
import type { NamedTable } from "./tables";

/** How long a data key encrypts histories. It is AWS's maximum, because each new key costs a call of KMS. */
const DATA_KEY_SECONDS = 900;

/** What a state machine is made from. */
export interface StateMachineProps {
  /** Which one it is: its definition, and the middle part of its name. */
  readonly machine: MachineName;
  /** The branch that it is named after, and whose lifecycle its log has. */
  readonly branch: Branch;
  /** ARN of the KMS key for its definition and the histories of its executions; undefined for a key that AWS owns. */
  readonly executionKeyArn: string | undefined;
  /** The table of payments' records, which it updates itself. */
  readonly records: NamedTable;
  /** The functions, at least those that it calls. */
  readonly activities: Readonly<Record<FunctionName, PaymentFunction>>;
  /** What its definition has placeholders for, apart from its functions and the table of records; none when absent. */
  readonly substitutions?: Readonly<Record<string, string>>;
}

/** A saga. A Standard workflow: an execution may take days, runs once per name, can be redriven. */
export class StateMachine extends Construct {
  /** ARN of the state machine. */
  readonly arn: string;
  /** The state machine as other constructs of the CDK take it, with the metrics of its executions. */
  readonly resource: IStateMachine;

  constructor(scope: Construct, id: string, { machine, branch, executionKeyArn, records, activities, substitutions }: StateMachineProps) {
    super(scope, id);
    const definition = DEFINITIONS[machine];
    const lifecycle = lifecycleOf(branch);
    const name = resourceName(machine, branch);
    // ARNs without a version: an execution that is redriven calls the function as it is then, with its repairs.
    const functionArns = definition.activities.map((name) => [placeholderOf(name), activities[name].lambda.functionArn] as const);

    const logGroup = new LogGroup(this, "Logs", {
      // Without this prefix, every state machine would add to the account's policy for log delivery, which has a limit.
      logGroupName: `/aws/vendedlogs/states/${name}`,
      retention: lifecycle.logRetention,
      removalPolicy: lifecycle.companions,
    });
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("states.amazonaws.com", {
        // Step Functions acts for many accounts. Only executions of this account may use the role.
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: `What executions of ${name} may do`,
      inlinePolicies: {
        Access: new PolicyDocument({
          statements: [
            new PolicyStatement({ sid: "CallActivities", actions: ["lambda:InvokeFunction"], resources: functionArns.map(([, arn]) => arn) }),
            new PolicyStatement({ sid: "UpdateRecords", actions: ["dynamodb:UpdateItem"], resources: [records.tableArn] }),
            sendTraces(),
            readSamplingRules(),
            deliverLogs(),
            ...(executionKeyArn === undefined ? [] : useExecutionKey(executionKeyArn, name)),
          ],
        }),
      },
    });
    acknowledge(role, "AwsSolutions-IAM5[Resource::*]", "Neither X-Ray nor the log delivery of CloudWatch Logs has resource types for these actions.");
    // CfnStateMachine takes the file's text unchanged. It needs no copy in a bucket and no more permissions.
    const stateMachine = new CfnStateMachine(this, "StateMachine", {
      stateMachineName: name,
      stateMachineType: "STANDARD",
      roleArn: role.roleArn,
      definitionString: definition.text,
      definitionSubstitutions: {
        ...Object.fromEntries(functionArns),
        CardPaymentRecordTable: records.tableName,
        ...substitutions,
      },
      ...(executionKeyArn === undefined
        ? {}
        : { encryptionConfiguration: { type: "CUSTOMER_MANAGED_KMS_KEY", kmsKeyId: executionKeyArn, kmsDataKeyReusePeriodSeconds: DATA_KEY_SECONDS } }),
      tracingConfiguration: { enabled: true },
      loggingConfiguration: {
        // Every step, because AWS deletes a history 90 days after its execution ends. No data: it is personal.
        level: "ALL",
        includeExecutionData: false,
        destinations: [{ cloudWatchLogsLogGroup: { logGroupArn: logGroup.logGroupArn } }],
      },
    });
    this.arn = stateMachine.attrArn;
    this.resource = CdkStateMachine.fromStateMachineArn(this, "Imported", this.arn);
  }
}
