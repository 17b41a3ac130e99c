"""Faults injected into the simulated exchange: kind, coin, start and end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from actors.exchange_sim.market.events import Correction, Event, Halt, Redenomination, Wick
from actors.exchange_sim.market.market import Market
from shared import codec
from shared.config.sections import BAD_ROWS, FACTORS, IN_HISTORY, WHOLE_VENUE, FaultEntry, FaultKind
from shared.errors import BadMessage
from shared.market import Timeframe

EVERY_COIN = "*"
GAP_BARS_AGO = 10
CORRECTED_BARS_AGO = 30
REDENOMINATED = 0.01
WICK = 0.001
OF_THE_VENUE = "venue_"


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault with its start and end, in epoch ms of the simulator's own clock."""

    entry: FaultEntry
    from_ms: int
    until_ms: int

    def is_active(
        self,
        now_ms: int,
        symbol: str | None,
        endpoint: str | None = None,
        timeframe: Timeframe | None = None,
    ) -> bool:
        """Return whether it concerns a request made now, about `symbol` (or about no coin)."""
        concerned = self.entry.symbol in (EVERY_COIN, symbol)
        concerned &= self.entry.endpoint in (None, endpoint)
        concerned &= self.entry.timeframe in (None, timeframe)
        return concerned and self.from_ms <= now_ms < self.until_ms

    def value(self, default: float) -> float:
        """Return the entry's value, or the default of its kind."""
        return default if self.entry.value is None else self.entry.value


