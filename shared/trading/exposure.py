"""Exposure of the account: equity, free margin, positions. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from shared.exchanges.venue import AccountBalance, OpenPosition
from shared.messages.trading import TradeSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A position, or an entry that may become one. `notional`: at the mark, in quote currency."""

    symbol: str
    side: TradeSide
    notional: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The account's exposure. Units: quote currency.

    Attributes:
        equity: Value of the account if all were closed at the mark.
        available: Free margin.
        holdings: Ours and foreign ones, and entries whose outcome is unknown.
    """

    equity: Decimal
    available: Decimal
    holdings: tuple[Holding, ...] = ()

    @property
    def gross_notional(self) -> Decimal:
        """Return the notional of all holdings, long and short added up."""
        return sum((holding.notional for holding in self.holdings), Decimal(0))

    def count(self, side: TradeSide) -> int:
        return sum(holding.side == side for holding in self.holdings)

    def holds(self, symbol: str) -> bool:
        return any(holding.symbol == symbol for holding in self.holdings)


def exposure(
    balance: AccountBalance, positions: Iterable[OpenPosition], pending: Iterable[Holding] = ()
) -> Exposure:
    """Return the exposure of an account.

    Args:
        balance: In the settlement currency.
        positions: All open ones, ours and foreign.
        pending: Our entries that may have been accepted and are no position yet.
    """
    open_holdings = tuple(_holding(position) for position in positions)
    taken = {holding.symbol for holding in open_holdings}
    return Exposure(
        equity=balance.equity,
        available=balance.available,
        holdings=(*open_holdings, *(each for each in pending if each.symbol not in taken)),
    )


def _holding(position: OpenPosition) -> Holding:
    # size × mark = size × entry price + unrealized P&L of a long
    moved = position.unrealized_pnl if position.side == "long" else -position.unrealized_pnl
    notional = position.size * position.entry_price + moved
    return Holding(symbol=position.symbol, side=position.side, notional=max(notional, Decimal(0)))
