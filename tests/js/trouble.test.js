import assert from "node:assert/strict";
import { test } from "node:test";

import { applySnapshot } from "../../actors/dashboard/static/js/store.js";
import { alerts, troubles } from "../../actors/dashboard/static/js/trouble.js";
import { coin, data, position, positions, trader, traderActor } from "./samples.js";

/** @param {Parameters<typeof data>[0]} changes */
const state = (changes) => applySnapshot(data(changes)).state;
const redis = (/** @type {boolean} */ fallback) => ({ status: "down", sinceMs: 0, reason: "refused", fallback });

test("when all is well nothing is said", () => {
  assert.deepEqual(troubles(state({ coinData: [coin()] }), "utc"), []);
});

test("Redis down is said aloud, with where candles come from only when they do", () => {
  assert.match(alerts(state({ redis: redis(true), source: "binance" }), "utc")[0]?.text ?? "", /Candles come straight from Binance/);
  assert.doesNotMatch(alerts(state({ redis: redis(false), source: "binance" }), "utc")[0]?.text ?? "", /Binance/);
});

test("in demo mode the exchange that is asked instead is not called Binance", () => {
  const told = alerts(state({ redis: redis(true), source: "sim" }), "utc")[0]?.text ?? "";
  assert.match(told, /straight from the simulated exchange/);
  assert.doesNotMatch(told, /Binance/);
});

test("a line about a coin or an actor stands under its name, any other under the platform's", () => {
  const errors = ["BTCUSDT: signal 90 s old", "trader: locked: no new entries", "disk: nearly full", "no colon"];
  const found = troubles(state({ coinData: [coin()], actors: [traderActor("ready")], errors }), "utc");
  assert.deepEqual(found.map(({ what, text }) => [what, text]), [
    ["BTCUSDT", "signal 90 s old"], ["trader", "locked: no new entries"],
    ["platform", "disk: nearly full"], ["platform", "no colon"],
  ]);
});

test("what the platform says already is not said twice", () => {
  const stale = coin({ state: "stale", stateReason: "5m candles are stale" });
  assert.equal(troubles(state({ coinData: [stale], errors: ["BTCUSDT: signal 90 s old"] }), "utc").length, 1);
  assert.equal(troubles(state({ coinData: [stale], errors: [] }), "utc").length, 1);
});

test("the worst comes first", () => {
  const found = troubles(state({ redis: redis(false), errors: ["disk nearly full"] }), "utc");
  assert.deepEqual(found.map(({ severity }) => severity), ["bad", "warn"]);
});

test("a position without a stop is said aloud from its alarm on, and serious in the list", () => {
  const held = position({ stop_loss: null, bare_since_ms: 1000, bare_alarm_ms: 21_000 });
  const at = (/** @type {number} */ asOf, /** @type {string[]} */ errors = []) =>
    state({ asOf, positions: positions([held]), errors });
  assert.deepEqual(alerts(at(21_000), "utc"), []);
  assert.match(alerts(at(21_001), "utc")[0]?.text ?? "", /^The long position in BTCUSDT has no stop\. The trader should/);
  const said = "BTCUSDT: long position without a stop for 21 s; set one at the venue, or close it";
  const found = troubles(at(21_001, ["disk nearly full", said]), "utc");
  assert.deepEqual(found.map(({ severity, text }) => [severity, text]), [["bad", said], ["warn", "disk nearly full"]]);
});

test("a foreign one is not laid at the trader's door", () => {
  const held = position({ stop_loss: null, bare_since_ms: 0, bare_alarm_ms: 0, foreign: true });
  assert.match(alerts(state({ positions: positions([held]) }), "utc")[0]?.text ?? "", /It is foreign: the trader does not touch it/);
  const opened = { ...held, foreign: null };
  assert.match(alerts(state({ positions: positions([opened]) }), "utc")[0]?.text ?? "", /not known yet whether it is the trader's/);
});

test("a silent trader is said aloud only while it holds something", () => {
  const at = (/** @type {string[]} */ ours) =>
    state({ asOf: 40_000, trader: trader({ ours }), actors: [traderActor("ready")] });
  assert.deepEqual(alerts(at([]), "utc"), []);
  assert.match(alerts(at(["BTCUSDT"]), "utc")[0]?.text ?? "", /does not answer; only stops at the venue protect its positions in BTCUSDT/);
});

test("a coin that no longer trades is named in its words; one that does not yet, or is young, is not", () => {
  for (const each of /** @type {const} */ (["announced", "young", "halted", "dead", "delisted"])) {
    const found = troubles(state({ coinData: [coin({ state: each, stateReason: `${each}: so` })] }), "utc");
    assert.deepEqual(found.map(({ text }) => text), each === "announced" || each === "young" ? [] : [`${each}: so`]);
  }
});
