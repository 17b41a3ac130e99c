"""Breakers and limits of the whole account, as values and pure functions of them.

A breaker that trips is *latched*: it forbids entries until an operator releases it, whatever
happens to the account, and closes nothing. Only the latch of losses in a row may end by itself,
after `loss_pause_h`. The ledger has all that breakers need, and is stored as the bytes of `encode`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation, localcontext
from typing import Literal

from shared import codec
from shared.clock import utc_text
from shared.config.sections import TraderSection
from shared.errors import BadMessage
from shared.messages.trading import Amount, TraderLimit
from shared.trading.amounts import EXACT, exact, share, shown
from shared.trading.exposure import Exposure

Breaker = Literal["daily loss", "drawdown", "losses in a row"]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """A tripped breaker.

    Attributes:
        until_ms: When it ends by itself; None: it does not.
    """

    breaker: Breaker
    at_ms: int
    why: str
    until_ms: int | None = None

    def is_over(self, now_ms: int) -> bool:
        """Return whether it has ended by itself."""
        return self.until_ms is not None and self.until_ms <= now_ms

    def text(self) -> str:
        """Return why it holds, since when and until when, in words."""
        until = (
            "" if self.until_ms is None else f", entries are paused until {utc_text(self.until_ms)}"
        )
        return f"{self.why} at {utc_text(self.at_ms)}{until}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the account gained and lost, as far as breakers need it. Units: quote currency.

    Deposits and withdrawals are neither gain nor loss: the reference equities are scaled with them,
    as if the money had been there, or not, all along.

    Attributes:
        day: UTC day, counted from the epoch.
        day_equity: The day's first equity, or the one at its release.
        peak: Highest equity so far, or the one at its release.
        equity: The newest.
        day_pnl: Gained or lost since the day's first equity.
        losses: Losing trades since the last winning one.
        orders_ms: When the orders were sent that the venue accepted, or may have accepted; oldest
            first, no longer than an hour ago.
        refused_ms: The same of all other orders.
    """

    day: int
    day_equity: Decimal
    peak: Decimal
    equity: Decimal
    day_pnl: Decimal = Decimal(0)
    losses: int = 0
    orders_ms: tuple[int, ...] = ()
    refused_ms: tuple[int, ...] = ()
    latches: tuple[Latch, ...] = ()

    def is_latched(self, breaker: Breaker) -> bool:
        """Return whether this breaker tripped and was not released since."""
        return any(latch.breaker == breaker for latch in self.latches)

    def encode(self) -> bytes:
        """Return the JSON bytes, amounts exact."""
        return codec.encode(
            _Written(
                day=self.day,
                day_equity=str(self.day_equity),
                peak=str(self.peak),
                equity=str(self.equity),
                day_pnl=str(self.day_pnl),
                losses=self.losses,
                orders_ms=list(self.orders_ms),
                refused_ms=list(self.refused_ms),
                latches=list(self.latches),
            )
        )

    @classmethod
    def decode(cls, raw: bytes | str, where: str) -> Ledger:
        """Return the ledger that `encode` wrote; raise BadMessage if it is none."""
        found = codec.decode(_Written, raw, where)
        return cls(
            day=found.day,
            day_equity=_amount(found.day_equity, "day_equity", where),
            peak=_amount(found.peak, "peak", where),
            equity=_amount(found.equity, "equity", where),
            day_pnl=_amount(found.day_pnl, "day_pnl", where),
            losses=found.losses,
            orders_ms=tuple(found.orders_ms),
            refused_ms=tuple(found.refused_ms),
            latches=tuple(found.latches),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    day: int
    day_equity: Amount
    peak: Amount
    equity: Amount
    day_pnl: Amount
    losses: int
    orders_ms: list[int]
    latches: list[Latch]
    refused_ms: list[int] = field(default_factory=list)


def _amount(text: str, field: str, where: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        raise BadMessage(where, field, f"expected a decimal number, found {text!r}")
    return value


# Updates.


def observed(
    ledger: Ledger | None,
    equity: Decimal,
    transferred: Decimal,
    settings: TraderSection,
    now_ms: int,
) -> Ledger:
    """Return the ledger updated by the account's equity, with tripped breakers latched.

    A UTC day begins with the first update in it; a clock set back begins none. A pause lasts as
    long as the settings say now; it ends with the first update after it, and is counted anew.

    Args:
        ledger: None the first time.
        equity: Now.
        transferred: Deposited (negative: withdrawn) since the last update; part of `equity`.
        settings: The limits.
        now_ms: Our clock.
    """
    day = now_ms // DAY_MS
    if ledger is None:
        return Ledger(day=day, day_equity=equity, peak=equity, equity=equity)
    ledger = _paused_anew(ledger, settings)
    ledger = _without(ledger, [latch for latch in ledger.latches if latch.is_over(now_ms)])
    with localcontext(EXACT):
        traded = equity - transferred
        if day > ledger.day:
            ledger = replace(ledger, day=day, day_equity=traded, equity=traded, day_pnl=Decimal(0))
        ledger = replace(
            ledger,
            peak=max(ledger.peak, traded),
            day_pnl=ledger.day_pnl + traded - ledger.equity,
            equity=traded,
        )
        return _paid(_judged(ledger, settings, now_ms), equity)


def closed(ledger: Ledger, pnl: Decimal, settings: TraderSection, now_ms: int) -> Ledger:
    """Return the ledger after a trade was closed; `pnl` includes fees and funding.

    A trade that ends at exactly 0 neither extends nor ends a losing streak.
    """
    losses = ledger.losses + 1 if pnl < 0 else 0 if pnl > 0 else ledger.losses
    return _judged(replace(ledger, losses=losses), settings, now_ms)


def released(ledger: Ledger) -> Ledger:
    """Return the ledger with all latches released and their breakers reset."""
    return _without(ledger, ledger.latches)


def _without(ledger: Ledger, ended: Collection[Latch]) -> Ledger:
    """Return the ledger without some latches, their breakers reset."""
    if not ended:
        return ledger
    breakers = {latch.breaker for latch in ended}
    return replace(
        ledger,
        day_equity=ledger.equity if "daily loss" in breakers else ledger.day_equity,
        peak=ledger.equity if "drawdown" in breakers else ledger.peak,
        losses=0 if "losses in a row" in breakers else ledger.losses,
        latches=tuple(latch for latch in ledger.latches if latch not in ended),
    )


def _judged(ledger: Ledger, settings: TraderSection, now_ms: int) -> Ledger:
    """Return the ledger with every breaker at its limit latched."""
    for breaker, used, limit, unit in _breakers(ledger, settings):
        if used >= limit and not ledger.is_latched(breaker):
            why = f"{breaker} of {shown(used)} {unit} reached the limit of {shown(limit)}"
            is_pause = breaker == "losses in a row"
            until_ms = _pause_end_ms(now_ms, settings) if is_pause else None
            latch = Latch(breaker=breaker, at_ms=now_ms, why=why, until_ms=until_ms)
            ledger = replace(ledger, latches=(*ledger.latches, latch))
    return ledger


def _paused_anew(ledger: Ledger, settings: TraderSection) -> Ledger:
    """Return the ledger with the ends of pauses that the settings in force give them."""
    latches = tuple(
        latch
        if latch.until_ms is None
        else replace(latch, until_ms=_pause_end_ms(latch.at_ms, settings))
        for latch in ledger.latches
    )
    return ledger if latches == ledger.latches else replace(ledger, latches=latches)


def _pause_end_ms(at_ms: int, settings: TraderSection) -> int | None:
    """Return when a pause that began at a time ends; None if it is to be released."""
    hours = settings.loss_pause_h
    return at_ms + round(hours * HOUR_MS) if hours > 0 else None


def _breakers(
    ledger: Ledger, settings: TraderSection
) -> Iterator[tuple[Breaker, Decimal, Decimal, str]]:
    """Yield each breaker with its use, limit and unit."""
    lost = _lost_pct(ledger.day_equity, ledger.equity)
    yield "daily loss", lost, exact(settings.daily_loss_pct), "%"
    lost = _lost_pct(ledger.peak, ledger.equity)
    yield "drawdown", lost, exact(settings.drawdown_pct), "%"
    yield "losses in a row", Decimal(ledger.losses), Decimal(settings.max_losses), "trades"


def _lost_pct(base: Decimal, equity: Decimal) -> Decimal:
    """Return the loss in % of `base`; 0 for gains, or if `base` is not above 0."""
    if base <= 0:
        return Decimal(0)
    lost = max(Decimal(0), EXACT.subtract(base, equity))
    return EXACT.divide(EXACT.multiply(lost, Decimal(100)), base)


def _paid(ledger: Ledger, equity: Decimal) -> Ledger:
    """Return the ledger after a transfer."""
    if equity == ledger.equity:
        return ledger
    if ledger.equity <= 0 or equity <= 0:
        # nothing to scale by: restart from here
        return replace(ledger, day_equity=equity, peak=equity, equity=equity)
    return replace(
        ledger,
        day_equity=ledger.day_equity * equity / ledger.equity,
        peak=ledger.peak * equity / ledger.equity,
        equity=equity,
    )


def _recent(times_ms: tuple[int, ...], now_ms: int) -> int:
    return sum(now_ms - at_ms < HOUR_MS for at_ms in times_ms)


# Consequences.


def objections(ledger: Ledger, settings: TraderSection, now_ms: int) -> list[str]:
    """Return why nothing may be entered now, by the ledger; empty if it may."""
    found = [
        latch.text() if latch.until_ms is not None else f"{latch.text()}: release it"
        for latch in ledger.latches
    ]
    sent = _recent(ledger.orders_ms, now_ms)
    if sent >= settings.max_orders_per_hour:
        found.append(
            f"{sent} orders within the last hour, at most {settings.max_orders_per_hour} are "
            "allowed: wait"
        )
    return found


def limits(
    ledger: Ledger, account: Exposure, settings: TraderSection, now_ms: int
) -> list[TraderLimit]:
    """Return the use of every limit, cut, never rounded up."""
    latched = {latch.breaker: latch for latch in ledger.latches}
    found = [
        _limit(breaker, used, limit, unit, settings, latch=latched.get(breaker))
        for breaker, used, limit, unit in _breakers(ledger, settings)
    ]
    with localcontext(EXACT):
        gross = account.gross_notional / account.equity if account.equity > 0 else Decimal(0)
    same = max(account.count("long"), account.count("short"))
    orders, most = _recent(ledger.orders_ms, now_ms), settings.max_orders_per_hour
    rate = _limit("orders per hour", Decimal(orders), Decimal(most), "orders", settings)
    failed, most = _recent(ledger.refused_ms, now_ms), settings.max_refusals_per_hour
    refusals = _limit("refusals per hour", Decimal(failed), Decimal(most), "orders", settings)
    if refusals.state == "reached":  # it stops nothing
        refusals = replace(refusals, state="warned")
    rooms: tuple[tuple[str, Decimal | int, Decimal | int, str], ...] = (
        ("positions", len(account.holdings), settings.max_positions, "positions"),
        ("positions on one side", same, settings.max_same_side, "positions"),
        ("gross notional", gross, exact(settings.max_gross_notional), "equities"),
    )
    room = [
        _limit(name, Decimal(used), Decimal(limit), unit, settings)
        for name, used, limit, unit in rooms
    ]
    return [*found, rate, refusals, *(replace(each, is_room=True) for each in room)]


def _limit(
    name: str,
    used: Decimal,
    limit: Decimal,
    unit: str,
    settings: TraderSection,
    *,
    latch: Latch | None = None,
) -> TraderLimit:
    state: Literal["ok", "warned", "reached", "latched"] = "ok"
    if latch is not None and latch.until_ms is None:
        state = "latched"
    elif latch is not None:  # paused, whatever was gained since
        state, used = "reached", max(used, limit)
    elif used >= limit:
        state = "reached"
    elif used >= share(settings.warn_pct) * limit:
        state = "warned"
    return TraderLimit(name=name, used=shown(used), limit=shown(limit), unit=unit, state=state)


def deviation(price: Decimal, reference: Decimal) -> Decimal | None:
    """Return a price's distance from a reference as a fraction; None unless both are above 0."""
    if not price > 0 or not reference > 0:
        return None
    return EXACT.divide(abs(EXACT.subtract(price, reference)), reference)
