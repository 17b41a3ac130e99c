/** What the server sends. Times are epoch ms of the server's clock; null is "not there". */

export type CoinState =
  | "loading" | "warming" | "live" | "stale" | "quarantined" | "unavailable"
  | "announced" | "young" | "halted" | "dead" | "delisted";
export type Label = "none" | "watch" | "candidate" | "strong";
export type RibbonState = "bullish" | "bearish" | "mixed";
export type Side = "long" | "short";
export type Timeframe = "5m" | "1h" | "4h";

export interface ScorePart { name: string; points: number; max: number; text: string }

export interface BaseScores {
  long: number; short: number;
  longLabel: Label; shortLabel: Label;
  coverage: number;
  /** Why the score is incomplete; empty if complete. */
  fault: string;
  longParts: ScorePart[]; shortParts: ScorePart[];
}

export interface Bonus { long: number; short: number; reasoning: string[] }

export interface CoinData {
  symbol: string;
  /** As the exchange lists them; null while that is not known. */
  baseAsset: string | null;
  quoteAsset: string | null;
  group: string;
  price: number | null;
  priceAtMs: number | null;
  tick: number;
  change24hPct: number | null;
  spark: number[];
  closedUntilMs: number | null;
  fetchedAtMs: number | null;
  nextCloseMs: number | null;
  computedAtMs: number | null;
  state: CoinState;
  stateReason: string;
  base: BaseScores | null;
  bonus: Bonus | null;
  quarantine: { stage: string; reason: string; untilMs: number } | null;
}

/** As on the bus. */
export interface TaSignal {
  symbol: string;
  closed_until_ms: number;
  computed_at_ms: number;
  close: number;
  ema_ribbon: {
    state_5m: RibbonState | null; state_1h: RibbonState | null; state_4h: RibbonState | null;
    spread_5m: number | null; spread_1h: number | null; spread_4h: number | null;
    values: (number | null)[]; values_1h: (number | null)[];
  };
  ttm_squeeze: {
    squeeze: boolean | null; momentum: number | null; direction: "bullish" | "bearish" | null;
    bars_in_squeeze: number; timeframe: string; colour: string | null;
    fired: boolean; fired_bars_ago: number | null;
    fired_direction: "bullish" | "bearish" | null; last_squeeze_bars: number | null;
    outlier_bars?: number[];
  };
  stoch_rsi_divergence: {
    divergence: "bullish" | "bearish" | "none"; strength: number; candles_ago: number;
    stoch_k: number | null; stoch_d: number | null; rsi: number | null;
  };
  composite_score_adjustment: { long_bonus: number; short_bonus: number; reasoning: string[] };
}

export interface ActorRow {
  name: string; state: string; pid: number | null; restarts: number; sinceMs: number;
  lastDeath: { atMs: number; cause: string; lastWords: string } | null;
  doing: string; reason: string; beatAtMs: number | null; backoffUntilMs: number | null;
  quarantinedCoins: Record<string, number>;
}

export interface HistoryEntry {
  atMs: number; symbol: string; side: string; event: string; label: string;
  base: number; bonus: number | null; close: number;
}

/** Money travels as text, prices as numbers; `number()` of format.js reads both. */
export type Amount = number | string | null | undefined;

/** One position as on the bus, and what the server adds to it. */
export interface Position {
  symbol: string; side: Side;
  size_base: string; entry_price: string; mark_price: string | null;
  stop_loss: string | null; take_profit: string | null; liquidation_price: string | null;
  leverage: Amount; margin_quote: string | null;
  unrealized_pnl_quote: string | null;
  /** Of this position so far, fees and funding included. */
  realized_pnl_quote: string | null;
  opened_ms: number | null;
  /** Not the trader's: never touched by it. */
  /** null until the trader has looked at it. */
  foreign: boolean | null;
  /** Since when it has had no stop, and from when on that is an alarm. */
  bare_since_ms: number | null; bare_alarm_ms: number | null;
  /** By an outside trader, which need not tell of stops: null is not known. */
  outside?: boolean;
}

/**
 * As of the venue's last answer, 0 if there was none; `reason`: why there is no newer one.
 * Older than `old_after_ms`, it is not current.
 */
interface OfAccount { as_of_ms: number; venue: string; reason: string; old_after_ms: number }

export interface Positions extends OfAccount { positions: Position[] }

export interface Balance extends OfAccount {
  currency: string;
  equity_quote: string | null; available_quote: string | null; frozen_quote: string | null;
  margin_quote: string | null; unrealized_pnl_quote: string | null;
}

export type TraderMode = "enabled" | "reducing" | "disabled" | "locked";

export interface TraderLimit {
  name: string; used: string; limit: string; unit: string;
  state: "ok" | "warned" | "reached" | "latched";
  /** It bounds how much may be open at a time; being full is no problem. */
  is_room: boolean;
}

