"""What the account holds when an entry is decided: equity, free margin, every position. Pure."""

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
    """What the account holds. Units: quote currency.

    Attributes:
        equity: Worth of the account if all were closed at the mark.
        available: Margin that is free for new positions.
        holdings: Ours and foreign ones alike, and entries whose outcome is not known.
    """

    equity: Decimal
    available: Decimal
    holdings: tuple[Holding, ...] = ()

    @property
    def gross_notional(self) -> Decimal:
        """Return the sizes of all holdings, whatever their side."""
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
        balance: Of the currency that is traded in.
        positions: Every open one, whoever opened it.
        pending: Entries of ours that may have been taken and are no position yet.
    """
    held = tuple(_holding(position) for position in positions)
    taken = {holding.symbol for holding in held}
    return Exposure(
        equity=balance.equity,
        available=balance.available,
        holdings=(*held, *(each for each in pending if each.symbol not in taken)),
    )


def _holding(position: OpenPosition) -> Holding:
    # size × mark is size × entry price, plus what the position won or lost since
    moved = position.unrealized_pnl if position.side == "long" else -position.unrealized_pnl
    notional = position.size * position.entry_price + moved
    return Holding(symbol=position.symbol, side=position.side, notional=max(notional, Decimal(0)))
