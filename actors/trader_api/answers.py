"""Response types of the trader's API; its OpenAPI document is made from them.

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
    """State of the trader.

    Attributes:
        answering: The trader published its status within the last half minute.
        age_s: Age of that status; null if there was none.
        why: Why there is no newer status; "" if it is current.
        lock: The lock file, which applies whatever `status` reports; null if there is none.
        status: The newest status published.
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
        size_base: Size still open.
        entered_base, left_base: Size entered and size closed.
        pnl_quote: Total, fees and funding included; null while open.
        how: How it ended; "" while open.
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
    """Own positions: those open, and a page of those that ended, newest first.

    `next_before_id`: Cursor of the next page; null on the last.
    """

    open: list[TradeAnswer]
    closed: list[TradeAnswer]
    next_before_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsAnswer:
    """A page of the trader's events, newest first; `next_before_id` as above."""

    events: list[TradeEvent]
    next_before_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityAnswer:
    """The account after one cycle. `pnl_quote`: cumulative, without transfers."""

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
    """Result of a command.

    Attributes:
        outcome: `done`, or `pending` if the trader has not answered in time.
        text: The same in words.
        mode: The trader's, as it answered; null if it did not.
        lock: The lock file now; null if there is none.
    """

    id: str
    command: TraderVerb
    outcome: Literal["done", "pending"]
    text: str
    mode: TraderMode | None
    lock: LockAnswer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBody:
    """Body of a command: the reason (kept in lock and journal), and who gives it."""

    reason: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemBody:
    """Why a request was refused (RFC 9457)."""

    title: str
    status: int
    detail: str
