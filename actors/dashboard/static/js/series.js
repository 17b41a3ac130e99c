/** A coin's series as chart data. Pure. */

/** @import {Candle, CoinData, DivergenceLine, Gap, Position, Series} from "./contract.js" */
/** @import {Zone} from "./format.js" */
/** @import {UTCTimestamp} from "lightweight-charts" */

import { age, barCount, number, time } from "./format.js";
import { SOLID_STRENGTH } from "./reading.js";

/** @typedef {Record<"up" | "down" | "mixed" | "upSoft" | "downSoft" | "squeezeOn" | "squeezeFired" | "squeezeOff" | "k" | "d", string>} Colours */

/**
 * @param {number} ms
 * @returns {UTCTimestamp}
 */
export function chartTime(ms) {
  return /** @type {UTCTimestamp} */ (Math.floor(ms / 1000));
}

/**
 * Return a line; where there is no value, a gap.
 * @param {Series} series
 * @param {(number | null)[]} values
 */
export function lineOf(series, values) {
  return series.candles.map(([openMs], i) => {
    const value = values[i];
    return value === null || value === undefined ? { time: chartTime(openMs) } : { time: chartTime(openMs), value };
  });
}

/** @param {Candle} candle */
export function candleOf([openMs, open, high, low, close]) {
  return { time: chartTime(openMs), open, high, low, close };
}

/** @param {Series} series */
export function candlesOf(series) {
  return series.candles.map(candleOf);
}

/**
 * Return the momentum bars: full where they grow away from zero, soft where they shrink.
 * @param {Series} series
 * @param {Colours} colours
 */
export function momentumOf(series, colours) {
  const { momentum } = series.squeeze;
  return lineOf(series, momentum).map((point, i) => {
    const value = momentum[i] ?? null;
    if (value === null) return point;
    const rising = value >= (momentum[i - 1] ?? value);
    const colour = value >= 0 ? (rising ? colours.up : colours.upSoft) : rising ? colours.downSoft : colours.down;
    return { ...point, color: colour };
  });
}

/**
 * Return the squeeze's dots on the zero line.
 * @param {Series} series
 * @param {Colours} colours
 */
export function dotsOf(series, colours) {
  return series.candles.map(([openMs], i) => {
    const on = series.squeeze.on[i];
    if (on === null || on === undefined) return { time: chartTime(openMs) };
    const color = series.squeeze.fired[i] ? colours.squeezeFired : on ? colours.squeezeOn : colours.squeezeOff;
    return { time: chartTime(openMs), value: 0, color };
  });
}

/**
 * Return the divergences as lines between their pivots.
 * @param {Series} series
 * @param {Colours} colours
 * @param {"price" | "k"} of
 */
export function segmentsOf(series, colours, of) {
  return series.divergences
    .filter((line) => series.candles.length > 0 && line.pivotAMs >= Number(series.candles[0]?.[0]))
    .map((line) => ({
      fromTime: chartTime(line.pivotAMs),
      fromValue: of === "price" ? line.priceA : line.kA,
      toTime: chartTime(line.pivotBMs),
      toValue: of === "price" ? line.priceB : line.kB,
      colour: line.kind === "bullish" ? colours.up : colours.down,
      solid: isSolid(line),
    }));
}

/** @param {DivergenceLine} line */
function isSolid(line) {
  return line.strength >= SOLID_STRENGTH;
}

/**
 * Return the signals, each at the bar at whose close it became known.
 * @param {Series} series
 * @param {Colours} colours
 */
export function markersOf(series, colours) {
  /** @type {{time: UTCTimestamp, position: "belowBar" | "aboveBar", shape: "arrowUp" | "arrowDown" | "circle", color: string, text: string}[]} */
  const markers = [];
  for (const line of series.divergences) {
    const up = line.kind === "bullish";
    if (!isSolid(line)) continue;
    markers.push({
      time: chartTime(line.knownAtMs), position: up ? "belowBar" : "aboveBar",
      shape: up ? "arrowUp" : "arrowDown", color: up ? colours.up : colours.down, text: "div",
    });
  }
  const { fired, momentum } = series.squeeze;
  series.candles.forEach(([openMs], i) => {
    if (!fired[i] || fired[i - 1]) return;
    const up = (momentum[i] ?? 0) >= 0;
    markers.push({
      time: chartTime(openMs), position: up ? "belowBar" : "aboveBar", shape: "circle",
      color: colours.squeezeFired, text: up ? "fired ▲" : "fired ▼",
    });
  });
  return markers.sort((a, b) => a.time - b.time);
}

