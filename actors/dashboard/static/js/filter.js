/** Which coins are shown, in which order, and the view as a URL query. Pure. */

/** @import {CoinData, TaSignal, Timeframe} from "./contract.js" */

import { divergence, madeAtMs, squeeze, verdict } from "./reading.js";

export const SORTS = /** @type {const} */ (["total", "base", "bonus", "change", "age", "name"]);
export const FLAGS = /** @type {const} */ (["squeeze", "fired", "divergence", "position", "stale"]);
const TIMEFRAMES = /** @type {const} */ (["5m", "1h", "4h"]);

/** @typedef {typeof SORTS[number]} Sort */
/** @typedef {typeof FLAGS[number]} Flag */

/**
 * @typedef {object} View
 * @property {Sort} sort
 * @property {boolean} reversed Against the usual direction of that sort.
 * @property {Flag[]} flags A coin must have all of them.
 * @property {string} group Empty for all.
 * @property {string} text Part of the symbol.
 * @property {string} coin The one opened; empty for none.
 * @property {Timeframe} timeframe Of the coin opened.
 */

/** @type {Readonly<View>} */
export const PLAIN = {
  sort: "total", reversed: false, flags: [], group: "", text: "", coin: "", timeframe: "5m",
};

/**
 * @template {string} T
 * @param {readonly T[]} allowed
 * @param {string | null} given
 * @param {T} otherwise
 * @returns {T}
 */
function oneOf(allowed, given, otherwise) {
  return allowed.find((each) => each === given) ?? otherwise;
}

/**
 * Read a view from the query of a URL; invalid parts are ignored.
 * @param {string} search
 * @returns {View}
 */
export function viewOf(search) {
  const query = new URLSearchParams(search);
  const given = (query.get("show") ?? "").split(",");
  return {
    sort: oneOf(SORTS, query.get("sort"), PLAIN.sort),
    reversed: query.get("order") === "reversed",
    flags: FLAGS.filter((flag) => given.includes(flag)),
    group: query.get("group") ?? "",
    text: query.get("text") ?? "",
    coin: /^[\p{L}\p{N}]{1,50}$/u.test(query.get("coin") ?? "") ? /** @type {string} */ (query.get("coin")) : "",
    timeframe: oneOf(TIMEFRAMES, query.get("timeframe"), PLAIN.timeframe),
  };
}

/**
 * Write a view as the query of a URL, without defaults.
 * @param {View} view
 */
export function searchOf(view) {
  const query = new URLSearchParams();
  if (view.sort !== PLAIN.sort) query.set("sort", view.sort);
  if (view.reversed) query.set("order", "reversed");
  if (view.flags.length) query.set("show", view.flags.join(","));
  if (view.group) query.set("group", view.group);
  if (view.text) query.set("text", view.text);
  if (view.coin) query.set("coin", view.coin);
  if (view.coin && view.timeframe !== PLAIN.timeframe) query.set("timeframe", view.timeframe);
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}

/**
 * Return whether a view hides coins.
 * @param {View} view
 */
export function narrows(view) {
  return view.flags.length > 0 || view.group !== "" || view.text !== "";
}

/**
 * @typedef {object} Sight
 * @property {CoinData} coin
 * @property {TaSignal | undefined} signal
 * @property {boolean} hasPosition
 */

/** @type {Record<Flag, (sight: Sight) => boolean>} */
const HAS = {
  squeeze: ({ signal }) => squeeze(signal).state === "on",
  fired: ({ signal }) => squeeze(signal).state === "fired",
  divergence: ({ signal }) => divergence(signal) !== null,
  position: ({ hasPosition }) => hasPosition,
  stale: ({ coin }) => coin.state === "stale",
};

/**
 * Return a text as symbols are spelt: without separators, and full-width letters, as some keyboards type them, plain.
 * @param {string} text
 */
function plain(text) {
  return text.normalize("NFKC").replace(/[\s/_-]/g, "").toUpperCase();
}

/**
 * @param {View} view
 * @param {Sight} sight
 */
function isShown(view, sight) {
  const { symbol, group } = sight.coin;
  return (
    (view.group === "" || group === view.group) &&
    symbol.includes(plain(view.text)) &&
    view.flags.every((flag) => HAS[flag](sight))
  );
}

/** What is sorted by, largest first; null comes last in either direction. */
/** @type {Record<Exclude<Sort, "name">, (coin: CoinData) => number | null>} */
const VALUE = {
  total: (coin) => {
    const found = verdict(coin);
    return found === null ? null : found.total ?? found.base;
  },
  base: (coin) => verdict(coin)?.base ?? null,
  bonus: (coin) => (coin.bonus === null ? null : Math.max(coin.bonus.long, coin.bonus.short)),
  change: (coin) => coin.change24hPct,
  age: (coin) => {
    const made = madeAtMs(coin);
    return made === null ? null : -made;
  },
};

/**
 * Return the symbols to show, in order.
 * @param {View} view
 * @param {Sight[]} sights
 * @returns {string[]}
 */
export function arrange(view, sights) {
  const sign = view.reversed ? -1 : 1;
  const byName = (/** @type {CoinData} */ a, /** @type {CoinData} */ b) => (a.symbol < b.symbol ? -1 : 1);
  const coins = sights.filter((sight) => isShown(view, sight)).map(({ coin }) => coin);
  if (view.sort === "name") return coins.sort((a, b) => sign * byName(a, b)).map((c) => c.symbol);
  const value = VALUE[view.sort];
  const keyed = coins.map((coin) => ({ coin, key: value(coin) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) {
      return Number(a.key === null) - Number(b.key === null) || byName(a.coin, b.coin);
    }
    return sign * (b.key - a.key) || byName(a.coin, b.coin);
  });
  return keyed.map(({ coin }) => coin.symbol);
}
