/** The banners above everything: announced once, when they appear. */

/** @import {FeedState} from "./socket.js" */
/** @import {State} from "./store.js" */

import { byId, el, setAttribute, setText } from "./dom.js";
import { time } from "./format.js";
import { zone } from "./settings.js";
import { alerts } from "./trouble.js";

const region = byId("alerts", HTMLElement);

/**
 * Draw the banners. No countdown here: a live region announces every change.
 * @param {State | null} state
 * @param {FeedState["phase"]} phase
 */
export function drawAlerts(state, phase) {
  /** @type {[severity: string, text: string][]} */
  const lines = [];
  if (phase === "waiting" && state === null) {
    lines.push(["bad", "The dashboard's server does not answer. Trying again."]);
  } else if (phase !== "open" && state !== null) {
    lines.push(["bad", `Connection to the dashboard lost; trying again. Everything below is as of ` +
      `${time(state.data.asOf, zone(), "second")}.`]);
  }
  if (state !== null) {
    for (const { severity, text } of alerts(state, zone())) lines.push([severity, text]);
  }
  while (region.children.length > lines.length) region.lastElementChild?.remove();
  lines.forEach(([severity, text], i) => {
    const line = region.children[i] ?? region.appendChild(el("p", { class: "alert" }));
    setAttribute(line, "data-severity", severity);
    setText(line, text);
  });
}
