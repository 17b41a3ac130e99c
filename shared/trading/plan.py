"""What the trader's decisions hand on: a side worth entering, why not, and what to send.

Money is `Decimal`: sizes in base currency, prices in quote currency, times in epoch ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from shared.messages.trading import TradeSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One side of one coin whose score says: enter.

    Attributes:
        base: Points of the base score.
        bonus: Points of the signals that count, capped; 0 when they are not used.
        total: What was held against `entry_score`.
        lead: Points ahead of the other side.
        close: Of the 5m candle that decided, on the exchange the candles come from.
        atr_1h: ATR14 of the 1h candles that had closed by then, in quote currency.
        closed_until_ms: Until when the deciding candle ran.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a side is not entered, for people. `side` is None where neither is."""

    symbol: str
    side: TradeSide | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPlan:
    """An entry that is ready to be sent.

    Attributes:
        size: In base currency, whole steps of the market.
        limit_price: In whole ticks.
        stop_fraction, target_fraction: Distances from the average entry price, as shares of it.
        leverage: One that the market offers.
        reason: Score, bonus and costs in words.
    """

    symbol: str
    side: TradeSide
    size: Decimal
    limit_price: Decimal
    stop_fraction: Decimal
    target_fraction: Decimal
    leverage: int
    reason: str
