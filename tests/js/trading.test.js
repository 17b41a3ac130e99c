import assert from "node:assert/strict";
import { test } from "node:test";

import { currency, evidenceWords, positionText, limitState, limitTexts, noPositions, sideText, stopText, traderView } from "../../actors/dashboard/static/js/trading.js";
import { data, position, positions, trader, traderActor } from "./samples.js";

/** @import {TraderLimit} from "../../actors/dashboard/static/js/contract.js" */

const ready = [traderActor("ready")];

test("without a trader there is none, whatever an old one left behind", () => {
  assert.equal(traderView(data(), 2000).words, "no trader running");
  const left = traderView(data({ trader: trader() }), 1000 + 90_000);
  assert.deepEqual([left.kind, left.words, left.means], ["absent", "no trader running", "the last one reported 90\u00a0s ago"]);
});

test("a trader that gets nothing done is not shown as well, whatever it may do", () => {
  const at = (/** @type {"enabled" | "locked" | "disabled"} */ mode) => traderView(data({ trader: trader({ mode, trouble: "venue down" }), actors: ready }), 2000);
  assert.deepEqual([at("enabled").words, at("enabled").tone], ["trader enabled, in trouble", "warn"]);
  assert.deepEqual([at("locked").words, at("locked").tone], ["trader locked, in trouble", "bad"]);
  assert.deepEqual([at("disabled").words, at("disabled").tone], ["trader disabled, in trouble", "warn"]);
});

test("a position in a line can be broken between its parts only, and says when it is old", () => {
  const held = position({ stop_loss: null, bare_since_ms: 0, foreign: true });
  const told = positions([held], { as_of_ms: 1000, reason: "" });
  const now = positionText(held, told, 0.01, 5000);
  assert.equal(now.isCurrent, true);
  assert.equal(now.tone, "bad");
  for (const part of now.text.split(" · ")) assert.doesNotMatch(part, / /);
  const later = positionText(held, told, 0.01, 200_000);
  assert.equal(later.isCurrent, false);
  assert.match(later.text, / · 3\u00a0min\u00a0old$/);
});

test("one that is run by hand, without an actor, is believed while it is young", () => {
  assert.equal(traderView(data({ trader: trader() }), 31_000).words, "trader enabled");
});

test("a trader is believed for thirty seconds, then never shown as enabled", () => {
  const told = data({ trader: trader(), actors: ready });
  assert.deepEqual([traderView(told, 31_000).kind, traderView(told, 31_000).words], ["answering", "trader enabled"]);
  const silent = traderView(told, 31_001 + 15_000);
  assert.deepEqual([silent.kind, silent.words, silent.means],
    ["silent", "trader not answering for 45\u00a0s", "it was enabled when last heard"]);
});

test("a trader run by a timer is believed until its next run is late, and is missed from then on", () => {
  const told = data({ trader: { ...trader({ every_s: 300 }), silent_after_ms: 390_000, timer_s: 300 } });
  assert.deepEqual([traderView(told, 391_000).kind, traderView(told, 391_000).words], ["answering", "trader enabled"]);
  const late = traderView(told, 361_000 + 40_000);
  assert.deepEqual([late.kind, late.words, late.means],
    ["silent", "trader not run for 6\u00a0min", "its timer is late; it was enabled when last heard"]);
  const never = traderView(data({ trader: { ...trader(), status: null, timer_s: 300 } }), 1000);
  assert.deepEqual([never.kind, never.words], ["absent", "trader not run yet"]);
});

test("a trader whose process is down is not answering, however young its last word", () => {
  for (const state of ["backoff", "quarantined", "stopped", "starting"]) {
    const view = traderView(data({ trader: trader(), actors: [traderActor(state)] }), 3000);
    assert.equal(view.words, "trader not answering for 2\u00a0s");
    assert.match(view.means, new RegExp(`its process is ${state}; it was enabled`));
  }
});

