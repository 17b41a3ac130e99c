/** Sorting, filtering and searching the cards. */

/** @import {View} from "./filter.js" */

import { byId, el, setAttribute, setText } from "./dom.js";
import { FLAGS, PLAIN, SORTS, narrows } from "./filter.js";

const sort = byId("sort", HTMLSelectElement);
const order = byId("order", HTMLButtonElement);
const group = byId("group", HTMLSelectElement);
const text = byId("text", HTMLInputElement);
const reset = byId("reset", HTMLButtonElement);
const flags = byId("flags", HTMLElement);

const FLAG_WORDS = {
  squeeze: "Squeeze on", fired: "Just fired", divergence: "Divergence", position: "In position", stale: "Stale",
};

const HIGHEST = ["highest first", "lowest first"];
/** @type {Record<View["sort"], string[]>} */
const ORDER_WORDS = {
  total: HIGHEST, base: HIGHEST, bonus: HIGHEST, change: HIGHEST,
  age: ["oldest first", "newest first"], name: ["A to Z", "Z to A"],
};

/**
 * Let the toolbar change the view.
 * @param {() => View} view
 * @param {(change: Partial<View>) => void} change
 */
export function bindToolbar(view, change) {
  for (const flag of FLAGS) {
    const button = el("button", { type: "button", class: "flag", "data-flag": flag }, FLAG_WORDS[flag]);
    button.addEventListener("click", () => {
      const on = view().flags;
      change({ flags: on.includes(flag) ? on.filter((each) => each !== flag) : [...on, flag] });
    });
    flags.append(button);
  }
  sort.addEventListener("change", () => {
    change({ sort: SORTS.find((each) => each === sort.value) ?? PLAIN.sort, reversed: false });
  });
  order.addEventListener("click", () => change({ reversed: !view().reversed }));
  group.addEventListener("change", () => change({ group: group.value }));
  text.addEventListener("input", () => change({ text: text.value }));
  for (const button of [reset, byId("reset-too", HTMLButtonElement)]) {
    button.addEventListener("click", () => change({ flags: [], group: "", text: "" }));
  }
}

/**
 * Show the view in the toolbar.
 * @param {View} view
 */
export function drawToolbar(view) {
  sort.value = view.sort;
  const [usual, reversed] = ORDER_WORDS[view.sort];
  setText(order, view.reversed ? `▲ ${reversed}` : `▼ ${usual}`);
  if (text.value !== view.text) text.value = view.text;
  group.value = view.group;
  reset.hidden = !narrows(view);
  for (const button of flags.querySelectorAll("button")) {
    const flag = FLAGS.find((each) => each === button.dataset["flag"]);
    setAttribute(button, "aria-pressed", String(flag !== undefined && view.flags.includes(flag)));
  }
}

/**
 * Offer these groups.
 * @param {string[]} names
 * @param {View} view
 */
export function offerGroups(names, view) {
  const options = names.map((name) => el("option", { value: name }, name));
  group.replaceChildren(el("option", { value: "" }, "all groups"), ...options);
  group.value = view.group;
}