/** Whether what the trader does has been tested; `fits` is null while that is not known. */
export interface Evidence {
  demand: "ignore" | "advise" | "require"; fits: boolean | null; text: string;
  /** Why it may enter without evidence, by the configuration; or "". */
  accepted: string;
}

/** As on the bus, without `equity`, which is a topic of its own. */
export interface TraderStatus {
  as_of_ms: number; mode: TraderMode; reason: string; venue: string;
  cycle_ms: number | null; next_cycle_ms: number;
  /** Between the runs of the timer that runs it; null of one that stays. */
  every_s: number | null;
  candles_from: "redis" | "binance" | "none";
  trouble: string;
  last_trade_ms: number | null;
  use_ta_signals: boolean;
  ours: string[]; foreign: string[]; unprotected: string[];
  limits: TraderLimit[];
  /** Why coins with a score high enough were not entered in the last cycle. */
  skipped: Record<string, string>;
  pnl_today_quote: string | null; fees_today_quote: string | null;
  /** When these and the use of the limits were computed. */
  pnl_as_of_ms: number | null;
  started_ms: number | null; uptime_s: number | null; looked_ms: number | null;
  /** null: by a trader of an earlier version. */
  evidence: Evidence | null;
  /** What scores the entries; null in a status of an earlier version. */
  strategy: { name: string; version: string; hash: string; class_name: string } | null;
}

export interface TraderConfig { as_of_ms: number; venue: string; settings: Record<string, unknown> }

/** An outside trader's, as it told them; settings are flat. */
export interface GuestStatus {
  as_of_ms: number; mode: TraderMode; reason: string; trouble: string; venue: string;
  uptime_s: number | null; last_trade_ms: number | null;
}
export interface GuestConfig { as_of_ms: number | null; settings: Record<string, string> }
export interface GuestTrader { status: GuestStatus | null; config: GuestConfig | null; silent_after_ms: number }

/** Whose trader there is: the platform's, a program of the user's, or no one's. */
export type TraderKind = "own" | "outside" | "none";

/**
 * `status` is null before the first message; older than `silent_after_ms`, the trader is silent.
 * `timer_s`: between the runs of the timer that trades, by the configuration; null without one.
 */
export interface Trader {
  status: TraderStatus | null; config: TraderConfig | null; silent_after_ms: number; timer_s: number | null;
}

/** As on the bus; `text` is complete. */
export interface TradeEvent {
  event_id: number | null; at_ms: number; kind: string; text: string;
  symbol: string | null; side: Side | null; client_id: string | null;
  size_base: string | null; price: string | null; fee_quote: string | null; pnl_quote: string | null;
}

export interface DashboardData {
  mode: string; source: string; asOf: number; namespace: string;
  groups: Record<string, string[]>;
  coinData: CoinData[];
  taSignals: Record<string, TaSignal | null>;
  positions: Positions | null;
  balance: Balance | null;
  traderKind: TraderKind;
  /** Null without a configured trader and without a status, and where it is outside. */
  trader: Trader | null;
  outside: GuestTrader | null;
  tradeEvents: TradeEvent[];
  equity: [number, Amount][];
  signalHistory: HistoryEntry[];
  actors: ActorRow[];
  redis: { status: string; sinceMs: number; reason: string; fallback: boolean };
  exchange: {
    bannedUntilMs: number | null; troubles: Record<string, string>;
  };
  errors: string[];
}

/** The top-level keys that a patch may set. */
export type Topic = Exclude<keyof DashboardData, "coinData" | "taSignals" | "asOf">;

export interface SnapshotMessage { type: "snapshot"; seq: number; data: DashboardData }
export interface PatchMessage {
  type: "patch"; seq: number; asOf: number;
  set?: Partial<DashboardData>;
  coins?: Record<string, CoinData>;
  ta?: Record<string, TaSignal | null>;
}
export type ServerMessage = SnapshotMessage | PatchMessage;

export type Candle = [openTimeMs: number, open: number, high: number, low: number, close: number,
  volume: number];

export interface DivergenceLine {
  kind: "bullish" | "bearish"; strength: number;
  pivotAMs: number; pivotBMs: number; knownAtMs: number;
  kA: number; kB: number; priceA: number; priceB: number;
}

/** No candles from open time to open time. */
export interface Gap {
  fromMs: number;
  /** null (the page's own) for what has not ended. */
  untilMs: number | null;
  /** The exchange has none there: it was halted. */
  confirmed: boolean;
}

export interface Series {
  symbol: string; timeframe: Timeframe; tick: number; source: string;
  candles: Candle[]; closedUntilMs: number;
  ema: Record<string, (number | null)[]>;
  squeeze: { on: (boolean | null)[]; momentum: (number | null)[]; fired: boolean[] };
  stochRsi: { k: (number | null)[]; d: (number | null)[] };
  divergences: DivergenceLine[];
  gaps: Gap[];
  ribbonState: (RibbonState | null)[];
  atr: (number | null)[];
}