test("a trader that cannot be heard because Redis is down says so", () => {
  const redis = { status: "down", sinceMs: 0, reason: "refused", fallback: true };
  assert.match(traderView(data({ trader: trader(), actors: ready, redis }), 50_000).means, /^Redis is down; it was enabled/);
});

test("a trader that has told nothing yet has no mode", () => {
  const told = data({ trader: { ...trader(), status: null }, actors: ready });
  assert.deepEqual([traderView(told, 1000).kind, traderView(told, 1000).words], ["waiting", "trader has not reported yet"]);
});

test("each mode says what it means", () => {
  const means = (/** @type {import("../../actors/dashboard/static/js/contract.js").TraderMode} */ mode) =>
    traderView(data({ trader: trader({ mode }), actors: ready }), 1000).means;
  assert.match(means("reducing"), /no new entries; open positions are still managed/);
  assert.match(means("disabled"), /no new entries; open positions are still managed/);
  assert.match(means("locked"), /until it is released/);
});

test("the user's own trader is named as that, and judged by its own rhythm", () => {
  const status = { as_of_ms: 1000, mode: /** @type {const} */ ("enabled"), reason: "", trouble: "", venue: "", uptime_s: null, last_trade_ms: null };
  const at = (/** @type {Partial<typeof status>} */ change, /** @type {number} */ nowMs) =>
    traderView(data({ traderKind: "outside", outside: { status: { ...status, ...change }, config: null, silent_after_ms: 450_000 } }), nowMs);
  assert.deepEqual([at({}, 451_000).kind, at({}, 451_000).words], ["answering", "your own trader: enabled"]);
  assert.deepEqual([at({}, 451_001).kind, at({}, 451_001).means], ["silent", "it was enabled then"]);
  assert.equal(at({ as_of_ms: 5000 }, 0).kind, "answering");
  assert.deepEqual([at({ as_of_ms: 5001 }, 0).kind, at({ as_of_ms: 5001 }, 0).words], ["silent", "your own trader: age unknown"]);
  const ahead = { as_of_ms: 5001, venue: "x", reason: "", old_after_ms: 450_000 };
  assert.deepEqual([currency(ahead, 0).isCurrent, currency(ahead, 1).isCurrent], [false, true]);
  assert.match(at({}, 601_000).words, /^your own trader has not written for 10.min$/);
  assert.deepEqual([at({ trouble: "no keys" }, 2000).words, at({ trouble: "no keys" }, 2000).tone],
    ["your own trader: enabled, in trouble", "warn"]);
  const never = data({ traderKind: "outside", outside: { status: null, config: null, silent_after_ms: 450_000 } });
  assert.deepEqual([traderView(never, 1000).kind, traderView(never, 1000).words], ["waiting", "your own trader has not written yet"]);
});

test("a stop that an outside trader does not tell is not taken for missing", () => {
  const held = position({ outside: true, stop_loss: null, unrealized_pnl_quote: null, leverage: null });
  assert.deepEqual(stopText(held, 0.01, 5000), { text: "stop not told", cell: "–", tone: "none" });
  assert.match(stopText(position({ outside: true }), 0.01, 5000).text, /^stop .*away$/);
});

test("what the account told is current for sixty seconds, and never with a reason against it", () => {
  assert.deepEqual(currency(positions([]), 61_000), { isCurrent: true, text: "As of 60\u00a0s ago, sim." });
  assert.deepEqual(currency(positions([]), 61_001 + 15_000),
    { isCurrent: false, text: "Old: not renewed for 75\u00a0s." });
  assert.deepEqual(currency(positions([], { reason: "venue down: refused" }), 6000),
    { isCurrent: false, text: "Not current: venue down: refused. As of 5\u00a0s ago." });
  assert.deepEqual(currency(positions([], { as_of_ms: 0, reason: "no keys" }), 6000),
    { isCurrent: false, text: "Unknown: no keys." });
});