def _events(fault: InjectedFault) -> Iterator[Event]:
    """Yield what a fault leaves in the history of a coin."""
    entry, from_ms, until_ms = fault.entry, fault.from_ms, fault.until_ms
    next_ms = Timeframe.M5.open_at(from_ms - 1) + Timeframe.M5.ms
    if entry.kind == "halt":
        flat_ms = round(fault.value(entry.for_s / 2) * 1000)
        yield Halt(from_ms, min(from_ms + flat_ms, until_ms), until_ms)
    elif entry.kind == "redenomination":
        begins_ms = Timeframe.M5.open_at(until_ms - 1) + Timeframe.M5.ms
        yield Halt(from_ms, (from_ms + begins_ms) // 2, begins_ms)
        yield Redenomination(begins_ms, fault.value(REDENOMINATED))
    elif entry.kind == "wick":
        yield Wick(next_ms, fault.value(WICK))
    elif entry.kind == "deep_correction":
        ago_ms = int(fault.value(CORRECTED_BARS_AGO)) * Timeframe.M5.ms
        yield Correction(Timeframe.M5.open_at(from_ms) - ago_ms, from_ms)


Concerning = Callable[[str], InjectedFault | None]
"""Returns the active fault of a kind that concerns one request."""


class FaultScript:
    """All faults, planned, active and past.

    Args:
        market: Gets what stays in its history, such as halts. None where only the venue is
            simulated: then `kinds` has only those of the venue.
    """

    def __init__(self, market: Market | None) -> None:
        self._market = market
        kinds: tuple[FaultKind, ...] = get_args(FaultKind)
        self.kinds = kinds if market else tuple(k for k in kinds if k.startswith(OF_THE_VENUE))
        self._faults: list[InjectedFault] = []

    def add(self, entries: Sequence[FaultEntry], now_ms: int) -> None:
        """Plan faults; `after_s` counts from `now_ms`."""
        for entry in entries:
            from_ms = now_ms + round(entry.after_s * 1000)
            until_ms = from_ms + round(entry.for_s * 1000)
            fault = InjectedFault(entry, from_ms, until_ms)
            self._faults.append(fault)
            if self._market is not None and entry.kind in IN_HISTORY:
                every = entry.symbol == EVERY_COIN
                for symbol in self._market.symbols() if every else (entry.symbol,):
                    for event in _events(fault):
                        self._market.add_event(symbol, event)

    def clear(self) -> None:
        """Remove all faults, also from the market's history."""
        self._faults.clear()
        if self._market is not None:
            self._market.clear_events()

    def active(
        self,
        kind: str,
        now_ms: int,
        symbol: str | None = None,
        endpoint: str | None = None,
        timeframe: Timeframe | None = None,
    ) -> InjectedFault | None:
        """Return the latest planned fault of a kind that concerns this request."""
        for fault in reversed(self._faults):
            if fault.entry.kind == kind and fault.is_active(now_ms, symbol, endpoint, timeframe):
                return fault
        return None

    def absent(self, symbol: str, timeframe: Timeframe, now_ms: int, shown_ms: int) -> set[int]:
        """Return the open times of bars the exchange leaves out now.

        Args:
            now_ms: The simulator's own time, which the script follows.
            shown_ms: The exchange's time (clock_skew), which bars follow.
        """
        times = set()
        if gap := self.active("gap", now_ms, symbol, timeframe=timeframe):
            begun_ms = timeframe.open_at(gap.from_ms + shown_ms - now_ms)
            times.add(begun_ms - int(gap.value(GAP_BARS_AGO)) * timeframe.ms)
        if late := self.active("late", now_ms, symbol, timeframe=timeframe):
            open_ms = timeframe.open_at(shown_ms)
            if shown_ms - open_ms < late.value(late.entry.for_s) * 1000:
                times.add(open_ms - timeframe.ms)
        return times

    def listed(self, now_ms: int) -> list[dict[str, Any]]:
        """Return all faults as plain values, with their times and `active`."""
        return [
            asdict(fault.entry)
            | {
                "from_ms": fault.from_ms,
                "until_ms": fault.until_ms,
                "active": fault.from_ms <= now_ms < fault.until_ms,
            }
            for fault in self._faults
        ]


def parse_entries(
    document: Any, symbols: Sequence[str], where: str, kinds: Sequence[str]
) -> list[FaultEntry]:
    """Return the entries of a JSON document: one object or a list of them.

    Raises:
        BadMessage: An unknown field, kind or coin, or a number out of range.
    """
    entries = document if isinstance(document, list) else [document]
    names = [f.name for f in fields(FaultEntry)]
    parsed = []
    for number, plain in enumerate(entries):
        location = f"{where}: entry {number}"
        if isinstance(plain, dict):
            for name in plain:
                if name not in names:
                    raise BadMessage(location, name, f"unknown; expected {', '.join(names)}")
        entry = codec.from_plain(FaultEntry, plain, location)
        checks = (
            (
                "after_s",
                entry.after_s >= 0 or entry.kind in IN_HISTORY,
                f"expected 0 or more seconds, except with {', '.join(sorted(IN_HISTORY))}",
            ),
            ("for_s", 0 < entry.for_s <= 86_400 * 7, "expected more than 0 s, at most 7 days"),
            ("kind", entry.kind in kinds, f"expected one of {', '.join(kinds)}"),
            (
                "endpoint",
                entry.endpoint is None or entry.kind.startswith(OF_THE_VENUE),
                f"expected with kinds {OF_THE_VENUE}... only",
            ),
            (
                "timeframe",
                entry.timeframe is None or not entry.kind.startswith(OF_THE_VENUE),
                f"expected without {OF_THE_VENUE}...: the venue has no klines",
            ),
            (
                "kind",
                entry.kind not in WHOLE_VENUE
                or (entry.symbol == EVERY_COIN and entry.endpoint is None),
                "expected without symbol and endpoint: it concerns the whole venue",
            ),
            (
                "value",
                entry.kind not in FACTORS or entry.value is None or entry.value > 0,
                "expected a factor above 0",
            ),
            (
                "timeframe",
                entry.timeframe is None or entry.kind not in IN_HISTORY,
                f"expected without {entry.kind}: it concerns all of them",
            ),
            (
                "value",
                entry.kind != "bad_row" or entry.value in (None, *BAD_ROWS),
                f"expected a whole number from {BAD_ROWS[0]} to {BAD_ROWS[-1]}",
            ),
            ("symbol", entry.symbol in (EVERY_COIN, *symbols), "expected * or a simulated coin"),
        )
        for name, good, expected in checks:
            if not good:
                raise BadMessage(location, name, f"{expected}, found {getattr(entry, name)!r}")
        parsed.append(entry)
    return parsed
