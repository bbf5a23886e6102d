// Makes and changes elements. Text is always set as text, so no input becomes markup.

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

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Puts text there, if it is not there already: a screen reader reads what changes. */
export function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

/** A status: a word with a colour, never a colour alone. `tone` is good, bad, warn, wait or plain. */
export function pill({ word, tone }) {
  return h("span", { class: `pill ${tone}` }, word);
}

/** Terms and what they are; entries without a value are left out. */
export function facts(entries) {
  return entries
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]);
}

/**
 * A table that becomes a list of cards where the page is narrow. Roles are written out because a table that is not laid
 * out as one loses them.
 */
export function table(caption, columns, rows) {
  return h("table", { role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" },
      h("tr", { role: "row" }, columns.map((column) => h("th", { scope: "col", role: "columnheader" }, column)))),
    h("tbody", { role: "rowgroup" }, rows.map(({ id, cells }) =>
      h("tr", { role: "row", id }, cells.map((cell, at) =>
        h("td", { role: "cell", "data-label": columns[at] }, h("div", {}, cell)))))));
}

/** The links between the pages of a list; those that lead nowhere are left out. */
export function pages(newest, older) {
  const link = (href, word) => (href ? h("a", { class: "button", href }, word) : null);
  return [link(newest, "Newest"), link(older, "Older")].filter(Boolean);
}

/** Data as indented JSON. */
export function json(value) {
  return h("pre", {}, JSON.stringify(value, null, 2));
}

/**
 * Shows `content` in the element, unless the same was shown before: what a person reads or has focused must not be
 * replaced for nothing. Where it must, the focus goes back to the element with the same id or address, and what was
 * open is open again.
 */
export function show(element, key, content) {
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const mark = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") && `[href="${CSS.escape(focused.getAttribute("href"))}"]`);
  const open = Array.from(element.querySelectorAll("details[open][id]"), ({ id }) => id);
  element.replaceChildren(...[content()].flat());
  for (const id of open) element.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  if (mark) element.querySelector(mark)?.focus();
}
