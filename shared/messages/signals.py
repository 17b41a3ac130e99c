"""Messages of analysis: signals of closed candles, base scores, and audits of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from shared.messages.candles import Source
from shared.messages.trading import StrategyIdentity, TradeSide

Side = Literal["bullish", "bearish"]
RibbonState = Literal["bullish", "bearish", "mixed"]
Divergence = Literal["bullish", "bearish", "none"]
Label = Literal["none", "watch", "candidate", "strong"]
Colour = Literal["rising_positive", "falling_positive", "falling_negative", "rising_negative"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmaRibbon:
    """EMA 8/13/21/34/55/89. Spread 0..100; 50 is the median for noise."""

    state_5m: RibbonState | None
    state_1h: RibbonState | None
    spread_5m: float | None
    spread_1h: float | None
    values: list[float | None]
    state_4h: RibbonState | None
    spread_4h: float | None
    values_1h: list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TtmSqueeze:
    """Bollinger 20/2.0 inside Keltner 20/1.5. `momentum` is in ATR14, `momentum_raw` in price.

    `outlier_bars`: open times (epoch ms) of the bars of extreme range among the newest 39, those
    that the other numbers are made of.
    """

    squeeze: bool | None
    momentum: float | None
    direction: Side | None
    bars_in_squeeze: int
    timeframe: str
    momentum_raw: float | None
    colour: Colour | None
    fired: bool
    fired_bars_ago: int | None
    fired_direction: Side | None
    last_squeeze_bars: int | None
    outlier_bars: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StochRsiDivergence:
    """Regular divergence of price and %K. `strength` 0..1; pivots in epoch ms of the bar open."""

    divergence: Divergence
    strength: float
    candles_ago: int
    stoch_k: float | None
    stoch_d: float | None
    rsi: float | None
    pivot_a_ms: int | None
    pivot_b_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeScoreAdjustment:
    """Bonus points, uncapped 0..45 per side, and their reasons."""

    long_bonus: int
    short_bonus: int
    reasoning: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputState:
    """Indicators of one timeframe in a signal. `atr14` in quote currency.

    Attributes:
        begins_ms: Where the price scale broke, as long as the candles do not reach back to it for
            that reason; else None.
    """

    bars: int
    warm: bool
    stale: bool
    closed_until_ms: int | None
    fetched_at_ms: int | None
    gap_bars: int
    unfilled_gap: bool
    atr14: float | None
    begins_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaSignal:
    """The signal of one coin. `timestamp` is the close of its newest closed 5m candle.

    Only `computed_at_ms` depends on the clock.
    """

    symbol: str
    timestamp: str
    ema_ribbon: EmaRibbon
    ttm_squeeze: TtmSqueeze
    stoch_rsi_divergence: StochRsiDivergence
    composite_score_adjustment: CompositeScoreAdjustment
    closed_until_ms: int
    close: float
    inputs: dict[str, InputState]
    source: Source
    computed_at_ms: int
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePart:
    """One component of a base score: its points, their maximum, and the reason."""

    name: str
    points: float
    max: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideScore:
    """Base score of one side, 0..100: the sum of its parts, rounded down once."""

    score: int
    parts: list[ScorePart]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinScore:
    """Base score of one coin, and the bonus of its signal, which is not added in.

    Attributes:
        close: Of the newest closed 5m candle; None if there is none.
        change_24h_pct: From the close 24 h earlier; None if unknown.
        coverage: Share of the 100 points whose inputs exist, 0..1. Below 1 the score moves no
            label (shown as `none`) and allows no entry.
        long_bonus, short_bonus: None unless the signal is of the same candle.
        fault: Why the score is incomplete; "" when it is complete.
    """

    symbol: str
    close: float | None
    change_24h_pct: float | None
    long: SideScore
    short: SideScore
    coverage: float
    label_long: Label
    label_short: Label
    long_bonus: int | None
    short_bonus: int | None
    closed_until_ms: int | None
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """The scores of all coins, and of which strategy. `closed_until_ms`: the newest close."""

    at_ms: int
    closed_until_ms: int | None
    coins: list[CoinScore]
    source: Source
    strategy: StrategyIdentity | None = None
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    """A coin's side entered or left `candidate` or `strong`: an entry of the history.

    Attributes:
        label: The label entered, or the one left.
        base: The score that caused it; below the threshold of `candidate`, both are left.
        bonus: Of the same candle; None if unknown.
    """

    at_ms: int
    symbol: str
    side: TradeSide
    event: Literal["entered", "left"]
    label: Literal["candidate", "strong"]
    base: int
    bonus: int | None
    close: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedField:
    """One published number compared with the referee's, on the coin where they differ most.

    Attributes:
        difference: In `unit`; None if only one of the two has a number.
        unit: `relative` to the referee's number, `points` of 100, `atr14`, or `state` (0 equal,
            1 different).
        published: The number (or state) published.
        expected: The referee's.
        coins_beyond: Every coin on which the field is beyond its tolerance.
    """

    difference: float | None
    tolerance: float
    unit: Literal["relative", "points", "atr14", "state"]
    coin: str
    published: str
    expected: str
    coins_beyond: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """Differences of the published signals from a referee's, by the newest audit of each coin.

    `coins` counts those audited; `skipped` has the reasons why others were not. `referee` is a
    name with its version.
    """

    at_ms: int
    referee: str
    coins: int
    fields: dict[str, AuditedField]
    skipped: dict[str, str]
    v: int = 1
