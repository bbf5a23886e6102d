import { Aws } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Branch } from "./branch";
import { FUNCTION_CATALOGUE, type FunctionName, type FunctionSpec, type TableAccess } from "./function-catalogue";
import { type Wiring, requireStateMachine } from "./function-environment";
import { constructId, resourceName, type TableName } from "./names";

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
  if (spec.startsExecutions) {
    statements.push(
      new PolicyStatement({ sid: "StartExecutions", actions: ["states:StartExecution"], resources: [requireStateMachine(name, wiring)] }),
    );
  }
  if (spec.looksAtExecutions) {
    statements.push(new PolicyStatement({ sid: "LookAtExecutions", actions: ["states:DescribeExecution"], resources: [executionsArn(wiring.settings.branch)] }));
  }
  if (spec.callsBank) {
    statements.push(readSecret("ReadGatewaySecret", wiring.secrets.gatewayArn));
  }
  if (spec.callsShop) {
    statements.push(readSecret("ReadShopWebhookSecret", wiring.secrets.shopWebhookArn));
  }
  return statements;
}

/** The ARN of every execution of a branch's state machine. By default in the stack's own account and region. */
export function executionsArn(branch: Branch, partition = Aws.PARTITION, region = Aws.REGION, account = Aws.ACCOUNT_ID): `arn:${string}:execution:${string}:*` {
  return `arn:${partition}:states:${region}:${account}:execution:${resourceName("payment", branch)}:*`;
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
