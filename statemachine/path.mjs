// The ways through the definition, for what is written in JavaScript: docs/scale.mjs and the browser tests. In Rust it is `payment3_model::path`.

/**
 * The states from the start to an end. Each decision is the comment of a choice's branch or an error that a task catches, in the order in which they are met. A
 * choice for which none is given goes its default way, and a task goes on.
 */
export function pathOf(definition, decisions) {
  const ahead = [...decisions];
  const path = [];
  for (let name = definition.StartAt; name !== undefined; ) {
    if (path.includes(name)) {
      throw new Error(`statemachine/payment.asl.json: the way comes to ${name} again`);
    }
    path.push(name);
    const { Next, Default, Choices = [], Catch = [] } = definition.States[name];
    const turn = Choices.find(({ Comment }) => Comment === ahead[0]) ?? Catch.find(({ ErrorEquals }) => ErrorEquals.includes(ahead[0]));
    if (turn !== undefined) {
      ahead.shift();
    }
    name = turn?.Next ?? Next ?? Default;
  }
  if (ahead.length > 0) {
    throw new Error(`statemachine/payment.asl.json: "${ahead[0]}" is not met on the way ${path.join(" → ")}`);
  }
  return path;
}
