/** One coin's card. Made once, then updated in place. */

/** @import {CoinData, CoinState, Position, Positions, TaSignal} from "./contract.js" */
/** @import {Zone} from "./format.js" */

import { positionText } from "./trading.js";
import { el, setAttribute, setText, show } from "./dom.js";
import { age, barCount, countdown, fixed, pair, percent, price, time, trendGlyph } from "./format.js";
import { UNTRADED, divergence, madeAtMs, reasonText, ribbon, squeeze, verdict } from "./reading.js";
import { makeSpark } from "./spark.js";
import { ageTip, divergenceTip, positionTip, ribbonTip, scoreTip, squeezeTip } from "./tips.js";
import { toneOf } from "./tone.js";
import { explain } from "./tooltip.js";

/** @type {Record<CoinState, string>} */
const STATE_WORDS = {
  loading: "loading",
  warming: "warming up",
  live: "",
  stale: "stale",
  quarantined: "quarantined",
  announced: "announced",
  young: "young",
  halted: "halted",
  dead: "dead",
  delisted: "delisted",
  unavailable: "TA unavailable",
};
const DAY_MS = 86_400_000;
/** In these states an old signal is not shown. */
const SPEECHLESS = new Set(["loading", "announced", "dead", "delisted", "unavailable"]);

/**
 * @typedef {object} Sheet The data of a card.
 * @property {CoinData} coin
 * @property {TaSignal | undefined} signal
 * @property {Position | undefined} position
 * @property {Positions | null} account The message that position is in.
 * @property {Zone} zone
 * @property {string} href Where the coin is opened.
 */

/** @param {string} timeframe */
function ribbonRow(timeframe) {
  const fill = el("span", { class: "ribbon-fill" });
  const word = el("span", { class: "ribbon-word" });
  const spread = el("span", { class: "ribbon-spread" });
  const row = el("span", { class: "ribbon-row" },
    el("span", { class: "ribbon-name" }, timeframe),
    el("span", { class: "ribbon-bar", "aria-hidden": "true" }, fill), word, spread);
  return { row, fill, word, spread };
}

export class Card {
  /** @param {() => number} nowMs The server's clock. */
  constructor(nowMs) {
    this.nowMs = nowMs;
    /** @type {Sheet | null} */
    this.sheet = null;
    this.link = el("a", { class: "symbol" });
    this.ticker = el("b");
    this.quote = el("span", { class: "quote" });
    this.link.append(this.ticker, this.quote);
    this.state = el("span", { class: "state" });
    this.age = el("button", { class: "age" });
    this.price = el("span", { class: "price" });
    this.change = el("span", { class: "change" });
    const span = el("span", { class: "span" }, "24\u00a0h");
    this.spark = makeSpark();
    this.side = el("span", { class: "side" });
    this.sum = el("span", { class: "sum" });
    this.label = el("span", { class: "label" });
    this.score = el("button", { class: "score" }, this.side, this.sum, this.label);
    this.other = el("span", { class: "other" });
    this.rows = { "5m": ribbonRow("5m"), "1h": ribbonRow("1h") };
    this.ribbon = el("button", { class: "ribbon" }, this.rows["5m"].row, this.rows["1h"].row);
    this.dot = el("span", { class: "dot", "aria-hidden": "true" });
    this.squeezeWord = el("span");
    this.squeeze = el("button", { class: "squeeze" }, this.dot, this.squeezeWord);
    this.divergence = el("button", { class: "divergence" });
    this.position = el("button", { class: "position" });
    this.reason = el("p", { class: "reason" });
    this.close = el("span");
    this.next = el("span", { class: "next" });
    this.node = el("li", { class: "card" },
      el("div", { class: "card-head" }, this.link, this.state, this.age),
      el("div", { class: "card-price" }, el("div", {}, this.price, this.change, " ", span), this.spark.picture),
      this.score,
      this.ribbon,
      el("div", { class: "card-marks" }, this.squeeze, this.other),
      this.divergence,
      this.position,
      this.reason,
      el("p", { class: "card-foot" }, this.close, this.next));
    const signal = () => this.shownSignal();
    explain(this.age, () => ageTip(this.drawn().coin, this.nowMs(), this.drawn().zone));
    explain(this.score, () => scoreTip(this.drawn().coin));
    explain(this.ribbon, () => ribbonTip(this.drawn().coin, signal()));
    explain(this.squeeze, () => squeezeTip(signal()));
    explain(this.divergence, () => divergenceTip(signal()));
    explain(this.position, () => {
      const { position, coin } = this.drawn();
      if (position === undefined) throw new Error("a position that is not shown is asked about");
      return positionTip(position, coin.tick);
    });
  }

