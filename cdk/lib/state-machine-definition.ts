import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError } from "./configuration-error";
import { FUNCTIONS, type FunctionName } from "./function-catalogue";
import { constructId } from "./names";

/** The definition that is deployed and tested. */
export const DEFINITION_FILE = join(__dirname, "..", "..", "statemachine", "payment.asl.json");

/** Its text, which is deployed unchanged. */
export const DEFINITION = readFileSync(DEFINITION_FILE, "utf8");

/** The functions that the state machine calls: those of which the definition asks for the ARN. */
export const ACTIVITIES = activitiesOf(DEFINITION);

/** What stands in a definition for the ARN of a function: `RecordOutcomeFunction` for `record-outcome`. */
export function placeholderOf(name: FunctionName): string {
  return `${constructId(name)}Function`;
}

/** The functions that a definition asks for, each once and in its order. One that is not in the catalogue is an error. */
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
