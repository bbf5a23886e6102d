import type { MachineName, TableName } from "../names";

/** Actions on a table's items. A transaction needs the action of each write in it. */
export type ItemAction = "GetItem" | "PutItem" | "UpdateItem" | "ConditionCheckItem";

/** What a function may do with one table. */
export interface TableAccess {
  readonly items: readonly ItemAction[];
  /** The indexes it queries. */
  readonly queries?: readonly string[];
}

/** A setting that a function gets as an environment variable. */
export type SettingVariable = "MERCHANT_IDS" | "CALLBACK_BASES" | "DEFAULT_CALLBACK_BASE" | "BANK_REDIRECT_ORIGINS";

/** What a function does and needs. Its role and its environment are made from this. */
export interface FunctionSpec {
  /** One line for the console. */
  readonly description: string;
  /**
   * The time limit of a run, in seconds. It is longer than that of each call (lib/functions/timeouts.ts), and shorter
   * than `TimeoutSeconds` of each state that calls the function.
   */
  readonly timeoutSeconds: number;
  /** The tables it uses; none when absent. */
  readonly tables?: Readonly<Partial<Record<TableName, TableAccess>>>;
  /** What it does with master's payment records from another branch: it claims them, and writes their outcome. */
  readonly masterRecords?: TableAccess;
  /** The state machines whose executions it starts; none when absent. */
  readonly starts?: readonly MachineName[];
  /** The state machine of whose executions it reads the status; none when absent. */
  readonly looksAt?: MachineName;
  /** Whether its runs are not traced by X-Ray, because no request or payment causes them. */
  readonly untraced?: true;
  /** Whether it needs the gateway secret: to call the bank, or to verify what the bank signed. */
  readonly callsBank?: true;
  /** Whether it may trust the bank's "no charge with this reference", if the deployment allows it. */
  readonly believesReferences?: true;
  /** Whether it needs the webhook secret, to call the shop. */
  readonly callsShop?: true;
  /** The settings it reads; none when absent. */
  readonly settings?: readonly SettingVariable[];
}

/** A refund's ledger: six calls to AWS at their time limits, one after the other. */
const LEDGER_SECONDS = 26;
/** The same, and one call to the bank. */
const ASKING_SECONDS = 42;

