import { type Attribute, AttributeType, BillingMode, type ITable, Table } from "aws-cdk-lib/aws-dynamodb";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import { TABLES, type TableName, constructId, resourceName } from "./names";
import type { Branch } from "./settings/branch";
import { lifecycleOf } from "./settings/lifecycle";

/** A table's name and ARN: all that the rest of the stack needs. */
export type NamedTable = Pick<ITable, "tableName" | "tableArn">;

/** The key attributes of a table or an index. */
interface Keys {
  readonly partitionKey: Attribute;
  readonly sortKey?: Attribute;
}

/** The keys of a table and of its indexes. Each index holds all attributes. */
interface TableKeys extends Keys {
  readonly indexes?: Readonly<Record<string, Keys>>;
}

const text = (name: string): Attribute => ({ name, type: AttributeType.STRING });
const number = (name: string): Attribute => ({ name, type: AttributeType.NUMBER });

const KEYS: Readonly<Record<TableName, TableKeys>> = {
  "card-payment-record": {
    partitionKey: text("tokenId"),
    indexes: {
      chargeId_index: { partitionKey: text("chargeId") },
      orderId_index: { partitionKey: text("orderId") },
      // Sparse: only open records have these attributes. Sharded, so that reading all of them makes no key hot.
      open_index: { partitionKey: number("openShard"), sortKey: number("lookAgainAt") },
    },
  },
  "credit-card-notify": { partitionKey: text("chargeId"), sortKey: text("outcome") },
  "kbank-user-mapping": { partitionKey: text("ownerId") },
  "check-status": { partitionKey: text("orderId") },
  order: { partitionKey: text("orderId") },
};

/** What the tables are made from. */
export interface TablesProps {
  /** The branch that the tables are named after, and whose lifecycle they have. */
  readonly branch: Branch;
  /** The name of an existing order table; undefined if one is made. */
  readonly orderTable: string | undefined;
}

/** The tables of a branch, on demand. An existing order table can be used; the stack neither changes nor deletes it. */
export class Tables extends Construct {
  private readonly byName: ReadonlyMap<TableName, NamedTable>;

  constructor(scope: Construct, id: string, { branch, orderTable }: TablesProps) {
    super(scope, id);
    this.byName = new Map<TableName, NamedTable>(
      TABLES.map((name) => [
        name,
        name === "order" && orderTable !== undefined ? Table.fromTableName(this, "ExistingOrder", orderTable) : this.declare(name, branch),
      ]),
    );
  }

  get(name: TableName): NamedTable {
    const table = this.byName.get(name);
    if (table === undefined) {
      throw new Error(`no table ${name} is declared`);
    }
    return table;
  }

  private declare(name: TableName, branch: Branch): Table {
    const { indexes = {}, ...keys } = KEYS[name];
    const lifecycle = lifecycleOf(branch);
    const table = new Table(this, constructId(name), {
      ...keys,
      tableName: resourceName(name, branch),
      billingMode: BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: lifecycle.protected },
      deletionProtection: lifecycle.protected,
      removalPolicy: lifecycle.data,
    });
    if (!lifecycle.protected) {
      acknowledge(table, "AwsSolutions-DDB3", "Only production keeps its data. The tables of this branch are deleted with its stack.");
    }
    for (const [indexName, indexKeys] of Object.entries(indexes)) {
      table.addGlobalSecondaryIndex({ indexName, ...indexKeys });
    }
    return table;
  }
}