/**
 * Return the prices of a position that matter on a chart; of those it has none of, none.
 * @param {Position | undefined} position
 * @returns {{title: string, price: number}[]}
 */
export function levelsOf(position) {
  if (position === undefined) return [];
  return /** @type {const} */ ([["entry", position.entry_price], ["stop", position.stop_loss], ["target", position.take_profit]])
    .flatMap(([title, amount]) => {
      const price = number(amount);
      return price === null ? [] : [{ title, price }];
    });
}

/**
 * Return the index of the newest candle that has indicators.
 * @param {Series} series
 */
export function newestIndex(series) {
  const { k } = series.stochRsi;
  for (let i = k.length - 1; i >= 0; i -= 1) if (k[i] !== null) return i;
  return series.candles.length - 1;
}

/** @type {Record<Series["timeframe"], number>} */
const LENGTH_MS = { "5m": 300_000, "1h": 3_600_000, "4h": 14_400_000 };
const GAPS_TOLD = 3;
/** So many missing after the last candle are a gap: one may just be late. */
const LATE_BARS = 2;

/**
 * Return the candle that the newest price makes of the last one, or the one after it; null if the price fits into
 * neither, or changes nothing. Between closes only the price is sent, so high and low are of the prices seen.
 * @param {Series} series
 * @param {Pick<CoinData, "price" | "priceAtMs">} coin
 * @returns {Candle | null}
 */
export function movedBy({ candles, closedUntilMs, timeframe }, { price, priceAtMs }) {
  const last = candles.at(-1);
  if (last === undefined || price === null || priceAtMs === null) return null;
  const [openMs, open, high, low, close, volume] = last;
  if (price === close) return null;
  const endMs = openMs + LENGTH_MS[timeframe];
  if (priceAtMs >= endMs && priceAtMs < endMs + LENGTH_MS[timeframe]) return [endMs, price, price, price, price, 0];
  if (endMs <= closedUntilMs) return null;
  return [openMs, open, Math.max(high, price), Math.min(low, price), price, volume];
}

/**
 * Tell whether a series lacks its newest closed candle, as a coin's 5m candles tell: it was read before that one was
 * written. Of a timeframe that closed without a trade there is none to come.
 * @param {Pick<Series, "closedUntilMs" | "timeframe">} series
 * @param {Pick<CoinData, "closedUntilMs">} coin
 */
export function isBehind({ closedUntilMs, timeframe }, { closedUntilMs: knownMs }) {
  return knownMs !== null && closedUntilMs < knownMs - (knownMs % LENGTH_MS[timeframe]);
}

/**
 * Return where candles are missing as of now: between those there are, and after the last.
 * @param {Series} series
 * @param {number} nowMs
 * @returns {Gap[]}
 */
export function gapsOf({ candles, gaps, timeframe }, nowMs) {
  const length = LENGTH_MS[timeframe];
  const endMs = (candles.at(-1)?.[0] ?? Infinity) + length;
  const isLate = nowMs - (nowMs % length) - endMs >= LATE_BARS * length;
  return isLate ? [...gaps, { fromMs: endMs, untilMs: null, confirmed: false }] : gaps;
}

/**
 * @param {Series} series
 * @param {Gap} gap
 */
export function gapLabel({ timeframe }, { fromMs, untilMs, confirmed }) {
  if (untilMs === null) return "no candles";
  return confirmed ? `halt ${age(untilMs - fromMs).replace(/(h)\s0\smin$/, "$1")}` : `${barCount((untilMs - fromMs) / LENGTH_MS[timeframe])} missing`;
}

/**
 * Return in words where candles are missing, the newest first; "" if none is.
 * @param {Pick<Series, "timeframe">} series
 * @param {Gap[]} gaps
 * @param {Zone} zone
 */
export function gapWords({ timeframe }, gaps, zone) {
  const told = gaps.toReversed().slice(0, GAPS_TOLD).map(({ fromMs, untilMs, confirmed }) => {
    const from = time(fromMs, zone, "moment");
    if (untilMs === null) return `No candles since ${from}.`;
    const isSameDay = time(fromMs, zone, "day") === time(untilMs, zone, "day");
    const range = `${from} to ${time(untilMs, zone, isSameDay ? "minute" : "moment")} (${barCount((untilMs - fromMs) / LENGTH_MS[timeframe])})`;
    return confirmed ? `Halt: the exchange has no candles from ${range}.` : `Missing: candles from ${range}.`;
  });
  const more = gaps.length - told.length;
  return [...told, ...(more > 0 ? [`And ${more} earlier.`] : [])].join(" ");
}
