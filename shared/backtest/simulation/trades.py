"""What a backtest's account did: trades, equity, times without entries, refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.market import Floats, Times
from shared.messages.trading import TradeSide

How = Literal["stop", "target", "liquidation", "time", "protection", "rescaled", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One position from its entry to its end. Units: quote currency, epoch ms.

    Attributes:
        entry_price, exit_price: Averages of the fills.
        size: All that was entered, in base currency.
        how: What ended it; `rescaled`: the last price before its scale broke, `end`: the backtest.
        pnl: Net of fees and funding.
        risk: Money lost if all of it left at the stop, without costs: 1 R.
        funding: Received; negative when paid.
        spread: What the fills cost beyond the price at their times.
        stop, target: Trigger prices.
    """

    symbol: str
    side: TradeSide
    entered_ms: int
    left_ms: int
    entry_price: Decimal
    exit_price: Decimal
    size: Decimal
    how: How
    pnl: Decimal
    risk: Decimal
    fees: Decimal
    funding: Decimal
    spread: Decimal
    base: int
    bonus: int
    stop: Decimal
    target: Decimal

    @property
    def r(self) -> float:
        """Return the net P&L in R."""
        return float(self.pnl / self.risk) if self.risk else 0.0

    @property
    def turnover(self) -> Decimal:
        """Return the value bought and sold."""
        return self.size * (self.entry_price + self.exit_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A time without entries: a breaker was latched. `to_ms`: its release, or the end."""

    from_ms: int
    to_ms: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccountHistory:
    """The result of one run.

    Attributes:
        start: Equity before anything was entered.
        trades: In order of their ends.
        at_ms: The closes decided on.
        equity: At each of them, after its entries, open positions at the mark. Shape: as `at_ms`.
        refusals: By reason, without its numbers, how often a side was not entered. While all places
            are taken, that is the only reason.
    """

    start: float
    trades: Sequence[Trade]
    at_ms: Times
    equity: Floats
    locked: Sequence[Locked]
    refusals: Mapping[str, int]
