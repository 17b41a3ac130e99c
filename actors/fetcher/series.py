"""One timeframe of a coin as the fetcher sees it, and what is said of its failures. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actors.fetcher.circuit_breaker import CircuitBreaker
from actors.fetcher.verification import Verification
from shared.candles.store import CandleStore


@dataclass(slots=True, eq=False)
class FetchedSeries:
    """Candles of one coin and timeframe, and the requests for them.

    Attributes:
        circuit: Counts this timeframe's failures alone.
        started_s, served_s: When the last request began; when the last good answer came.
        left_out_since_ms: Begin of the pauses without requests.
        logged: The failure that the log names, until the next success.
        changed: What the exchange changed last of closed candles, and when it was seen.
    """

    store: CandleStore
    circuit: CircuitBreaker
    verification: Verification
    started_s: float = 0.0
    served_s: float = float("-inf")
    left_out_since_ms: int | None = None
    logged: str = ""
    changed: str = ""
    changed_at_ms: int = 0

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
