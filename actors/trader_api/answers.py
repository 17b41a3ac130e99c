"""What the trader's API answers with; its OpenAPI document is made from these types.

Amounts are decimal numbers as text, in quote currency (`_quote`) or base currency (`_base`);
times are epoch ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.messages.trading import (
    Amount,
    TradeEvent,
    TraderMode,
    TraderStatus,
    TraderVerb,
    TradeSide,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockAnswer:
    """The lock file, as far as it can be read. `flatten`: positions of ours are being closed."""

    mode: Literal["locked", "disabled"]
    reason: str
    who: str
    at_ms: int
    flatten: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """How the trader is.

    Attributes:
        answering: The trader said how it is within the last half minute.
        age_s: Since it did; null where it never has.
        why: In words why there is no younger status; "" where there is nothing to say.
        lock: The lock file, which holds whatever `status` says; null where there is none.
        status: What the trader said last.
    """

    at_ms: int
    answering: bool
    age_s: float | None
    why: str
    redis: str
    lock: LockAnswer | None
    status: TraderStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeAnswer:
    """One position of ours, open or ended.

    Attributes:
        size_base: Still open.
        entered_base, left_base: Bought into it, and taken from it.
        pnl_quote: Of the whole, fees and funding included; null while it is open.
        how: How it ended; "" while it is open.
    """

    trade_id: int
    symbol: str
    side: TradeSide
    opened_ms: int
    closed_ms: int | None
    size_base: Amount
    entered_base: Amount
    entry_price: Amount | None
    left_base: Amount
    exit_price: Amount | None
    fees_quote: Amount
    funding_quote: Amount
    pnl_quote: Amount | None
    why: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TradesAnswer:
    """Positions of ours: those that are open, and a page of those that ended, newest first.

    `next_before_id`: Ask with it for the next page; null where this is the last.
    """

    open: list[TradeAnswer]
    closed: list[TradeAnswer]
    next_before_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsAnswer:
    """A page of what the trader did, saw and refused, newest first; `next_before_id` as above."""

    events: list[TradeEvent]
    next_before_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityAnswer:
    """The account after one cycle. `pnl_quote`: won so far, transfers left out."""

    cycle_ms: int
    at_ms: int
    equity_quote: Amount
    available_quote: Amount
    pnl_quote: Amount
    fees_quote: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class EquitiesAnswer:
    """The newest cycles since a time, oldest first."""

    cycles: list[EquityAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAnswer:
    """What became of a command.

    Attributes:
        outcome: `done`, or `pending` where the trader has not answered in time.
        text: The same in words.
        mode: Of the trader, as it answered; null where it did not.
        lock: The lock file as it now is; null where there is none.
    """

    id: str
    command: TraderVerb
    outcome: Literal["done", "pending"]
    text: str
    mode: TraderMode | None
    lock: LockAnswer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBody:
    """What may be said with a command: why (kept in lock and journal), and who says it."""

    reason: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemBody:
    """Why a request was refused (RFC 9457)."""

    title: str
    status: int
    detail: str
