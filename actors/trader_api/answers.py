"""Response types of the trader's API; its OpenAPI document is made from them.

Amounts are decimal numbers as text, in quote currency (`_quote`) or base currency (`_base`);
times are epoch ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.journal.rows import EndedBy
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
        answering: The trader published its status within the last half minute; run by a timer, the
            next run is not late.
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
class PlanAnswer:
    """What an entry was decided on.

    Attributes:
        strategy, strategy_version, strategy_hash: What scored it.
        base, bonus: Points at the deciding close; the bonus as it counted.
        entry_price: Best price when it was decided.
        stop, target: Trigger prices by that.
        risk_quote: Money lost at the stop if all of it is filled at that price, without costs.
    """

    strategy: str
    strategy_version: str
    strategy_hash: str
    base: int
    bonus: int
    entry_price: Amount
    stop: Amount
    target: Amount
    risk_quote: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeAnswer:
    """One position of ours, open or ended.

    Attributes:
        venue, environment: Where it is.
        plan: null of one that was adopted, or opened by an older release.
        stop, target: Trigger prices last seen at the venue.
        size_base: Size still open.
        entered_base, left_base: Size entered and size closed.
        slippage_quote: What its fills cost beyond the planned entry and the trigger that ended it;
            negative where they were better.
        pnl_quote: Total, fees and funding included; null while open.
        risk_quote: Money lost if all that was entered left at the stop, without costs: 1 R.
        r: `pnl_quote` in R; null while open.
        ended_by: null while open, or if it ended under an older release.
        how: How it ended, in words; "" while open.
    """

    trade_id: int
    symbol: str
    side: TradeSide
    venue: str
    environment: str
    opened_ms: int
    closed_ms: int | None
    plan: PlanAnswer | None
    stop: Amount | None
    target: Amount | None
    size_base: Amount
    entered_base: Amount
    entry_price: Amount | None
    left_base: Amount
    exit_price: Amount | None
    fees_quote: Amount
    funding_quote: Amount
    slippage_quote: Amount
    pnl_quote: Amount | None
    risk_quote: Amount
    r: Amount | None
    ended_by: EndedBy | None
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
