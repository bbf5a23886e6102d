import { type Attribute, AttributeType, BillingMode, type ITable, Table } from "aws-cdk-lib/aws-dynamodb";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import type { Branch } from "./branch";
import { lifecycleOf } from "./lifecycle";
import { TABLES, type TableName, constructId, resourceName } from "./names";
import type { Settings } from "./settings";

/** What the rest of the stack needs to know of a table. */
export type NamedTable = Pick<ITable, "tableName" | "tableArn">;

/** The attributes by which items are found. */
interface Keys {
  readonly partitionKey: Attribute;
  readonly sortKey?: Attribute;
}

/** The keys of a table and of its indexes, each of which holds whole items. */
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
      // Sparse: only open records have these attributes. Sharded, so that a sweep of all open records heats no single key.
      open_index: { partitionKey: number("openShard"), sortKey: number("lookAgainAt") },
    },
  },
  "credit-card-notify": { partitionKey: text("chargeId"), sortKey: text("outcome") },
  "kbank-user-mapping": { partitionKey: text("ownerId") },
  "check-status": { partitionKey: text("orderId") },
  order: { partitionKey: text("orderId") },
};

/** The tables of a branch, all on demand. The order table may be one that exists already: it stays as it is, whatever becomes of the stack. */
export class Tables extends Construct {
  private readonly byName: ReadonlyMap<TableName, NamedTable>;

  constructor(scope: Construct, id: string, { branch, orderTable }: Settings) {
    super(scope, id);
    this.byName = new Map<TableName, NamedTable>(
      TABLES.map((name) => [
        name,
        name === "order" && orderTable !== undefined ? Table.fromTableName(this, "ExistingOrder", orderTable) : this.declare(name, branch),
      ]),
    );
  }

  /** The table of the given name. */
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
      acknowledge(table, "AwsSolutions-DDB3", "Only production keeps its data: this branch's tables go with its stack.");
    }
    for (const [indexName, indexKeys] of Object.entries(indexes)) {
      table.addGlobalSecondaryIndex({ indexName, ...indexKeys });
    }
    return table;
  }
}
