/** One coin opened: its chart, and the reasons of its score and bonus. */

/** @import {CoinData, Gap, Position, ScorePart, Series, Timeframe} from "./contract.js" */
/** @import {State} from "./store.js" */
/** @import {View} from "./filter.js" */
/** @import {DrawnChart} from "./chart.js" */

import { PERIODS, drawChart } from "./chart.js";
import { nowMs } from "./clock.js";
import { positionText } from "./trading.js";
import { byId, el, setAttribute, setText, show } from "./dom.js";
import { NOTHING, fixed, percent, price, prices, signed, time, trendGlyph } from "./format.js";
import { charts } from "./library.js";
import { verdict } from "./reading.js";
import { gapWords, gapsOf, isBehind, levelsOf, movedBy, newestIndex } from "./series.js";
import { zone } from "./settings.js";
import { openPositions } from "./store.js";
import { makeTable } from "./table.js";
import { toneOf } from "./tone.js";

const dialog = byId("detail", HTMLDialogElement);
const title = byId("detail-title", HTMLElement);
const priceLine = byId("detail-price", HTMLElement);
const summary = byId("detail-verdict", HTMLElement);
const holding = byId("detail-position", HTMLElement);
const reasons = byId("detail-reasons", HTMLElement);
const frame = byId("chart", HTMLElement);
const message = byId("chart-message", HTMLElement);
const attribution = byId("attribution", HTMLElement);
const gapLine = byId("chart-gaps", HTMLElement);
const legends = {
  price: byId("legend-price", HTMLElement),
  state: el("span"),
  squeeze: byId("legend-squeeze", HTMLElement),
  stoch: byId("legend-stoch", HTMLElement),
};
const emas = PERIODS.map((_, i) => el("span", { class: "ema", "data-ema": String(i + 1) }));
byId("legend-ribbon", HTMLElement).append(legends.state, ...emas);
const switcher = byId("timeframes", HTMLElement);
const bonusReasons = byId("bonus-reasons", HTMLElement);
const bonusNone = byId("bonus-none", HTMLElement);
const scores = {
  long: makeTable(byId("score-long", HTMLElement), "Base score long, by part", [{ name: "Long" }, { name: "Points", numeric: true }, { name: "Because", wide: true }]),
  short: makeTable(byId("score-short", HTMLElement), "Base score short, by part", [{ name: "Short" }, { name: "Points", numeric: true }, { name: "Because", wide: true }]),
};

/** @type {Series | null} */
let series = null;
/** @type {DrawnChart | null} */
let drawnChart = null;
/** @type {CoinData | null} */
let shown = null;
/** Where candles are missing, as drawn. */
/** @type {Gap[]} */
let gaps = [];
/** Entry, stop and target of a position in the coin shown. */
let levels = levelsOf(undefined);
/** Key of the series shown or loading: coin, timeframe, newest close. */
let wanted = "";
/** Until a series that failed or is behind is loaded again; doubles up to a minute. */
const FIRST_PAUSE_MS = 500;
let pauseMs = FIRST_PAUSE_MS;

/**
 * @param {(change: Partial<View>) => void} change
 * @param {(step: 1 | -1) => void} walk To the next or previous coin of the list.
 */
export function bindDetail(change, walk) {
  for (const timeframe of /** @type {Timeframe[]} */ (["5m", "1h", "4h"])) {
    const button = el("button", { type: "button", "data-timeframe": timeframe }, timeframe);
    button.addEventListener("click", () => change({ timeframe }));
    switcher.append(button);
  }
  byId("detail-close", HTMLButtonElement).addEventListener("click", () => dialog.close());
  byId("detail-next", HTMLButtonElement).addEventListener("click", () => walk(1));
  byId("detail-previous", HTMLButtonElement).addEventListener("click", () => walk(-1));
  dialog.addEventListener("close", () => {
    forget();
    change({ coin: "" });
  });
}

function forget() {
  drawnChart?.chart.remove();
  drawnChart = null;
  series = null;
  shown = null;
  wanted = "";
}

/**
 * Show the coin of the view, or none; load its series if a newer one exists.
 * @param {State} state
 * @param {View} view
 */
