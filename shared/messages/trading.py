"""Messages of trading: account, trader, events and commands. Money is text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

TradeSide = Literal["long", "short"]
TraderMode = Literal["enabled", "reducing", "disabled", "locked"]
TraderVerb = Literal[
    "enable", "disable", "reduce", "close", "flatten", "kill", "release", "adopt", "accept-journal"
]
EvidenceDemand = Literal["ignore", "advise", "require"]
TraderKind = Literal["own", "outside", "none"]
"""Whose trader there is: this platform's, the user's own program, or no one's."""

WITH_SYMBOL: frozenset[TraderVerb] = frozenset({"close", "adopt"})
"""These concern one coin, the others none."""

TIMER_LATE_MS = 90_000
"""How late a run of a timer may say how it is before it counts as missed: it has to start, read the
journal, and reach the venue, on a busy machine too."""

Amount = str
"""Money and sizes on the wire: a decimal number as text, as exact as the venue sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One open position of the account. Units: base currency, quote currency, epoch ms.

    Attributes:
        stop_loss, take_profit, liquidation_price: None if there is none.
        mark_price: None if the venue did not report it.
        realized_pnl_quote: So far, fees and funding included; null if the venue does not tell.
    """

    symbol: str
    side: TradeSide
    size_base: Amount
    entry_price: Amount
    mark_price: Amount | None
    stop_loss: Amount | None
    take_profit: Amount | None
    liquidation_price: Amount | None
    leverage: int
    margin_quote: Amount
    unrealized_pnl_quote: Amount
    realized_pnl_quote: Amount | None
    opened_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Every open position as the venue reported it at `as_of_ms`, our clock.

    `reason`: why there is no newer report (no keys, venue down); `as_of_ms` and `positions` are
    then of the last answer, 0 and empty if there was none.
    """

    as_of_ms: int
    venue: str
    positions: list[Position]
    reason: str = ""
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The account's balance in its quote currency, as of `as_of_ms`; `reason` as above.

    Equity = available + frozen + margin + unrealized PnL. All None before the first answer.
    """

    as_of_ms: int
    venue: str
    currency: str
    equity_quote: Amount | None
    available_quote: Amount | None
    frozen_quote: Amount | None
    margin_quote: Amount | None
    unrealized_pnl_quote: Amount | None
    reason: str = ""
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderLimit:
    """Use of a limit. `state`: `ok`, `warned` from 80 % on, `reached`, or `latched`.

    A latched one lasts until it is released, whatever `used` is. `is_room`: it bounds how much
    may be open at a time, so reaching it is no problem.
    """

    name: str
    used: Amount
    limit: Amount
    unit: str
    state: Literal["ok", "warned", "reached", "latched"]
    is_room: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyIdentity:
    """What scored: a strategy, its version, and the SHA-256 of what decides its scores.

    Attributes:
        class_name: Of a file's strategy: one file may have several; "" of the built-in one.
    """

    name: str
    version: str
    hash: str
    class_name: str = ""

    @property
    def key(self) -> str:
        """What decides its scores, as one text."""
        return f"{self.hash} {self.class_name}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceStatus:
    """Whether what the trader does has been tested.

    Attributes:
        demand: What the configuration makes of that.
        fits: Whether there is evidence of these settings; None while that is not known.
        text: What the evidence is, or what is missing.
        accepted: Why it may enter without evidence, by the configuration; or "".
    """

    demand: EvidenceDemand
    fits: bool | None
    text: str
    accepted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderStatus:
    """The trader's mode, its last cycle, and the use of its limits.

    Attributes:
        reason: Why it is in this mode.
        cycle_ms: Close that the last cycle decided on; None before the first.
        candles_from: Source of that cycle's candles.
        trouble: Why the last cycle failed; "" if it did not.
        started_ms, uptime_s: Of the trader's process.
        journal: Why the journal cannot be used now, or is not the one our orders are in; or "".
        ours, foreign: Coins with an own position, and with a foreign one.
        looked_ms: The venue's time when these were last read there; None before the first time.
        unprotected: Coins with an own position that has no stop now.
        skipped: Why coins with a score high enough were not entered in the last cycle.
        equity: (epoch ms, equity) of the newest cycles, oldest first.
        pnl_today_quote, fees_today_quote: Since 00:00 UTC; None before the first answer.
        pnl_as_of_ms: When these and the use of the limits were computed.
        evidence: None in a status of an earlier version.
        strategy: What scores its entries; None in a status of an earlier version.
        next_cycle_ms: When the next cycle is due; by a timer, when its next run is.
        every_s: Between the runs of the timer that runs the trader; None of one that stays.
    """

    as_of_ms: int
    mode: TraderMode
    reason: str
    venue: str
    cycle_ms: int | None
    next_cycle_ms: int
    candles_from: Literal["redis", "binance", "none"]
    trouble: str
    last_trade_ms: int | None
    use_ta_signals: bool
    ours: list[str]
    foreign: list[str]
    unprotected: list[str]
    limits: list[TraderLimit]
    skipped: dict[str, str]
    pnl_today_quote: Amount | None
    fees_today_quote: Amount | None
    equity: list[tuple[int, Amount]]
    started_ms: int | None = None
    uptime_s: float | None = None
    looked_ms: int | None = None
    pnl_as_of_ms: int | None = None
    journal: str = ""
    evidence: EvidenceStatus | None = None
    strategy: StrategyIdentity | None = None
    every_s: int | None = None
    v: int = 1

    def current_until_ms(self, resident_ms: int = 30_000) -> int:
        """Return until when this counts as current; later, a newer one is missing.

        Args:
            resident_ms: How old that of a trader that stays may be; it renews it every 5 s.
        """
        if self.every_s is None:
            return self.as_of_ms + resident_ms
        return self.next_cycle_ms + TIMER_LATE_MS

    def is_foreign(self, position: Position) -> bool | None:
        """Return whether a position is foreign; None if it opened after the trader's last look."""
        return is_foreign(
            position.symbol, position.opened_ms,
            looked_ms=self.looked_ms, ours=self.ours, foreign=self.foreign,
        )  # fmt: skip


