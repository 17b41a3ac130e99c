import assert from "node:assert/strict";
import { test } from "node:test";

import { PLAIN, arrange, narrows, searchOf, viewOf } from "../../actors/dashboard/static/js/filter.js";
import { base, coin, signal } from "./samples.js";

/** @param {Partial<import("../../actors/dashboard/static/js/contract.js").CoinData>} changes */
const sight = (changes, ta = signal(), hasPosition = false) => ({ coin: coin(changes), signal: ta, hasPosition });

test("a view survives its URL", () => {
  const view = {
    ...PLAIN, sort: /** @type {const} */ ("age"), reversed: true, flags: [/** @type {const} */ ("fired"), /** @type {const} */ ("stale")],
    group: "majors & co", text: "b+c", coin: "BTCUSDT", timeframe: /** @type {const} */ ("4h"),
  };
  assert.deepEqual(viewOf(searchOf(view)), view);
});

test("a plain view leaves the URL plain", () => {
  assert.equal(searchOf(PLAIN), "");
  assert.deepEqual(viewOf(""), PLAIN);
});

test("nonsense in a URL is left out", () => {
  assert.deepEqual(viewOf("?sort=evil&show=fired,x&coin=../etc&timeframe=9m&order=up"), { ...PLAIN, flags: ["fired"] });
});

test("only what narrows narrows", () => {
  assert.equal(narrows({ ...PLAIN, sort: "name", coin: "BTCUSDT" }), false);
  assert.equal(narrows({ ...PLAIN, text: "b" }), true);
});

test("the best total comes first, those without a score last either way", () => {
  const sights = [
    sight({ symbol: "A", base: base(10, 0), bonus: { long: 0, short: 0, reasoning: [] } }),
    sight({ symbol: "B" }),
    sight({ symbol: "C", base: base(0, 70), bonus: { long: 0, short: 15, reasoning: [] } }),
  ];
  assert.deepEqual(arrange(PLAIN, sights), ["C", "A", "B"]);
  assert.deepEqual(arrange({ ...PLAIN, reversed: true }, sights), ["A", "C", "B"]);
});

test("equal keys keep the order of names", () => {
  const sights = ["C", "A", "B"].map((symbol) => sight({ symbol, change24hPct: 1 }));
  assert.deepEqual(arrange({ ...PLAIN, sort: "change" }, sights), ["A", "B", "C"]);
});

test("by age the oldest comes first", () => {
  const sights = [sight({ symbol: "A", computedAtMs: 500 }), sight({ symbol: "B", computedAtMs: 100 })];
  assert.deepEqual(arrange({ ...PLAIN, sort: "age" }, sights), ["B", "A"]);
});

test("every flag must fit, and group and text too", () => {
  const fired = signal({ squeeze: { fired: true } });
  const sights = [
    sight({ symbol: "AUSDT", group: "x" }, fired, true), sight({ symbol: "BUSDT", group: "x" }, fired),
    sight({ symbol: "CUSDT", group: "y" }, signal(), true),
  ];
  assert.deepEqual(arrange({ ...PLAIN, flags: ["fired"] }, sights), ["AUSDT", "BUSDT"]);
  assert.deepEqual(arrange({ ...PLAIN, flags: ["fired", "position"] }, sights), ["AUSDT"]);
  assert.deepEqual(arrange({ ...PLAIN, group: "y" }, sights), ["CUSDT"]);
  assert.deepEqual(arrange({ ...PLAIN, text: " bu " }, sights), ["BUSDT"]);
  assert.deepEqual(arrange({ ...PLAIN, flags: ["stale"] }, sights), []);
});

test("whatever names a coin is found, in any case, and opened from a URL", () => {
  const symbols = ["币安人生USDT", "WBTC", "1000SATSUSDT", "BTCUSDT"];
  const sights = symbols.map((symbol) => sight({ symbol }));
  const found = (/** @type {string} */ text) => arrange({ ...PLAIN, text }, sights);
  assert.deepEqual(found("人生"), ["币安人生USDT"]);
  assert.deepEqual(found("币安人生usdt"), ["币安人生USDT"]);
  assert.deepEqual(found("ｗｂｔｃ"), ["WBTC"]);
  assert.deepEqual(found("btc/usdt"), ["BTCUSDT"]);
  assert.deepEqual(found("1000"), ["1000SATSUSDT"]);
  for (const coin of symbols) assert.equal(viewOf(searchOf({ ...PLAIN, coin })).coin, coin);
});

test("what names no coin opens none", () => {
  for (const coin of ["../x", "A B", "A%0AB", "A*", "a/b", "<b>", "x".repeat(51)]) {
    assert.equal(viewOf(`?coin=${encodeURIComponent(coin)}`).coin, "", coin);
  }
});
