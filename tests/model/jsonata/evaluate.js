// Fills in templates as Step Functions does. Each line of its input is {"clock", "template", "variables"}; each line of
// its output is {"value"} or {"error"}. Its argument is the time for $now() and $millis(), in milliseconds. The clock
// "later" is 60 days ahead.
"use strict";

const { createInterface } = require("node:readline");
const jsonata = require("jsonata");

const start = Number(process.argv[2]);
let now = start;
const functions = {
  now: () => new Date(now).toISOString(),
  millis: () => now,
  // Step Functions has no $eval.
  eval: () => {
    throw new Error("$eval is not there in Step Functions");
  },
};

async function evaluate(expression, variables) {
  const value = await jsonata(expression).evaluate(undefined, { ...functions, ...variables });
  if (value === undefined) {
    throw new Error("it gives nothing");
  }
  if (typeof value === "function" || value?._jsonata_lambda || value?._jsonata_function) {
    throw new Error("it gives a function");
  }
  return value;
}

async function fill(template, variables) {
  if (typeof template === "string") {
    const expression = template.match(/^\{%(.*)%\}$/s)?.[1].trim();
    if (expression === undefined) {
      return template;
    }
    try {
      return await evaluate(expression, variables);
    } catch (error) {
      throw new Error(`\`${expression}\` cannot be evaluated: ${error.message}`);
    }
  }
  if (Array.isArray(template)) {
    return Promise.all(template.map((item) => fill(item, variables)));
  }
  if (template !== null && typeof template === "object") {
    const members = Object.entries(template).map(async ([name, member]) => [name, await fill(member, variables)]);
    return Object.fromEntries(await Promise.all(members));
  }
  return template;
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    const { clock, template, variables } = JSON.parse(line);
    now = clock === "later" ? start + 60 * 24 * 3600 * 1000 : start;
    const answer = await fill(template, variables).then(
      (value) => ({ value }),
      (error) => ({ error: error.message }),
    );
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

main();