test("a stop says how far it is, that it is passed, or that there is none and for how long", () => {
  const text = (/** @type {Parameters<typeof position>[0]} */ changes) => stopText(position(changes), 0.01, 46_000).text;
  assert.equal(text({}), "stop 2.00\u00a0% away");
  assert.equal(text({ side: "short", stop_loss: "62220" }), "stop 2.00\u00a0% away");
  assert.equal(text({ mark_price: "59780" }), "✕ 0.00\u00a0% beyond its stop");
  assert.equal(text({ mark_price: "59000" }), "✕ 1.32\u00a0% beyond its stop");
  assert.equal(text({ side: "short", mark_price: "60000" }), "✕ 0.37\u00a0% beyond its stop");
  assert.equal(text({ mark_price: null }), "stop at 59,780.00, no mark");
  assert.equal(text({ stop_loss: null, bare_since_ms: 1000 }), "✕ no stop for 45\u00a0s");
  assert.equal(text({ stop_loss: null }), "✕ no stop");
});

test("a foreign position is called so beside its side", () => {
  assert.equal(sideText(position()), "▲\u00a0long");
  assert.equal(sideText(position({ side: "short", foreign: true })), "▼\u00a0short, foreign");
  assert.equal(sideText(position({ foreign: null })), "▲\u00a0long, not known yet whose");
});

test("no position is said only where somebody knows that there is none", () => {
  assert.equal(noPositions(data(), 1), null);
  assert.equal(noPositions(data({ positions: positions([position()]) }), 1), null);
  assert.equal(noPositions(data({ positions: positions([]) }), 2000)?.words, "no position");
  assert.equal(noPositions(data({ positions: positions([]) }), 76_000)?.words, "no position 75\u00a0s ago");
  assert.equal(noPositions(data({ positions: positions([], { as_of_ms: 0, reason: "no keys" }) }), 1)?.words, "positions unknown");
});

test("a limit tells what is left, counts as whole numbers, and its state as glyph and word", () => {
  /** @type {TraderLimit} */
  const loss = { name: "daily loss", used: "104.2", limit: "200", unit: "USDT", state: "ok", is_room: false };
  assert.deepEqual(limitTexts(loss), ["95.80 (48\u00a0%)", "104.20", "200.00\u00a0USDT"]);
  assert.deepEqual(limitTexts({ ...loss, used: "3", limit: "30", unit: "" }), ["27 (90\u00a0%)", "3", "30"]);
  assert.deepEqual(limitTexts({ ...loss, used: "205" }), ["0 (0\u00a0%)", "205", "200\u00a0USDT"]);
  assert.deepEqual(limitTexts({ ...loss, used: "odd" }), ["–", "–", "200.00\u00a0USDT"]);
  const words = /** @type {const} */ (["ok", "warned", "reached", "latched"]).map((state) => limitState({ ...loss, state }).text);
  assert.deepEqual(words, ["● ok", "▲ warned", "✕ reached", "✕ latched until released"]);
});

test("evidence is told once, and a reason to go without it always", () => {
  const words = (/** @type {boolean | null} */ fits, accepted = "", reason = "") => {
    const evidence = { demand: /** @type {const} */ ("require"), fits, text: "of old", accepted };
    return evidenceWords(trader({ evidence, reason }).status);
  };
  assert.deepEqual(words(true), { text: "Evidence: of old", tone: "none" });
  assert.deepEqual(words(false), { text: "No evidence of these settings: of old", tone: "none" });
  assert.equal(words(false, "", "no entries (of old)").text, "");
  assert.deepEqual(words(false, "my risk", "no entries (of old)"), {
    text: "Accepted without evidence: my risk. No evidence of these settings: of old", tone: "warn",
  });
  assert.deepEqual([evidenceWords(null).text, evidenceWords(trader().status).text], ["", ""]);
});
