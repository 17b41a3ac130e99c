/** The strip on top: mode, data, Redis, trader, positions, last scan, actors. */

/** @import {FeedState} from "./socket.js" */
/** @import {State} from "./store.js" */

import { nowMs } from "./clock.js";
import { noPositions, traderView } from "./trading.js";
import { byId, setAttribute, setText, show } from "./dom.js";
import { age } from "./format.js";
import { UNTRADED } from "./reading.js";
import { zone } from "./settings.js";
import { troubles } from "./trouble.js";

/**
 * @param {string} id
 * @param {string} text
 * @param {"good" | "warn" | "bad" | "none"} tone
 */
function put(id, text, tone) {
  const node = byId(id, HTMLElement);
  setText(node, text);
  setAttribute(node, "data-tone", tone);
}

/**
 * @param {State | null} state
 * @param {FeedState} feed
 */
export function drawStrip(state, feed) {
  drawFeed(state, feed);
  if (state === null) return;
  const { data, coins } = state;
  put("mode", data.mode.toUpperCase(), data.mode === "live" ? "bad" : "none");
  const source = { sim: "simulated prices", binance: "Binance spot prices" }[data.source] ?? data.source;
  put("source", data.namespace ? `${source}, ${data.namespace}` : source, "none");
  const redis = { up: "Redis up", down: "Redis down", full: "Redis full", refuses: "Redis refuses" }[data.redis.status];
  put("redis", redis ?? `Redis ${data.redis.status}`, data.redis.status === "up" ? "good" : "bad");
  const trader = traderView(data, nowMs());
  put("trader-state", trader.words, trader.tone);
  show(byId("trader-state", HTMLElement), data.traderKind !== "none");
  const none = noPositions(data, nowMs());
  put("held-count", none?.words ?? "", none?.tone ?? "none");
  const scans = [...coins.values()].map((coin) => coin.computedAtMs ?? 0);
  const newest = Math.max(0, ...scans);
  put("last-scan", newest ? `last scan ${age(nowMs() - newest)} ago` : data.redis.status === "down" ? "no scans now" : "no scan yet", "none");
  const up = data.actors.filter((actor) => actor.state === "ready").length;
  const isCurrent = data.redis.status === "up";
  put("actors-up", `${up} of ${data.actors.length} actors up${isCurrent ? "" : " when last seen"}`,
    !isCurrent ? "none" : up === data.actors.length ? "good" : "bad");
  const problems = troubles(state, zone());
  const count = problems.length;
  put("problem-count", count === 0 ? "no problems" : count === 1 ? "1 problem" : `${count} problems`,
    problems.some(({ severity }) => severity === "bad") ? "bad" : count ? "warn" : "good");
}

/**
 * @param {State | null} state
 * @param {FeedState} feed
 */
function drawFeed(state, { phase, retryAtMs }) {
  if (phase === "waiting") {
    const left = Math.max(0, Math.ceil(((retryAtMs ?? 0) - performance.now()) / 1000));
    put("feed", `reconnecting in ${left}\u00a0s`, "bad");
    return;
  }
  if (phase === "connecting" || state === null) {
    put("feed", "connecting", "warn");
    return;
  }
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { state: each } of state.coins.values()) counts.set(each, (counts.get(each) ?? 0) + 1);
  const live = counts.get("live") ?? 0;
  const stale = counts.get("stale") ?? 0;
  const quarantined = counts.get("quarantined") ?? 0;
  const young = counts.get("young") ?? 0;
  const untraded = [...UNTRADED].reduce((sum, each) => sum + (counts.get(each) ?? 0), 0);
  const rest = state.coins.size - live - stale - quarantined - young - untraded;
  const words = [`${live} live`, `${stale} stale`];
  if (quarantined) words.push(`${quarantined} quarantined`);
  if (young) words.push(`${young} young`);
  if (untraded) words.push(`${untraded} not traded`);
  if (rest) words.push(`${rest} without signal`);
  put("feed", words.join(", "), live === state.coins.size ? "good" : "warn");
}
