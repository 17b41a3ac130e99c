/** Numbers, ages and times as text. Pure. */

/** @import {Amount, CoinData} from "./contract.js" */

export const NOTHING = "–";

/** @param {number | null} count */
export function barCount(count) {
  return `${count ?? NOTHING} ${count === 1 ? "bar" : "bars"}`;
}
const MINUS = "\u2212";
const MOST_DECIMALS = 12;
/** Between a number and its unit: never broken over two lines. */
const THIN = "\u00a0";

/** @type {Map<number, Intl.NumberFormat>} */
const numberFormats = new Map();

/** @param {number} decimals */
function numberFormat(decimals) {
  let format = numberFormats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat("en-US", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
    numberFormats.set(decimals, format);
  }
  return format;
}

/**
 * Return the decimals a price step needs: 0.25 → 2, 1e-7 → 7.
 * @param {number} tick
 */
export function decimalsOf(tick) {
  if (!(tick > 0) || !Number.isFinite(tick)) return 2;
  const [mantissa, exponent = "0"] = String(tick).split("e");
  const written = (/** @type {string} */ (mantissa).split(".")[1] ?? "").length;
  return Math.min(MOST_DECIMALS, Math.max(0, written - Number(exponent)));
}

/**
 * Return an amount as a number, null where there is none.
 * @param {Amount} amount
 * @returns {number | null}
 */
export function number(amount) {
  if (amount === null || amount === undefined || amount === "") return null;
  const value = Number(amount);
  return Number.isFinite(value) ? value : null;
}

/**
 * Return a number with so many decimals.
 * @param {Amount} amount
 * @param {number} decimals
 */
export function fixed(amount, decimals) {
  const value = number(amount);
  if (value === null) return NOTHING;
  return numberFormat(decimals).format(value).replace(/^-(?=[0.,]*$)/, "").replace("-", MINUS);
}

/**
 * Return a price with its coin's decimals; without a tick, to five digits.
 * @param {Amount} amount
 * @param {number | undefined} tick
 */
export function price(amount, tick) {
  return fixed(amount, tick ? decimalsOf(tick) : digitsOf(amount));
}

/** @param {Amount} amount */
function digitsOf(amount) {
  const value = Math.abs(number(amount) ?? 0);
  return value === 0 ? 2 : Math.min(MOST_DECIMALS, Math.max(2, 4 - Math.floor(Math.log10(value))));
}

/**
 * Return prices that are read beside each other, such as averages, which lie between ticks: with as many decimals
 * as tell different ones apart, at most four more than their coin has.
 * @param {Amount[]} amounts
 * @param {number | undefined} tick
 * @returns {string[]}
 */
export function prices(amounts, tick) {
  const different = [...new Set(amounts.map(number).filter((value) => value !== null))];
  let decimals = tick ? decimalsOf(tick) : Math.max(...different.map(digitsOf), 2);
  const most = Math.min(MOST_DECIMALS, decimals + 4);
  const isTold = () => new Set(different.map((value) => fixed(value, decimals))).size === different.length;
  while (decimals < most && !isTold()) decimals += 1;
  return amounts.map((amount) => fixed(amount, decimals));
}

/**
 * Return a number with its sign.
 * @param {Amount} amount
 * @param {number} decimals
 */
export function signed(amount, decimals) {
  const value = number(amount);
  const text = fixed(value, decimals);
  return value !== null && value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}

/**
 * Return a signed percentage: `+1.24 %`.
 * @param {Amount} amount
 * @param {number} [decimals]
 */
export function percent(amount, decimals = 2) {
  return number(amount) === null ? NOTHING : `${signed(amount, decimals)}${THIN}%`;
}

/**
 * Return the glyph of a change: up, down or flat.
 * @param {Amount} amount
 */
export function trendGlyph(amount) {
  const value = number(amount);
  if (value === null) return "";
  return value > 0 ? "▲" : value < 0 ? "▼" : "■";
}

/**
 * Return an age in the largest suitable unit.
 * @param {number | null | undefined} ms
 */
export function age(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NOTHING;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}${THIN}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes}${THIN}min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}${THIN}h ${minutes % 60}${THIN}min`;
  return `${Math.floor(hours / 24)}${THIN}d`;
}

/**
 * Return the time left as minutes and seconds: `2:13`.
 * @param {number} ms
 */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const rest = String(seconds % 60).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${rest}`;
  const minutes = String(Math.floor(seconds / 60) % 60).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${minutes}:${rest}`;
}

/** @typedef {"utc" | "local"} Zone */

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const SHAPES = {
  minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  day: { day: "numeric", month: "short" },
  date: { day: "numeric", month: "short", year: "numeric" },
  moment: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  instant: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
};
/** @type {Map<string, Intl.DateTimeFormat>} */
const timeFormats = new Map();

/**
 * Return a moment as text.
 * @param {number | null | undefined} ms
 * @param {Zone} zone
 * @param {"minute" | "second" | "day" | "date" | "moment" | "instant"} [shape]
 */
export function time(ms, zone, shape = "minute") {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NOTHING;
  const key = `${zone} ${shape}`;
  let format = timeFormats.get(key);
  if (!format) {
    const timeZone = zone === "utc" ? { timeZone: "UTC" } : {};
    format = new Intl.DateTimeFormat("en-GB", { ...SHAPES[shape], ...timeZone });
    timeFormats.set(key, format);
  }
  return format.format(ms);
}

/**
 * Return what is traded and what it costs, as the exchange lists it; while that is not known, the symbol whole.
 * @param {Pick<CoinData, "symbol" | "baseAsset" | "quoteAsset">} coin
 * @returns {[base: string, quote: string]}
 */
export function pair({ symbol, baseAsset, quoteAsset }) {
  return baseAsset === null || quoteAsset === null ? [symbol, ""] : [baseAsset, quoteAsset];
}