export function drawDetail(state, view) {
  const coin = state.coins.get(view.coin);
  if (coin === undefined) {
    if (dialog.open) dialog.close();
    return;
  }
  if (!dialog.open) dialog.showModal();
  shown = coin;
  const position = openPositions(state).find(({ symbol }) => symbol === coin.symbol);
  drawWords(coin);
  drawHolding(position, state, coin);
  for (const button of switcher.querySelectorAll("button")) {
    setAttribute(button, "aria-pressed", String(button.dataset["timeframe"] === view.timeframe));
  }
  const key = `${coin.symbol} ${view.timeframe} ${coin.closedUntilMs} ${coin.state === "unavailable"}`;
  if (key !== wanted) {
    const fresh = !wanted.startsWith(`${coin.symbol} ${view.timeframe} `);
    wanted = key;
    levels = levelsOf(position);
    void load(coin.symbol, view.timeframe, key, fresh);
  } else if (JSON.stringify(levelsOf(position)) !== JSON.stringify(levels)) {
    levels = levelsOf(position);
    repaintChart();
  } else {
    follow();
  }
}

/**
 * Return the step of prices: the one they have above the chart, too.
 * @param {Series} drawn
 */
function tickOf(drawn) {
  return shown?.tick || drawn.tick;
}

/** Move the last candle to the price shown above. */
function follow() {
  if (series === null || shown === null || shown.symbol !== series.symbol) return;
  const moved = movedBy(series, shown);
  if (moved !== null) {
    if (moved[0] === series.candles.at(-1)?.[0]) series.candles.pop();
    series.candles.push(moved);
    drawnChart?.move(moved);
  }
  const last = drawnChart?.last() ?? null;
  if (gapsOf(series, nowMs()).length !== gaps.length) repaintChart();
  setAttribute(frame, "data-last", last === null ? null : price(last, tickOf(series)));
}

/**
 * @param {Position | undefined} position
 * @param {State} state
 * @param {CoinData} coin
 */
function drawHolding(position, { data }, { tick }) {
  const line = position === undefined || data.positions === null ? null : positionText(position, data.positions, tick, nowMs());
  setText(holding, line?.text ?? "");
  setAttribute(holding, "data-tone", line?.tone ?? null);
  show(holding, line !== null);
}

/** Draw the chart again: the theme, the zone or a gap changed. */
export function repaintChart() {
  if (series === null) return;
  describe(series);
  void paint(series);
}

/** @param {CoinData} coin */
function drawWords(coin) {
  setText(title, coin.symbol);
  setText(priceLine, `${price(coin.price, coin.tick)}  ${trendGlyph(coin.change24hPct)} ${percent(coin.change24hPct)}`);
  setAttribute(priceLine, "data-tone", toneOf(coin.change24hPct));
  const found = verdict(coin);
  let words = "No score yet.";
  if (found !== null) {
    const sum = found.bonus === null ? `${found.base} + ? (the TA bonus is unavailable)` : `${found.base} + ${found.bonus} = ${found.total}`;
    words = `${found.side.toUpperCase()} ${sum}${found.label === "none" ? "" : `, ${found.label}`}`;
  }
  if (coin.state !== "live") words += ` – ${coin.stateReason || coin.state}`;
  setText(summary, words);
  const { base, bonus } = coin;
  // The reasons of the leading side come first.
  const first = byId(found?.side === "short" ? "score-short" : "score-long", HTMLElement);
  if (reasons.lastElementChild === first) first.previousElementSibling?.before(first);
  scores.long.draw(base === null ? [] : parts(base.longParts, base.long), "No base score yet.");
  scores.short.draw(base === null ? [] : parts(base.shortParts, base.short), "No base score yet.");
  const why = bonus?.reasoning ?? [];
  while (bonusReasons.children.length > why.length) bonusReasons.lastElementChild?.remove();
  why.forEach((reason, i) => setText(bonusReasons.children[i] ?? bonusReasons.appendChild(el("li")), reason));
  setText(bonusNone, bonus === null ? "The TA bonus is unavailable now; that is not a bonus of 0."
    : `Long +${bonus.long}, short +${bonus.short}.${why.length ? "" : " Nothing adds to either side."}`);
}

/**
 * @param {ScorePart[]} all
 * @param {number} total
 */
function parts(all, total) {
  const rows = all.map(({ name, points, max, text }) => [name, `${fixed(points, 1)} of ${fixed(max, 0)}`, text]);
  return [...rows, ["base score", String(total), "the sum, rounded down"]];
}

