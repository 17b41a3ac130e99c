import assert from "node:assert/strict";
import { test } from "node:test";

import { distancePct, divergence, reasonText, ribbon, squeeze, verdict } from "../../actors/dashboard/static/js/reading.js";
import { base, coin, position, signal } from "./samples.js";

test("the larger base decides the side, whatever the bonus", () => {
  const found = verdict(coin({ base: base(45, 40), bonus: { long: 0, short: 45, reasoning: [] } }));
  assert.deepEqual(found, { side: "long", base: 45, bonus: 0, total: 45, label: "none", other: { side: "short", bonus: 45 } });
});

test("base and bonus of the same side add up, 45 + 25 = 70", () => {
  const found = verdict(coin({ base: base(20, 45), bonus: { long: 0, short: 25, reasoning: [] } }));
  assert.equal(found?.side, "short");
  assert.equal(found?.total, 70);
  assert.equal(found?.other, null);
});

test("where the bases tie the total decides, and else nobody", () => {
  assert.equal(verdict(coin({ base: base(40, 40), bonus: { long: 0, short: 5, reasoning: [] } }))?.side, "short");
  assert.equal(verdict(coin({ base: base(40, 40), bonus: { long: 5, short: 5, reasoning: [] } }))?.side, "even");
});

test("a bonus nobody tells is not zero", () => {
  const found = verdict(coin({ base: base(40, 0), bonus: null }));
  assert.equal(found?.bonus, null);
  assert.equal(found?.total, null);
});

test("there is no verdict before a score, nor where none of it could be computed", () => {
  assert.equal(verdict(coin()), null);
  assert.equal(verdict(coin({ base: { ...base(0, 0), coverage: 0, fault: "no candles" } })), null);
});

test("a ribbon that is not known has no tone and no spread", () => {
  assert.deepEqual(ribbon(signal(), "5m"), { tone: "up", glyph: "▲", word: "bullish", spread: 72.5 });
  assert.deepEqual(ribbon(signal({ ribbon: { spread_1h: 3 } }), "1h"), { tone: "none", glyph: "", word: "unknown", spread: null });
  assert.equal(ribbon(undefined, "5m").spread, null);
});

test("a release outshines everything, and points where it fired", () => {
  const fired = { fired: true, fired_bars_ago: 1, fired_direction: "bearish", direction: "bullish" };
  const found = squeeze(signal({ squeeze: fired }));
  assert.equal(found.state, "fired");
  assert.equal(found.direction, "bearish");
  assert.equal(found.bars, 1);
});

test("a squeeze is on, off or unknown, and unknown is not off", () => {
  assert.equal(squeeze(signal({ squeeze: { squeeze: true, bars_in_squeeze: 8 } })).bars, 8);
  assert.equal(squeeze(signal()).state, "off");
  assert.equal(squeeze(signal({ squeeze: { squeeze: null } })).state, "unknown");
  assert.equal(squeeze(undefined).state, "unknown");
});

test("a divergence is solid from strength 0.3 on", () => {
  const of = (/** @type {number} */ strength) => divergence(signal({ divergence: { divergence: "bearish", strength, candles_ago: 4 } }));
  assert.equal(of(0.3)?.solid, true);
  assert.equal(of(0.2999)?.solid, false);
  assert.equal(of(0.3)?.tone, "down");
  assert.equal(divergence(signal()), null);
});

test("a stop's distance is from the mark, and none is none", () => {
  const away = (/** @type {string | null} */ stop_loss) => distancePct(position({ mark_price: "200", stop_loss }), "stop_loss");
  assert.equal(away("196"), -2);
  assert.equal(away(null), null);
  assert.equal(away("0"), null);
});

test("a coin that does not trade says so, and not that it could not be fetched", () => {
  const quarantine = { stage: "fetch", reason: "not fetched", untilMs: 0 };
  const said = (/** @type {Partial<import("../../actors/dashboard/static/js/contract.js").CoinData>} */ changes) => reasonText(coin({ quarantine, ...changes }), "utc");
  assert.equal(said({ state: "delisted", stateReason: "delisted: not listed" }), "delisted: not listed");
  assert.equal(said({ state: "quarantined" }), "quarantined until 00:00: not fetched");
});
