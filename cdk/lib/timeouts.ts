/*
 * The time limits of calls. An inner limit ends before the one around it, so that the innermost one that knows what went wrong says so:
 *
 *   one HTTP call  <  its function (`timeoutSeconds` in lib/function-catalogue.ts)  <  TimeoutSeconds of the function's states (in statemachine/payment.asl.json; a test compares them)
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
