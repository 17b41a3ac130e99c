/** The tone of an amount: gain, loss or neither. Pure. */

/** @import {Amount} from "./contract.js" */

import { number } from "./format.js";

/**
 * @param {Amount} amount
 * @returns {"up" | "down" | "none"}
 */
export function toneOf(amount) {
  const value = number(amount);
  return value === null || value === 0 ? "none" : value > 0 ? "up" : "down";
}
