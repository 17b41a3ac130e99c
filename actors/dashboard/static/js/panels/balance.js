/** Balance, today's result and the equity curve. */

/** @import {Balance, TraderStatus} from "../contract.js" */
/** @import {State} from "../store.js" */

import { nowMs } from "../clock.js";
import { currency } from "../trading.js";
import { byId, el, setAttribute, setText, show, svg } from "../dom.js";
import { fixed, number, signed, time } from "../format.js";
import { toneOf } from "../tone.js";
import { zone } from "../settings.js";
import { sparkPath } from "../spark.js";
import { makeFacts } from "../table.js";

const section = byId("balance", HTMLElement);
const since = section.appendChild(el("p", { class: "newest" }));
const empty = section.appendChild(el("p", { class: "empty" }));
const facts = makeFacts(section);
const line = svg("path", { d: "" });
const picture = svg("svg", { viewBox: "0 0 96 32", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
const words = el("figcaption");
// Computed once per cycle, unlike the current figures beside it.
const note = section.appendChild(el("p", { class: "note" }));
const figure = section.appendChild(el("figure", { class: "equity" }, picture, words));

/** @param {State} state */
export function drawBalance({ data }) {
  const { balance, equity } = data;
  const how = balance === null ? null : currency(balance, nowMs());
  setText(since, how === null ? "" : how.text);
  setAttribute(since, "data-tone", how === null || how.isCurrent ? null : "warn");
  show(since, how !== null);
  const hasFigures = balance !== null && balance.equity_quote !== null;
  setText(empty, balance === null ? missing(data.traderKind) : "The balance is not known.");
  show(empty, !hasFigures);
  show(section, data.traderKind !== "none");
  facts.draw([
    ...(hasFigures ? ofAccount(balance) : []),
    ...(data.trader?.status ? ofToday(data.trader.status) : []),
  ]);
  // The curve has a cycle at once, the status only at its end.
  const cycleMs = (data.trader?.status?.pnl_today_quote && equity.at(-1)?.[0]) || null;
  setText(note, cycleMs === null ? "" : `Today's PnL and fees are those of the trader's cycle at ${time(cycleMs, zone())}.`);
  show(note, cycleMs !== null);
  drawCurve(equity.flatMap(([atMs, amount]) => {
    const value = number(amount);
    return value === null ? [] : [{ atMs, value }];
  }));
}

/** @param {string} kind */
function missing(kind) {
  return kind === "outside" ? "Your own trader has not written its balance yet."
    : "No balance is published: no account is being watched.";
}

/**
 * @param {Balance} balance
 * @returns {[string, string, string?][]}
 */
function ofAccount(balance) {
  const unit = `\u00a0${balance.currency}`;
  return [
    ["Equity", `${fixed(balance.equity_quote, 2)}${unit}`],
    ["Available", fixed(balance.available_quote, 2)],
    ["In orders", fixed(balance.frozen_quote, 2)],
    ["Margin", fixed(balance.margin_quote, 2)],
    ["Unrealized PnL", signed(balance.unrealized_pnl_quote, 2), toneOf(balance.unrealized_pnl_quote)],
  ];
}

/**
 * @param {TraderStatus} status
 * @returns {[string, string, string?][]}
 */
function ofToday(status) {
  if (status.pnl_today_quote === null && status.fees_today_quote === null) return [];
  return [
    ["PnL today (UTC)", signed(status.pnl_today_quote, 2), toneOf(status.pnl_today_quote)],
    ["Fees today (UTC)", fixed(status.fees_today_quote, 2)],
  ];
}

/** @param {{atMs: number, value: number}[]} points */
function drawCurve(points) {
  const values = points.map(({ value }) => value);
  const [first, last] = [points[0], points.at(-1)];
  show(figure, values.length > 1);
  setAttribute(line, "d", sparkPath(values));
  if (first === undefined || last === undefined) return;
  const at = (/** @type {{atMs: number, value: number}} */ { atMs, value }) => `${fixed(value, 2)} (${time(atMs, zone(), "moment")})`;
  setText(words, `Equity from ${at(first)} to ${at(last)}; lowest ${fixed(Math.min(...values), 2)}, highest ${fixed(Math.max(...values), 2)}`);
}
