/** Coins and signals for tests, each with what a test wants different. */

/** @import {CoinData, DashboardData, Position, Positions, TaSignal, TraderStatus} from "../../actors/dashboard/static/js/contract.js" */

/**
 * @param {Partial<CoinData>} [changes]
 * @returns {CoinData}
 */
export function coin(changes = {}) {
  return {
    symbol: "BTCUSDT", baseAsset: "BTC", quoteAsset: "USDT", group: "majors", price: 100, priceAtMs: 1, tick: 0.01, change24hPct: 1, spark: [],
    closedUntilMs: 1, fetchedAtMs: 1, nextCloseMs: 2, computedAtMs: 1, state: "live", stateReason: "",
    base: null, bonus: null, quarantine: null, ...changes,
  };
}

/**
 * @param {number} long
 * @param {number} short
 * @returns {NonNullable<CoinData["base"]>}
 */
export function base(long, short) {
  return { long, short, longLabel: "none", shortLabel: "none", coverage: 1, fault: "", longParts: [], shortParts: [] };
}

/**
 * @param {{ribbon?: object, squeeze?: object, divergence?: object}} [changes]
 * @returns {TaSignal}
 */
export function signal({ ribbon = {}, squeeze = {}, divergence = {} } = {}) {
  return {
    symbol: "BTCUSDT", closed_until_ms: 1, computed_at_ms: 1, close: 1,
    ema_ribbon: {
      state_5m: "bullish", state_1h: null, state_4h: null, spread_5m: 72.5, spread_1h: null, spread_4h: null,
      values: [], values_1h: [], ...ribbon,
    },
    ttm_squeeze: {
      squeeze: false, momentum: 0.4, direction: "bullish", bars_in_squeeze: 0, timeframe: "5m", colour: null,
      fired: false, fired_bars_ago: null, fired_direction: null, last_squeeze_bars: null, ...squeeze,
    },
    stoch_rsi_divergence: {
      divergence: "none", strength: 0, candles_ago: 0, stoch_k: 45.2, stoch_d: 42.1, rsi: 50, ...divergence,
    },
    composite_score_adjustment: { long_bonus: 0, short_bonus: 0, reasoning: [] },
  };
}

/**
 * @param {Partial<DashboardData>} [changes]
 * @returns {DashboardData}
 */
export function data(changes = {}) {
  return {
    mode: "demo", source: "sim", asOf: 10, namespace: "", groups: {}, coinData: [], taSignals: {},
    positions: null, balance: null, traderKind: "own", trader: null, outside: null, tradeEvents: [], equity: [], signalHistory: [], actors: [],
    redis: { status: "up", sinceMs: 0, reason: "", fallback: false },
    exchange: { bannedUntilMs: null, troubles: {} }, errors: [], ...changes,
  };
}

/**
 * @param {Partial<Position>} [changes]
 * @returns {Position}
 */
export function position(changes = {}) {
  return {
    symbol: "BTCUSDT", side: "long", size_base: "0.05", entry_price: "60000", mark_price: "61000", stop_loss: "59780",
    take_profit: "63440", liquidation_price: "42700", leverage: 5, margin_quote: "600", unrealized_pnl_quote: "50",
    realized_pnl_quote: "-1.9", opened_ms: 1, foreign: false, bare_since_ms: null, bare_alarm_ms: null, ...changes,
  };
}

/**
 * @param {Position[]} held
 * @param {Partial<Positions>} [changes]
 * @returns {Positions}
 */
export function positions(held, changes = {}) {
  return { as_of_ms: 1000, venue: "sim", reason: "", old_after_ms: 60_000, positions: held, ...changes };
}

/**
 * @param {Partial<TraderStatus>} [changes]
 * @returns {NonNullable<DashboardData["trader"]>}
 */
export function trader(changes = {}) {
  return {
    config: null, silent_after_ms: 30_000, timer_s: null,
    status: {
      as_of_ms: 1000, mode: "enabled", reason: "", venue: "sim", cycle_ms: null, next_cycle_ms: 2000,
      every_s: null,
      candles_from: "redis", trouble: "", last_trade_ms: null, use_ta_signals: false, ours: [], foreign: [],
      unprotected: [], limits: [], skipped: {}, pnl_today_quote: null, fees_today_quote: null,
      pnl_as_of_ms: null, started_ms: null, uptime_s: null, looked_ms: null,
      strategy: { name: "base", version: "1", hash: "0".repeat(64), class_name: "" }, evidence: null, ...changes,
    },
  };
}

/**
 * @param {string} state
 * @returns {DashboardData["actors"][number]}
 */
export function traderActor(state) {
  return {
    name: "trader", state, pid: 1, restarts: 0, sinceMs: 1, lastDeath: null, doing: "", reason: "", beatAtMs: 1,
    backoffUntilMs: null, quarantinedCoins: {},
  };
}
