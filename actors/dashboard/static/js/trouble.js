/** All problems, in actionable words. Pure. */

/** @import {Position} from "./contract.js" */
/** @import {State} from "./store.js" */
/** @import {Zone} from "./format.js" */

import { traderView } from "./trading.js";
import { UNTRADED, reasonText } from "./reading.js";
import { time } from "./format.js";
import { openPositions } from "./store.js";

/** Actor states that need no attention. */
const CALM = new Set(["ready", "starting", "stopping", "stopped"]);

/** @typedef {{severity: "bad" | "warn", what: string, text: string, alert: boolean}} Trouble */

/**
 * Return the problems, the worst first: those the platform reports, and those it does not.
 * @param {State} state
 * @param {Zone} zone
 * @returns {Trouble[]}
 */
export function troubles(state, zone) {
  const found = findings(state, zone);
  const mentions = (/** @type {string} */ text, /** @type {Trouble} */ { what }) => text.toLowerCase().includes(what.toLowerCase());
  const more = found.filter((trouble) => !state.data.errors.some((text) => mentions(text, trouble)));
  const grave = found.filter(({ severity }) => severity === "bad");
  /** @type {Trouble[]} */
  const reported = state.data.errors.map((text) => ({
    severity: grave.some((trouble) => mentions(text, trouble)) ? "bad" : "warn", ...subject(text, state), alert: false,
  }));
  const all = [...more.filter(({ severity }) => severity === "bad"), ...reported, ...more.filter(({ severity }) => severity === "warn")];
  return all.sort((a, b) => Number(b.severity === "bad") - Number(a.severity === "bad"));
}

/**
 * Split the coin or actor off the start of a problem.
 * @param {string} text
 * @param {State} state
 * @returns {{what: string, text: string}}
 */
function subject(text, { data, coins }) {
  const [, what = "", rest = ""] = /^([\w-]+): (.+)$/s.exec(text) ?? [];
  const isKnown = coins.has(what) || data.actors.some(({ name }) => name === what);
  return isKnown ? { what, text: rest } : { what: "platform", text };
}

/**
 * Return the problems that screen readers announce.
 * @param {State} state
 * @param {Zone} zone
 */
export function alerts(state, zone) {
  return findings(state, zone).filter(({ alert }) => alert);
}

/**
 * @param {State} state
 * @param {Zone} zone
 * @returns {Trouble[]}
 */
function findings({ data, coins }, zone) {
  /** @type {Trouble[]} */
  const found = [];
  const add = (/** @type {Trouble["severity"]} */ severity, /** @type {string} */ what, /** @type {string} */ text,
    alert = false) => found.push({ severity, what, text, alert });
  const { redis, exchange } = data;
  const exchangeName = data.source === "sim" ? "the simulated exchange" : "Binance";
  const candles = redis.fallback ? ` Candles come straight from ${exchangeName}.` : "";
  if (redis.status === "down") {
    add("bad", "Redis", `Redis is down since ${time(redis.sinceMs, zone, "second")}.${candles} ` +
      "TA signals are unavailable until it is back; positions and actors are as last seen.", true);
  } else if (redis.status === "full") {
    add("bad", "Redis", `Redis is full and refuses to store anything new: raise redis.maxmemory_mb.${candles}`, true);
  } else if (redis.status === "refuses") {
    add("bad", "Redis", `Redis refuses to serve since ${time(redis.sinceMs, zone, "second")}: ${redis.reason}.${candles} ` +
      "Nothing new comes until it does.", true);
  }
  if (exchange.bannedUntilMs !== null) {
    add("bad", "Binance", `Binance forbids requests until ${time(exchange.bannedUntilMs, zone, "second")}; ` +
      "prices stand still until then.", true);
  }
  for (const position of openPositions({ data })) {
    if (position.bare_alarm_ms !== null && data.asOf > position.bare_alarm_ms) add("bad", `${position.symbol}: ${position.side} position`, bareText(position), true);
  }
  const trader = traderView(data, data.asOf);
  const left = data.trader?.status?.ours ?? [];
  if (trader.kind === "silent" && left.length) {
    add("bad", "trader: not answering", `The trader does not answer; only stops at the venue protect its positions in ${left.join(", ")}.`, true);
  }
  for (const actor of data.actors) {
    if (CALM.has(actor.state)) continue;
    const quarantined = actor.state === "quarantined";
    const why = actor.reason || (actor.lastDeath === null ? "" : `last death: ${actor.lastDeath.cause}`);
    add(quarantined ? "bad" : "warn", actor.name, `${actor.name} is ${actor.state}${why ? `: ${why}` : ""}`, quarantined);
  }
  for (const coin of coins.values()) {
    const { symbol, state, stateReason } = coin;
    if (state !== "announced" && UNTRADED.has(state)) add("warn", symbol, stateReason);
    else if (coin.quarantine) add("warn", symbol, reasonText(coin, zone));
    else if (state === "stale") add("warn", symbol, stateReason || state);
  }
  for (const [symbol, text] of Object.entries(exchange.troubles)) add("warn", symbol, text);
  return found;
}

/** @param {Position} position */
function bareText({ symbol, side, foreign }) {
  const whose =
    foreign === null ? "It is not known yet whether it is the trader's."
    : foreign ? "It is foreign: the trader does not touch it."
    : "The trader should have closed it.";
  return `The ${side} position in ${symbol} has no stop. ${whose} Set a stop at the venue, or close it.`;
}
