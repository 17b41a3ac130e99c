import assert from "node:assert/strict";
import { test } from "node:test";

import { applyPatch, applySnapshot, openPositions } from "../../actors/dashboard/static/js/store.js";
import { coin, data, signal } from "./samples.js";

const start = () => applySnapshot(data({
  coinData: [coin(), coin({ symbol: "ETHUSDT" })], taSignals: { BTCUSDT: signal(), ETHUSDT: null },
})).state;

/** @param {object} body */
const patch = (body) => ({ type: /** @type {const} */ ("patch"), seq: 2, asOf: 20, ...body });

test("a snapshot is everything, and everything changed", () => {
  const { state, change } = applySnapshot(data({ coinData: [coin()], errors: ["x"] }));
  assert.deepEqual([...state.coins.keys()], ["BTCUSDT"]);
  assert.deepEqual([...change.coins], ["BTCUSDT"]);
  assert.ok(change.topics.has("errors") && change.topics.has("actors"));
});

test("a patch changes what it names and nothing else", () => {
  const before = start();
  const { state, change } = applyPatch(before, patch({ coins: { BTCUSDT: coin({ price: 7 }) }, set: { errors: ["y"] } }));
  assert.equal(state.coins.get("BTCUSDT")?.price, 7);
  assert.equal(state.coins.get("ETHUSDT"), before.coins.get("ETHUSDT"));
  assert.deepEqual(state.data.errors, ["y"]);
  assert.equal(state.data.asOf, 20);
  assert.deepEqual([...change.coins], ["BTCUSDT"]);
  assert.deepEqual([...change.topics], ["errors"]);
});

test("a patch leaves the state before as it was", () => {
  const before = start();
  applyPatch(before, patch({ coins: { BTCUSDT: coin({ price: 7 }) }, ta: { BTCUSDT: null } }));
  assert.equal(before.coins.get("BTCUSDT")?.price, 100);
  assert.ok(before.signals.has("BTCUSDT"));
});

test("a signal that went is gone, and its coin is drawn again", () => {
  const { state, change } = applyPatch(start(), patch({ ta: { BTCUSDT: null, ETHUSDT: signal() } }));
  assert.equal(state.signals.has("BTCUSDT"), false);
  assert.equal(state.signals.has("ETHUSDT"), true);
  assert.deepEqual([...change.coins].sort(), ["BTCUSDT", "ETHUSDT"]);
});

test("a position opened or closed draws its coin again", () => {
  const positions = { as_of_ms: 1, venue: "sim", positions: [{ symbol: "ETHUSDT", side: "long" }] };
  const opened = applyPatch(start(), patch({ set: { positions } }));
  assert.deepEqual([...opened.change.coins], ["ETHUSDT"]);
  const closed = applyPatch(opened.state, patch({ set: { positions: { ...positions, positions: [] } } }));
  assert.deepEqual([...closed.change.coins], ["ETHUSDT"]);
  assert.deepEqual(openPositions(closed.state), []);
});

test("the same patch twice changes nothing more", () => {
  const body = patch({ coins: { BTCUSDT: coin({ price: 7 }) }, set: { tradeEvents: [{ at_ms: 1, text: "x" }] } });
  const once = applyPatch(start(), body).state;
  const twice = applyPatch(once, body).state;
  assert.deepEqual(twice, once);
});
