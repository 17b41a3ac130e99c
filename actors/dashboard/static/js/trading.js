/** Account and trader as of now: current, old, or silent. Pure. */

/** @import {DashboardData, GuestTrader, Position, TraderLimit, TraderMode, TraderStatus} from "./contract.js" */

import { NOTHING, age, fixed, number, price, signed, trendGlyph } from "./format.js";
import { distancePct } from "./reading.js";
import { toneOf } from "./tone.js";

/** @typedef {"good" | "warn" | "bad" | "none"} Gravity */
/** @typedef {Pick<DashboardData, "positions" | "balance" | "trader" | "outside" | "actors" | "redis">} TradingData */

/** @type {Record<TraderMode, {tone: Gravity, glyph: string, means: string}>} */
const MODES = {
  enabled: { tone: "good", glyph: "●", means: "opens and manages positions" },
  reducing: { tone: "warn", glyph: "◐", means: "no new entries; open positions are still managed" },
  disabled: { tone: "none", glyph: "○", means: "no new entries; open positions are still managed" },
  locked: { tone: "bad", glyph: "✕", means: "the kill switch is set: no new entries until it is released" },
};

/** How far a time of a guest may be ahead, as on /health. */
const AHEAD_MS = 5000;

/** In these states an actor does nothing, whatever its last message. */
const DOWN = new Set(["stopped", "starting", "backoff", "quarantined"]);

/**
 * @typedef {object} TraderView
 * @property {"absent" | "waiting" | "silent" | "answering"} kind
 * @property {string} words For the strip.
 * @property {string} means
 * @property {Gravity} tone
 * @property {string} glyph
 */

/**
 * Return the trader's state. One that is down or silent is never shown in its last mode.
 * @param {TradingData} data
 * @param {number} nowMs
 * @returns {TraderView}
 */
export function traderView({ trader, outside, actors, redis }, nowMs) {
  if (outside !== null) return outsideView(outside, nowMs);
  const actor = actors.find(({ name }) => name === "trader");
  const status = trader?.status ?? null;
  const byTimer = actor === undefined && trader !== null && trader.timer_s !== null;
  if (byTimer && status === null) {
    return { kind: "absent", words: "trader not run yet", means: "its timer has not run it: enable the timer", tone: "none", glyph: "○" };
  }
  if (trader === null || (actor === undefined && status === null)) {
    return { kind: "absent", words: "no trader running", means: "nothing is traded", tone: "none", glyph: "○" };
  }
  const down = actor !== undefined && DOWN.has(actor.state) ? `its process is ${actor.state}` : "";
  const why = redis.status === "down" ? "Redis is down" : down;
  if (status === null) {
    return {
      kind: "waiting", words: "trader has not reported yet", means: why || "it reports within seconds of its start",
      tone: "warn", glyph: "◐",
    };
  }
  const silentMs = nowMs - status.as_of_ms;
  if (down === "" && silentMs <= trader.silent_after_ms) {
    const mode = MODES[status.mode] ?? { tone: "none", glyph: "?", means: "a mode this page does not know" };
    const answering = { kind: /** @type {const} */ ("answering"), words: `trader ${status.mode}`, ...mode };
    if (!status.trouble) return answering;
    // The mode is what it may do, not what it manages to do.
    return { ...answering, words: `${answering.words}, in trouble`, tone: mode.tone === "bad" ? "bad" : "warn" };
  }
  if (byTimer) {
    return {
      kind: "silent", words: `trader not run for ${age(silentMs)}`,
      means: `${why ? `${why}; ` : ""}its timer is late; it was ${status.mode} when last heard`, tone: "bad", glyph: "✕",
    };
  }
  if (actor === undefined) {
    return { kind: "absent", words: "no trader running", means: `the last one reported ${age(silentMs)} ago`, tone: "none", glyph: "○" };
  }
  return {
    kind: "silent", words: `trader not answering for ${age(silentMs)}`,
    means: `${why ? `${why}; ` : ""}it was ${status.mode} when last heard`, tone: "bad", glyph: "✕",
  };
}

