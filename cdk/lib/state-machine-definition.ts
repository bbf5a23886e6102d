import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FUNCTIONS, type FunctionName } from "./functions/function-catalogue";
import { constructId, MACHINES, type MachineName } from "./names";
import { ConfigurationError } from "./settings/configuration-error";

/** The definition of a state machine. */
export interface Definition {
  /** Its file, from the top directory. */
  readonly file: string;
  /** The file's text. It is deployed unchanged. */
  readonly text: string;
  /** The functions that it calls, each once, in order. */
  readonly activities: readonly FunctionName[];
}

/** The definitions of the state machines. */
export const DEFINITIONS = Object.fromEntries(MACHINES.map((machine) => [machine, read(machine)])) as Readonly<Record<MachineName, Definition>>;

/** The functions that the state machines call, each once. */
export const ACTIVITIES = [...new Set(MACHINES.flatMap((machine) => DEFINITIONS[machine].activities))];

/** The placeholder in a definition for a function's ARN: `RecordOutcomeFunction` for `record-outcome`. */
export function placeholderOf(name: FunctionName): string {
  return `${constructId(name)}Function`;
}

/** The functions whose placeholders are in a text, each once, in order. All must be in the catalogue. */
export function activitiesOf(text: string, file: string): readonly FunctionName[] {
  const asked = new Set([...text.matchAll(/\$\{(\w+Function)\}/g)].map(([, placeholder = ""]) => placeholder));
  return [...asked].map((placeholder) => {
    const found = FUNCTIONS.find((name) => placeholderOf(name) === placeholder);
    if (found === undefined) {
      throw new ConfigurationError(`${file} calls \${${placeholder}}, and cdk/lib/functions/function-catalogue.ts has no such function`);
    }
    return found;
  });
}

function read(machine: MachineName): Definition {
  const file = `statemachine/${machine}.asl.json`;
  const text = readFileSync(join(__dirname, "..", "..", file), "utf8");
  return { file, text, activities: activitiesOf(text, file) };
}
