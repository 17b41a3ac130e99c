"""What the trader's journal remembers: intents, positions of ours, what became of them.

Money is `Decimal`: sizes in base currency, prices and amounts in quote currency. Times that end
an order's life (`sent_ms`, fills) are the venue's, `at_ms` of events and cycles are our clock's.
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
"""An intent in one of these may have been taken, and nobody knows yet."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An order we want, journalled before it is sent.

    Attributes:
        side: Of the position it opens or closes.
        size: None where the whole position is to be closed.
        price: None for market orders.
        cycle_ms: Close that was decided on; for closes, venue time of the decision.
        sent_ms: Venue time after which no copy of it can still be signed.
        own_id: The position of ours it closes; None for entries.
        why: Why it is wanted, in words.
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
    """A fill of a position of ours. `client_id`: None where the venue closed by itself."""

    fill: Fill
    own_id: int
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPosition:
    """A position of ours, as the journal knows it.

    Attributes:
        own_id: Number in the journal.
        venue_id: The venue's number; None until it was seen there.
        unprotected_ms: Venue time since when it has had no stop; None while it has one.
        closing: Why it is to be closed, until it is; "" while it may stay.
        adopted_size, adopted_price: What it held when it was adopted; zero otherwise.
        adopted_pnl: What it had realised by then, which is no result of ours.
        ordered_in, ordered_out: Sizes its orders have filled by the venue's word.
        fills: Those journalled, oldest first.
        funding: Sum of all that was neither price nor fee; negative when paid.
        closed_ms: None while it is open.
        pnl: Of the whole, fees and funding included; None while it is open.
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
        """Return size and value of all that was bought into it."""
        size, value = self._sums(entering=True)
        return size + self.adopted_size, value + self.adopted_size * self.adopted_price

    @property
    def left(self) -> tuple[Decimal, Decimal]:
        """Return size and value of all fills that took from it."""
        return self._sums(entering=False)

    @property
    def fees(self) -> Decimal:
        """Return what its fills have cost."""
        return sum((f.fee for f in self.fills), ZERO)

    @property
    def size(self) -> Decimal:
        """Return what is open, by fills or, where those have not come yet, by its orders."""
        entered = max(self._sums(entering=True)[0], self.ordered_in) + self.adopted_size
        return max(ZERO, entered - max(self.left[0], self.ordered_out))

    @property
    def is_complete(self) -> bool:
        """Tell whether every fill that its orders speak of is here."""
        return self._sums(entering=True)[0] >= self.ordered_in and self.left[0] >= self.ordered_out

    @property
    def price_pnl(self) -> Decimal:
        """Return what its closing fills have won against the average entry, fees left out."""
        size, value = self.entered
        out, out_value = self.left
        if not size:
            return ZERO
        # the product first: a position closed whole then has no rounding in it
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

    `pnl` is the running sum of all that positions of ours have won, open ones at the mark, so
    that it knows nothing of money moved in or out.
    """

    cycle_ms: int
    at_ms: int
    equity: Decimal
    available: Decimal
    pnl: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """A command that was taken up, and what became of it; `outcome` is None until it is done."""

    id: str
    command: str
    symbol: str | None
    who: str
    at_ms: int
    outcome: Literal["done", "failed"] | None = None
    text: str = ""
