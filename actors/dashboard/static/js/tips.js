/** Contents of the tooltips: what a mark is, current numbers, their meaning. Pure. */

/** @import {CoinData, Position, ScorePart, TaSignal} from "./contract.js" */
/** @import {Zone} from "./format.js" */

import { NOTHING, age, barCount, countdown, fixed, percent, price, prices, signed, time } from "./format.js";
import { SOLID_STRENGTH, UNTRADED, distancePct, divergence, ribbon, squeeze, verdict } from "./reading.js";

/** @typedef {{text: string, facts: [string, string][], notes: string[]}} Tip */

const RIBBON =
  "EMA Ribbon (8/13/21/34/55/89). Green = all EMAs stacked bullish. Red = bearish. Yellow = mixed.";
const SQUEEZE =
  "TTM Squeeze. Red dot = volatility compression (coiled spring). Green dot = squeeze just fired. " +
  "Direction shown by momentum.";
const OUTLIERS =
  "A bar of extreme range widens the channel for 20 bars and bends the momentum for 39. A squeeze that is on only " +
  "because of it gives no points when it is released.";
const DIVERGENCE =
  "Stochastic RSI Divergence. Bullish divergence = price falling but momentum rising (reversal signal).";

const NOT_THERE = "There is no current signal for this coin; this is not a neutral reading.";

/** @param {number} spread */
function spreadMeans(spread) {
  if (spread >= 79) return "strong trend";
  if (spread > 50) return "wider than noise";
  return "as tight as noise";
}

/**
 * @param {CoinData} coin
 * @param {TaSignal | undefined} signal
 * @returns {Tip}
 */
export function ribbonTip(coin, signal) {
  /** @type {[string, string][]} */
  const facts = [];
  for (const timeframe of /** @type {const} */ (["5m", "1h", "4h"])) {
    const { word, spread } = ribbon(signal, timeframe);
    if (spread === null) facts.push([timeframe, word]);
    else facts.push([timeframe, `${word}, spread ${fixed(spread, 1)} % – ${spreadMeans(spread)}`]);
  }
  const emas = signal?.ema_ribbon.values ?? [];
  if (emas.length) facts.push(["EMAs 5m", prices(emas, coin.tick).join(" / ")]);
  const notes = signal
    ? ["Spread: 50 is what noise shows half the time. 5m and 1h stacked the same way give 10 points; 4h gives none."]
    : [NOT_THERE];
  return { text: RIBBON, facts, notes };
}

/**
 * @param {TaSignal | undefined} signal
 * @returns {Tip}
 */
export function squeezeTip(signal) {
  const raw = signal?.ttm_squeeze;
  const { state, direction } = squeeze(signal);
  if (!raw) return { text: SQUEEZE, facts: [], notes: [NOT_THERE] };
  /** @type {[string, string][]} */
  const facts = [];
  if (state === "on") facts.push(["On for", `${barCount(raw.bars_in_squeeze)} of ${raw.timeframe}`]);
  if (state === "fired") {
    facts.push(["Fired", `${barCount(raw.fired_bars_ago)} ago, ${raw.fired_direction ?? "no direction"}`]);
  }
  if (raw.last_squeeze_bars !== null) facts.push(["Last squeeze", barCount(raw.last_squeeze_bars)]);
  facts.push(["Momentum", `${signed(raw.momentum, 2)} ATR, ${direction ?? "no direction"}`]);
  const meaning = {
    on: "Volatility is compressed. It gives no points until it fires.",
    fired: "Released within the last three bars: 15 points to the side of the momentum while that holds.",
    off: "No compression now, and none just released.",
    unknown: "Too few candles to tell.",
  }[state];
  const keltner =
    "Bollinger 20/2.0 inside Keltner 20/1.5 on closed 5m candles. TradingView's own Keltner study is " +
    "EMA 20 with 2 × ATR 10, another channel.";
  const outliers = raw.outlier_bars?.length ?? 0;
  if (outliers === 0) return { text: SQUEEZE, facts, notes: [meaning, keltner] };
  facts.push(["Outliers", `${barCount(outliers)} of extreme range in the last 39`]);
  return { text: SQUEEZE, facts, notes: [meaning, OUTLIERS, keltner] };
}

/**
 * @param {TaSignal | undefined} signal
 * @returns {Tip}
 */
