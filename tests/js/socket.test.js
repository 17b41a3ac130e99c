import assert from "node:assert/strict";
import { test } from "node:test";

import { Feed, follows, pauseMs } from "../../actors/dashboard/static/js/socket.js";
import { data } from "./samples.js";

const patch = (/** @type {number} */ seq) => ({ type: /** @type {const} */ ("patch"), seq, asOf: 1 });
const snapshot = { type: /** @type {const} */ ("snapshot"), seq: 1, data: data() };

test("pauses double, are jittered by half, and are capped", () => {
  assert.equal(pauseMs(0, () => 1), 500);
  assert.equal(pauseMs(0, () => 0), 250);
  assert.equal(pauseMs(3, () => 1), 4000);
  assert.equal(pauseMs(50, () => 1), 10_000);
});

test("a feed begins with a snapshot and counts on by one", () => {
  assert.equal(follows(0, snapshot), true);
  assert.equal(follows(0, patch(1)), false);
  assert.equal(follows(1, patch(2)), true);
  assert.equal(follows(1, patch(3)), false);
  assert.equal(follows(2, patch(2)), false);
});

/** The far end of a WebSocket that never leaves this process. */
class Wire extends EventTarget {
  /** @type {((event: {data: unknown}) => void) | null} */
  onmessage = null;
  /** @type {(() => void) | null} */
  onclose = null;
  isClosed = false;
  close() {
    this.isClosed = true;
  }
  /** @param {unknown} message */
  say(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }
}

/** @param {import("node:test").TestContext} context */
function feedOn(context) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  context.mock.method(console, "warn", () => {});
  context.mock.method(console, "error", () => {});
  /** @type {Wire[]} */
  const wires = [];
  /** @type {number[]} */
  const seen = [];
  /** @type {string[]} */
  const phases = [];
  const open = () => {
    wires.push(new Wire());
    return /** @type {WebSocket} */ (/** @type {unknown} */ (wires.at(-1)));
  };
  const feed = new Feed({
    url: "ws://test", random: () => 1, open,
    onMessage: (message) => seen.push(message.seq), onState: ({ phase }) => phases.push(phase),
  });
  feed.start();
  return { feed, wires, seen, phases, tick: (/** @type {number} */ ms) => context.mock.timers.tick(ms) };
}

test("a hole in the numbers makes the connection anew, and nothing after it counts", (context) => {
  const { wires, seen, phases, tick } = feedOn(context);
  wires[0]?.say(snapshot);
  wires[0]?.say(patch(3));
  assert.equal(wires[0]?.isClosed, true);
  wires[0]?.say(patch(2));
  tick(500);
  assert.equal(wires.length, 2);
  wires[1]?.say(snapshot);
  assert.deepEqual(seen, [1, 1]);
  assert.deepEqual(phases, ["connecting", "open", "waiting", "connecting", "open"]);
});

test("a cut is answered once, however often it is told", (context) => {
  const { wires, tick } = feedOn(context);
  wires[0]?.onclose?.();
  wires[0]?.onclose?.();
  tick(499);
  assert.equal(wires.length, 1);
  tick(1);
  assert.equal(wires.length, 2);
  tick(10_000);
  assert.equal(wires.length, 2);
});

test("silence is a dead connection", (context) => {
  const { wires, phases, tick } = feedOn(context);
  wires[0]?.say(snapshot);
  tick(19_999);
  assert.equal(wires[0]?.isClosed, false);
  tick(1);
  assert.equal(wires[0]?.isClosed, true);
  assert.equal(phases.at(-1), "waiting");
});

test("what is no JSON makes the connection anew", (context) => {
  const { wires } = feedOn(context);
  wires[0]?.say("{");
  assert.equal(wires[0]?.isClosed, true);
});

test("someone who is back does not wait for the next try", (context) => {
  const { feed, wires, tick } = feedOn(context);
  wires[0]?.onclose?.();
  feed.hurry();
  assert.equal(wires.length, 2);
  tick(60_000);
  feed.hurry();
  assert.ok(wires.length >= 3, "a connection that stays silent is made anew");
});
