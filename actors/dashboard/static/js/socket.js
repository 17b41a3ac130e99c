/** The live feed: one WebSocket, reconnected with capped jitter; a hole in `seq` reconnects it. */

/** @import {ServerMessage} from "./contract.js" */

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** Heartbeats change the state every second: after this silence the connection is dead. */
const SILENCE_MS = 20_000;

/**
 * Return the pause before the nth retry (n from 0): doubled, capped, jittered.
 * @param {number} tries
 * @param {() => number} random 0 to 1.
 */
export function pauseMs(tries, random) {
  const full = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(tries, 10));
  return full * (0.5 + 0.5 * random());
}

/**
 * Return whether a message may follow the one numbered `seq` (0: none yet).
 * @param {number} seq
 * @param {ServerMessage} message
 */
export function follows(seq, message) {
  return message.seq === seq + 1 && (message.type === "snapshot" || seq > 0);
}

/** @typedef {{phase: "connecting" | "open" | "waiting", retryAtMs: number | null}} FeedState */

export class Feed {
  /**
   * @param {object} options
   * @param {string} options.url
   * @param {(message: ServerMessage) => void} options.onMessage
   * @param {(state: FeedState) => void} options.onState
   * @param {() => number} [options.random]
   * @param {(url: string) => WebSocket} [options.open]
   */
  constructor({ url, onMessage, onState, random = Math.random, open = (to) => new WebSocket(to) }) {
    this.url = url;
    this.onMessage = onMessage;
    this.onState = onState;
    this.random = random;
    this.open = open;
    this.tries = 0;
    this.seq = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retry = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.silence = undefined;
  }

  /** Connect, and stay connected. */
  start() {
    clearTimeout(this.retry);
    this.seq = 0;
    this.onState({ phase: "connecting", retryAtMs: null });
    const socket = this.open(this.url);
    this.socket = socket;
    this.listenForSilence(socket);
    socket.onmessage = (event) => {
      if (socket === this.socket) this.receive(socket, event.data);
    };
    socket.onclose = () => this.lost(socket);
  }

  /** Retry now instead of later: the network is up or the page visible. */
  hurry() {
    if (this.socket === null) {
      this.tries = 0;
      this.start();
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {unknown} raw
   */
  receive(socket, raw) {
    this.listenForSilence(socket);
    /** @type {ServerMessage} */
    let message;
    try {
      message = JSON.parse(String(raw));
    } catch (error) {
      console.error("the feed sent something other than JSON; connecting anew", error);
      this.drop(socket);
      return;
    }
    if (!follows(this.seq, message)) {
      console.warn(`the feed skipped from ${this.seq} to ${message.seq}; connecting anew`);
      this.drop(socket);
      return;
    }
    this.seq = message.seq;
    if (message.type === "snapshot") {
      this.tries = 0;
      this.onState({ phase: "open", retryAtMs: null });
    }
    this.onMessage(message);
  }

  /** @param {WebSocket} socket */
  listenForSilence(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.drop(socket), SILENCE_MS);
  }

  /**
   * Drop a connection without waiting for the closing handshake.
   * @param {WebSocket} socket
   */
  drop(socket) {
    socket.close();
    this.lost(socket);
  }

  /** @param {WebSocket} socket */
  lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.silence);
    const pause = pauseMs(this.tries, this.random);
    this.tries += 1;
    this.onState({ phase: "waiting", retryAtMs: performance.now() + pause });
    this.retry = setTimeout(() => this.start(), pause);
  }
}
