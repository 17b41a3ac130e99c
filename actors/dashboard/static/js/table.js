/** Tables updated in place, so that a selection survives. */

import { el, setAttribute, setText, show } from "./dom.js";

/** @typedef {string | {text: string, tone?: string, title?: string}} Cell */
/** @typedef {{name: string, numeric?: boolean, wide?: boolean}} Column */

/**
 * Make a table with its empty state.
 * @param {HTMLElement} section Where it goes.
 * @param {string} caption
 * @param {Column[]} columns
 */
export function makeTable(section, caption, columns) {
  const body = el("tbody");
  const head = el("tr", {}, ...columns.map(({ name, numeric }) =>
    el("th", { scope: "col", ...(numeric ? { class: "numeric" } : {}) }, name)));
  const table = el("table", {}, el("caption", { class: "unseen" }, caption), el("thead", {}, head), body);
  const frame = el("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table);
  const empty = el("p", { class: "empty" });
  section.append(frame, empty);

  /** @param {number} index */
  function rowAt(index) {
    const found = body.rows[index];
    if (found) return found;
    const cells = columns.map(({ numeric, wide }, i) => {
      const cell = i === 0 ? el("th", { scope: "row" }) : el("td");
      if (numeric) cell.classList.add("numeric");
      if (wide) cell.classList.add("wide");
      return cell;
    });
    return body.appendChild(el("tr", {}, ...cells));
  }

  return {
    /**
     * @param {Cell[][]} rows
     * @param {string} emptyText Shown where there are no rows.
     */
    draw(rows, emptyText) {
      show(frame, rows.length > 0);
      show(empty, rows.length === 0 && emptyText !== "");
      setText(empty, rows.length === 0 ? emptyText : "");
      rows.forEach((cells, index) => {
        const row = rowAt(index);
        cells.forEach((cell, i) => {
          const node = /** @type {HTMLTableCellElement} */ (row.cells[i]);
          const { text, tone, title } = typeof cell === "string" ? { text: cell } : { title: undefined, tone: undefined, ...cell };
          setText(node, text);
          setAttribute(node, "data-tone", tone ?? null);
          setAttribute(node, "title", title ?? null);
        });
      });
      while (body.rows.length > rows.length) body.deleteRow(-1);
    },
  };
}

/**
 * Make a list of names and values, drawn again in place.
 * @param {HTMLElement} section
 */
export function makeFacts(section) {
  const list = el("dl", { class: "facts" });
  section.append(list);
  return {
    /** @param {[name: string, value: string, tone?: string][]} facts */
    draw(facts) {
      show(list, facts.length > 0);
      while (list.children.length > facts.length) list.lastElementChild?.remove();
      facts.forEach(([name, value, tone], i) => {
        const pair = list.children[i] ?? list.appendChild(el("div", {}, el("dt"), el("dd")));
        const [term, detail] = /** @type {[Element, Element]} */ ([...pair.children]);
        setText(term, name);
        setText(detail, value);
        setAttribute(detail, "data-tone", tone ?? null);
      });
    },
  };
}