/**
 * Return the state of the user's own trader, which is no actor of the platform.
 * @param {GuestTrader} outside
 * @param {number} nowMs
 * @returns {TraderView}
 */
function outsideView({ status, silent_after_ms }, nowMs) {
  if (status === null) {
    return { kind: "waiting", words: "your own trader has not written yet", means: "its status is read from Redis", tone: "warn", glyph: "◐" };
  }
  const silentMs = nowMs - status.as_of_ms;
  if (silentMs < -AHEAD_MS) {
    return {
      kind: "silent", words: "your own trader: age unknown",
      means: `its time is ahead of the clock here; it was ${status.mode} when it last wrote`, tone: "bad", glyph: "✕",
    };
  }
  if (silentMs > silent_after_ms) {
    return {
      kind: "silent", words: `your own trader has not written for ${age(silentMs)}`,
      means: `it was ${status.mode} then`, tone: "bad", glyph: "✕",
    };
  }
  const { tone, glyph } = MODES[status.mode] ?? { tone: "none", glyph: "?" };
  const words = `your own trader: ${status.mode}`;
  const view = { kind: /** @type {const} */ ("answering"), words, means: "a program of your own, as it says itself", tone, glyph };
  return status.trouble ? { ...view, words: `${words}, in trouble`, tone: tone === "bad" ? "bad" : "warn" } : view;
}

/**
 * Return whether the account's message is current, and its age in words.
 * @param {{as_of_ms: number, venue: string, reason: string, old_after_ms: number}} account
 * @param {number} nowMs
 * @returns {{isCurrent: boolean, text: string}}
 */
export function currency({ as_of_ms, venue, reason, old_after_ms }, nowMs) {
  const since = age(nowMs - as_of_ms);
  if (as_of_ms - nowMs > AHEAD_MS) return { isCurrent: false, text: "Age unknown: its time is ahead of the clock here." };
  if (reason) return { isCurrent: false, text: as_of_ms ? `Not current: ${reason}. As of ${since} ago.` : `Unknown: ${reason}.` };
  if (nowMs - as_of_ms > old_after_ms) return { isCurrent: false, text: `Old: not renewed for ${since}.` };
  return { isCurrent: true, text: `As of ${since} ago, ${venue}.` };
}

/**
 * Return the distance of the venue's mark from the stop; none once it has passed it.
 * @param {Position} position
 * @param {number | undefined} tick
 * @param {number} nowMs
 * @returns {{text: string, cell: string, tone: Gravity}} By itself, and in a column of stops.
 */
export function stopText(position, tick, nowMs) {
  if (number(position.stop_loss) === null && position.outside) {
    return { text: "stop not told", cell: NOTHING, tone: "none" };
  }
  if (number(position.stop_loss) === null) {
    const since = position.bare_since_ms === null ? "" : ` for ${age(nowMs - position.bare_since_ms)}`;
    return { text: `✕ no stop${since}`, cell: `✕ none${since}`, tone: "bad" };
  }
  const at = price(position.stop_loss, tick);
  const away = distancePct(position, "stop_loss");
  if (away === null) return { text: `stop at ${at}, no mark`, cell: `${at}, no mark`, tone: "warn" };
  const isPassed = position.side === "long" ? away >= 0 : away <= 0;
  const distance = `${fixed(Math.abs(away), 2)}\u00a0%`;
  if (isPassed) return { text: `✕ ${distance} beyond its stop`, cell: `${at} ✕ mark ${distance} beyond`, tone: "bad" };
  return { text: `stop ${distance} away`, cell: `${at}, ${distance} away`, tone: "none" };
}

/**
 * Return one position in a line: side, profit, distance to its stop, age.
 * Lines break only at the dots between its parts.
 * @param {Position} position
 * @param {{as_of_ms: number, venue: string, reason: string, old_after_ms: number}} account The message it is in.
 * @param {number | undefined} tick
 * @param {number} nowMs
 * @returns {{text: string, tone: Gravity | "up" | "down" | "mixed", isCurrent: boolean}}
 */
