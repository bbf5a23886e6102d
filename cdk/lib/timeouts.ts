import type { FunctionName } from "./names";

/*
 * Every time limit of the system, once. An inner limit ends before the one around it, so that the innermost one that knows what went wrong says so:
 *
 *   one HTTP call  <  its function  <  TimeoutSeconds of the function's states (in statemachine/payment.asl.json; a test compares them)
 *
 * Whoever waits for a function also waits for its start.
 */

/** Milliseconds that one call may take, connecting included. */
export const HTTP_TIMEOUT_MS = {
  /** The bank's gateway: no limit is documented, integrations wait 15 to 30 s. */
  bank: 15_000,
  /** The shop's webhook endpoint. */
  shop: 8_000,
  /** One AWS API call with its repeats; an attempt has half of it. */
  aws: 4_000,
} as const;

/** Milliseconds for which a service of AWS that is silent may hold up a new process before its first event, whose time runs then; the functions reckon the same. */
export const CONNECTING_MS = HTTP_TIMEOUT_MS.aws / 8;

/** Seconds after which an HTTP API gives up on its integration; AWS allows no more. */
export const HTTP_API_LIMIT_SECONDS = 30;

/** Seconds that one invocation of a function may take. */
export const FUNCTION_TIMEOUT_SECONDS: Readonly<Record<FunctionName, number>> = {
  cardtoken: 29,
  // The program gives the bank 5 s, where it asks at all, and that between reads and writes of the record.
  callback: 24,
  "parse-callback": 10,
  "lookup-record": 12,
  "inquire-charge": 25,
  "record-outcome": 12,
  "pay-order": 12,
  // Both versions of the signing key during a rotation, one after the other, and then the shop.
  notify: 18,
  "ensure-kbank-user": 25,
  "add-card": 25,
  // The decision is written down before the bank is called, and the reversal afterwards. In between, the program gives the bank 45 s in all: it asks, tells, and
  // asks again. A second request that the end of this time cuts off counts as one whose answer was lost.
  "reverse-charge": 55,
  "check-status": 10,
  // Ends before the next run of the same shard begins. It takes up records for a part of this time, and a record that takes too long is cut off
  // (activities/src/activity/reconcile), so that it comes to its end by itself.
  reconcile: 55,
};
