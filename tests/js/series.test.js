import assert from "node:assert/strict";
import { test } from "node:test";

import { dotsOf, gapLabel, gapWords, gapsOf, isBehind, levelsOf, lineOf, markersOf, momentumOf, movedBy, newestIndex, segmentsOf } from "../../actors/dashboard/static/js/series.js";
import { sparkPath } from "../../actors/dashboard/static/js/spark.js";
import { position } from "./samples.js";

const colours = {
  up: "up", down: "down", mixed: "mixed", upSoft: "upSoft", downSoft: "downSoft", squeezeOn: "on",
  squeezeFired: "fired", squeezeOff: "off", k: "k", d: "d",
};
const line = (/** @type {object} */ changes) => ({
  kind: /** @type {const} */ ("bullish"), strength: 0.5, pivotAMs: 0, pivotBMs: 2000, knownAtMs: 3000,
  kA: 20, kB: 30, priceA: 9, priceB: 8, ...changes,
});
const series = () => ({
  symbol: "BTCUSDT", timeframe: /** @type {const} */ ("5m"), tick: 0.01, source: "sim", closedUntilMs: 4000,
  candles: /** @type {import("../../actors/dashboard/static/js/contract.js").Candle[]} */ (
    [0, 1000, 2000, 3000].map((ms) => [ms, 1, 2, 0, 1, 5])),
  ema: {},
  squeeze: { on: [null, true, false, false], momentum: [1, 2, -1, -0.5], fired: [false, false, true, true] },
  stochRsi: { k: [1, 2, 3, null], d: [null, null, null, null] },
  divergences: [line({})], gaps: [], ribbonState: [], atr: [],
});

test("a missing value is a gap, not a zero", () => {
  assert.deepEqual(lineOf(series(), [1, null]), [{ time: 0, value: 1 }, { time: 1 }, { time: 2 }, { time: 3 }]);
});

test("momentum has four colours: side by growing or shrinking", () => {
  const colour = momentumOf(series(), colours).map((point) => /** @type {any} */ (point).color);
  assert.deepEqual(colour, ["up", "up", "down", "downSoft"]);
});

test("dots are on, fired or off, and none where unknown", () => {
  const found = dotsOf(series(), colours).map((point) => /** @type {any} */ (point).color);
  assert.deepEqual(found, [undefined, "on", "fired", "fired"]);
});

test("a signal is marked where it became known, a release once", () => {
  const found = markersOf(series(), colours).map(({ time, text }) => [time, text]);
  assert.deepEqual(found, [[2, "fired ▼"], [3, "div"]]);
});

test("a divergence is drawn between its pivots, on price and on %K", () => {
  const [price] = segmentsOf(series(), colours, "price");
  const [k] = segmentsOf(series(), colours, "k");
  assert.deepEqual([price?.fromTime, price?.fromValue, price?.toTime, price?.toValue], [0, 9, 2, 8]);
  assert.deepEqual([k?.fromValue, k?.toValue, k?.solid], [20, 30, true]);
});

test("a divergence that began before the chart is not drawn from nowhere", () => {
  const told = { ...series(), divergences: [line({ pivotAMs: -1000 })] };
  assert.deepEqual(segmentsOf(told, colours, "k"), []);
});

test("the legend stands at the newest bar with indicators", () => {
  assert.equal(newestIndex(series()), 2);
});

test("a sparkline spans its box, and a flat one is a line in the middle", () => {
  assert.equal(sparkPath([1, 2]), "M0.0 30.0L96.0 2.0");
  assert.equal(sparkPath([5, 5]), "M0.0 16.0L96.0 16.0");
  assert.equal(sparkPath([5]), "");
});

test("a position's entry, stop and target are levels on the chart, and only those it has", () => {
  assert.deepEqual(levelsOf(undefined), []);
  assert.deepEqual(levelsOf(position()),
    [{ title: "entry", price: 60000 }, { title: "stop", price: 59780 }, { title: "target", price: 63440 }]);
  assert.deepEqual(levelsOf(position({ stop_loss: null, take_profit: null })), [{ title: "entry", price: 60000 }]);
});

