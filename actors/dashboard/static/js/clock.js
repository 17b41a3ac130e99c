/** The server's clock, as estimated by this browser; ages are relative to it. */

let offsetMs = Date.now() - performance.now();

/**
 * Set the clock to the server's time.
 * @param {number} serverMs
 */
export function setClock(serverMs) {
  offsetMs = serverMs - performance.now();
}

/** Return the server's time now, epoch ms. It advances between messages. */
export function nowMs() {
  return performance.now() + offsetMs;
}
