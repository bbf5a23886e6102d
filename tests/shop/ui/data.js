// Asks the site and the bank. Errors carry a sentence for the page to show.

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("There is no answer. Is `cargo local up` still running?");
  }
  const text = await response.text();
  let body;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    body = null;
  }
  if (!response.ok) {
    const error = new Error(body?.error ?? body?.message ?? (text || `The answer is ${response.status}.`));
    error.status = response.status;
    throw error;
  }
  return body;
}

/** GET, as JSON. */
export function get(url) {
  return ask(url, { headers: { accept: "application/json" } });
}

/** POST of JSON. */
export function post(url, body) {
  return ask(url, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
}

/**
 * Does `work` now and again `pause` milliseconds after each time, until it returns false. An error is shown in the
 * element `problem`, and gone once the work succeeds again.
 */
export async function repeat(pause, work) {
  const problem = document.getElementById("problem");
  for (;;) {
    let more = true;
    try {
      more = await work();
      if (problem.dataset.from === "repeat") {
        problem.textContent = "";
        delete problem.dataset.from;
      }
    } catch (error) {
      problem.textContent = error.message;
      problem.dataset.from = "repeat";
    }
    if (more === false) return;
    await new Promise((done) => setTimeout(done, pause));
  }
}