const M5 = 300_000;
/** Candles of 0:00 and 0:05, the second one open. */
const live = () => ({
  ...series(), closedUntilMs: M5,
  candles: /** @type {import("../../actors/dashboard/static/js/contract.js").Candle[]} */ ([[0, 9, 11, 8, 10, 5], [M5, 10, 11, 9, 10, 5]]),
});

test("between closes the price moves the open candle, and its high and low with it", () => {
  const moved = (/** @type {number} */ price, ms = M5 + 1000) => movedBy(live(), { price, priceAtMs: ms });
  assert.deepEqual(moved(10.5), [M5, 10, 11, 9, 10.5, 5]);
  assert.deepEqual(moved(12), [M5, 10, 12, 9, 12, 5]);
  assert.deepEqual(moved(7), [M5, 10, 11, 7, 7, 5]);
  assert.equal(moved(10), null);
});

test("after the open candle's end the price begins the next one", () => {
  assert.deepEqual(movedBy(live(), { price: 12, priceAtMs: 2 * M5 }), [2 * M5, 12, 12, 12, 12, 0]);
});

test("a series is behind while the newest close of its own timeframe is not in it", () => {
  const behind = (/** @type {"5m" | "1h"} */ timeframe, /** @type {number | null} */ known) =>
    isBehind({ timeframe, closedUntilMs: 12 * M5 }, { closedUntilMs: known });
  assert.deepEqual([null, 12 * M5, 13 * M5].map((known) => behind("5m", known)), [false, false, true]);
  assert.deepEqual([12 * M5, 23 * M5, 24 * M5].map((known) => behind("1h", known)), [false, false, true]);
});

test("a closed candle stays as it closed, and a price without candles draws none", () => {
  const closed = { ...live(), closedUntilMs: 2 * M5 };
  assert.equal(movedBy(closed, { price: 12, priceAtMs: M5 + 1000 }), null);
  assert.equal(movedBy(closed, { price: 12, priceAtMs: 40 * M5 }), null);
  assert.equal(movedBy(live(), { price: null, priceAtMs: null }), null);
  assert.equal(movedBy({ ...live(), candles: [] }, { price: 12, priceAtMs: 1 }), null);
});

test("a halt, missing candles and no candles since are three things", () => {
  const day = Date.UTC(2023, 2, 24);
  const halt = { fromMs: day + 151 * M5, untilMs: day + 168 * M5, confirmed: true };
  const missing = { ...halt, untilMs: day + 300 * M5, confirmed: false };
  const since = { ...halt, untilMs: null, confirmed: false };
  assert.equal(gapLabel(series(), halt), "halt 85\u00a0min");
  assert.equal(gapLabel(series(), { ...halt, untilMs: halt.fromMs + 36 * M5 }), "halt 3\u00a0h");
  assert.equal(gapLabel(series(), missing), "149 bars missing");
  assert.equal(gapLabel(series(), since), "no candles");
  const words = (/** @type {import("../../actors/dashboard/static/js/contract.js").Gap[]} */ ...gaps) => gapWords(series(), gaps, "utc");
  assert.equal(words(halt), "Halt: the exchange has no candles from 24 Mar, 12:35 to 14:00 (17 bars).");
  assert.equal(words(missing), "Missing: candles from 24 Mar, 12:35 to 25 Mar, 01:00 (149 bars).");
  assert.equal(words(since), "No candles since 24 Mar, 12:35.");
  assert.equal(words(), "");
  assert.equal(words(halt, halt, halt, halt, since).split("Halt").length, 3);
  assert.match(words(halt, halt, halt, halt, since), /^No candles since .* And 2 earlier\.$/);
});

test("candles are missing after the last one from the second one on", () => {
  const open = { fromMs: 2 * M5, untilMs: null, confirmed: false };
  for (const bars of [2, 2.5, 3, 3.9]) assert.deepEqual(gapsOf(live(), bars * M5), []);
  assert.deepEqual(gapsOf(live(), 4 * M5), [open]);
  assert.deepEqual(gapsOf(live(), 900 * M5 + 1), [open]);
  assert.deepEqual(gapsOf({ ...live(), candles: [] }, 900 * M5), []);
});
