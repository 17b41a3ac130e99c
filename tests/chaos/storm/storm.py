"""One scene of a storm: one fault after another on one platform."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from shared.market import Timeframe
from tests.chaos.storm import commands, workload
from tests.chaos.storm.bounds import beyond, slopes
from tests.chaos.storm.commands import RESTARTED, Commander
from tests.chaos.storm.faults import CLASSES, Fault
from tests.chaos.storm.invariants import PROMPT_S, Checker, Window
from tests.chaos.storm.kinds import KINDS, Kind
from tests.chaos.storm.monitor import EVERY_S, Monitor
from tests.chaos.storm.orders import VENUE_KEEPS, disagreements, read_journal
from tests.chaos.storm.replayed import differences
from tests.chaos.storm.report import Outcome
from tests.chaos.storm.schedule import Planned, schedule
from tests.chaos.storm.testbed import CALL_ERRORS, Testbed
from tests.chaos.storm.workload import Workload
from tests.support.platform_run import wait_for

FIRST_WELL_S = 180.0
GIVE_UP_S = 90.0
BREATH_S = 1.5
FIRST_ORDER_S = 15.0
ORDERS_SETTLE_S = 45.0
SHOWN = 5
SOAK_QUIET_S = 120.0
SOAK_EVERY_S = 2.0
QUIET_CLOSES = 2
"""One 5m close in this many, the first among them, is left without a fault."""
QUIET_FROM_S = 300.0
"""Shorter storms have no time to leave a close alone."""
QUIET_AFTER_S = PROMPT_S + 2
# a soak leaves the platform alone most of the time
SOAK_LEFT_OUT = ("bloat",)


class Log:
    """Logs events with their time to a file and to stdout."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __call__(self, text: str) -> None:
        line = f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3] + f" {text}"
        self._file.write(line + "\n")
        self._file.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a storm.

    Attributes:
        only: Names of kinds; empty for all.
        no_disk: Why there is no small disk to fill; "" if there is one.
        soak: Few faults, long pauses.
    """

    seed: int
    quick: bool
    candles: Path | None
    only: tuple[str, ...]
    settings: tuple[str, ...]
    root: Path
    no_disk: str
    soak: bool = False


def play(
    options: Options, scene: str, seconds: float, *, home: Path, outcome: Outcome,
    rng: random.Random, log: Log,
) -> None:  # fmt: skip
    """Run one scene and add its results to the outcome.

    Raises:
        RuntimeError: The platform did not become healthy after its start.
    """
    testbed = Testbed(
        home, scene, quick=options.quick, candles=options.candles, rng=rng,
        settings=options.settings, root=options.root,
    )  # fmt: skip
    try:
        log(f"scene {scene}: starting")
        testbed.start()
        Scene(options, testbed, outcome, rng, log).run(seconds)
    finally:
        testbed.close()


class Scene:
    """One fault after another on one testbed."""

    def __init__(
        self, options: Options, testbed: Testbed, outcome: Outcome, rng: random.Random, log: Log
    ) -> None:
        self._options = options
        self._testbed = testbed
        self._outcome = outcome
        self._log = log
        self._since = time.monotonic()
        self._checker = Checker(testbed.pace, testbed.groups)
        self._monitor = Monitor(
            testbed, self._checker, since=self._since,
            every_s=SOAK_EVERY_S if options.soak else EVERY_S, log=log,
        )  # fmt: skip
        self._names = [row["name"] for row in testbed.platform.actors()]
        self._windows: list[Window] = []
        self._commander = Commander(
            testbed, self._checker, self._windows,
            names=[n for n in self._names if any(fnmatch(n, each) for each in RESTARTED)],
            now=self._monitor.now, rng=random.Random(rng.random()),
            pause_s=commands.CALM_PAUSE_S if options.soak
            else commands.QUICK_PAUSE_S if options.quick else commands.PAUSE_S,
        )  # fmt: skip
        self._workload = (
            Workload(
                testbed,
                random.Random(rng.random()),
                log,
                workload.CALM_PAUSE_S if options.soak else workload.PAUSE_S,
            )
            if "trader-api" in self._names
            else None
        )
        self._reported = 0
        now_ms = int(time.time() * 1000)
        self._first_close_ms = Timeframe.M5.open_at(now_ms) + Timeframe.M5.ms

    def run(self, seconds: float) -> None:
        """Run faults for about `seconds`, then check orders, signals and bounds."""
        self._await_healthy_start()
        self._commander.start()
        trading = self._workload
        if trading is not None:
            trading.start()
            with contextlib.suppress(AssertionError):  # the report will say that nothing was traded
                wait_for(lambda: trading.is_busy, FIRST_ORDER_S)
        began = self._monitor.now()
        plan = schedule(self._options.seed, self._kinds(), self._names, self._testbed.pace)
        for planned in plan:
            length = planned.lasts_s + planned.kind.noticed(self._testbed.pace) + 5
            if seconds >= QUIET_FROM_S:
                self._sleep(self._quiet_s(length))
            if self._monitor.now() - began + length > seconds:
                break
            self._inject(planned)
            self._rest(SOAK_QUIET_S if self._options.soak else planned.quiet_s)
        left = seconds - (self._monitor.now() - began)
        if self._options.soak and left > 0:
            self._rest(left)
        if self._workload is not None:
            self._workload.stop()
            answers = ", ".join(
                f"{what}: {n}" for what, n in sorted(self._workload.answers.items())
            )
            self._outcome.notes.append(
                f"Trader's API ({self._testbed.scene}): {answers or 'not asked'}"
            )
        self._commander.stop()
        self._settle_orders()
        self._monitor.stop()
        self._compare_signals()
        self._check_bounds()
        self._add_to_outcome(self._monitor.now())

    def _await_healthy_start(self) -> None:
        # deaths and problems of the start do not count, nor coins that have no signal yet
        window = Window(planned=Planned(number=0, kind=Kind(name="start", stale="all")), begun=0.0)
        self._checker.open(window)
        self._monitor.start()
        while not (observation := self._monitor.next_observation()).is_well:
            if observation.at > FIRST_WELL_S:
                raise RuntimeError(
                    f"not well within {FIRST_WELL_S:g} s of its start: {observation}"
                )
        window.ended = window.well = observation.at
        self._log(f"well after {observation.at:.1f} s")

    def _kinds(self) -> list[Kind]:
        options, scene = self._options, self._testbed.scene
        chosen = []
        for kind in KINDS:
            if kind.scene not in (scene, "both") or (
                options.only and kind.name not in options.only
            ):
                continue
            if options.soak and kind.name in SOAK_LEFT_OUT:
                continue
            if kind.needs == "full-disk" and options.no_disk:
                self._outcome.skipped.append(f"{kind.name}: {options.no_disk}")
                continue
            chosen.append(kind)
        if not chosen:
            self._outcome.skipped.append(f"scene {scene}: no kind of fault belongs here")
        return chosen

    def _inject(self, planned: Planned) -> None:
        fault = self._fault(planned)
        window = Window(planned=planned, begun=self._monitor.now())
        self._windows.append(window)
        self._checker.open(window)
        self._log(f"BEGIN {planned.number}: {planned.text()}")
        try:
            fault.begin()
        except CALL_ERRORS as error:
            window.reported.add("told")  # the fault did not happen
            self._outcome.notes.append(f"not begun: fault {planned.number}, {error!r:.200}")
            self._log(f"it could not be begun: {error!r}")
        self._wait_out(planned, window)
        try:
            fault.end()
        except CALL_ERRORS as error:
            self._log(f"it could not be ended in order: {error!r}")
        window.ended = self._monitor.now()
        self._log(f"END {planned.number}")
        self._until_well(fault, window)
        for note in fault.notes:
            self._log(f"note: {note}")

    def _wait_out(self, planned: Planned, window: Window) -> None:
        until = window.begun + planned.lasts_s
        if planned.also is not None:
            self._sleep(planned.lasts_s / 2)
            self._log(f"in the middle: {planned.also.text()}")
            try:
                self._fault(planned.also).begin()
            except CALL_ERRORS as error:
                self._log(f"it could not be begun: {error!r}")
        self._sleep(until - self._monitor.now())

    def _fault(self, planned: Planned) -> Fault:
        return CLASSES[planned.kind.name](self._testbed, planned, self._checker, self._since)

    def _until_well(self, fault: Fault, window: Window) -> None:
        assert window.ended is not None
        self._sleep(BREATH_S)
        due = window.due(self._testbed.pace)
        while True:
            observation = self._monitor.next_observation()
            if observation.is_well and self._is_undone(fault):
                window.well = observation.at
                self._checker.checks["healed"] += 1
                self._log(f"well {observation.at - window.ended:.1f} s after its end")
                break
            if observation.at > due + GIVE_UP_S:
                self._log("still not well; going on all the same")
                window.well = observation.at
                break
        self._log_breaches()

    def _is_undone(self, fault: Fault) -> bool:
        try:
            return fault.is_undone()
        except CALL_ERRORS:
            return False

    def _quiet_s(self, length_s: float) -> float:
        """Return how long a fault waits, so that it leaves the signals of a close alone.

        Args:
            length_s: Of the fault, its recovery included.
        """
        now_ms = int(time.time() * 1000)
        close_ms = Timeframe.M5.open_at(now_ms + int(1000 * length_s))
        number = (close_ms - self._first_close_ms) // Timeframe.M5.ms
        until_s = (close_ms - now_ms) / 1000 + QUIET_AFTER_S
        return 0.0 if number % QUIET_CLOSES else max(0.0, until_s)

    def _rest(self, seconds: float) -> None:
        self._sleep(seconds)
        self._log_breaches()

    def _sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def _log_breaches(self) -> None:
        for breach in self._checker.breaches[self._reported :]:
            self._log(f"BROKEN {breach.rule} at {breach.at:.1f} s: {breach.evidence}")
        self._reported = len(self._checker.breaches)

    def _settle_orders(self) -> None:
        """Wait until journal and venue agree; report the differences that remain."""
        path = self._testbed.state_dir / "trader.db"
        if "trader" not in self._names or not path.exists():
            self._outcome.notes.append("Orders: there is no trader")
            return
        last: list[str] = ["never compared"]

        def agree() -> bool:
            with contextlib.suppress(sqlite3.Error, *CALL_ERRORS):
                # the journal first: an order placed in between is compared in the next round
                last[:] = disagreements_now(self._testbed, path)
            return not last

        with contextlib.suppress(AssertionError):
            wait_for(agree, ORDERS_SETTLE_S)
        journal = read_journal(path)
        self._checker.checks["orders"] += len(journal.intents)
        self._outcome.notes.append(
            f"Orders: {len(journal.intents)} journalled, {len(journal.orders)} taken, "
            f"{sum(map(len, journal.fills.values()))} fills"
        )
        for text in last[:SHOWN]:
            self._checker.report("orders", self._monitor.now(), text)

    def _compare_signals(self) -> None:
        published = self._monitor.published
        self._checker.checks["signals"] += len(published.seen)
        found = list(differences(published, self._testbed.config, self._options.candles))
        closes = len({close_ms for _, close_ms in published.seen})
        self._outcome.notes.append(
            f"Signals ({self._testbed.scene}): {len(published.seen)} of {closes} closes compared, "
            f"{len(found)} differ"
        )
        for text in found[:SHOWN]:
            self._checker.report("signals", self._monitor.now(), text)

    def _check_bounds(self) -> None:
        samples = self._monitor.samples
        self._checker.checks["bounds"] += len(samples)
        for text in beyond(samples, self._testbed.config.supervisor.max_pss_mb):
            self._checker.report("bounds", self._monitor.now(), text)
        if self._options.soak:
            self._outcome.slopes += slopes(samples)

    def _add_to_outcome(self, seconds: float) -> None:
        self._log_breaches()
        outcome, checker = self._outcome, self._checker
        outcome.seconds += seconds
        outcome.windows += self._windows
        outcome.breaches += checker.breaches
        outcome.checks.update(checker.checks)
        outcome.deaths.update(checker.deaths)
        outcome.restarts.update(self._monitor.restarts)
        outcome.commands += self._commander.commands
        outcome.worst_lag_s = max(outcome.worst_lag_s, checker.worst_lag_s)
        outcome.worst_close_s = max(outcome.worst_close_s, checker.worst_close_s)
        for kept, seen in (
            (outcome.worst_s, checker.worst_s),
            (outcome.worst_hit_s, checker.worst_hit_s),
        ):
            kept |= {name: max(kept.get(name, 0.0), age) for name, age in seen.items()}


def disagreements_now(testbed: Testbed, path: Path) -> list[str]:
    """Return the current differences between journal and venue."""
    journal = read_journal(path)
    venue = testbed.simulator(f"/sim/venue?last={VENUE_KEEPS}")
    return list(disagreements(journal, venue))
