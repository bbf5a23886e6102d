import type { FunctionName, TableName } from "./names";

/** Actions on a table's items. A transaction needs those of the writes in it. */
export type ItemAction = "GetItem" | "PutItem" | "UpdateItem";

/** What a function may do with one table. */
export interface TableAccess {
  /** Actions on items. */
  readonly items: readonly ItemAction[];
  /** The indexes it queries. */
  readonly queries?: readonly string[];
}

/** A setting that reaches a function as an environment variable. */
export type SettingVariable = "MERCHANT_IDS" | "CALLBACK_BASES" | "DEFAULT_CALLBACK_BASE" | "BANK_REDIRECT_ORIGINS";

/** What a function is for and all that it needs: its role and its environment follow from this. */
export interface FunctionSpec {
  /** One line for the console. */
  readonly description: string;
  /** The tables it uses; none when absent. */
  readonly tables?: Readonly<Partial<Record<TableName, TableAccess>>>;
  /** What it does with master's payment records, from a branch that is not master: claims them, and says what became of them. */
  readonly masterRecords?: TableAccess;
  /** Whether it starts executions of the state machine. */
  readonly startsExecutions?: true;
  /** Whether it looks at how executions of the state machine stand. */
  readonly looksAtExecutions?: true;
  /** Whether its runs are left out of X-Ray: they are not caused by a request or a payment. */
  readonly untraced?: true;
  /** Whether it calls the bank, and so reads the gateway secret; what the bank signed is verified with it, too. */
  readonly callsBank?: true;
  /** Whether it believes the bank that there is no charge with a reference, where the deployment says that it may. */
  readonly believesReferences?: true;
  /** Whether it calls the shop, and so reads the webhook secret. */
  readonly callsShop?: true;
  /** The settings it reads; none when absent. */
  readonly settings?: readonly SettingVariable[];
}

/** Every function of the system. */
export const FUNCTION_CATALOGUE: Readonly<Record<FunctionName, FunctionSpec>> = {
  cardtoken: {
    description: "Checkout: checks the order, stores the record, creates the charge, sends the browser to 3DS",
    tables: {
      order: { items: ["GetItem"] },
      "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"] },
      "check-status": { items: ["GetItem", "UpdateItem"] },
    },
    startsExecutions: true,
    callsBank: true,
    settings: ["MERCHANT_IDS", "CALLBACK_BASES", "DEFAULT_CALLBACK_BASE", "BANK_REDIRECT_ORIGINS"],
  },
  callback: {
    description: "3DS done, or the bank's notification: starts the charge's execution, within bounds",
    tables: {
      "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"], queries: ["chargeId_index", "orderId_index"] },
      "check-status": { items: ["GetItem"] },
      order: { items: ["GetItem"] },
    },
    masterRecords: { items: [], queries: ["chargeId_index"] },
    startsExecutions: true,
    callsBank: true,
    settings: ["CALLBACK_BASES", "DEFAULT_CALLBACK_BASE"],
  },
  "parse-callback": {
    description: "Raw callback to charge id, claimed status and source",
  },
  "lookup-record": {
    description: "Charge id to the stored payment record",
    tables: { "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"], queries: ["chargeId_index"] }, order: { items: ["GetItem"] } },
    masterRecords: { items: [], queries: ["chargeId_index"] },
  },
  "inquire-charge": {
    description: "Asks the bank what became of the charge",
    callsBank: true,
  },
  "record-outcome": {
    description: "Writes the bank's answer: record, notify row and check status in one transaction",
    tables: {
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      "credit-card-notify": { items: ["UpdateItem"] },
      "check-status": { items: ["UpdateItem"] },
    },
    masterRecords: { items: ["UpdateItem"] },
  },
  "pay-order": {
    description: "Marks the order paid: order, record and check status in one transaction",
    tables: {
      order: { items: ["GetItem", "UpdateItem"] },
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      "check-status": { items: ["UpdateItem"] },
    },
  },
  notify: {
    description: "Sends a signed event to the shop",
    callsShop: true,
  },
  "ensure-kbank-user": {
    description: "The owner's customer at the bank: found, or created with the card",
    tables: {
      "kbank-user-mapping": { items: ["GetItem", "UpdateItem"] },
      "card-payment-record": { items: ["GetItem"] },
      order: { items: ["GetItem"] },
    },
    callsBank: true,
  },
  "add-card": {
    description: "Adds the card to the existing customer at the bank",
    tables: { "card-payment-record": { items: ["GetItem", "UpdateItem"] } },
    callsBank: true,
  },
  "reverse-charge": {
    description: "Gives the money of a charge back: voids it, or refunds it once settled",
    tables: { "card-payment-record": { items: ["UpdateItem"] }, "check-status": { items: ["UpdateItem"] } },
    callsBank: true,
  },
  reconcile: {
    description: "Every minute, for each shard: comes back to every open payment that is due",
    tables: { "card-payment-record": { items: ["UpdateItem"], queries: ["open_index"] }, "check-status": { items: ["UpdateItem"] } },
    startsExecutions: true,
    looksAtExecutions: true,
    untraced: true,
    callsBank: true,
    believesReferences: true,
  },
  "check-status": {
    description: "What an app may show for an order now",
    tables: { "check-status": { items: ["GetItem"] } },
    settings: ["DEFAULT_CALLBACK_BASE"],
  },
};