def is_foreign(
    symbol: str,
    opened_ms: int,
    *,
    looked_ms: int | None,
    ours: Collection[str],
    foreign: Collection[str],
) -> bool | None:
    """As `TraderStatus.is_foreign`, from single fields."""
    if looked_ms is not None and opened_ms <= looked_ms:
        if symbol in foreign:
            return True
        if symbol in ours:
            return False
    return None


def obeys(mode: TraderMode, lock_mode: str) -> bool:
    """Return whether a trader in `mode` has taken notice of a lock file of this mode."""
    return mode in ("locked", lock_mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderConfig:
    """The current settings; never a secret."""

    as_of_ms: int
    venue: str
    settings: dict[str, Any]
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeEvent:
    """One event of the trader; also an entry of the log.

    Attributes:
        event_id: Number in the journal, without gaps.
        kind: Such as `order`, `fill`, `stop`, `closed`, `refused`, `mode`, `warning`.
        text: The message.
        size_base, price, fee_quote, pnl_quote: If the event has them.
    """

    event_id: int
    at_ms: int
    kind: str
    text: str
    symbol: str | None = None
    side: TradeSide | None = None
    client_id: str | None = None
    size_base: Amount | None = None
    price: Amount | None = None
    fee_quote: Amount | None = None
    pnl_quote: Amount | None = None
    v: int = 1


def trade_event(
    at_ms: int,
    kind: str,
    text: str,
    symbol: str | None = None,
    side: TradeSide | None = None,
    *,
    client_id: str | None = None,
    size_base: Decimal | None = None,
    price: Decimal | None = None,
    fee_quote: Decimal | None = None,
    pnl_quote: Decimal | None = None,
) -> TradeEvent:
    """Return an event without a number, which the journal assigns."""
    size, at, fee, pnl = (
        None if amount is None else str(amount)
        for amount in (size_base, price, fee_quote, pnl_quote)
    )
    return TradeEvent(
        event_id=0, at_ms=at_ms, kind=kind, text=text, symbol=symbol, side=side,
        client_id=client_id, size_base=size, price=at, fee_quote=fee, pnl_quote=pnl,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderCommand:
    """A command to the trader. `symbol` for `close` and `adopt` only."""

    id: str
    command: TraderVerb
    who: str
    at_ms: int
    symbol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderReply:
    """The outcome of a command."""

    id: str
    outcome: Literal["done", "failed"]
    text: str
    mode: TraderMode
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KillFlag:
    """No new entries until released. Written after the lock file in `state_dir`."""

    reason: str
    who: str
    at_ms: int
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A request to the account's publisher to read the venue now."""

    at_ms: int
    v: int = 1
