import assert from "node:assert/strict";
import { test } from "node:test";

import { divergenceTip, ribbonTip, scoreTip, squeezeTip } from "../../actors/dashboard/static/js/tips.js";
import { base, coin, signal } from "./samples.js";

test("tooltips begin with the words agreed", () => {
  assert.equal(ribbonTip(coin(), signal()).text,
    "EMA Ribbon (8/13/21/34/55/89). Green = all EMAs stacked bullish. Red = bearish. Yellow = mixed.");
  assert.equal(squeezeTip(signal()).text,
    "TTM Squeeze. Red dot = volatility compression (coiled spring). Green dot = squeeze just fired. Direction shown by momentum.");
  assert.equal(divergenceTip(signal()).text,
    "Stochastic RSI Divergence. Bullish divergence = price falling but momentum rising (reversal signal).");
});

test("without a signal a tooltip says so and tells no number", () => {
  for (const tip of [ribbonTip(coin(), undefined), squeezeTip(undefined), divergenceTip(undefined)]) {
    assert.match(tip.notes.join(" "), /not a neutral reading/);
    assert.doesNotMatch(JSON.stringify(tip.facts), /\d\d\.\d/);
  }
});

test("the squeeze's tooltip names outliers where there are some", () => {
  assert.doesNotMatch(JSON.stringify(squeezeTip(signal())), /utlier|extreme/);
  const tip = squeezeTip(signal({ squeeze: { squeeze: true, bars_in_squeeze: 4, outlier_bars: [300000] } }));
  assert.deepEqual(tip.facts.at(-1), ["Outliers", "1 bar of extreme range in the last 39"]);
  assert.match(tip.notes.join(" "), /gives no points when it is released/);
});

test("the score's tooltip tells the parts of the side that leads", () => {
  const part = (/** @type {string} */ name) => ({ name, points: 12, max: 20, text: "" });
  const scored = { ...base(10, 60), longParts: [part("long part")], shortParts: [part("short part")] };
  const tip = scoreTip(coin({ base: scored, bonus: { long: 0, short: 10, reasoning: ["because (+10)"] } }));
  assert.deepEqual(tip.facts[0], ["short part", "12.0 of 20"]);
  assert.deepEqual(tip.notes, ["because (+10)"]);
});
