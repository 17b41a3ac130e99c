/** The server's clock, as far as this browser can tell; ages are counted against it. */

let offsetMs = Date.now() - performance.now();

/**
 * Set the clock by what the server just said.
 * @param {number} serverMs
 */
export function setClock(serverMs) {
  offsetMs = serverMs - performance.now();
}

/** Return the server's time now, epoch ms. It runs on between messages. */
export function nowMs() {
  return performance.now() + offsetMs;
}
