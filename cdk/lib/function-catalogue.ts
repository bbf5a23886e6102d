import type { TableName } from "./names";

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
  /** Seconds that one run may take: more than each of its calls (lib/timeouts.ts), and less than `TimeoutSeconds` of each state that calls it. */
  readonly timeoutSeconds: number;
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

/** Every function of the system, by the middle part of its name, which is also the name of its program in activities/src/bin. */
export const FUNCTION_CATALOGUE = {
  cardtoken: {
    description: "Checkout: checks the order, stores the record, creates the charge, sends the browser to 3DS",
    timeoutSeconds: 29,
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
    // The program gives the bank 5 s, where it asks at all, and that between reads and writes of the record.
    timeoutSeconds: 24,
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
    timeoutSeconds: 10,
  },
  "lookup-record": {
    description: "Charge id to the stored payment record",
    timeoutSeconds: 12,
    tables: { "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"], queries: ["chargeId_index"] }, order: { items: ["GetItem"] } },
    masterRecords: { items: [], queries: ["chargeId_index"] },
  },
  "inquire-charge": {
    description: "Asks the bank what became of the charge",
    timeoutSeconds: 25,
    callsBank: true,
  },
  "record-outcome": {
    description: "Writes the bank's answer: record, notify row and check status in one transaction",
    timeoutSeconds: 12,
    tables: {
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      "credit-card-notify": { items: ["UpdateItem"] },
      "check-status": { items: ["UpdateItem"] },
    },
    masterRecords: { items: ["UpdateItem"] },
  },
  "pay-order": {
    description: "Marks the order paid: order, record and check status in one transaction",
    timeoutSeconds: 12,
    tables: {
      order: { items: ["GetItem", "UpdateItem"] },
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      "check-status": { items: ["UpdateItem"] },
    },
  },
  notify: {
    description: "Sends a signed event to the shop",
    // Both versions of the signing key during a rotation, one after the other, and then the shop.
    timeoutSeconds: 18,
    callsShop: true,
  },
  "ensure-kbank-user": {
    description: "The owner's customer at the bank: found, or created with the card",
    timeoutSeconds: 25,
    tables: {
      "kbank-user-mapping": { items: ["GetItem", "UpdateItem"] },
      "card-payment-record": { items: ["GetItem"] },
      order: { items: ["GetItem"] },
    },
    callsBank: true,
  },
  "add-card": {
    description: "Adds the card to the existing customer at the bank",
    timeoutSeconds: 25,
    tables: { "card-payment-record": { items: ["GetItem", "UpdateItem"] } },
    callsBank: true,
  },
  "reverse-charge": {
    description: "Gives the money of a charge back: voids it, or refunds it once settled",
    // The decision is written down before the bank is called, and the reversal afterwards. In between, the program gives the bank 45 s in all: it asks, tells, and
    // asks again. A second request that the end of this time cuts off counts as one whose answer was lost.
    timeoutSeconds: 55,
    tables: { "card-payment-record": { items: ["UpdateItem"] }, "check-status": { items: ["UpdateItem"] } },
    callsBank: true,
  },
  reconcile: {
    description: "Every minute, for each shard: comes back to every open payment that is due",
    // Ends before the next run of the same shard begins. It takes up records for a part of this time, and a record that takes too long is cut off
    // (activities/src/activity/reconcile), so that it comes to its end by itself.
    timeoutSeconds: 55,
    tables: { "card-payment-record": { items: ["UpdateItem"], queries: ["open_index"] }, "check-status": { items: ["UpdateItem"] } },
    startsExecutions: true,
    looksAtExecutions: true,
    untraced: true,
    callsBank: true,
    believesReferences: true,
  },
  "check-status": {
    description: "What an app may show for an order now",
    timeoutSeconds: 10,
    tables: { "check-status": { items: ["GetItem"] } },
    settings: ["DEFAULT_CALLBACK_BASE"],
  },
} as const satisfies Readonly<Record<string, FunctionSpec>>;
/** The middle part of a function's name. */
export type FunctionName = keyof typeof FUNCTION_CATALOGUE;
/** The middle parts of all functions' names. */
export const FUNCTIONS = Object.keys(FUNCTION_CATALOGUE) as readonly FunctionName[];
