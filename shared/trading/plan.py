"""Results of the trader's decisions: candidates, refusals, entry plans.

Money is `Decimal`: sizes in base currency, prices in quote currency, times in epoch ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from shared.messages.trading import TradeSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One side of one coin to enter by its score.

    Attributes:
        base: Points of the base score.
        bonus: Points of valid signals, capped; 0 if signals are not used.
        total: The score compared with `entry_score`.
        lead: Points ahead of the other side.
        close: Of the deciding 5m candle, on the exchange the candles come from.
        atr_1h: ATR14 of the 1h candles closed by then, in quote currency.
        closed_until_ms: Close time of the deciding candle.
        stop: Distance of the stop that the strategy wants, as a share of the price; None: by ATR.
    """

    symbol: str
    side: TradeSide
    base: int
    bonus: int
    total: int
    lead: int
    close: Decimal
    atr_1h: Decimal
    closed_until_ms: int
    stop: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a side is not entered, for people. `side` is None if it applies to both."""

    symbol: str
    side: TradeSide | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPlan:
    """An entry ready to send.

    Attributes:
        size: In base currency, whole steps of the market.
        limit_price: In whole ticks.
        entry_price: Best price when it was planned.
        stop, target: Trigger prices by that, in whole ticks.
        base, bonus: Points it was decided on.
        stop_fraction, target_fraction: Distances from the average entry price, as shares of it.
        reason: Score, bonus and costs in words.
    """

    symbol: str
    side: TradeSide
    size: Decimal
    limit_price: Decimal
    entry_price: Decimal
    stop: Decimal
    target: Decimal
    base: int
    bonus: int
    stop_fraction: Decimal
    target_fraction: Decimal
    leverage: int
    reason: str