/** Every function, by the middle part of its name. Its program in activities/src/bin has the same name. */
export const FUNCTION_CATALOGUE = {
  cardtoken: {
    description: "Checkout: checks the order, stores the record, creates the charge, sends the browser to 3DS",
    timeoutSeconds: 29,
    tables: {
      order: { items: ["GetItem"] },
      "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"] },
      "check-status": { items: ["GetItem", "UpdateItem"] },
    },
    starts: ["payment"],
    callsBank: true,
    settings: ["MERCHANT_IDS", "CALLBACK_BASES", "DEFAULT_CALLBACK_BASE", "BANK_REDIRECT_ORIGINS"],
  },
  callback: {
    description: "Return from 3DS, or the bank's notification: starts the charge's execution, within limits",
    // If the program asks the bank, it waits 5 s at most. It reads and writes the record before and after.
    timeoutSeconds: 24,
    tables: {
      "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"], queries: ["chargeId_index", "orderId_index"] },
      "check-status": { items: ["GetItem"] },
      order: { items: ["GetItem"] },
    },
    masterRecords: { items: [], queries: ["chargeId_index"] },
    // A notification of money that went back by hand starts a refund's execution.
    starts: ["payment", "refund"],
    callsBank: true,
    settings: ["CALLBACK_BASES", "DEFAULT_CALLBACK_BASE"],
  },
  "parse-callback": {
    description: "Reads the charge id, the claimed status and the source from a callback",
    timeoutSeconds: 10,
  },
  "lookup-record": {
    description: "Finds the payment record of a charge",
    timeoutSeconds: 12,
    tables: { "card-payment-record": { items: ["GetItem", "PutItem", "UpdateItem"], queries: ["chargeId_index"] }, order: { items: ["GetItem"] } },
    masterRecords: { items: [], queries: ["chargeId_index"] },
  },
  "inquire-charge": {
    description: "Asks the bank for the state of the charge",
    timeoutSeconds: 25,
    callsBank: true,
  },
  "record-outcome": {
    description: "Writes the bank's answer: record, notify row and check status in one transaction",
    timeoutSeconds: 12,
    tables: {
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      "credit-card-notify": { items: ["UpdateItem"] },
      "check-status": { items: ["UpdateItem", "ConditionCheckItem"] },
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
    // During a rotation it reads both versions of the signing key, one after the other, and then calls the shop.
    timeoutSeconds: 18,
    callsShop: true,
  },
  "ensure-kbank-user": {
    description: "Finds the owner's customer at the bank, or creates one with the card",
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
    description: "Gives a charge's money back: voids it, or refunds it once settled",
    // It writes the decision, calls the bank, and writes the reversal. The bank has 45 s in all: for an inquiry, the
    // reversal and another inquiry. A request that the end of this time cuts off counts as one whose answer was lost.
    timeoutSeconds: 55,
    tables: { "card-payment-record": { items: ["UpdateItem"] }, "check-status": { items: ["UpdateItem", "ConditionCheckItem"] } },
    callsBank: true,
  },
  "check-refund": {
    description: "Checks the input of a refund, finds the payment that paid the order, and reserves the amount",
    timeoutSeconds: LEDGER_SECONDS,
    tables: {
      "check-status": { items: ["GetItem"] },
      "card-payment-record": { items: ["GetItem", "UpdateItem"], queries: ["chargeId_index", "orderId_index"] },
      order: { items: ["GetItem"] },
    },
  },
  "void-charge": {
    description: "Gives all of a charge back before it is settled: writes that it asks, then asks the bank once",
    timeoutSeconds: ASKING_SECONDS,
    tables: { "card-payment-record": { items: ["GetItem", "UpdateItem"] } },
    callsBank: true,
  },
  "refund-charge": {
    description: "Gives an amount of a settled charge back: writes that it asks, then asks the bank once",
    timeoutSeconds: ASKING_SECONDS,
    tables: { "card-payment-record": { items: ["GetItem", "UpdateItem"] } },
    callsBank: true,
  },
  "find-refund": {
    description: "Finds out by the bank's word whether a refund took effect whose answer was lost",
    timeoutSeconds: LEDGER_SECONDS,
    tables: { "card-payment-record": { items: ["GetItem", "UpdateItem"] } },
  },
  "record-refund": {
    description: "Writes an accepted refund: ledger, order and check status in one transaction",
    timeoutSeconds: LEDGER_SECONDS,
    tables: {
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      order: { items: ["GetItem", "UpdateItem"] },
      "check-status": { items: ["UpdateItem"] },
    },
  },
  "record-elsewhere": {
    description: "Writes money that was given back by hand: ledger, order and check status in one transaction",
    timeoutSeconds: LEDGER_SECONDS,
    tables: {
      "card-payment-record": { items: ["GetItem", "UpdateItem"] },
      order: { items: ["GetItem", "UpdateItem"] },
      "check-status": { items: ["UpdateItem"] },
    },
  },
  "report-stuck": {
    description: "Reports a refund that cannot go on by itself",
    timeoutSeconds: 10,
  },
  reconcile: {
    description: "Every minute, for each shard: re-checks every open payment that is due",
    // A run ends before the next run of its shard begins. It starts on records only for a part of this time, and gives
    // up on a record that takes too long (activities/src/activity/reconcile). So it ends before this limit.
    timeoutSeconds: 55,
    tables: {
      "card-payment-record": { items: ["UpdateItem"], queries: ["open_index"] },
      "check-status": { items: ["UpdateItem", "ConditionCheckItem"] },
    },
    starts: ["payment"],
    looksAt: "payment",
    untraced: true,
    callsBank: true,
    believesReferences: true,
  },
  "check-status": {
    description: "The status of an order, for apps",
    timeoutSeconds: 10,
    tables: { "check-status": { items: ["GetItem"] } },
    settings: ["DEFAULT_CALLBACK_BASE"],
  },
} as const satisfies Readonly<Record<string, FunctionSpec>>;

/** The middle part of a function's name. */
export type FunctionName = keyof typeof FUNCTION_CATALOGUE;

/** The middle parts of all functions' names. */
export const FUNCTIONS = Object.keys(FUNCTION_CATALOGUE) as readonly FunctionName[];
