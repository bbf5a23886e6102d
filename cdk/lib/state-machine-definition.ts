import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError } from "./configuration-error";

/** The definition that is deployed and tested. */
export const DEFINITION_FILE = join(__dirname, "..", "..", "statemachine", "payment.asl.json");

/** The text of the definition, unchanged. */
export function readDefinition(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    JSON.parse(text);
    return text;
  } catch (error) {
    throw new ConfigurationError(`${file} is not a readable JSON file: ${error instanceof Error ? error.message : String(error)}`);
  }
}
