import type { Problem } from "./urls";

/** A setting that the person who deploys gives with `-c <key>=<value>`. */
export interface ContextKey {
  /** An example for the error message if the value is missing or wrong. */
  readonly example: string;
  /** The default value. */
  readonly fallback?: string;
}

/** Reads the settings of a context, and collects all mistakes so that they can be reported at once. */
export class ContextReader<Key extends string> {
  private readonly found: string[] = [];

  /** `fallbacks` are defaults that are known only at run time, unlike {@link ContextKey.fallback}. */
  constructor(
    private readonly keys: Readonly<Record<Key, ContextKey>>,
    private readonly context: Readonly<Record<string, unknown>>,
    private readonly fallbacks: { readonly [key in Key]?: string | undefined },
  ) {
    const known = Object.keys(keys);
    for (const key of Object.keys(context).filter((key) => isOurs(key) && !known.includes(key))) {
      this.found.push(`${key} is not a setting of this app: its settings are ${known.join(", ")}`);
    }
  }

  /** Every mistake so far, each as a sentence that ends with the flag to give. */
  get problems(): readonly string[] {
    return this.found;
  }

  /** Adds a mistake. */
  report(key: Key, problem: string, example = this.keys[key].example): void {
    this.found.push(`${key} ${problem}: give -c ${key}=${example}`);
  }

  /** A required text. After a mistake, which is reported, it is empty. */
  text(key: Key, problemOf: (text: string) => Problem = () => undefined): string {
    const value = this.optional(key, problemOf);
    if (value === undefined && !this.isGiven(key)) {
      this.report(key, "is missing");
    }
    return value ?? "";
  }

  /** An optional text. */
  optional(key: Key, problemOf: (text: string) => Problem): string | undefined {
    const value = this.raw(key);
    const problem = value === undefined ? undefined : problemOf(value);
    if (problem !== undefined) {
      this.report(key, `"${value}" ${problem}`);
    }
    return value;
  }

  /** One of a few words. */
  oneOf<Word extends string>(key: Key, words: readonly [Word, ...Word[]]): Word {
    const value = this.text(key);
    const word = words.find((candidate) => candidate === value);
    if (word === undefined && value !== "") {
      this.report(key, `"${value}" is unknown`, words.join("|"));
    }
    return word ?? words[0];
  }

  /** A comma-separated list of at least one entry, without duplicates. */
  list(key: Key, problemOf: (text: string) => Problem): string[] {
    const value = this.text(key);
    const entries = value === "" ? [] : value.split(",").map((entry) => entry.trim());
    for (const entry of entries) {
      const problem = entry === "" ? "is an empty entry" : problemOf(entry);
      if (problem !== undefined) {
        this.report(key, `"${entry}" ${problem}`);
      }
    }
    return [...new Set(entries)];
  }

  /** An optional whole number from 1 to `atMost`. */
  count(key: Key, atMost: number): number | undefined {
    const isCount = (text: string): boolean => /^[1-9][0-9]*$/.test(text) && Number(text) <= atMost;
    const value = this.optional(key, (text) => (isCount(text) ? undefined : `is not a whole number from 1 to ${atMost}`));
    return value === undefined ? undefined : Number(value);
  }

  private isGiven(key: Key): boolean {
    const value = this.given(key);
    return value !== undefined && value !== "";
  }

  private given(key: Key): unknown {
    return this.context[key] ?? this.fallbacks[key] ?? this.keys[key].fallback;
  }

  private raw(key: Key): string | undefined {
    const value = this.given(key);
    if (value === undefined || value === "") {
      return undefined;
    }
    if (typeof value !== "string") {
      this.report(key, "is not a text");
      return undefined;
    }
    return value.trim();
  }
}

/** Whether a key is meant for this app. Every key of the CDK itself has a character that is not a letter. */
function isOurs(key: string): boolean {
  return /^[A-Za-z]+$/.test(key);
}
