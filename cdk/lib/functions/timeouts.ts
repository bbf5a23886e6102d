/*
 * The time limits of calls. An inner limit ends before the outer one, so that the error comes from the part that knows
 * what went wrong. A test compares them:
 *
 *   one HTTP call
 *   < its function: `timeoutSeconds` in lib/functions/function-catalogue.ts
 *   < the function's states: `TimeoutSeconds` in the definitions in statemachine/
 *
 * The limit of a state must also include the function's start.
 */

/** The time limit of one call in milliseconds, including the connection. */
export const HTTP_TIMEOUT_MS = {
  /** The bank's gateway. It documents no limit; integrations wait 15 to 30 s. */
  bank: 15_000,
  /** The shop's webhook endpoint. */
  shop: 8_000,
  /** One AWS API call with its retries. One attempt may take half of it. */
  aws: 4_000,
} as const;

/**
 * How long an AWS service that does not answer can delay a new process before its first event, in milliseconds. The
 * time limit of that event is already running. The functions use the same value.
 */
export const CONNECTING_MS = HTTP_TIMEOUT_MS.aws / 8;

/** Seconds after which an HTTP API stops waiting for a function. This is AWS's maximum. */
export const HTTP_API_LIMIT_SECONDS = 30;
