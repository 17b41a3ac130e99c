import assert from "node:assert/strict";
import { test } from "node:test";

import { age, barCount, countdown, decimalsOf, fixed, number, pair, percent, price, prices, signed, time } from
  "../../actors/dashboard/static/js/format.js";

const NBSP = "\u00a0";
const MINUS = "\u2212";

test("a tick says how many decimals its prices have", () => {
  const cases = [[0.01, 2], [0.00001, 5], [1e-7, 7], [2.5e-7, 8], [0.25, 2], [0.5, 1], [1, 0], [10, 0]];
  for (const [tick, decimals] of cases) assert.equal(decimalsOf(Number(tick)), decimals, String(tick));
});

test("bars are counted in words", () => {
  assert.deepEqual([0, 1, 2, null].map(barCount), ["0 bars", "1 bar", "2 bars", "– bars"]);
});

test("a tick that cannot be one still gives a readable price", () => {
  for (const tick of [0, -1, NaN, Infinity]) assert.equal(decimalsOf(tick), 2);
});

test("a price stands in its coin's own step", () => {
  assert.equal(price(61234.5, 0.01), "61,234.50");
  assert.equal(price("0.17293", 0.00001), "0.17293");
  assert.equal(price(null, 0.01), "–");
});

test("what is no number is shown as nothing, not as zero", () => {
  for (const none of [null, undefined, "", "abc", NaN, Infinity]) {
    assert.equal(number(none), null);
    assert.equal(fixed(none, 2), "–");
    assert.equal(percent(none), "–");
  }
});

test("signs are true: no sign at zero, none at what rounds to zero", () => {
  assert.equal(signed(1.5, 1), "+1.5");
  assert.equal(signed(-1.5, 1), `${MINUS}1.5`);
  assert.equal(signed(0, 1), "0.0");
  assert.equal(signed(-0.001, 2), "0.00");
  assert.equal(signed(0.001, 2), "0.00");
  assert.equal(percent(-3.625), `${MINUS}3.63${NBSP}%`);
});

test("an age is told in the largest unit that says enough", () => {
  const cases = /** @type {[number, string][]} */ ([
    [-5_000, `0${NBSP}s`], [0, `0${NBSP}s`], [119_999, `119${NBSP}s`], [120_000, `2${NBSP}min`],
    [99 * 60_000, `99${NBSP}min`], [100 * 60_000, `1${NBSP}h 40${NBSP}min`], [3 * 86_400_000, `3${NBSP}d`],
  ]);
  for (const [ms, text] of cases) assert.equal(age(ms), text);
  assert.equal(age(null), "–");
});

test("a countdown ends at 0:00 and never goes below", () => {
  assert.equal(countdown(133_000), "2:13");
  assert.equal(countdown(132_001), "2:13");
  assert.equal(countdown(0), "0:00");
  assert.equal(countdown(-1), "0:00");
  assert.equal(countdown(3_725_000), "1:02:05");
});

test("times are UTC when asked, at midnight too", () => {
  const noon = Date.UTC(2026, 2, 1, 12, 5, 9);
  assert.equal(time(noon, "utc"), "12:05");
  assert.equal(time(noon, "utc", "second"), "12:05:09");
  assert.equal(time(Date.UTC(2026, 2, 1), "utc"), "00:00");
  assert.equal(time(null, "utc"), "–");
});

test("a symbol is split into what is traded and what it costs", () => {
  const of = (/** @type {string} */ symbol, /** @type {string | null} */ baseAsset, /** @type {string | null} */ quoteAsset) =>
    pair({ symbol, baseAsset, quoteAsset });
  assert.deepEqual(of("BTCUSDT", "BTC", "USDT"), ["BTC", "USDT"]);
  assert.deepEqual(of("WBTC", "W", "BTC"), ["W", "BTC"]);
  assert.deepEqual(of("BTCFDUSD", "BTC", "FDUSD"), ["BTC", "FDUSD"]);
  assert.deepEqual(of("币安人生USDT", "币安人生", "USDT"), ["币安人生", "USDT"]);
});

test("a symbol whose parts are not known is never split by guessing", () => {
  assert.deepEqual(pair({ symbol: "BTCUSDT", baseAsset: null, quoteAsset: null }), ["BTCUSDT", ""]);
});

test("six averages of a coin that costs a hundredth of a cent are told apart", () => {
  const emas = [1.23412e-5, 1.23407e-5, 1.23389e-5, 1.23361e-5, 1.2329e-5, 1.2311e-5];
  assert.deepEqual(prices(emas, 1e-8),
    ["0.0000123412", "0.0000123407", "0.0000123389", "0.0000123361", "0.0000123290", "0.0000123110"]);
  assert.deepEqual(prices([61234.561, 61200.1], 0.01), ["61,234.56", "61,200.10"], "no more than needed");
});

test("digits have an end, equal prices need none, and what is missing stays missing", () => {
  assert.deepEqual(prices([1, 1 + 1e-9], 0.01), ["1.000000", "1.000000"]);
  assert.deepEqual(prices([1.5, 1.5, null, undefined], 0.01), ["1.50", "1.50", "–", "–"]);
  assert.deepEqual(prices([1.00000001e-5, 1.00000002e-5], 1e-8), ["0.000010000000", "0.000010000000"]);
  assert.deepEqual(prices(["1.7454932", "1.7455"], undefined), ["1.74549", "1.74550"]);
});

test("without a tick a price is never rounded to nothing", () => {
  for (const tick of [undefined, 0]) {
    assert.equal(price(0.00001234, tick), "0.000012340");
    assert.equal(price("61234.5", tick), "61,234.50");
    assert.equal(price(0, tick), "0.00");
    assert.equal(price(null, tick), "–");
  }
});
