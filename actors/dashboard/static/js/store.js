/** The newest state from the server, and how messages change it. Pure. */

/** @import {CoinData, DashboardData, PatchMessage, Position, TaSignal, Topic} from "./contract.js" */

/**
 * @typedef {object} State
 * @property {Omit<DashboardData, "coinData" | "taSignals">} data
 * @property {Map<string, CoinData>} coins
 * @property {Map<string, TaSignal>} signals
 */

/**
 * What a message changed: `coins` to draw again, and top-level `topics`.
 * @typedef {{coins: Set<string>, topics: Set<string>}} Change
 */

/** @type {Readonly<Topic[]>} */
const TOPICS = [
  "mode", "source", "namespace", "groups", "traderKind", "positions", "balance", "trader", "outside", "tradeEvents",
  "equity", "signalHistory", "actors", "redis", "exchange", "errors",
];

/** @type {Omit<DashboardData, "coinData" | "taSignals">} */
const EMPTY = {
  mode: "", source: "", asOf: 0, namespace: "", groups: {}, positions: null, balance: null,
  traderKind: "own", trader: null, outside: null, tradeEvents: [], equity: [], signalHistory: [], actors: [],
  redis: { status: "up", sinceMs: 0, reason: "", fallback: false },
  exchange: { bannedUntilMs: null, troubles: {} }, errors: [],
};

/**
 * Return the state of a snapshot, with everything changed.
 * @param {DashboardData} data
 * @returns {{state: State, change: Change}}
 */
export function applySnapshot(data) {
  const { coinData, taSignals, ...rest } = data;
  const coins = new Map(coinData.map((coin) => [coin.symbol, coin]));
  /** @type {Map<string, TaSignal>} */
  const signals = new Map();
  for (const [symbol, signal] of Object.entries(taSignals)) {
    if (signal !== null) signals.set(symbol, signal);
  }
  const state = { data: { ...EMPTY, ...rest }, coins, signals };
  return { state, change: { coins: new Set(coins.keys()), topics: new Set(TOPICS) } };
}

/**
 * Return the state after a patch, and what it changed. The previous state is not mutated.
 * @param {State} state
 * @param {PatchMessage} patch
 * @returns {{state: State, change: Change}}
 */
export function applyPatch(state, patch) {
  const { coinData, taSignals, ...set } = patch.set ?? {};
  const coins = new Map(state.coins);
  const signals = new Map(state.signals);
  /** @type {Set<string>} */
  const changed = new Set();
  const mark = (/** @type {string} */ symbol) => changed.add(symbol);
  for (const coin of coinData ?? []) coins.set(coin.symbol, coin), mark(coin.symbol);
  for (const [symbol, coin] of Object.entries(patch.coins ?? {})) coins.set(symbol, coin), mark(symbol);
  for (const [symbol, signal] of Object.entries({ ...taSignals, ...patch.ta })) {
    if (signal === null) signals.delete(symbol);
    else signals.set(symbol, signal);
    mark(symbol);
  }
  if ("positions" in set) {
    const affected = [...openPositions(state), ...(set.positions?.positions ?? [])];
    for (const position of affected) if (coins.has(position.symbol)) mark(position.symbol);
  }
  const data = { ...state.data, ...set, asOf: patch.asOf };
  return { state: { data, coins, signals }, change: { coins: changed, topics: new Set(Object.keys(set)) } };
}

/**
 * Return the open positions, none if unknown.
 * @param {Pick<State, "data">} state
 * @returns {Position[]}
 */
export function openPositions(state) {
  return state.data.positions?.positions ?? [];
}
