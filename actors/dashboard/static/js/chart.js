/** The chart of an opened coin: candles with the ribbon, the squeeze, the Stoch RSI. */

/** @import {Candle, Gap, Series} from "./contract.js" */
/** @import {Charts} from "./library.js" */
/** @import {Colours} from "./series.js" */
/** @import {IChartApi, MouseEventParams, Time} from "lightweight-charts" */

import { decimalsOf, price, time } from "./format.js";
import { Gaps } from "./gaps.js";
import { Segments } from "./segments.js";
import { candleOf, candlesOf, chartTime, dotsOf, lineOf, markersOf, momentumOf, segmentsOf } from "./series.js";
import { zone } from "./settings.js";

export const PERIODS = ["8", "13", "21", "34", "55", "89"];
const SHOWN_BARS = 140;
/** Narrower, a candle has no body any more. */
const BAR_PX = 5;
const [PRICE_PANE, SQUEEZE_PANE, STOCH_PANE] = [0, 1, 2];

/**
 * Return a colour of the theme in force, as the canvas understands it.
 * @param {HTMLElement} frame
 * @param {string} name
 */
function token(frame, name) {
  frame.style.setProperty("color", `var(${name})`);
  const { color } = getComputedStyle(frame);
  frame.style.removeProperty("color");
  return color;
}

/**
 * @param {(name: string) => string} token
 * @returns {Colours}
 */
function colours(token) {
  return {
    up: token("--up"), down: token("--down"), mixed: token("--mixed"),
    upSoft: token("--up-soft"), downSoft: token("--down-soft"),
    squeezeOn: token("--squeeze-on"), squeezeFired: token("--squeeze-fired"), squeezeOff: token("--squeeze-off"),
    k: token("--line-k"), d: token("--line-d"),
  };
}

/**
 * @typedef {object} Drawing
 * @property {Series} series
 * @property {Gap[]} gaps
 * @property {number} tick Of the coin, as its price is shown elsewhere.
 * @property {{title: string, price: number}[]} levels Of a position in this coin.
 */

/**
 * @typedef {object} DrawnChart
 * @property {IChartApi} chart
 * @property {(candle: Candle) => void} move Draw the last candle anew, or one after it.
 * @property {() => number | null} last The price of the last candle drawn.
 */

/**
 * Draw a series into an element, in place of what was there.
 * @param {Charts} library
 * @param {HTMLElement} frame
 * @param {Drawing} drawing
 * @param {(index: number | null) => void} onPoint The candle pointed at; null for none.
 * @returns {DrawnChart}
 */
export function drawChart(library, frame, { series, gaps, tick, levels }, onPoint) {
  const { CandlestickSeries, HistogramSeries, LineSeries, createChart, createSeriesMarkers } = library;
  const colour = (/** @type {string} */ name) => token(frame, name);
  const paint = colours(colour);
  const text = colour("--muted");
  const grid = { color: colour("--grid") };
  const at = (/** @type {Time} */ moment) => Number(moment) * 1000;
  const chart = createChart(frame, {
    autoSize: true,
    layout: {
      background: { color: colour("--surface") }, textColor: text, fontFamily: getComputedStyle(frame).fontFamily,
      // The library's own mark needs an inline style sheet; the page carries the attribution instead.
      attributionLogo: false,
      panes: { separatorColor: colour("--line"), enableResize: false },
    },
    grid: { vertLines: grid, horzLines: grid },
    rightPriceScale: { borderColor: colour("--line"), scaleMargins: { top: 0.08, bottom: 0.08 } },
    timeScale: {
      borderColor: colour("--line"), timeVisible: true, secondsVisible: false,
      tickMarkFormatter: (/** @type {Time} */ moment, /** @type {number} */ kind) =>
        time(at(moment), zone(), kind < 3 ? "day" : "minute"),
    },
    localization: { timeFormatter: (/** @type {Time} */ moment) => time(at(moment), zone(), "moment") },
    crosshair: { mode: 0 },
  });
  const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
  const candles = chart.addSeries(CandlestickSeries, {
    upColor: paint.up, downColor: paint.down, wickUpColor: paint.up, wickDownColor: paint.down, borderVisible: false,
    priceFormat: { type: "custom", minMove: 10 ** -decimalsOf(tick), formatter: (/** @type {number} */ value) => price(value, tick) },
  }, PRICE_PANE);
  candles.setData(candlesOf(series));
  for (const { title, price: at } of levels) {
    candles.createPriceLine({ price: at, title, color: text, lineWidth: 1, lineStyle: title === "entry" ? 0 : 2, axisLabelVisible: true });
  }
  PERIODS.forEach((period, i) => {
    const line = chart.addSeries(LineSeries, { ...quiet, color: colour(`--ema-${i + 1}`), lineWidth: 1 }, PRICE_PANE);
    line.setData(lineOf(series, series.ema[period] ?? []));
  });
  candles.attachPrimitive(new Segments(segmentsOf(series, paint, "price")));
  createSeriesMarkers(candles, markersOf(series, paint));
  const gapColours = { line: colour("--warn"), text: colour("--surface"), back: colour("--warn") };
  candles.attachPrimitive(new Gaps(series, gaps, gapColours, true));

  const bars = chart.addSeries(HistogramSeries, { ...quiet, priceFormat: { type: "price", precision: 2, minMove: 0.01 } }, SQUEEZE_PANE);
  bars.setData(momentumOf(series, paint));
  const dots = chart.addSeries(LineSeries, { ...quiet, lineVisible: false, pointMarkersVisible: true, pointMarkersRadius: 2.5 }, SQUEEZE_PANE);
  dots.setData(dotsOf(series, paint));
  bars.attachPrimitive(new Gaps(series, gaps, gapColours, false));

  const range = { autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 100 } }) };
  const stoch = { ...quiet, ...range, priceFormat: { type: /** @type {const} */ ("price"), precision: 0, minMove: 1 } };
  const k = chart.addSeries(LineSeries, { ...stoch, color: paint.k, lineWidth: 2 }, STOCH_PANE);
  k.setData(lineOf(series, series.stochRsi.k));
  const d = chart.addSeries(LineSeries, { ...stoch, color: paint.d, lineWidth: 1 }, STOCH_PANE);
  d.setData(lineOf(series, series.stochRsi.d));
  for (const level of [20, 80]) {
    k.createPriceLine({ price: level, color: text, lineWidth: 1, lineStyle: 3, axisLabelVisible: false, title: "" });
  }
  k.attachPrimitive(new Segments(segmentsOf(series, paint, "k")));
  k.attachPrimitive(new Gaps(series, gaps, gapColours, false));

  [5, 2, 2].forEach((factor, pane) => chart.panes()[pane]?.setStretchFactor(factor));
  const last = series.candles.length;
  const shown = Math.min(SHOWN_BARS, Math.floor(frame.clientWidth / BAR_PX));
  chart.timeScale().setVisibleLogicalRange({ from: last - shown, to: last + 4 });

  const indexes = new Map(series.candles.map(([openMs], i) => [Number(chartTime(openMs)), i]));
  chart.subscribeCrosshairMove((/** @type {MouseEventParams<Time>} */ { time: moment }) => {
    onPoint(moment === undefined ? null : indexes.get(Number(moment)) ?? null);
  });
  return {
    chart,
    move: (candle) => candles.update(candleOf(candle)),
    last: () => /** @type {{close?: number} | undefined} */ (candles.data().at(-1))?.close ?? null,
  };
}
