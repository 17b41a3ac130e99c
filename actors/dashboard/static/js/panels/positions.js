/** Open positions, with the distance to their stops. */

/** @import {Position} from "../contract.js" */
/** @import {State} from "../store.js" */

import { nowMs } from "../clock.js";
import { currency, profitText, sideText, stopText } from "../trading.js";
import { byId, el, setAttribute, setText, show } from "../dom.js";
import { NOTHING, age, fixed, number, percent, price, prices, signed } from "../format.js";
import { distancePct } from "../reading.js";
import { openPositions } from "../store.js";
import { makeTable } from "../table.js";
import { toneOf } from "../tone.js";

const section = byId("positions", HTMLElement);
const since = section.appendChild(el("p", { class: "newest" }));
const table = makeTable(section, "Open positions", [
  { name: "Coin" }, { name: "Side" }, { name: "Stop" }, { name: "PnL", numeric: true },
  { name: "Target", numeric: true }, { name: "Entry", numeric: true }, { name: "Venue mark", numeric: true },
  { name: "Binance", numeric: true }, { name: "Size", numeric: true }, { name: "Margin", numeric: true },
  { name: "Liquidation", numeric: true }, { name: "Realized", numeric: true }, { name: "Open for", numeric: true },
]);

const NOTE = "PnL, margin and what is realized are in USDT, sizes in the coin; distances are from the venue's mark. " +
  "Realized: fees and funding included. Foreign: not the trader's, never touched by it.";
const OUTSIDE = "As your own trader tells them; what it does not tell is left out. Without a stop told, none is missed here.";
const note = section.appendChild(el("p", { class: "note" }));

/** @param {State} state */
export function drawPositions(state) {
  const published = state.data.positions;
  const freshness = published === null ? null : currency(published, nowMs());
  setText(since, freshness === null ? "" : freshness.text);
  setAttribute(since, "data-tone", freshness === null || freshness.isCurrent ? null : "warn");
  show(since, freshness !== null);
  let empty = state.data.traderKind === "outside" ? "Your own trader has not written its positions yet."
    : "No positions are published: no account is being watched.";
  if (published !== null) {
    empty = published.as_of_ms === 0 ? "Whether there are positions is not known."
      : freshness?.isCurrent ? "No open position." : "No open position when the venue last answered.";
  }
  setText(note, state.data.traderKind === "outside" ? OUTSIDE : NOTE);
  show(note, openPositions(state).length > 0);
  show(section, state.data.traderKind !== "none");
  table.draw(openPositions(state).map((position) => row(position, state)), empty);
}

/**
 * @param {Position} position
 * @param {State} state
 */
function row(position, state) {
  const coin = state.coins.get(position.symbol);
  const tick = coin?.tick;
  const [entry = NOTHING, mark = NOTHING, last = NOTHING] = prices([position.entry_price, position.mark_price, coin?.price], tick);
  const level = (/** @type {"take_profit" | "liquidation_price"} */ name) => {
    if (number(position[name]) === null) return position.outside ? NOTHING : "none";
    const away = distancePct(position, name);
    return away === null ? price(position[name], tick) : `${price(position[name], tick)} (${percent(away)})`;
  };
  const { cell, tone } = stopText(position, tick, nowMs());
  return [
    position.symbol, sideText(position), { text: cell, tone },
    { text: profitText(position), tone: toneOf(position.unrealized_pnl_quote) },
    level("take_profit"), entry, mark, last,
    amount(position.size_base), margin(position),
    level("liquidation_price"), signed(position.realized_pnl_quote, 2),
    position.opened_ms ? age(nowMs() - position.opened_ms) : NOTHING,
  ];
}

/** @param {Position} position */
function margin({ margin_quote, leverage }) {
  return `${fixed(margin_quote, 2)}${number(leverage) === null ? "" : ` (${leverage}×)`}`;
}

/**
 * Return a size as the venue wrote it, with thousands separators and without trailing zeros.
 * @param {string} size
 */
function amount(size) {
  const decimals = (/^-?\d+\.(\d*?)0*$/.exec(size)?.[1] ?? "").length;
  return fixed(size, Math.min(12, decimals));
}
