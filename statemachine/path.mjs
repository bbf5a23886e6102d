// Paths through a definition, for docs/scale.mjs and the browser tests. In Rust: `payment3_model::path`.

/**
 * The states from start to end. `decisions` are in the order of the path. Each is the comment of a choice's rule,
 * or an error that a task catches. Without a decision, a choice takes its default, and a task goes to its next state.
 */
export function pathOf(definition, decisions) {
  const remaining = [...decisions];
  const path = [];
  const reached = new Set();
  for (let name = definition.StartAt; name !== undefined; ) {
    // A loop is left by a decision.
    const here = `${name} ${remaining.length}`;
    if (reached.has(here)) {
      throw new Error(`the path reaches ${name} again and again`);
    }
    reached.add(here);
    path.push(name);
    const { Next, Default, Choices = [], Catch = [] } = definition.States[name];
    const turn = Choices.find(({ Comment }) => Comment === remaining[0]) ?? Catch.find(({ ErrorEquals }) => ErrorEquals.includes(remaining[0]));
    if (turn !== undefined) {
      remaining.shift();
    }
    name = turn?.Next ?? Next ?? Default;
  }
  if (remaining.length > 0) {
    throw new Error(`"${remaining[0]}" is not met on the path ${path.join(" → ")}`);
  }
  return path;
}
