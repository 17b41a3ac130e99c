/** All the cards: made, drawn, ordered. */

/** @import {State} from "./store.js" */
/** @import {View} from "./filter.js" */

import { Card } from "./card.js";
import { nowMs } from "./clock.js";
import { byId, setText, show } from "./dom.js";
import { arrange, searchOf } from "./filter.js";
import { zone } from "./settings.js";
import { openPositions } from "./store.js";

const list = byId("cards", HTMLUListElement);
const count = byId("count", HTMLElement);
const nothing = byId("no-match", HTMLElement);
/** @type {Map<string, Card>} */
const cards = new Map();
/** @type {string[]} */
let shown = [];

/**
 * Draw the coins that changed, and put the cards in order.
 * @param {State} state
 * @param {View} view
 * @param {Iterable<string>} symbols
 */
export function drawCards(state, view, symbols) {
  const positions = new Map(openPositions(state).map((position) => [position.symbol, position]));
  for (const symbol of symbols) {
    const coin = state.coins.get(symbol);
    if (coin === undefined) continue;
    let card = cards.get(symbol);
    if (card === undefined) cards.set(symbol, (card = new Card(nowMs)));
    const href = searchOf({ ...view, coin: symbol });
    card.draw({
      coin, signal: state.signals.get(symbol), position: positions.get(symbol), account: state.data.positions,
      zone: zone(), href,
    });
  }
  for (const [symbol, card] of cards) {
    if (state.coins.has(symbol)) continue;
    card.node.remove();
    cards.delete(symbol);
  }
}

/** @param {string[]} a @param {string[]} b */
function same(a, b) {
  return a.length === b.length && a.every((each, i) => each === b[i]);
}

/**
 * Put the cards in the order of the view. While the pointer or focus is on the cards their order is kept,
 * unless the view changed: no card moves away under a finger.
 * @param {State} state
 * @param {View} view
 * @param {{forced: boolean}} options
 */
export function orderCards(state, view, { forced }) {
  const withPosition = new Set(openPositions(state).map((position) => position.symbol));
  const sights = [...state.coins.values()].map((coin) => ({
    coin, signal: state.signals.get(coin.symbol), hasPosition: withPosition.has(coin.symbol),
  }));
  const order = arrange(view, sights);
  const busy = list.matches(":hover") || list.contains(document.activeElement);
  if (same(order, shown) || (busy && !forced && same(order.toSorted(), shown.toSorted()))) return;
  shown = order;
  const focused = document.activeElement;
  list.replaceChildren(...order.flatMap((symbol) => cards.get(symbol)?.node ?? []));
  if (focused instanceof HTMLElement && list.contains(focused)) focused.focus({ preventScroll: true });
  setText(count, `${order.length} of ${state.coins.size}`);
  show(nothing, order.length === 0 && state.coins.size > 0);
  list.setAttribute("aria-busy", "false");
}

/** Update ages on every card shown. */
export function tickCards() {
  for (const symbol of shown) cards.get(symbol)?.tick();
}
