import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError } from "./configuration-error";
import { FUNCTIONS, type FunctionName } from "./function-catalogue";
import { constructId } from "./names";

/** The file of the definition. */
export const DEFINITION_FILE = join(__dirname, "..", "..", "statemachine", "payment.asl.json");

/** The definition's text. It is deployed unchanged. */
export const DEFINITION = readFileSync(DEFINITION_FILE, "utf8");

/** The functions that the state machine calls. */
export const ACTIVITIES = activitiesOf(DEFINITION);

/** The placeholder in a definition for a function's ARN: `RecordOutcomeFunction` for `record-outcome`. */
export function placeholderOf(name: FunctionName): string {
  return `${constructId(name)}Function`;
}

/** The functions whose placeholders are in a definition, each once, in order. All must be in the catalogue. */
export function activitiesOf(definition: string): readonly FunctionName[] {
  const asked = new Set([...definition.matchAll(/\$\{(\w+Function)\}/g)].map(([, placeholder = ""]) => placeholder));
  return [...asked].map((placeholder) => {
    const found = FUNCTIONS.find((name) => placeholderOf(name) === placeholder);
    if (found === undefined) {
      throw new ConfigurationError(`statemachine/payment.asl.json calls \${${placeholder}}, and cdk/lib/function-catalogue.ts has no such function`);
    }
    return found;
  });
}
