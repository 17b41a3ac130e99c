/** One tooltip for all: on hover, focus and tap of a button; Escape closes it. */

/** @import {Tip} from "./tips.js" */

import { byId, el } from "./dom.js";

const HOVER_MS = 120;
const GAP_PX = 8;

/** @type {WeakMap<Element, () => Tip>} */
const contents = new WeakMap();
/** @type {HTMLElement | null} */
let anchor = null;
let pinned = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let pending;

/**
 * Give a button a tooltip.
 * @param {HTMLButtonElement} button
 * @param {() => Tip} content Asked each time it is drawn.
 */
export function explain(button, content) {
  button.type = "button";
  contents.set(button, content);
}

/** Draw the open tooltip again, if one is open: its numbers changed. */
export function refreshTooltip() {
  if (anchor === null) return;
  if (!anchor.isConnected || anchor.offsetParent === null) hide();
  else draw(anchor);
}

const box = byId("tip", HTMLElement);

/** @param {HTMLElement} button */
function draw(button) {
  const content = contents.get(button);
  if (!content) return;
  const { text, facts, notes } = content();
  const list = el("dl");
  for (const [name, value] of facts) list.append(el("dt", {}, name), el("dd", {}, value));
  const parts = [el("p", { class: "tip-text" }, text), facts.length ? list : null,
    ...notes.map((note) => el("p", { class: "tip-note" }, note))];
  const fresh = el("div", {}, ...parts);
  if (!box.firstElementChild?.isEqualNode(fresh)) box.replaceChildren(fresh);
}

/** @param {HTMLElement} button */
function show(button) {
  clearTimeout(pending);
  if (anchor !== button) anchor?.removeAttribute("aria-describedby");
  anchor = button;
  draw(button);
  button.setAttribute("aria-describedby", box.id);
  if (!box.matches(":popover-open")) box.showPopover();
  place(button);
}

/**
 * Put it beside the card, so that the card stays visible; below or above without room.
 * @param {HTMLElement} button
 */
function place(button) {
  const at = button.getBoundingClientRect();
  const card = (button.closest("li") ?? button).getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const { clientWidth, clientHeight } = document.documentElement;
  const [right, left] = [card.right + GAP_PX, card.left - GAP_PX - width];
  let [x, y] = [right, at.top];
  if (right + width > clientWidth) x = left;
  if (x < GAP_PX) {
    [x, y] = [Math.min(at.left, clientWidth - width - GAP_PX), at.bottom + GAP_PX];
    if (y + height > clientHeight && at.top > height + 2 * GAP_PX) y = at.top - height - GAP_PX;
  } else {
    y = Math.min(y, clientHeight - height - GAP_PX);
  }
  [x, y] = [Math.max(GAP_PX, x), Math.max(GAP_PX, y)];
  box.style.setProperty("--x", `${Math.round(x)}px`);
  box.style.setProperty("--y", `${Math.round(y)}px`);
}

function hide() {
  clearTimeout(pending);
  anchor?.removeAttribute("aria-describedby");
  anchor = null;
  pinned = false;
  if (box.matches(":popover-open")) box.hidePopover();
}

/**
 * Return the button with a tooltip that an event is in.
 * @param {EventTarget | null} target
 */
function explained(target) {
  const button = target instanceof Element ? target.closest("button") : null;
  return button && contents.has(button) ? button : null;
}

document.addEventListener("pointerover", (event) => {
  if (event.pointerType === "touch") return;
  const button = explained(event.target);
  if (button === anchor && button !== null) return clearTimeout(pending);
  if (event.target instanceof Node && box.contains(event.target)) return clearTimeout(pending);
  if (pinned) return undefined;
  clearTimeout(pending);
  if (button) pending = setTimeout(() => show(button), HOVER_MS);
  else if (anchor) pending = setTimeout(hide, HOVER_MS);
  return undefined;
});

document.addEventListener("focusin", (event) => {
  const button = explained(event.target);
  if (button?.matches(":focus-visible")) show(button);
  else if (!pinned && anchor && anchor !== button) hide();
});

document.addEventListener("focusout", () => {
  if (anchor && !pinned) hide();
});

document.addEventListener("click", (event) => {
  const button = explained(event.target);
  if (button === null) {
    if (!(event.target instanceof Node && box.contains(event.target))) hide();
  } else if (pinned && anchor === button) {
    hide();
  } else {
    show(button);
    pinned = true;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && anchor !== null) {
    hide();
    event.preventDefault();
  }
});

document.addEventListener("scroll", () => anchor && !pinned && hide(), { passive: true, capture: true });
