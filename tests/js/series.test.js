import assert from "node:assert/strict";
import { test } from "node:test";

import { dotsOf, levelsOf, lineOf, markersOf, momentumOf, newestIndex, segmentsOf } from "../../actors/dashboard/static/js/series.js";
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
  divergences: [line({})], ribbonState: [], atr: [],
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