export function positionText(position, account, tick, nowMs) {
  const stop = stopText(position, tick, nowMs);
  const { isCurrent } = currency(account, nowMs);
  const parts = [`in ${sideText(position)}`, profitText(position), stop.text];
  if (!isCurrent) parts.push(`${age(nowMs - account.as_of_ms)} old`);
  return {
    text: parts.map((part) => part.replaceAll(" ", "\u00a0")).join(" · "),
    tone: stop.tone === "none" ? toneOf(position.unrealized_pnl_quote) : stop.tone,
    isCurrent,
  };
}

/** @param {Position} position */
export function sideText({ side, foreign }) {
  const glyph = { long: "▲", short: "▼" }[side] ?? "";
  const whose = foreign === null ? ", not known yet whose" : foreign ? ", foreign" : "";
  return `${glyph}\u00a0${side}${whose}`;
}

/** @param {Position} position */
export function profitText(position) {
  return `${trendGlyph(position.unrealized_pnl_quote)}\u00a0${signed(position.unrealized_pnl_quote, 2)}`;
}

/**
 * Return that there is no position, or that it is unknown; null without an account, and
 * with open positions.
 * @param {Pick<DashboardData, "positions">} data
 * @param {number} nowMs
 * @returns {{words: string, tone: Gravity} | null}
 */
export function noPositions({ positions }, nowMs) {
  if (positions === null || positions.positions.length > 0) return null;
  if (positions.as_of_ms === 0) return { words: "positions unknown", tone: "warn" };
  if (currency(positions, nowMs).isCurrent) return { words: "no position", tone: "none" };
  return { words: `no position ${age(nowMs - positions.as_of_ms)} ago`, tone: "warn" };
}

/** @type {Record<TraderLimit["state"], {text: string, tone: Gravity}>} */
const LIMIT_STATES = {
  ok: { text: "● ok", tone: "good" },
  warned: { text: "▲ warned", tone: "warn" },
  reached: { text: "✕ reached", tone: "bad" },
  latched: { text: "✕ latched until released", tone: "bad" },
};

/** @param {TraderLimit} limit */
export function limitState({ state }) {
  return LIMIT_STATES[state] ?? { text: `? ${state}`, tone: "warn" };
}

/**
 * Return left, used and allowed of a limit as text: counts whole, everything else with decimals.
 * @param {TraderLimit} limit
 * @returns {[left: string, used: string, allowed: string]}
 */
export function limitTexts({ used, limit, unit }) {
  const [spent, most] = [number(used), number(limit)];
  const decimals = Number.isInteger(spent) && Number.isInteger(most) ? 0 : 2;
  const allowed = `${fixed(most, decimals)}${unit ? `\u00a0${unit}` : ""}`;
  if (spent === null || most === null) return [NOTHING, fixed(spent, decimals), allowed];
  const left = Math.max(0, most - spent);
  const part = most > 0 ? ` (${fixed((100 * left) / most, 0)}\u00a0%)` : "";
  return [`${fixed(left, decimals)}${part}`, fixed(spent, decimals), allowed];
}

/**
 * Whether what the trader does has been tested; a reason not to enter has said it already.
 * @param {TraderStatus | null} status
 * @returns {{ text: string, tone: string }}
 */
export function evidenceWords(status) {
  const found = status?.evidence ?? null;
  if (status === null || found === null) return { text: "", tone: "none" };
  const missing = found.fits === false ? `No evidence of these settings: ${found.text}` : `Evidence: ${found.text}`;
  if (found.accepted) return { text: `Accepted without evidence: ${found.accepted}. ${missing}`, tone: "warn" };
  if (found.fits === false && status.reason.includes(found.text)) return { text: "", tone: "none" };
  return { text: missing, tone: "none" };
}
