// What the bank's pages share. Text is always text: nothing that comes from outside becomes markup.

/** An element with attributes and children; attributes that are null or false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const TONES = {
  "Pre-Authorized": "wait",
  Authorized: "good",
  Settled: "good",
  Declined: "bad",
  Voided: "warn",
  "Refund Sent": "warn",
};

/** A charge's state: a word with a colour, never a colour alone. */
export function state(word) {
  return h("span", { class: `pill ${TONES[word] ?? "plain"}`, "data-state": word }, word);
}

/** An amount, a number or a text, as `1,500.00 THB`. */
export function baht(amount) {
  const [whole, satang = ""] = String(amount).split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}.${satang.padEnd(2, "0")} THB`;
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A time in the reader's own zone: RFC 3339, or the gateway's 17 digits of Bangkok's. */
export function time(text) {
  const [, year, month, day, hour, minute, second, millis] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})$/.exec(text) ?? [];
  const date = new Date(year ? `${year}-${month}-${day}T${hour}:${minute}:${second}.${millis}+07:00` : text);
  return h("time", { datetime: date.toISOString() }, moment.format(date));
}

/**
 * A table that becomes a list of cards where the page is narrow; the roles outlive that. Where it does not fit a wide page, it scrolls
 * in its own box, by keyboard, too.
 */
export function table(caption, columns, rows) {
  const element = h("table", { role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" },
      h("tr", { role: "row" }, columns.map((column) => h("th", { scope: "col", role: "columnheader" }, column)))),
    h("tbody", { role: "rowgroup" }, rows.map((cells) =>
      h("tr", { role: "row" }, cells.map((cell, at) =>
        h("td", { role: "cell", "data-label": columns[at] }, h("div", {}, cell)))))));
  return h("div", { id: `table-${caption.toLowerCase()}`, class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, element);
}

/** GET or POST, as JSON; an error carries the bank's own sentence. */
export async function ask(url, options = {}) {
  const response = await fetch(url, options);
  const text = await response.text();
  const body = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(body?.message ?? `The bank answered ${response.status}.`);
  return body;
}

let busy = false;

/** Does something at the bank, one thing at a time, and says how it went. Returns the answer, or nothing if it was refused. */
export async function act(what, url, body, outcome, method = "POST") {
  if (busy) return undefined;
  busy = true;
  say("problem", "");
  say("note", `${what} …`);
  try {
    const answer = await ask(url, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) });
    say("note", `${what}: ${outcome(answer)}`);
    return answer;
  } catch (error) {
    say("note", "");
    say("problem", error.message);
    return undefined;
  } finally {
    busy = false;
  }
}

/** Tells a person something. */
export function say(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

let shown;

/** Shows what `content` makes of the data, unless it was the same before; the focus stays on the element with the same id. */
export function show(data, content) {
  const key = JSON.stringify(data);
  if (key === shown) return;
  shown = key;
  const focused = document.activeElement?.id;
  document.getElementById("content").replaceChildren(...[content(data)].flat().filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}

/** Asks for `url` again and again, and shows what comes. */
export async function follow(url, content) {
  for (;;) {
    try {
      show(await ask(url), content);
      if (document.getElementById("problem").dataset.from === "follow") say("problem", "");
    } catch (error) {
      document.getElementById("problem").dataset.from = "follow";
      say("problem", error instanceof TypeError ? "The bank does not answer. Is `cargo local up` still running?" : error.message);
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
}
