"""Compares published signals with pandas-ta, a few coins at a time, and reports differences.

Reads `ta:latest:*`, `cache:candles:*` and its last report; writes `audit:latest`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from actors.auditor.differences import COVER_S, Check, checks, coins_per_turn, summary, suspects
from actors.auditor.referee import PandasTa
from actors.base import Actor, Context
from shared import codec, schema
from shared.config.sections import AuditorSection, IndicatorsSection
from shared.market import Candles, Timeframe
from shared.messages.signals import AuditReport, TaSignal

LOOK_S = 0.25
"""Poll interval for a newer signal: much shorter than the pause between two fetches."""

WAIT_FOR_SIGNALS_S = 1.0
LOAD_AFTER_S = 1.0
"""Loading takes seconds of CPU, which the other actors need for their start."""

SCAN_MS = 500
"""A scan reads its candles less than this before the time it stamps its signals with."""

Used = Mapping[Timeframe, Candles]


class _UnprovenDifference(NamedTuple):
    """Candles at one time, kept until a later signal confirms or clears a difference."""

    at_ms: int
    used: Used


class Auditor(Actor):
    """Recomputes the signals of a few coins per step, all of them within 10 min.

    Ready at once; pandas-ta is loaded in a thread when there are signals. The candles behind a
    signal are cut from the current windows by the signal's `inputs`. A difference counts only if
    these candles are proven to be the same: by the window's fetch time, or by being equal both
    before the signal was computed and after. Coins with a difference, proven or not, are checked
    again every step until it is gone.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(AuditorSection, section["auditor"], "config: auditor")
        self._indicators = codec.from_plain(
            IndicatorsSection, section["indicators"], "config: indicators"
        )
        self._symbols: list[str] = list(section["symbols"])
        self._queue = deque(self._symbols)
        self._per_turn = coins_per_turn(len(self._symbols), self._settings.interval_s)
        # A candle may close, or be refetched, between signal and check; the next scan fixes it.
        self._wait_s = min(self._indicators.interval_s + 5, self._settings.interval_s)
        self._referee: PandasTa | None = None
        self._latest_checks: dict[str, tuple[int, Sequence[Check]]] = {}
        self._skipped: dict[str, str] = {}
        self._suspects: list[str] = []
        self._unproven: dict[str, _UnprovenDifference] = {}
        self._failed: set[str] = set()
        self._beyond_tolerance: set[str] = set()
        self.detail |= {"referee": None, "coins_per_turn": self._per_turn}
        self._report()

    async def setup(self) -> None:
        """Load the suspects of the previous run."""
        self.ready()
        before = await self.bus.get(schema.AUDIT)
        if before is not None:
            self._suspects = [coin for coin in suspects(before) if coin in self._symbols]

    async def step(self) -> float:
        """Check the suspects and the next coins in the queue, and publish the report."""
        started = self.clock.monotonic()
        referee = self._referee
        if referee is None:
            if not any(await self._signals(self._symbols)):
                self.doing("waiting for signals")
                return WAIT_FOR_SIGNALS_S
            self.doing("loading pandas-ta")
            await self.clock.sleep(LOAD_AFTER_S)
            referee = self._referee = await asyncio.to_thread(PandasTa)
            self.detail["referee"] = referee.name
        due = list(self._queue)[: self._per_turn]
        chosen = list(dict.fromkeys([*self._suspects, *self._unproven, *due]))
        self.doing(f"comparing {', '.join(chosen[:5])}{' …' if len(chosen) > 5 else ''}")
        found = await self._check_coins(chosen, referee)
        self._queue.rotate(-self._per_turn)
        self._record(found)
        if found:
            await self._publish(referee)
        self._report()
        self.doing("")
        return max(0.0, started + self._settings.interval_s - self.clock.monotonic())

    async def _signals(self, coins: Sequence[str]) -> list[TaSignal | None]:
        return await self.bus.get_many(schema.TA_LATEST, [{"symbol": coin} for coin in coins])

    async def _check_coins(
        self, coins: Sequence[str], referee: PandasTa
    ) -> dict[str, Sequence[Check]]:
        """Return the checks of each coin that could be compared; record why others could not."""
        deadline = self.clock.monotonic() + self._wait_s
        found: dict[str, Sequence[Check]] = {}
        newest: dict[str, int] = dict.fromkeys(coins, 0)
        while True:
            pending = list(newest)
            for coin, signal in zip(pending, await self._signals(pending), strict=True):
                if signal is None:
                    self._skipped[coin] = "no signal"
                    del newest[coin]
                elif signal.computed_at_ms != newest[coin]:
                    newest[coin] = signal.computed_at_ms
                    outcome = await self._compare(signal, referee)
                    if isinstance(outcome, str):
                        self._skipped[coin] = outcome
                        continue
                    found[coin] = outcome
                    self._skipped.pop(coin, None)
                    del newest[coin]
            if not newest or self.clock.monotonic() >= deadline:
                return found
            await self.clock.sleep(LOOK_S)

    async def _compare(self, signal: TaSignal, referee: PandasTa) -> Sequence[Check] | str:
        """Return the checks of one signal, or why it cannot be compared now."""
        coin = signal.symbol
        used, proven = await self._candles_of(signal)
        if not used:
            return "no candles that are those of the signal"
        at_ms = self.clock.now_ms()
        try:
            found = await asyncio.to_thread(self._checks, signal, used, referee)
        except Exception as error:  # one coin's error must not stop the others
            if coin not in self._failed:
                self.log.error("%s: not compared", coin, exc_info=error)
            self._failed.add(coin)
            return f"pandas-ta failed on it ({type(error).__name__}: {error})"
        self._failed.discard(coin)
        before = self._unproven.pop(coin, None)
        unchanged = before is not None and _same(before.used, used)
        if proven or all(check.holds for check in found):
            return found
        if before is None or not unchanged:
            self._unproven[coin] = _UnprovenDifference(at_ms, used)
        elif signal.computed_at_ms > before.at_ms + SCAN_MS:
            return found
        else:
            self._unproven[coin] = before
        return "its candles may have changed since the signal"

    async def _candles_of(self, signal: TaSignal) -> tuple[Used, bool]:
        """Return the candles a signal was made of, and whether that is proven.

        Timeframes the signal did not use are left out. The result is empty when a window is
        gone or has moved on too far.
        """
        used: dict[Timeframe, Candles] = {}
        proven = True
        for timeframe in Timeframe:
            inputs = signal.inputs[timeframe]
            if not inputs.bars or inputs.unfilled_gap or inputs.closed_until_ms is None:
                continue
            window = await self.bus.get(schema.CANDLES[timeframe], symbol=signal.symbol)
            if window is None:
                return {}, False
            closed = window.closed().closed(timeframe, inputs.closed_until_ms)
            candles = closed.tail(self._indicators.history)
            ends_ms = int(candles.open_time_ms[-1]) + timeframe.ms if len(candles) else 0
            if (len(candles), ends_ms) != (inputs.bars, inputs.closed_until_ms):
                return {}, False
            used[timeframe] = candles
            proven = proven and window.fetched_at_ms == inputs.fetched_at_ms
        return used, proven

    def _checks(self, signal: TaSignal, used: Used, referee: PandasTa) -> Sequence[Check]:
        squeeze = self._indicators.squeeze
        seen = {t: referee.numbers(candles, squeeze) for t, candles in used.items()}
        return list(checks(signal, seen))

    def _record(self, found: Mapping[str, Sequence[Check]]) -> None:
        now_ms = self.clock.now_ms()
        self._latest_checks |= {coin: (now_ms, checks_) for coin, checks_ in found.items()}
        oldest_ms = now_ms - round(1000 * (COVER_S + 2 * self._settings.interval_s))
        self._latest_checks = {
            c: look for c, look in self._latest_checks.items() if look[0] >= oldest_ms
        }

    async def _publish(self, referee: PandasTa) -> None:
        report = summary(
            {coin: look for coin, (_, look) in self._latest_checks.items()},
            referee=referee.name,
            skipped=self._skipped,
            at_ms=self.clock.now_ms(),
        )
        self._suspects = suspects(report)
        self._log_changes(report)
        await self.bus.put(schema.AUDIT, report)

    def _log_changes(self, report: AuditReport) -> None:
        beyond = {name for name, field in report.fields.items() if field.coins_beyond}
        for name in sorted(beyond - self._beyond_tolerance):
            field = report.fields[name]
            self.log.error(
                "%s: %s is %s, %s says %s (tolerance %g)",
                field.coin, name, field.published, report.referee, field.expected,
                field.tolerance,
            )  # fmt: skip
        for name in sorted(self._beyond_tolerance - beyond):
            self.log.info("%s is within its tolerance again", name)
        self._beyond_tolerance = beyond

    def _report(self) -> None:
        ages = [self.clock.now_ms() - at_ms for at_ms, _ in self._latest_checks.values()]
        self.detail |= {
            "coins_compared": len(self._latest_checks),
            "oldest_look_ms": max(ages, default=None),
            "beyond_tolerance": _listed(self._beyond_tolerance),
            "suspects": _listed(self._suspects),
            "skipped": dict(self._skipped),
        }


def _same(one: Used, other: Used) -> bool:
    return one.keys() == other.keys() and all(one[t].same_as(other[t]) for t in one)


def _listed(names: Iterable[str]) -> list[str]:
    return sorted(names)