  drawn() {
    if (this.sheet === null) throw new Error("a card is asked before it was drawn");
    return this.sheet;
  }

  shownSignal() {
    const { coin, signal } = this.drawn();
    return SPEECHLESS.has(coin.state) ? undefined : signal;
  }

  /** @param {Sheet} sheet */
  draw(sheet) {
    this.sheet = sheet;
    const { coin, position, zone, href } = sheet;
    setAttribute(this.node, "data-symbol", coin.symbol);
    setAttribute(this.node, "data-state", coin.state);
    const [ticker, quote] = pair(coin);
    setText(this.ticker, ticker);
    setText(this.quote, quote);
    setAttribute(this.link, "href", href);
    setText(this.state, STATE_WORDS[coin.state] ?? coin.state);
    show(this.state, coin.state !== "live");
    setText(this.price, price(coin.price, coin.tick));
    setText(this.change, `${trendGlyph(coin.change24hPct)} ${percent(coin.change24hPct)}`);
    setAttribute(this.change, "data-tone", toneOf(coin.change24hPct));
    this.spark.draw(coin.spark);
    this.drawScore(coin);
    this.drawTa(this.shownSignal(), coin);
    show(this.position, position !== undefined);
    setText(this.reason, reasonText(coin, zone));
    show(this.reason, coin.state !== "live" && this.reason.textContent !== "");
    setText(this.close, closeText(coin, this.shownSignal(), zone));
    this.tick();
  }

  /** @param {CoinData} coin */
  drawScore(coin) {
    const found = SPEECHLESS.has(coin.state) ? null : verdict(coin);
    setAttribute(this.score, "data-side", found?.side ?? "none");
    setAttribute(this.score, "data-label", found?.label ?? "none");
    if (found === null) {
      setText(this.side, wordWithoutScore(coin));
      setText(this.sum, "");
      setText(this.label, "");
    } else {
      setText(this.side, { long: "▲ LONG", short: "▼ SHORT", even: "◆ EVEN" }[found.side]);
      setText(this.sum, found.bonus === null ? `${found.base} + ? bonus` : `${found.base} + ${found.bonus} = ${found.total}`);
      const partial = coin.base !== null && coin.base.coverage < 1;
      setText(this.label, partial ? "partial" : found.label === "none" ? "" : found.label);
    }
    const other = found?.other ?? null;
    setText(this.other, other === null ? "" : `${other.side} +${other.bonus}`);
    setAttribute(this.other, "data-side", other?.side ?? null);
    show(this.other, other !== null);
  }

  /**
   * @param {TaSignal | undefined} signal
   * @param {CoinData} coin
   */
  drawTa(signal, coin) {
    for (const timeframe of /** @type {const} */ (["5m", "1h"])) {
      const { row, fill, word, spread } = this.rows[timeframe];
      const found = ribbon(signal, timeframe);
      setAttribute(row, "data-tone", found.tone);
      fill.style.setProperty("--spread", `${found.spread ?? 0}%`);
      setText(word, found.tone === "none" ? absence(signal, coin) : `${found.glyph} ${found.word}`);
      setText(spread, found.spread === null ? "" : `${fixed(found.spread, 1)}\u00a0%`);
    }
    const squeezed = squeeze(signal);
    setAttribute(this.squeeze, "data-squeeze", squeezed.state);
    setText(this.squeezeWord, squeezeText(squeezed, signal, coin));
    const found = divergence(signal);
    setAttribute(this.divergence, "data-strength", found === null ? "none" : found.solid ? "solid" : "outlined");
    setAttribute(this.divergence, "data-tone", found?.tone ?? "none");
    setText(this.divergence, found === null ? (signal ? "no divergence" : `divergence: ${absence(signal, coin)}`)
      : `${found.glyph} ${found.word} div. ${strengthText(found.strength)} · ${barsAgo(found.candlesAgo)}`);
  }

