"""One scene of a storm: fault after fault on one platform, until the time is up."""

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

from tests.chaos.storm import commands, hands
from tests.chaos.storm.bounds import beyond, slopes
from tests.chaos.storm.commands import RESTARTED, Commander
from tests.chaos.storm.faults import CLASSES, Fault
from tests.chaos.storm.hands import Hands
from tests.chaos.storm.invariants import Judge, Window
from tests.chaos.storm.kinds import KINDS, Kind
from tests.chaos.storm.orders import VENUE_KEEPS, disagreements, read_journal
from tests.chaos.storm.replayed import differences
from tests.chaos.storm.report import Outcome
from tests.chaos.storm.schedule import Planned, schedule
from tests.chaos.storm.site import TROUBLES, Site
from tests.chaos.storm.watch import EVERY_S, Watch
from tests.support.platform_run import wait_for

FIRST_WELL_S = 180.0
GIVE_UP_S = 90.0
BREATH_S = 1.5
FIRST_ORDER_S = 15.0
ORDERS_SETTLE_S = 45.0
SHOWN = 5
SOAK_QUIET_S = 120.0
SOAK_LOOK_S = 2.0
# deadlines of a soak are measured against a platform that is left alone most of the time
SOAK_LEFT_OUT = ("bloat",)


class Log:
    """Everything that happens, with its time, into a file and for those who watch."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __call__(self, text: str) -> None:
        """Write one line."""
        line = f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3] + f" {text}"
        self._file.write(line + "\n")
        self._file.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What storm is wanted.

    Attributes:
        only: Names of kinds; none: all there are.
        no_disk: Why there is no small disk to fill; "" if there is one.
        soak: Few faults, long quiet.
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
    wish: Wish, scene: str, seconds: float, *, home: Path, outcome: Outcome, rng: random.Random,
    log: Log,
) -> None:  # fmt: skip
    """Run one scene and add what came of it to the outcome.

    Raises:
        RuntimeError: The platform never became well, so nothing can be said of it.
    """
    site = Site(
        home, scene, quick=wish.quick, candles=wish.candles, rng=rng, settings=wish.settings,
        root=wish.root,
    )  # fmt: skip
    try:
        log(f"scene {scene}: starting")
        site.start()
        Scene(wish, site, outcome, rng, log).run(seconds)
    finally:
        site.close()


class Scene:
    """Fault after fault on one site."""

    def __init__(
        self, wish: Wish, site: Site, outcome: Outcome, rng: random.Random, log: Log
    ) -> None:
        self._wish = wish
        self._site = site
        self._outcome = outcome
        self._log = log
        self._since = time.monotonic()
        self._judge = Judge(site.pace, site.groups)
        self._watch = Watch(
            site, self._judge, since=self._since,
            every_s=SOAK_LOOK_S if wish.soak else EVERY_S, log=log,
        )  # fmt: skip
        self._names = [row["name"] for row in site.platform.actors()]
        self._windows: list[Window] = []
        self._commander = Commander(
            site, self._judge, self._windows,
            names=[n for n in self._names if any(fnmatch(n, each) for each in RESTARTED)],
            now=self._watch.now, rng=random.Random(rng.random()),
            pause_s=commands.CALM_PAUSE_S if wish.soak
            else commands.QUICK_PAUSE_S if wish.quick else commands.PAUSE_S,
        )  # fmt: skip
        self._hands = (
            Hands(
                site,
                random.Random(rng.random()),
                log,
                hands.CALM_PAUSE_S if wish.soak else hands.PAUSE_S,
            )
            if "trader-api" in self._names
            else None
        )
        self._charged = 0

    def run(self, seconds: float) -> None:
        """Make a storm of about so many seconds, then hold everything against the rules."""
        self._await_first_well()
        self._commander.start()
        trading = self._hands
        if trading is not None:
            trading.start()
            with contextlib.suppress(AssertionError):  # the report will say that nothing was traded
                wait_for(lambda: trading.is_busy, FIRST_ORDER_S)
        began = self._watch.now()
        plan = schedule(self._wish.seed, self._kinds(), self._names, self._site.pace)
        for planned in plan:
            length = planned.lasts_s + planned.kind.noticed(self._site.pace) + 5
            if self._watch.now() - began + length > seconds:
                break
            self._strike(planned)
            self._rest(SOAK_QUIET_S if self._wish.soak else planned.quiet_s)
        left = seconds - (self._watch.now() - began)
        if self._wish.soak and left > 0:
            self._rest(left)
        if self._hands is not None:
            self._hands.stop()
            said = ", ".join(f"{what}: {n}" for what, n in sorted(self._hands.said.items()))
            self._outcome.notes.append(f"Trader's API ({self._site.scene}): {said or 'not asked'}")
        self._commander.stop()
        self._settle_orders()
        self._watch.stop()
        self._compare_signals()
        self._weigh_up()
        self._tell(self._watch.now())

    def _await_first_well(self) -> None:
        # deaths and troubles of the start are no business of the storm
        window = Window(planned=Planned(number=0, kind=Kind(name="start")), begun=0.0)
        self._judge.open(window)
        self._watch.start()
        while not (look := self._watch.next_look()).is_well:
            if look.at > FIRST_WELL_S:
                raise RuntimeError(f"not well within {FIRST_WELL_S:g} s of its start: {look}")
        window.ended = window.well = look.at
        self._log(f"well after {look.at:.1f} s")

    def _kinds(self) -> list[Kind]:
        wish, scene = self._wish, self._site.scene
        chosen = []
        for kind in KINDS:
            if kind.scene not in (scene, "both") or (wish.only and kind.name not in wish.only):
                continue
            if wish.soak and kind.name in SOAK_LEFT_OUT:
                continue
            if kind.needs == "full-disk" and wish.no_disk:
                self._outcome.skipped.append(f"{kind.name}: {wish.no_disk}")
                continue
            chosen.append(kind)
        if not chosen:
            self._outcome.skipped.append(f"scene {scene}: no kind of fault belongs here")
        return chosen

    # One fault.

    def _strike(self, planned: Planned) -> None:
        fault = self._fault(planned)
        window = Window(planned=planned, begun=self._watch.now())
        self._windows.append(window)
        self._judge.open(window)
        self._log(f"BEGIN {planned.number}: {planned.text()}")
        try:
            fault.begin()
        except TROUBLES as error:
            window.charged.add("told")  # of what has not happened nothing can be told
            self._outcome.notes.append(f"not begun: fault {planned.number}, {error!r:.200}")
            self._log(f"it could not be begun: {error!r}")
        self._last(planned, window)
        try:
            fault.end()
        except TROUBLES as error:
            self._log(f"it could not be ended in order: {error!r}")
        window.ended = self._watch.now()
        self._log(f"END {planned.number}")
        self._until_well(fault, window)
        for note in fault.notes:
            self._log(f"note: {note}")

    def _last(self, planned: Planned, window: Window) -> None:
        until = window.begun + planned.lasts_s
        if planned.also is not None:
            self._sleep(planned.lasts_s / 2)
            self._log(f"in the middle: {planned.also.text()}")
            try:
                self._fault(planned.also).begin()
            except TROUBLES as error:
                self._log(f"it could not be begun: {error!r}")
        self._sleep(until - self._watch.now())

    def _fault(self, planned: Planned) -> Fault:
        return CLASSES[planned.kind.name](self._site, planned, self._judge, self._since)

    def _until_well(self, fault: Fault, window: Window) -> None:
        assert window.ended is not None
        self._sleep(BREATH_S)
        due = window.due(self._site.pace)
        while True:
            look = self._watch.next_look()
            if look.is_well and self._undone(fault):
                window.well = look.at
                self._judge.checks["healed"] += 1
                self._log(f"well {look.at - window.ended:.1f} s after its end")
                break
            if look.at > due + GIVE_UP_S:
                self._log("still not well; going on all the same")
                window.well = look.at
                break
        self._log_breaches()

    def _undone(self, fault: Fault) -> bool:
        try:
            return fault.is_undone()
        except TROUBLES:
            return False

    def _rest(self, seconds: float) -> None:
        self._sleep(seconds)
        self._log_breaches()

    def _sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def _log_breaches(self) -> None:
        for breach in self._judge.breaches[self._charged :]:
            self._log(f"BROKEN {breach.rule} at {breach.at:.1f} s: {breach.evidence}")
        self._charged = len(self._judge.breaches)

    # What is compared at the end.

    def _settle_orders(self) -> None:
        """Wait until journal and venue agree; what they then still disagree about is charged."""
        path = self._site.state_dir / "trader.db"
        if "trader" not in self._names or not path.exists():
            self._outcome.notes.append("Orders: there is no trader")
            return
        last: list[str] = ["never compared"]

        def agree() -> bool:
            with contextlib.suppress(sqlite3.Error, *TROUBLES):
                # the journal first: what is placed in between is in the venue's, and seen later
                last[:] = disagreements_now(self._site, path)
            return not last

        with contextlib.suppress(AssertionError):
            wait_for(agree, ORDERS_SETTLE_S)
        journal = read_journal(path)
        self._judge.checks["orders"] += len(journal.intents)
        self._outcome.notes.append(
            f"Orders: {len(journal.intents)} journalled, {len(journal.orders)} taken, "
            f"{sum(map(len, journal.fills.values()))} fills"
        )
        for text in last[:SHOWN]:
            self._judge.charge("orders", self._watch.now(), text)

    def _compare_signals(self) -> None:
        published = self._watch.published
        self._judge.checks["signals"] += len(published.seen)
        found = list(differences(published, self._site.config, self._wish.candles))
        closes = len({close_ms for _, close_ms in published.seen})
        self._outcome.notes.append(
            f"Signals ({self._site.scene}): {len(published.seen)} of {closes} closes compared, "
            f"{len(found)} differ"
        )
        for text in found[:SHOWN]:
            self._judge.charge("signals", self._watch.now(), text)

    def _weigh_up(self) -> None:
        weights = self._watch.weights
        self._judge.checks["bounds"] += len(weights)
        for text in beyond(weights, self._site.config.supervisor.max_pss_mb):
            self._judge.charge("bounds", self._watch.now(), text)
        if self._wish.soak:
            self._outcome.slopes += slopes(weights)

    def _tell(self, seconds: float) -> None:
        self._log_breaches()
        outcome, judge = self._outcome, self._judge
        outcome.seconds += seconds
        outcome.windows += self._windows
        outcome.breaches += judge.breaches
        outcome.checks.update(judge.checks)
        outcome.deaths.update(judge.deaths)
        outcome.restarts.update(self._watch.restarts)
        outcome.commands += self._commander.commands
        for kept, seen in (
            (outcome.worst_s, judge.worst_s),
            (outcome.worst_hit_s, judge.worst_hit_s),
        ):
            kept |= {name: max(kept.get(name, 0.0), age) for name, age in seen.items()}


def disagreements_now(site: Site, path: Path) -> list[str]:
    """Return how journal and venue disagree at this moment."""
    journal = read_journal(path)
    venue = site.simulator(f"/sim/venue?last={VENUE_KEEPS}")
    return list(disagreements(journal, venue))
