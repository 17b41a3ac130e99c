"""One timeframe of a coin as the fetcher sees it, and what is said of its failures. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from actors.fetcher.circuit_breaker import CircuitBreaker
from actors.fetcher.verification import Verification
from shared.candles.admission import Conflict, Refused, scale_breaks
from shared.candles.store import CandleStore
from shared.clock import utc_text
from shared.indicators.frames import WARM_BARS
from shared.market import Timeframe

MOST_SAID = 10_000
PLAIN, BLUR = (1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0), 0.1


@dataclass(slots=True, eq=False)
class FetchedSeries:
    """Candles of one coin and timeframe, and the requests for them.

    Attributes:
        circuit: Counts this timeframe's failures alone.
        started_s, served_s: When the last request began; when the last good answer came.
        left_out_since_ms: Begin of the pauses without requests.
        old_answers: Answers in a row that were older than one before.
        logged: The failure that the log names, until the next success.
        changed: What the exchange changed last of closed candles, and when it was seen.
        said: Bad rows that the log has named, by open time.
        said_break_ms: The break of the price scale that it has named.
    """

    store: CandleStore
    circuit: CircuitBreaker
    verification: Verification
    started_s: float = 0.0
    served_s: float = float("-inf")
    left_out_since_ms: int | None = None
    old_answers: int = 0
    logged: str = ""
    changed: str = ""
    changed_at_ms: int = 0
    said: set[int | None] = field(default_factory=set)
    said_break_ms: int = 0

    @property
    def name(self) -> str:
        return f"{self.store.symbol} {self.store.timeframe}"

    @property
    def is_settled(self) -> bool:
        """Whether its candles are fetched and published, or known not to come."""
        return self.served_s > float("-inf") or bool(self.circuit.reason)


def trouble(coin: Iterable[FetchedSeries]) -> str:
    """Return why timeframes of a coin fail, each reason once; "" if none does."""
    failing: dict[str, list[FetchedSeries]] = {}
    for series in coin:
        if series.circuit.reason:
            failing.setdefault(series.circuit.reason, []).append(series)
    parts = []
    for reason, fails in failing.items():
        count = max(series.circuit.failures for series in fails)
        times = f" ({count} in a row)" if count > 1 else ""
        names = ", ".join(series.store.timeframe for series in fails)
        parts.append(f"{names}: {without_name(reason, fails[0])}{times}")
    return "; ".join(parts)


def without_name(reason: str, series: FetchedSeries) -> str:
    """Return a reason without coin and timeframe in front."""
    return reason.removeprefix(series.name).removeprefix(":").strip()


def gaps_text(store: CandleStore) -> str:
    """Return which rows leave a gap because they were refused; "" if none does."""
    return _listed([row_text(refused) for _, refused in store.refused_holes()])


def harmless_text(store: CandleStore) -> str:
    """Return which bad rows cost nothing: beside the good ones, or two of one time."""
    gaps = [*store.holes(), *store.absent] if store.refused else []
    rows = [
        row
        for row in store.refused
        if row.open_time_ms is None
        or (
            row.open_time_ms < store.closed_until_ms
            and not any(start <= row.open_time_ms < until for start, until in gaps)
        )
    ]
    return _listed([*map(row_text, rows), *map(row_text, store.conflicts)])


def row_text(row: Refused | Conflict) -> str:
    """Return what is wrong with a row of the exchange."""
    if isinstance(row, Conflict):
        return f"of {utc_text(row.open_time_ms)}, {row.why}"
    time = f"row {row.row}" if row.open_time_ms is None else f"row of {utc_text(row.open_time_ms)}"
    return f"the exchange's {time} cannot be a candle: {row.why}"


def unsaid(series: FetchedSeries) -> list[str]:
    """Return what the log has not said yet of bad rows; it is then taken as said."""
    rows: list[Refused | Conflict] = [*series.store.refused, *series.store.conflicts]
    if len(series.said) > MOST_SAID:
        series.said.clear()
    new = [row for row in rows if row.open_time_ms not in series.said]
    series.said.update(row.open_time_ms for row in new)
    return [row_text(row) for row in new]


def break_text(store: CandleStore, now_ms: int) -> str:
    """Return since when prices have another scale; "" if they have not, or are warm again."""
    begins_ms = store.begins_ms
    scored = (Timeframe.M5, Timeframe.H1) if store.timeframe is Timeframe.M5 else (store.timeframe,)
    warm_ms = max(t.first_open(begins_ms) + WARM_BARS * t.ms for t in scored)
    if not begins_ms or now_ms >= warm_ms:
        return ""
    return (
        f"its price scale changed{_ratio(store)} at {utc_text(begins_ms)}; history begins anew "
        f"there, scored again from about {utc_text(warm_ms)}"
    )


def _ratio(store: CandleStore) -> str:
    for found in scale_breaks(store.closed, store.timeframe):
        if found.at_ms == store.begins_ms:
            fell = found.before > found.after
            factor = found.before / found.after if fell else found.after / found.before
            return f" {_plain(factor)}:1" if fell else f" 1:{_plain(factor)}"
    return ""


def _plain(factor: float) -> str:
    """Return the number meant by a factor, which prices that moved meanwhile blur."""
    digits = math.floor(math.log10(factor))
    size = 10.0**digits
    near = min(PLAIN, key=lambda each: abs(factor / size - each))
    is_near = abs(factor / size - near) <= BLUR * near
    return f"{near * size if is_near else round(factor, 1 - digits):.10g}"


def _listed(texts: list[str]) -> str:
    more = f"; and {len(texts) - 1} more" if len(texts) > 1 else ""
    return texts[-1] + more if texts else ""
