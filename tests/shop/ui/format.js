// Formats amounts, times and statuses.

/** `1500.00` as `1,500.00 THB`, without converting the text to a number. */
export function baht(amount) {
  if (amount === null || amount === undefined || amount === "") return "";
  const [whole, satang = ""] = String(amount).split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}.${satang.padEnd(2, "0")} THB`;
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A time in the reader's time zone and format, with seconds. */
export function time(text) {
  if (!text) return "";
  const element = document.createElement("time");
  element.dateTime = text;
  element.textContent = moment.format(new Date(text));
  return element;
}

/** A duration, from milliseconds. */
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "";
  if (milliseconds < 1000) return `${milliseconds} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  return `${minutes} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

/** The time between two texts. */
export function between(start, end) {
  return end ? duration(new Date(end) - new Date(start)) : "";
}

/** The outcomes of an execution. `meaning` says what the word does not. */
export const OUTCOMES = {
  running: { word: "Running", tone: "wait" },
  paid: { word: "Paid", tone: "good" },
  verified: { word: "Card verified", tone: "good" },
  declined: { word: "Declined", tone: "bad" },
  reversed: { word: "Money returned", tone: "warn" },
  returned: { word: "Returned at the bank", tone: "warn" },
  awaitingBank: { word: "Waiting for the bank", tone: "wait", meaning: "Reconciliation asks again." },
  handedOver: { word: "Handed over", tone: "plain", meaning: "Another attempt goes on." },
  alreadyProcessed: { word: "Done before", tone: "plain" },
  refunded: { word: "Refunded", tone: "good" },
  givenUp: { word: "Refund refused", tone: "bad", meaning: "The bank refuses it for good." },
  elsewhere: { word: "Refunded by hand", tone: "warn", meaning: "At the bank. The shop was told." },
  explained: { word: "Known already", tone: "plain", meaning: "A refund of the shop explains it." },
  failed: { word: "Failed", tone: "bad" },
};

/** What an execution is about. */
export const KINDS = { payment: "Payment", refund: "Refund", elsewhere: "Given back by hand" };

/** The states in which a refund waits. */
export const WAITS = {
  AwaitSettlement: "Waits until the charge is settled.",
  AwaitRetry: "Is tried again.",
  AwaitAnswer: "The answer is lost: the bank is asked soon.",
};

/** Where an entry of the ledger of refunds stands. */
export const ENTRY = {
  reserved: { word: "Reserved", tone: "wait", meaning: "Its amount is kept for it." },
  asked: { word: "Asked", tone: "wait", meaning: "The bank has not answered yet." },
  sent: { word: "Sent", tone: "good", meaning: "The bank has accepted it." },
  failed: { word: "Given up", tone: "bad", meaning: "The bank refuses it. The amount is free again." },
  uncertain: { word: "Uncertain", tone: "bad", meaning: "A person has to look at the bank." },
};

/** What happened to the card of a payment. */
export const SAVED = {
  saved: { word: "Saved", tone: "good" },
  refused: { word: "Refused by the bank", tone: "warn" },
  failed: { word: "Not saved within its time", tone: "warn" },
};

/** The status of an order, as apps are shown it. */
export const ORDER = {
  none: { word: "Not paid", tone: "plain" },
  pending: { word: "Pending", tone: "wait" },
  paid: { word: "Paid", tone: "good" },
  partlyRefunded: { word: "Partly refunded", tone: "warn" },
  refunded: { word: "Refunded", tone: "warn" },
  declined: { word: "Declined", tone: "bad" },
  reversed: { word: "Money returned", tone: "warn" },
};

/** How a visit of a state ended. */
export const COURSES = {
  done: { word: "Done", tone: "good" },
  retried: { word: "Done, retried", tone: "warn" },
  caught: { word: "Error handled", tone: "warn" },
  running: { word: "Running", tone: "wait" },
  failed: { word: "Failed here", tone: "bad" },
};

/** How a visit of a state of this kind ended. One that does nothing but wait does not run. */
export function courseOf(course, kind) {
  return course === "running" && kind === "Wait" ? { word: "Waiting", tone: "wait" } : named(COURSES, course);
}

/** An entry of one of these lists; an unknown word is shown as it is. */
export function named(list, word) {
  return list[word] ?? { word: String(word), tone: "plain" };
}

/** What a sandbox card does. */
export const CARDS = {
  approved: "Approved after 3-D Secure",
  declined: "Declined after 3-D Secure",
  approvedAtOnce: "Approved at once, without 3-D Secure",
  declinedAtOnce: "Declined at once, without 3-D Secure",
  slow: "Slow: approved some seconds after you are back",
  callbackLost: "Callback lost: approved, and nobody tells the shop",
};

/** A card number in groups of four. */
export function grouped(number) {
  return number.replace(/(.{4})(?=.)/g, "$1 ");
}

/** The message of an error's cause. A function's error is JSON with the message in it. */
export function explained(cause) {
  try {
    return JSON.parse(cause).errorMessage ?? cause;
  } catch {
    return cause;
  }
}

/** What an event says of money, in a line. */
export function eventText(body) {
  const { amount, left, refundId } = body?.data ?? {};
  if (!refundId) return baht(amount);
  const by = refundId.startsWith("elsewhere") ? "by hand at the bank" : `by ${refundId}`;
  return `${baht(amount) || "An unknown amount"} ${by}; ${baht(left)} left`;
}