/**
 * @param {string} symbol
 * @param {Timeframe} timeframe
 * @param {string} key
 * @param {boolean} fresh Another coin or timeframe than before: nothing old may stay.
 */
async function load(symbol, timeframe, key, fresh) {
  if (fresh) {
    pauseMs = FIRST_PAUSE_MS;
    drawnChart?.chart.remove();
    drawnChart = null;
    series = null;
    show(gapLine, false);
    setText(message, `Loading ${timeframe} candles of ${symbol}`);
    show(message, true);
    for (const legend of [...Object.values(legends), ...emas]) setText(legend, "");
  }
  try {
    const answer = await fetch(`api/series/${encodeURIComponent(symbol)}/${timeframe}`);
    const body = await answer.json();
    if (key !== wanted) return;
    if (!answer.ok) throw new Error(body.detail ?? body.title ?? `the server answered ${answer.status}`);
    series = body;
    if (shown !== null && isBehind(body, shown)) loadAgain(symbol, timeframe, key);
    else pauseMs = FIRST_PAUSE_MS;
    describe(body);
    await paint(body);
  } catch (error) {
    if (key !== wanted) return;
    if (drawnChart === null) {
      setText(message, error instanceof Error ? error.message : String(error));
      show(message, true);
    }
    follow();
    loadAgain(symbol, timeframe, key);
  }
}

/**
 * Load once more after a pause, with the next change of the coin.
 * @param {string} symbol
 * @param {Timeframe} timeframe
 * @param {string} key
 */
function loadAgain(symbol, timeframe, key) {
  setTimeout(() => {
    if (key === wanted) wanted = `${symbol} ${timeframe} again`;
  }, pauseMs);
  pauseMs = Math.min(2 * pauseMs, 60_000);
}

/** @param {Series} drawn */
async function paint(drawn) {
  const library = await charts();
  if (drawn !== series) return;
  const kept = drawnChart?.chart.timeScale().getVisibleLogicalRange() ?? null;
  drawnChart?.chart.remove();
  drawnChart = drawChart(library, frame, { series: drawn, gaps, tick: tickOf(drawn), levels }, drawLegend);
  if (kept !== null) drawnChart.chart.timeScale().setVisibleLogicalRange(kept);
  follow();
  setAttribute(frame, "data-drawn", `${drawn.symbol} ${drawn.timeframe}`);
  show(message, false);
  show(attribution, true);
}

/**
 * Say in words where candles are missing, and describe the newest bar.
 * @param {Series} drawn
 */
function describe(drawn) {
  gaps = gapsOf(drawn, nowMs());
  const words = gapWords(drawn, gaps, zone());
  setText(gapLine, words);
  show(gapLine, words !== "");
  drawLegend(null);
}

/**
 * Describe the bar under the pointer; without one, the newest closed bar.
 * @param {number | null} pointed
 */
function drawLegend(pointed) {
  if (series === null) return;
  const i = pointed ?? newestIndex(series);
  const candle = series.candles[i];
  if (candle === undefined) return;
  const tick = tickOf(series);
  const [openMs, open, high, low, close] = candle;
  setText(legends.price, `${time(openMs, zone(), "moment")}: open ${price(open, tick)}, high ${price(high, tick)}, ` +
    `low ${price(low, tick)}, close ${price(close, tick)}`);
  setText(legends.state, `EMA ribbon ${series.ribbonState[i] ?? "unknown"}:`);
  const values = prices(PERIODS.map((period) => series?.ema[period]?.[i]), tick);
  emas.forEach((key, at) => setText(key, `${PERIODS[at]} ${values[at]}`));
  const on = series.squeeze.on[i];
  const word = series.squeeze.fired[i] ? "fired" : on === true ? "on" : on === false ? "off" : "unknown";
  setText(legends.squeeze, `TTM Squeeze ${word}, momentum ${signed(series.squeeze.momentum[i], 2)} ATR`);
  setText(legends.stoch, `Stoch RSI %K ${fixed(series.stochRsi.k[i], 1)}, %D ${fixed(series.stochRsi.d[i], 1)}`);
  setAttribute(frame, "aria-label", `${series.symbol} ${series.timeframe} chart. ${legends.price.textContent ?? NOTHING}. ${gapWords(series, gaps, zone())}`.trim());
}
