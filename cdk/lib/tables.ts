import { type Attribute, AttributeType, BillingMode, Table } from "aws-cdk-lib/aws-dynamodb";
import { Construct } from "constructs";
import type { Branch } from "./branch";
import { lifecycleOf } from "./lifecycle";
import { TABLES, type TableName, constructId, resourceName } from "./names";

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

/** The tables of a branch, all on demand. */
export class Tables extends Construct {
  private readonly byName: ReadonlyMap<TableName, Table>;

  constructor(scope: Construct, id: string, branch: Branch) {
    super(scope, id);
    this.byName = new Map(TABLES.map((name) => [name, this.declare(name, branch)]));
  }

  /** The table of the given name. */
  get(name: TableName): Table {
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
    for (const [indexName, indexKeys] of Object.entries(indexes)) {
      table.addGlobalSecondaryIndex({ indexName, ...indexKeys });
    }
    return table;
  }
}