  drawPosition() {
    const { coin, position, account } = this.drawn();
    if (position === undefined || account === null) return;
    const line = positionText(position, account, coin.tick, this.nowMs());
    setAttribute(this.position, "data-tone", line.tone);
    setAttribute(this.position, "data-current", String(line.isCurrent));
    setText(this.position, line.text);
  }

  /** Update what depends on the time. */
  tick() {
    const { coin } = this.drawn();
    const now = this.nowMs();
    this.drawPosition();
    setText(this.age, ageText(coin, now, this.drawn().zone));
    const left = coin.nextCloseMs === null ? null : coin.nextCloseMs - now;
    setText(this.next, left === null ? "" : left > 0 ? `next in ${countdown(left)}` : "next is due");
  }
}

/** @param {CoinData} coin */
function wordWithoutScore({ state, base }) {
  if (state === "unavailable") return "score unavailable";
  return base === null && state !== "quarantined" && !UNTRADED.has(state) ? "no score yet" : "no score";
}

/**
 * Return how old the numbers are; of a coin that does not trade, when its last candle closed.
 * @param {CoinData} coin
 * @param {number} now
 * @param {Zone} zone
 */
function ageText(coin, now, zone) {
  const { state, closedUntilMs } = coin;
  const made = madeAtMs(coin);
  if (!UNTRADED.has(state)) return made === null ? "no data" : `${age(now - made)} old`;
  if (closedUntilMs === null) return "no candle";
  return `last candle ${time(closedUntilMs, zone, now - closedUntilMs < DAY_MS ? "minute" : "date")}`;
}

/**
 * Return a strength cut, not rounded, to two decimals: one in outline never reads 0.30.
 * @param {number} strength
 */
function strengthText(strength) {
  return fixed(Math.floor(strength * 100 + 1e-9) / 100, 2);
}

/**
 * Return which close the signal is from; without a signal, when the newest candle closed.
 * @param {CoinData} coin
 * @param {TaSignal | undefined} signal
 * @param {Zone} zone
 */
function closeText(coin, signal, zone) {
  if (UNTRADED.has(coin.state)) return "";
  if (signal !== undefined) return `signal from close ${time(signal.closed_until_ms, zone)}`;
  return coin.closedUntilMs === null ? "no closed candle yet" : `candle closed ${time(coin.closedUntilMs, zone)}`;
}

/**
 * Return the word for a missing reading, which must not sound neutral.
 * @param {TaSignal | undefined} signal
 * @param {CoinData} coin
 */
function absence(signal, coin) {
  if (coin.state === "loading") return "loading";
  if (coin.state === "warming") return "warming up";
  return signal ? "unknown" : "unavailable";
}

/**
 * @param {ReturnType<typeof squeeze>} found
 * @param {TaSignal | undefined} signal
 * @param {CoinData} coin
 */
function squeezeText({ state, bars, glyph }, signal, coin) {
  if (state === "on") return `${glyph} squeeze on, ${barCount(bars)}`;
  if (state === "fired") return bars === 0 ? `${glyph} fired now` : `${glyph} fired ${barsAgo(bars)}`;
  return state === "off" ? `${glyph} no squeeze` : `squeeze: ${absence(signal, coin)}`;
}

/** @param {number | null} bars */
function barsAgo(bars) {
  return `${barCount(bars)} ago`.replaceAll(" ", "\u00a0");
}