export function divergenceTip(signal) {
  const raw = signal?.stoch_rsi_divergence;
  if (!raw) return { text: DIVERGENCE, facts: [], notes: [NOT_THERE] };
  const found = divergence(signal);
  /** @type {[string, string][]} */
  const facts = [];
  if (found) {
    facts.push(["Found", `${found.word}, ${found.candlesAgo} candles ago`]);
    facts.push(["Strength", `${fixed(found.strength, 3)} of 1`]);
  }
  facts.push(["%K / %D", `${fixed(raw.stoch_k, 1)} / ${fixed(raw.stoch_d, 1)}`]);
  facts.push(["RSI 14", fixed(raw.rsi, 1)]);
  let meaning = "None on 5m that is at most 10 candles old.";
  if (found) {
    meaning = found.solid
      ? `Solid: strength ${SOLID_STRENGTH} or more gives 20 points to the ${found.tone === "up" ? "long" : "short"} side.`
      : `Outlined: weaker than ${SOLID_STRENGTH}, gives no points.`;
  }
  return { text: DIVERGENCE, facts, notes: [meaning] };
}

/**
 * Return the parts of one side's score, in order of weight.
 * @param {ScorePart[]} parts
 * @returns {[string, string][]}
 */
function partFacts(parts) {
  return parts.map((part) => [part.name, `${fixed(part.points, 1)} of ${fixed(part.max, 0)}`]);
}

/**
 * @param {CoinData} coin
 * @returns {Tip}
 */
export function scoreTip(coin) {
  const found = verdict(coin);
  if (found === null || coin.base === null) {
    return { text: "Base score and TA bonus.", facts: [], notes: [coin.base?.fault ? `No score: ${coin.base.fault}` : "No score for this coin yet."] };
  }
  const text =
    "Base score + TA bonus of the same side = total. The larger base decides the side. " +
    "The bonus is for information: the trader counts it only where trader.use_ta_signals is on.";
  const short = found.side === "short";
  const facts = partFacts(short ? coin.base.shortParts : coin.base.longParts);
  facts.push(["Long / short", `${coin.base.long} / ${coin.base.short}`]);
  if (coin.base.coverage < 1) facts.push(["Coverage", percent(100 * coin.base.coverage, 0).replace("+", "")]);
  const notes = coin.base.fault ? [`Incomplete: ${coin.base.fault}`] : [];
  if (coin.bonus === null) notes.push("The TA bonus is unavailable now; that is not a bonus of 0.");
  else notes.push(...coin.bonus.reasoning);
  return { text, facts, notes };
}

/**
 * @param {CoinData} coin
 * @param {number} nowMs
 * @param {Zone} zone
 * @returns {Tip}
 */
export function ageTip(coin, nowMs, zone) {
  const since = (/** @type {number | null} */ at) => (at === null ? NOTHING : `${age(nowMs - at)} ago`);
  /** @type {[string, string][]} */
  const facts = [
    ["Signal computed", since(coin.computedAtMs)],
    ["Candles fetched", since(coin.fetchedAtMs)],
    ["Price", since(coin.priceAtMs)],
    [UNTRADED.has(coin.state) ? "Last candle" : "From close", time(coin.closedUntilMs, zone, UNTRADED.has(coin.state) ? "moment" : "minute")],
  ];
  if (coin.nextCloseMs !== null) facts.push(["Next close in", countdown(coin.nextCloseMs - nowMs)]);
  const notes = coin.stateReason ? [coin.stateReason] : [];
  return { text: "How old the numbers of this coin are.", facts, notes };
}

/**
 * @param {Position} position
 * @param {number | undefined} tick
 * @returns {Tip}
 */
export function positionTip(position, tick) {
  const level = (/** @type {"stop_loss" | "take_profit" | "liquidation_price"} */ name) =>
    position[name] === null ? "none" : `${price(position[name], tick)} (${percent(distancePct(position, name))})`;
  const [entry = NOTHING, mark = NOTHING] = prices([position.entry_price, position.mark_price], tick);
  /** @type {[string, string][]} */
  const facts = [
    ["Size", `${position.size_base}, ${position.leverage}×`],
    ["Entry", entry],
    ["Mark", mark],
    ["Stop", level("stop_loss")],
    ["Target", level("take_profit")],
    ["Liquidation", level("liquidation_price")],
  ];
  const notes =
    position.foreign === null ? ["The trader has not looked since it opened: whose it is is not known yet."]
    : position.foreign ? ["Foreign: not opened by this trader, and never touched by it."]
    : [];
  return { text: "Open position. Distances are from the venue's mark.", facts, notes };
}
