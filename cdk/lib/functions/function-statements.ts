import { Aws } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IConstruct } from "constructs";
import { acknowledge } from "../acknowledge";
import { readExecutionsWithKey } from "../execution-key";
import { constructId, type MachineName, resourceName, type TableName } from "../names";
import type { Branch } from "../settings/branch";
import { FUNCTION_CATALOGUE, type FunctionName, type FunctionSpec, type TableAccess } from "./function-catalogue";
import { type Wiring, requireStateMachine } from "./function-environment";

/** What a function's role allows, apart from logs and traces: only what its entry in the catalogue needs. */
export function functionStatements(name: FunctionName, wiring: Wiring): PolicyStatement[] {
  const spec: FunctionSpec = FUNCTION_CATALOGUE[name];
  const statements = (Object.entries(spec.tables ?? {}) as [TableName, TableAccess][]).flatMap(([table, access]) =>
    accessStatements(constructId(table), wiring.tables.get(table).tableArn, access),
  );
  if (spec.masterRecords && wiring.settings.borrowsMasterRecords) {
    const arn = `arn:${Aws.PARTITION}:dynamodb:${Aws.REGION}:${Aws.ACCOUNT_ID}:table/${resourceName("card-payment-record", wiring.settings.masterBranch)}`;
    statements.push(...accessStatements("MasterRecords", arn, spec.masterRecords));
  }
  if (spec.starts) {
    const resources = spec.starts.map((machine) => requireStateMachine(name, machine, wiring));
    statements.push(new PolicyStatement({ sid: "StartExecutions", actions: ["states:StartExecution"], resources }));
  }
  if (spec.looksAt) {
    const { branch, executionKeyArn } = wiring.settings;
    statements.push(new PolicyStatement({ sid: "LookAtExecutions", actions: ["states:DescribeExecution"], resources: [executionsArn(spec.looksAt, branch)] }));
    if (executionKeyArn !== undefined) {
      statements.push(readExecutionsWithKey(executionKeyArn, resourceName(spec.looksAt, branch)));
    }
  }
  if (spec.callsBank) {
    statements.push(readSecret("ReadGatewaySecret", wiring.secrets.gatewayArn));
  }
  if (spec.callsShop) {
    statements.push(readSecret("ReadShopWebhookSecret", wiring.secrets.shopWebhookArn));
  }
  return statements;
}

/** The ARN of every execution of a branch's state machine, in the stack's own account and region. */
export function executionsArn(machine: MachineName, branch: Branch): string {
  return executionsPattern(machine, branch, Aws.PARTITION, Aws.REGION, Aws.ACCOUNT_ID);
}

/** Accepts that a policy names every execution of a state machine. */
export function acknowledgeExecutions(construct: IConstruct, machine: MachineName, branch: Branch, reason: string): void {
  const pattern = executionsPattern(machine, branch, "<AWS::Partition>", "<AWS::Region>", "<AWS::AccountId>");
  acknowledge(construct, `AwsSolutions-IAM5[Resource::${pattern}]`, reason);
}

function executionsPattern(machine: MachineName, branch: Branch, partition: string, region: string, account: string): `arn:${string}:execution:${string}:*` {
  return `arn:${partition}:states:${region}:${account}:execution:${resourceName(machine, branch)}:*`;
}

function accessStatements(sid: string, tableArn: string, access: TableAccess): PolicyStatement[] {
  const statements = [];
  if (access.items.length > 0) {
    statements.push(
      new PolicyStatement({
        sid: `${sid}Items`,
        actions: access.items.map((action) => `dynamodb:${action}`),
        resources: [tableArn],
      }),
    );
  }
  if (access.queries !== undefined) {
    statements.push(
      new PolicyStatement({
        sid: `${sid}Indexes`,
        actions: ["dynamodb:Query"],
        resources: access.queries.map((index) => `${tableArn}/index/${index}`),
      }),
    );
  }
  return statements;
}

function readSecret(sid: string, arn: string): PolicyStatement {
  return new PolicyStatement({ sid, actions: ["secretsmanager:GetSecretValue"], resources: [arn] });
}
