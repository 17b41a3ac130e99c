/** What a coin's numbers mean: side, totals, and each indicator as tone, glyph and word. Pure. */

/** @import {CoinData, CoinState, Label, Position, Side, TaSignal} from "./contract.js" */
/** @import {Zone} from "./format.js" */

import { number, time } from "./format.js";

/** Weaker divergences are drawn in outline: they give no points. */
export const SOLID_STRENGTH = 0.3;

/** @type {ReadonlySet<CoinState>} In these states there is no trade, and so no new candle. */
export const UNTRADED = new Set(["announced", "halted", "dead", "delisted"]);

/** @typedef {"up" | "down" | "mixed" | "none"} Tone */

/** @type {Record<string, {tone: Tone, glyph: string}>} */
const APPEARANCES = {
  bullish: { tone: "up", glyph: "▲" },
  bearish: { tone: "down", glyph: "▼" },
  mixed: { tone: "mixed", glyph: "◆" },
};
const UNKNOWN = { tone: /** @type {Tone} */ ("none"), glyph: "" };

/** @param {string | null | undefined} state */
export function appearance(state) {
  return APPEARANCES[state ?? ""] ?? UNKNOWN;
}

/**
 * Return the ribbon of one timeframe.
 * @param {TaSignal | undefined} signal
 * @param {"5m" | "1h" | "4h"} timeframe
 */
export function ribbon(signal, timeframe) {
  const state = signal?.ema_ribbon[`state_${timeframe}`] ?? null;
  const spread = signal?.ema_ribbon[`spread_${timeframe}`] ?? null;
  return { ...appearance(state), word: state ?? "unknown", spread: state === null ? null : spread };
}

/** @typedef {"on" | "fired" | "off" | "unknown"} Squeeze */

/**
 * Return the squeeze; a release takes precedence.
 * @param {TaSignal | undefined} signal
 */
export function squeeze(signal) {
  const raw = signal?.ttm_squeeze;
  /** @type {Squeeze} */
  let state = "unknown";
  if (raw?.fired) state = "fired";
  else if (raw?.squeeze === true) state = "on";
  else if (raw?.squeeze === false) state = "off";
  const direction = (state === "fired" ? raw?.fired_direction : null) ?? raw?.direction ?? null;
  const bars = { on: raw?.bars_in_squeeze, fired: raw?.fired_bars_ago, off: null, unknown: null }[state];
  return { state, direction, glyph: appearance(direction).glyph, tone: appearance(direction).tone, bars: bars ?? null };
}

/**
 * Return the divergence, null where there is none.
 * @param {TaSignal | undefined} signal
 */
export function divergence(signal) {
  const raw = signal?.stoch_rsi_divergence;
  if (!raw || raw.divergence === "none") return null;
  return {
    ...appearance(raw.divergence),
    word: raw.divergence,
    strength: raw.strength,
    solid: raw.strength >= SOLID_STRENGTH,
    candlesAgo: raw.candles_ago,
  };
}

/**
 * @typedef {object} Verdict
 * @property {Side | "even"} side Side of the larger base; of the larger total where they tie.
 * @property {number} base
 * @property {number | null} bonus Points of that side; null while unknown.
 * @property {number | null} total
 * @property {Label} label
 * @property {{side: Side, bonus: number} | null} other Points that went to the other side.
 */

/**
 * Return the verdict on a coin, null without a score.
 * @param {CoinData} coin
 * @returns {Verdict | null}
 */
export function verdict(coin) {
  const { base, bonus } = coin;
  if (base === null || base.coverage === 0) return null;
  const lead = base.long - base.short || (bonus === null ? 0 : bonus.long - bonus.short);
  const side = lead < 0 ? "short" : "long";
  const other = side === "long" ? "short" : "long";
  return {
    side: lead === 0 ? "even" : side,
    base: base[side],
    bonus: bonus === null ? null : bonus[side],
    total: bonus === null ? null : base[side] + bonus[side],
    label: side === "long" ? base.longLabel : base.shortLabel,
    other: bonus !== null && bonus[other] > 0 ? { side: other, bonus: bonus[other] } : null,
  };
}

/**
 * Return the time of a coin's newest data: its signal, else its candles, else its price.
 * @param {CoinData} coin
 */
export function madeAtMs(coin) {
  return coin.computedAtMs ?? coin.fetchedAtMs ?? coin.priceAtMs;
}

/**
 * Return how far the mark is from a level, in percent of the mark; null where one is missing.
 * @param {Position} position
 * @param {"stop_loss" | "take_profit" | "liquidation_price" | "entry_price"} level
 */
export function distancePct(position, level) {
  const mark = number(position.mark_price);
  const at = number(position[level]);
  return mark === null || at === null || mark === 0 || at === 0 ? null : (100 * (at - mark)) / mark;
}

/**
 * Why a coin's state is what it is; where it trades and is left out for a while, until when.
 * @param {CoinData} coin
 * @param {Zone} zone
 */
export function reasonText({ quarantine, state, stateReason }, zone) {
  if (!quarantine || UNTRADED.has(state)) return stateReason;
  return `quarantined until ${time(quarantine.untilMs, zone)}: ${quarantine.reason}`;
}
