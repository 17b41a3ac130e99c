"""What the trader decides from: sensible values, each changed by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from shared.config.sections import TraderSection
from shared.exchanges.venue import BookLevel, Funding, MarketRule, OrderBook, Ticker
from shared.indicators.base_score import Inputs
from shared.indicators.scoring import BaseScore
from shared.messages.signals import CompositeScoreAdjustment, TaSignal
from shared.messages.trading import TradeSide
from shared.trading.coin_state import CoinAtClose
from shared.trading.entries import Rules
from shared.trading.exposure import Exposure, Holding
from shared.trading.plan import Candidate
from tests.support.sightings import signal

CLOSE_MS = 1_699_999_200_000
"""The close that is decided on."""

M5_MS = 300_000
NOW_MS = CLOSE_MS + 4_000
NOTHING = Inputs(*[np.empty(0)] * len(Inputs._fields))


def score(long: int, short: int = 0, closed_until_ms: int = CLOSE_MS, **change: Any) -> BaseScore:
    """Return a base score of so many points a side."""
    found = BaseScore(
        symbol="BTCUSDT",
        close=100.0,
        closed_until_ms=closed_until_ms,
        change_24h_pct=None,
        coverage=1.0,
        fault="",
        _points={"long": np.array([float(long)]), "short": np.array([float(short)])},
        _inputs=NOTHING,
        _row=0,
    )
    return replace(found, **change)


def coin(
    now: tuple[int, int] = (85, 0),
    before: tuple[int, int] = (84, 0),
    symbol: str = "BTCUSDT",
    **change: Any,
) -> CoinAtClose:
    """Return a coin with (long, short) points on the candle that decides and the one before."""
    found = CoinAtClose(
        symbol=symbol,
        now=score(*now, symbol=symbol),
        before=score(*before, closed_until_ms=CLOSE_MS - M5_MS, symbol=symbol),
        sources=frozenset({"sim"}),
        volume=1.0,
        atr_1h=1.0,
    )
    return replace(found, **change)


def bonus(
    long: Any, short: Any = 0, close_ms: int = CLOSE_MS, symbol: str = "BTCUSDT", **change: Any
) -> TaSignal:
    """Return a signal of one close with so many points of bonus a side."""
    found = signal(symbol, close_ms)
    adjusted = CompositeScoreAdjustment(long_bonus=long, short_bonus=short, reasoning=[])
    change = {"closed_until_ms": close_ms, **change}
    return replace(found, composite_score_adjustment=adjusted, **change)


def rules(**change: Any) -> Rules:
    """Return what a cycle decides by; `change` goes into the settings."""
    return Rules(settings=TraderSection(**change), cycle_ms=CLOSE_MS, now_ms=NOW_MS, source="sim")


def candidate(side: TradeSide = "long", **change: Any) -> Candidate:
    """Return a candidate at 100 with an ATR of 2."""
    found = Candidate(
        symbol="BTCUSDT",
        side=side,
        base=86,
        bonus=0,
        total=86,
        lead=60,
        close=Decimal(100),
        atr_1h=Decimal(2),
        closed_until_ms=CLOSE_MS,
    )
    return replace(found, **change)


def levels(*pairs: tuple[str, str]) -> tuple[BookLevel, ...]:
    """Return levels of (price, size)."""
    return tuple(BookLevel(price=Decimal(price), size=Decimal(size)) for price, size in pairs)


def market() -> dict[str, Any]:
    """Return what a plan is made from, by the names of its arguments.

    An equity of 10 000, a deep book of 99.99 / 100.01, fees of 0.05 %: costs 0.12 %, and with an
    ATR of 2 % a stop 2 % away; a risk of 25 is 12.49 at the limit, notionals allow 49.9.
    """
    return {
        "rule": MarketRule(
            symbol="BTCUSDT",
            min_size=Decimal("0.01"),
            size_step=Decimal("0.01"),
            min_value=None,
            tick=Decimal("0.01"),
            maker_fee=Decimal("0.0003"),
            taker_fee=Decimal("0.0005"),
            leverages=(1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100),
            available=True,
        ),
        "book": OrderBook(
            symbol="BTCUSDT",
            bids=levels(("99.99", "1000")),
            asks=levels(("100.01", "1000")),
            updated_ms=None,
        ),
        "ticker": Ticker(
            symbol="BTCUSDT", last=Decimal(100), mark=Decimal(100), index=Decimal(100)
        ),
        "funding": Funding(
            symbol="BTCUSDT",
            latest_rate=Decimal(0),
            latest_ms=None,
            next_rate=Decimal(0),
            next_ms=NOW_MS + 3_600_000,
        ),
        "account": Exposure(equity=Decimal(10_000), available=Decimal(10_000)),
    }


def changed(given: Mapping[str, Any], **changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` with fields of some of its values changed, as in `rule={"tick": tick}`."""
    return {name: replace(value, **changes.get(name, {})) for name, value in given.items()}


def holding(symbol: str, side: TradeSide = "long", notional: int = 1000) -> Holding:
    """Return a position in some coin."""
    return Holding(symbol=symbol, side=side, notional=Decimal(notional))
