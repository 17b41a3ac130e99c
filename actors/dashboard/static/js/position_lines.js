/** One line per open position, always visible: side, profit, distance to its stop. */

/** @import {CoinData, Position, Positions} from "./contract.js" */
/** @import {State} from "./store.js" */

import { nowMs } from "./clock.js";
import { currency, profitText, sideText, stopText } from "./trading.js";
import { byId, el, setAttribute, setText, show } from "./dom.js";
import { age, pair } from "./format.js";
import { openPositions } from "./store.js";
import { toneOf } from "./tone.js";

const list = byId("held", HTMLUListElement);
const rest = el("li");
const SHOWN = 6;

class Line {
  constructor() {
    this.coin = el("b");
    this.side = el("span");
    this.profit = el("span");
    this.stop = el("span");
    this.old = el("span", { "data-tone": "warn" });
    this.node = el("li", {}, el("a", { href: "#positions-title" }, this.coin, this.side, this.profit, this.stop, this.old));
  }

  /**
   * @param {Position} position
   * @param {Positions} published
   * @param {CoinData | undefined} coin
   */
  draw(position, published, coin) {
    const now = nowMs();
    const stop = stopText(position, coin?.tick, now);
    const { isCurrent } = currency(published, now);
    setText(this.coin, coin === undefined ? position.symbol : pair(coin)[0]);
    setText(this.side, sideText(position));
    setText(this.profit, profitText(position));
    setAttribute(this.profit, "data-tone", toneOf(position.unrealized_pnl_quote));
    setText(this.stop, stop.text);
    setAttribute(this.stop, "data-tone", stop.tone);
    setText(this.old, isCurrent ? "" : `as of ${age(now - published.as_of_ms)} ago`);
    show(this.old, !isCurrent);
    setAttribute(this.node, "data-tone", stop.tone === "none" && !isCurrent ? "warn" : stop.tone);
  }
}

/** @type {Line[]} */
const lines = [];

/** @param {State} state */
export function drawPositionLines(state) {
  const published = state.data.positions;
  const positions = openPositions(state);
  show(list, positions.length > 0);
  const count = Math.min(SHOWN, positions.length);
  while (lines.length > count) lines.pop()?.node.remove();
  positions.slice(0, count).forEach((position, i) => {
    const line = lines[i] ?? (lines[i] = new Line());
    if (!line.node.isConnected) list.append(line.node);
    if (published !== null) line.draw(position, published, state.coins.get(position.symbol));
  });
  setText(rest, `and ${positions.length - count} more`);
  if (positions.length > count) list.append(rest);
  else rest.remove();
}
