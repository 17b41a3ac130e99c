"""Rows of the trader's journal: intents, fills, own positions, equity, commands.

Money is `Decimal`: sizes in base currency, prices and amounts in quote currency. `sent_ms` and
the times of fills are the venue's; `at_ms` of events and cycles is our clock's.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.exchanges.venue import CLOSES, Fill, OrderKind, OrderSide
from shared.messages.trading import TradeSide

Purpose = Literal["entry", "close"]
IntentState = Literal["sending", "unknown", "taken", "refused", "not_taken"]

OPEN_STATES: tuple[IntentState, ...] = ("sending", "unknown")
"""States of an intent that the venue may have accepted."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An order we want, journalled before it is sent.

    Attributes:
        side: Of the position it opens or closes.
        size: None to close the whole position.
        price: None for market orders.
        cycle_ms: Candle close that was decided on; for closes, venue time of the decision.
        sent_ms: Venue time after which no copy of it can still be signed.
        own_id: The own position it closes; None for entries.
        why: The reason for it, in words.
        end: Why it was refused or counts as not taken; "" in other states.
        stop_fraction, target_fraction: Of the position it opens, as shares of the entry price.
    """

    client_id: str
    symbol: str
    side: TradeSide
    purpose: Purpose
    order_side: OrderSide
    kind: OrderKind
    size: Decimal | None
    price: Decimal | None
    cycle_ms: int
    sent_ms: int
    why: str
    own_id: int | None = None
    stop_fraction: Decimal | None = None
    target_fraction: Decimal | None = None
    leverage: int | None = None
    state: IntentState = "sending"
    end: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFill:
    """A fill of an own position. `client_id`: None if the venue closed by itself."""

    fill: Fill
    own_id: int
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPosition:
    """An own position in the journal.

    Attributes:
        own_id: Number in the journal.
        venue_id: The venue's number; None until it was seen there.
        unprotected_ms: Venue time since when it has had no stop; None while it has one.
        closing: Why it is to be closed, until it is; "" otherwise.
        adopted_size, adopted_price: Size and price when it was adopted; zero otherwise.
        adopted_pnl: P&L realised before that, which is not ours.
        ordered_in, ordered_out: Filled sizes that the venue reported of its orders.
        fills: Those journalled, oldest first.
        funding: Sum of what was neither price nor fee; negative when paid.
        closed_ms: None while it is open.
        pnl: Total, fees and funding included; None while it is open.
        how: How it ended, in a word or two.
    """

    own_id: int
    symbol: str
    side: TradeSide
    venue_id: int | None
    opened_ms: int
    why: str
    stop_fraction: Decimal
    target_fraction: Decimal
    unprotected_ms: int | None
    closing: str
    adopted_size: Decimal
    adopted_price: Decimal
    adopted_pnl: Decimal
    ordered_in: Decimal
    ordered_out: Decimal
    fills: tuple[Fill, ...]
    funding: Decimal
    closed_ms: int | None = None
    pnl: Decimal | None = None
    how: str = ""

    def _sums(self, *, entering: bool) -> tuple[Decimal, Decimal]:
        chosen = [f for f in self.fills if (f.side != CLOSES[self.side]) is entering]
        size = sum((f.size for f in chosen), ZERO)
        return size, sum((f.size * f.price for f in chosen), ZERO)

    @property
    def entered(self) -> tuple[Decimal, Decimal]:
        """Return size and value of all entries."""
        size, value = self._sums(entering=True)
        return size + self.adopted_size, value + self.adopted_size * self.adopted_price

    @property
    def left(self) -> tuple[Decimal, Decimal]:
        """Return size and value of all exits."""
        return self._sums(entering=False)

    @property
    def fees(self) -> Decimal:
        """Return the fees of its fills."""
        return sum((f.fee for f in self.fills), ZERO)

    @property
    def size(self) -> Decimal:
        """Return the open size, by fills or, if those are not all known yet, by its orders."""
        entered = max(self._sums(entering=True)[0], self.ordered_in) + self.adopted_size
        return max(ZERO, entered - max(self.left[0], self.ordered_out))

    @property
    def is_complete(self) -> bool:
        """Return whether every fill that its orders report is journalled."""
        return self._sums(entering=True)[0] >= self.ordered_in and self.left[0] >= self.ordered_out

    @property
    def price_pnl(self) -> Decimal:
        """Return the P&L of its exits against the average entry price, without fees."""
        size, value = self.entered
        out, out_value = self.left
        if not size:
            return ZERO
        # multiply first: a position closed completely then has no rounding error
        won = out_value - value * out / size
        return won if self.side == "long" else -won

    @property
    def entry_price(self) -> Decimal | None:
        """Return the average entry price; None before the first fill is known."""
        size, value = self.entered
        return value / size if size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityRow:
    """The account after one cycle.

    `pnl` is the cumulative P&L of own positions, open ones at the mark price, so deposits and
    withdrawals do not affect it.
    """

    cycle_ms: int
    at_ms: int
    equity: Decimal
    available: Decimal
    pnl: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """An accepted command; `outcome` is None until it is done."""

    id: str
    command: str
    symbol: str | None
    who: str
    at_ms: int
    outcome: Literal["done", "failed"] | None = None
    text: str = ""
