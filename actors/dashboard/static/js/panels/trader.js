/** The trader: mode, next cycle, distance to each limit. */

/** @import {GuestTrader, TraderStatus} from "../contract.js" */
/** @import {TraderView} from "../trading.js" */
/** @import {State} from "../store.js" */

import { nowMs } from "../clock.js";
import { evidenceWords, limitState, limitTexts, traderView } from "../trading.js";
import { byId, el, setAttribute, setText, show } from "../dom.js";
import { age, countdown, time } from "../format.js";
import { zone } from "../settings.js";
import { makeFacts, makeTable } from "../table.js";

const CANDLES = {
  redis: "Redis",
  binance: "Binance itself: Redis had none",
  none: "nowhere, so no entries",
};

const section = byId("trader", HTMLElement);
const word = el("b");
const means = el("span");
section.append(el("p", { class: "trader-mode" }, word, means));
const reason = section.appendChild(el("p", { class: "trader-reason" }));
const evidence = section.appendChild(el("p", { class: "trader-evidence" }));
const facts = makeFacts(section);
const limits = makeTable(section, "Distance to each limit", [
  { name: "Limit" }, { name: "State" }, { name: "Left", numeric: true }, { name: "Used", numeric: true },
  { name: "Allowed", numeric: true },
]);
const skippedTitle = section.appendChild(el("h3", {}, "Not entered in the last cycle"));
const skipped = makeTable(section, "Why coins were not entered", [{ name: "Coin" }, { name: "Why", wide: true }]);

const settingsTitle = section.appendChild(el("h3", {}, "Settings"));
const settings = makeTable(section, "Settings of your own trader", [{ name: "Setting" }, { name: "Value", wide: true }]);

/** @param {State} state */
export function drawTrader({ data }) {
  show(section, data.traderKind !== "none");
  const outside = data.outside;
  show(settingsTitle, outside !== null);
  if (outside !== null) {
    drawOutside(outside, traderView(data, nowMs()));
    return;
  }
  settings.draw([], "");
  const status = data.trader?.status ?? null;
  const view = traderView(data, nowMs());
  setText(word, `${view.glyph} ${view.words}`);
  setAttribute(word, "data-tone", view.tone);
  setText(means, view.means);
  const isAnswering = view.kind === "answering";
  setText(reason, view.kind === "absent" ? "Scores and signals are for people to look at." : status?.reason ?? "");
  show(reason, reason.textContent !== "");
  section.dataset["kind"] = view.kind;
  // The last status of a silent trader is still shown; that of an absent one is not.
  const shown = view.kind === "absent" ? null : status;
  const words = evidenceWords(shown);
  setText(evidence, words.text);
  setAttribute(evidence, "data-tone", words.tone);
  show(evidence, words.text !== "");
  facts.draw(shown === null ? [] : lines(shown, isAnswering));
  const rows = (shown?.limits ?? []).map((limit) => [limit.name, limitState(limit), ...limitTexts(limit)]);
  limits.draw(rows, shown === null ? "" : shown.cycle_ms === null ? "Limits are published from the first cycle on." : "The trader publishes no limits.");
  const passed = Object.entries(shown?.skipped ?? {});
  show(skippedTitle, shown !== null);
  skipped.draw(passed, shown === null ? "" : shown.cycle_ms === null ? "No cycle yet." : "No coin had a score high enough, or all that had were entered.");
}

/**
 * @param {GuestTrader} outside
 * @param {TraderView} view
 */
function drawOutside({ status, config }, view) {
  setText(word, `${view.glyph} ${view.words}`);
  setAttribute(word, "data-tone", view.tone);
  setText(means, view.means);
  setText(reason, status?.reason ?? "");
  show(reason, reason.textContent !== "");
  section.dataset["kind"] = view.kind;
  show(evidence, false);
  show(skippedTitle, false);
  facts.draw(status === null ? [] : [
    ["Written", `${age(nowMs() - status.as_of_ms)} ago`, view.kind === "silent" ? "warn" : "none"],
    ...(status.trouble ? [/** @type {[string, string, string]} */ (["Trouble", status.trouble, "bad"])] : []),
    ["Last trade", status.last_trade_ms === null ? "not told" : `${age(nowMs() - status.last_trade_ms)} ago`],
    ["Venue", status.venue || "not told"],
    ["Up", status.uptime_s === null ? "not told" : age(1000 * status.uptime_s)],
  ]);
  limits.draw([], "");
  skipped.draw([], "");
  settings.draw(Object.entries(config?.settings ?? {}), config === null ? "It has written no settings." : "No settings.");
}

/**
 * @param {TraderStatus} status
 * @param {boolean} isAnswering
 * @returns {[string, string, string?][]}
 */
function lines(status, isAnswering) {
  const left = status.next_cycle_ms - nowMs();
  /** @type {[string, string, string?][]} */
  const found = [
    ["Next cycle", !isAnswering ? "unknown" : left > 0 ? `in ${countdown(left)}` : "is due"],
    ["Last cycle", status.cycle_ms === null ? "none yet" : `on the close of ${time(status.cycle_ms, zone())}`],
    ["Runs", status.every_s ? `by a timer, every ${status.every_s / 60} min` : "all the time"],
    ["Candles from", ...candles(status)],
    ["TA bonus", status.use_ta_signals ? "counts in entries, capped" : "not used: the base score alone decides"],
    ["Strategy", status.strategy ? `${status.strategy.name} ${status.strategy.version}`.trim() : "unknown"],
    ["Positions", positions(status), status.unprotected.length ? "bad" : "none"],
    ["Last trade", status.last_trade_ms === null ? "none" : `${age(nowMs() - status.last_trade_ms)} ago`],
    ["Venue", status.venue],
    ["Limits as of", status.pnl_as_of_ms === null ? "not computed yet" : `${age(nowMs() - status.pnl_as_of_ms)} ago`],
    ["Up", status.started_ms === null ? "unknown" : age(nowMs() - status.started_ms)],
  ];
  if (!isAnswering) found.unshift(["All below as of", `${age(nowMs() - status.as_of_ms)} ago`, "warn"]);
  if (status.trouble) found.unshift(["Trouble", status.trouble, "bad"]);
  return found;
}

/**
 * @param {TraderStatus} status
 * @returns {[string, string]}
 */
function candles({ candles_from: from, cycle_ms }) {
  if (cycle_ms === null) return ["not needed yet", "none"];
  return [CANDLES[from] ?? from, from === "redis" ? "none" : "warn"];
}

/** @param {TraderStatus} status */
function positions({ ours, foreign, unprotected }) {
  const words = [ours.length ? `its own: ${ours.join(", ")}` : "none of its own"];
  if (foreign.length) words.push(`foreign: ${foreign.join(", ")}`);
  if (unprotected.length) words.push(`✕ without a stop: ${unprotected.join(", ")}`);
  return words.join("; ");
}
