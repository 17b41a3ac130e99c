"""Rows of the trader's journal: intents, fills, own positions, equity, commands.

Money is `Decimal`: sizes in base currency, prices and amounts in quote currency. `sent_ms` and
the times of fills are the venue's; `at_ms` of events and cycles is our clock's.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.exchanges.venue import CLOSES, Fill, OrderKind, OrderSide, VenueEnd
from shared.messages.trading import TradeSide

Purpose = Literal["entry", "close"]
IntentState = Literal["sending", "unknown", "taken", "refused", "not_taken"]

OPEN_STATES: tuple[IntentState, ...] = ("sending", "unknown")
"""States of an intent that the venue may have accepted."""

EndedBy = Literal[VenueEnd, "time", "command", "protection", "outside"]
"""What ended a position: the venue, the time stop, an operator, the trader because it could not be
kept protected, or an order that is not ours."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOwner:
    """Whose orders a journal has.

    Attributes:
        mode: Of the platform.
        venue: The venue's name in the configuration.
        environment: `live`, `testnet`, `demo`, or `simulated`.
        currency: The settlement currency.
    """

    mode: str
    venue: str
    environment: str
    currency: str

    @property
    def place(self) -> str:
        """Return where the account is, in words."""
        return f"{self.venue} ({self.environment}, {self.currency})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an entry was decided on.

    Attributes:
        strategy, strategy_version, strategy_hash: What scored it.
        base, bonus: Points at the deciding close; the bonus as it counted.
        entry_price: Best price when it was decided.
        stop, target: Trigger prices by that.
        risk: Money lost at the stop if all of it is filled at `entry_price`, without costs.
    """

    strategy: str
    strategy_version: str
    strategy_hash: str
    base: int
    bonus: int
    entry_price: Decimal
    stop: Decimal
    target: Decimal
    risk: Decimal


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
        order_id: The venue's; None until it was received.
        stop_fraction, target_fraction: Of the position it opens, as shares of the entry price.
        plan: Of an entry; read back with the position it opened only.
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
    plan: Plan | None = None
    state: IntentState = "sending"
    end: str = ""
    order_id: str | None = None


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
        venue, environment, currency: Where it is, see `JournalOwner`.
        venue_id: The venue's id; None until it was seen there, or if that numbers no positions.
        plan: None of one that was adopted, or opened by an older release.
        stop, target: Trigger prices last seen at the venue.
        unprotected_ms: Venue time since when it has had no stop; None while it has one.
        closing: Why it is to be closed, until it is; "" otherwise.
        closing_by: The same as a term.
        adopted_size, adopted_price: Size and price when it was adopted; zero otherwise.
        adopted_pnl: P&L realised before that, which is not ours; None if the venue does not tell.
        ordered_in, ordered_out: Filled sizes that the venue reported of its orders.
        fills: Those journalled, oldest first.
        funding: Sum of what was neither price nor fee; negative when paid.
        closed_ms: None while it is open.
        pnl: Total, fees and funding included; None while it is open.
        ended_by: None while it is open, or if it ended under an older release.
        how: How it ended, in a word or two.
    """

    own_id: int
    symbol: str
    side: TradeSide
    venue: str
    environment: str
    currency: str
    venue_id: str | None
    opened_ms: int
    why: str
    plan: Plan | None
    stop_fraction: Decimal
    target_fraction: Decimal
    stop: Decimal | None
    target: Decimal | None
    unprotected_ms: int | None
    closing: str
    closing_by: EndedBy | None
    adopted_size: Decimal
    adopted_price: Decimal
    adopted_pnl: Decimal | None
    ordered_in: Decimal
    ordered_out: Decimal
    fills: tuple[Fill, ...]
    funding: Decimal
    closed_ms: int | None = None
    pnl: Decimal | None = None
    ended_by: EndedBy | None = None
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
        """Return the fees of its fills, as far as they were taken in the settlement currency."""
        return sum((f.fee for f in self.fills if f.fee_currency in ("", self.currency)), ZERO)

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

    @property
    def exit_price(self) -> Decimal | None:
        """Return the average exit price; None before the first exit."""
        size, value = self.left
        return value / size if size else None

    @property
    def risk(self) -> Decimal:
        """Return the money lost if all that was entered left at the stop, without costs: 1 R."""
        return self.entered[1] * self.stop_fraction

    @property
    def r(self) -> Decimal | None:
        """Return the P&L in R; None while it is open."""
        return self.pnl / self.risk if self.pnl is not None and self.risk else None

    @property
    def slippage(self) -> Decimal:
        """Return what its fills cost beyond the planned entry and the trigger that ended it.

        Negative where they were better. What has no plan or trigger counts nothing, and so does
        what left by other orders before.
        """
        lost = ZERO
        if self.plan is not None:
            size, value = self._sums(entering=True)
            lost += value - size * self.plan.entry_price
        trigger = {"stop": self.stop, "target": self.target}.get(self.ended_by or "")
        if trigger is not None:
            exits = [f for f in self.fills if f.side == CLOSES[self.side]]
            last = (f for f in exits if f.order_id == exits[-1].order_id)
            lost += sum((f.size * (trigger - f.price) for f in last), ZERO)
        return lost if self.side == "long" else -lost


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
