"""When a request that the venue refuses is sent again. Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from shared.clock import utc_text
from shared.messages.trading import Amount

FIRST_S, CAP_S = 3.0, 60.0
"""The pause after a refusal, and the longest after doubling."""

BARE_CAP_S = 15.0
"""The longest while the position has no stop, or while the venue was not reached at all."""

BAND_ATRS = Decimal("0.5")
"""A move of the mark by this many ATR14 of 1h ends a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The position that a request concerns; `mark` is None while the price is unknown."""

    symbol: str
    size: Amount
    has_stop: bool
    mark: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRun:
    """Refusals in a row of one request, for one reason; kept in the journal.

    Attributes:
        what: Such as `close` or `stop`.
        since_ms, last_ms: First and last of them, venue time.
        size, has_stop, mark: The situation of the last one.
        band: How far the mark may move before the request is sent again at once.
        client_id: Of the last order; "" if it was none.
    """

    symbol: str
    what: str
    why: str
    count: int
    since_ms: int
    last_ms: int
    size: Amount
    has_stop: bool
    mark: Amount | None
    band: Amount | None
    client_id: str = ""

    @property
    def pause_s(self) -> float:
        """Return the pause after the last one."""
        is_urgent = not self.has_stop or not self.why.startswith("the venue refuses")
        cap_s = BARE_CAP_S if is_urgent else CAP_S
        return float(min(cap_s, FIRST_S * 2.0 ** min(self.count - 1, 10)))


def has_reason(run: RefusalRun, why: str) -> bool:
    """Return whether a refusal has the kind and code of a run; its words may contain numbers."""
    return run.why.partition(": ")[0] == why.partition(": ")[0]


def refused(
    run: RefusalRun | None,
    what: str,
    why: str,
    now: Situation,
    *,
    now_ms: int,
    band: Decimal | None,
    client_id: str = "",
) -> RefusalRun:
    """Return the run after one more refusal, which continues it or begins another."""
    goes_on = run is not None and has_reason(run, why) and not _has_changed(run, now)
    return RefusalRun(
        symbol=now.symbol,
        what=what,
        why=why,
        count=run.count + 1 if goes_on and run is not None else 1,
        since_ms=run.since_ms if goes_on and run is not None else now_ms,
        last_ms=now_ms,
        size=now.size,
        has_stop=now.has_stop,
        mark=None if now.mark is None else str(now.mark),
        band=None if band is None else str(band),
        client_id=client_id,
    )


def wait_s(run: RefusalRun | None, now: Situation, now_ms: int) -> float:
    """Return the seconds until a refused request may be sent again; 0: now.

    Now, too, if the position has changed, the mark has moved by more than the band, or the clock
    was set back.
    """
    if run is None or _has_changed(run, now) or _has_moved(run, now.mark) or now_ms < run.last_ms:
        return 0.0
    return max(0.0, run.pause_s - (now_ms - run.last_ms) / 1000)


def in_words(run: RefusalRun, now_ms: int) -> str:
    """Return what is refused, how often, why, and when it is tried again."""
    left_s = max(0.0, run.pause_s - (now_ms - run.last_ms) / 1000)
    often = "" if run.count == 1 else f" {run.count} times since {utc_text(run.since_ms)}"
    bare = "" if run.has_stop else ", WITHOUT A STOP"
    return f"{run.what} refused{often}{bare}, tried again in {left_s:.0f} s: {run.why}"


def _has_changed(run: RefusalRun, now: Situation) -> bool:
    return Decimal(run.size) != Decimal(now.size) or run.has_stop != now.has_stop


def _has_moved(run: RefusalRun, mark: Decimal | None) -> bool:
    if mark is None or run.mark is None or run.band is None:
        return False
    return abs(mark - Decimal(run.mark)) > Decimal(run.band)
