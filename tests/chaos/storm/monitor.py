"""Observes the platform from outside: health, supervisor, signals, processes."""

from __future__ import annotations

import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import orjson
import psutil
import redis

from shared import proc_stats, schema
from shared.errors import BadMessage
from shared.market import Timeframe
from shared.messages.actors import ControlCommand
from shared.supervision.control_client import ask
from tests.chaos.storm.background import Background
from tests.chaos.storm.invariants import STRAY_S, Checker, Observation
from tests.chaos.storm.testbed import REQUEST_TIMEOUT_S, Testbed

EVERY_S, SAMPLE_EVERY_S = 0.5, 5.0
OBSERVATION_TIMEOUT_S = 60.0

VOLATILE = ("computed_at_ms",)
VOLATILE_INPUTS = ("fetched_at_ms",)
"""Fields of a signal that depend on when it was computed, not on its candles."""

UNFIT = ("unfilled_gap", "stale")
"""Inputs with these flags are not scored, unlike in an undisturbed replay. A clock an hour ahead
makes every candle `stale`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSample:
    """Resource use of the platform at one moment.

    Attributes:
        memory_mb, descriptors: By actor; also `supervisor`, `zygote`, `redis`.
        keys: In Redis; None if it does not answer.
    """

    at: float
    memory_mb: Mapping[str, float]
    descriptors: Mapping[str, int]
    pids: Mapping[str, int]
    keys: int | None
    log_bytes: int


@dataclass(slots=True)
class Published:
    """Signals seen on the bus, by coin and close, without volatile fields.

    Attributes:
        left_out: Coins that are not kept from now on.
    """

    left_out: Set[str] = frozenset()
    seen: dict[tuple[str, int], set[bytes]] = field(default_factory=lambda: defaultdict(set))

    def take(self, raw: bytes | str) -> None:
        """Keep one signal, if it used every candle closed by then."""
        signal = orjson.loads(raw)
        close_ms = signal["closed_until_ms"]
        inputs = signal["inputs"]
        whole = all(
            t in inputs
            and inputs[t]["closed_until_ms"] == t.open_at(close_ms)
            and not any(inputs[t][flaw] for flaw in UNFIT)
            for t in Timeframe
        )
        if whole and signal["symbol"] not in self.left_out:
            self.seen[signal["symbol"], close_ms].add(stripped(signal))


def stripped(signal: dict[str, Any]) -> bytes:
    """Return the bytes of a signal without its volatile fields."""
    inputs = {
        timeframe: {k: v for k, v in state.items() if k not in VOLATILE_INPUTS}
        for timeframe, state in signal["inputs"].items()
    }
    kept = {k: v for k, v in signal.items() if k not in VOLATILE} | {"inputs": inputs}
    return orjson.dumps(kept)


class Monitor:
    """Observes every half second, in a thread of its own.

    Attributes:
        last: The newest observation.
        samples: Resource use, every few seconds.
    """

    def __init__(
        self, testbed: Testbed, checker: Checker, *, since: float, every_s: float = EVERY_S,
        log: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._testbed = testbed
        self._checker = checker
        self._since = since
        self._every_s = every_s
        self._log = log
        self._new = threading.Condition()
        self._strays: dict[int, float] = {}
        self._ports: dict[str, int] = {}
        self._logged_health: tuple[str | None, tuple[str, ...]] = (None, ())
        self._troubles: set[str] = set()
        self._sampled_at = float("-inf")
        self._background = Background("watch", self._run)
        self.published = Published(left_out=testbed.rewritten)
        self.samples: list[ResourceSample] = []
        self.last: Observation | None = None
        self.restarts: dict[str, int] = {}

    def now(self) -> float:
        """Return seconds since the start of the storm."""
        return time.monotonic() - self._since

    def start(self) -> None:
        """Start observing; earlier deaths are ignored."""
        self._checker.ignore_deaths(self._observe())
        self._background.start()

    def stop(self) -> None:
        self._background.stop()

    def next_observation(self) -> Observation:
        """Wait for an observation that begins after this call."""
        begun = self.now()
        with self._new:
            while self.last is None or self.last.at <= begun + self._every_s:
                self._new.wait(1)
                self._background.check()
                if self.now() > begun + OBSERVATION_TIMEOUT_S:
                    raise RuntimeError(f"no look within {OBSERVATION_TIMEOUT_S:g} s")
            return self.last

    def _run(self, over: threading.Event) -> None:
        while not over.is_set():
            begun = self.now()
            observation = self._observe()
            self._checker.check(observation)
            self._check_strays()
            if begun - self._sampled_at >= SAMPLE_EVERY_S:
                self._sampled_at = begun
                self._sample()
            with self._new:
                self.last = observation
                self._new.notify_all()
            over.wait(max(0.05, self._every_s - (self.now() - begun)))

    def _observe(self) -> Observation:
        rows = self._rows()
        health, problems = self._health()
        ages, lags, close = self._signals()
        deaths = [
            (row["name"], f"{row['name']} {death['at_ms']} {death['uptime_s']}",
             f"{death['cause']} ({death['doing']}) {death['last_words']}".strip())
            for row in rows or () for death in row["deaths"]
        ]  # fmt: skip
        current = (health, tuple(problems))
        if current[0] != self._logged_health[0] or _kinds(current[1]) != _kinds(
            self._logged_health[1]
        ):
            self._log(f"health: {health or 'no answer'} {'; '.join(problems[:6])}")
            self._logged_health = current
        for row in rows or ():
            self.restarts[row["name"]] = max(self.restarts.get(row["name"], 0), row["restarts"])
        return Observation(
            at=self.now(),
            health=health,
            problems=problems,
            ages_s=ages,
            states=None if rows is None else {row["name"]: row["state"] for row in rows},
            deaths=deaths,
            lags_s=lags,
            close_age_s=close[0],
            is_close_missing=close[1],
        )

    def _rows(self) -> list[dict[str, Any]] | None:
        command = ControlCommand(id="storm", command="status")
        try:
            for reply in ask(
                self._testbed.state_dir / "supervisor.sock", command, REQUEST_TIMEOUT_S
            ):
                if reply.body is not None:
                    rows: list[dict[str, Any]] = reply.body["actors"]
                    self._ports = {row["name"]: row["port"] for row in rows if row["port"]}
                    self._own = reply.body["supervisor"]
                    return rows
        except (OSError, BadMessage):
            return None
        return None

    def _health(self) -> tuple[str | None, list[str]]:
        port = self._ports.get("health")
        if port is None:
            return None, []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            body = orjson.loads(connection.getresponse().read())
            return body["status"], body["problems"]
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError):
            return None, []
        finally:
            connection.close()

    def _signals(
        self,
    ) -> tuple[dict[str, float] | None, dict[str, float], tuple[float | None, bool]]:
        """Return each signal's age, each event loop's lag, and the newest close.

        That is its age, and whether a coin's signal of it is missing.
        """
        coins = [coin for coins in self._testbed.groups.values() for coin in coins]
        names = [schema.HEARTBEAT.name(name=actor) for actor in self.restarts]
        try:
            with self._testbed.redis() as client:
                found = client.mget([schema.TA_LATEST.name(symbol=coin) for coin in coins])
                beats = client.mget(names) if names else []
        except (redis.RedisError, OSError):
            return None, {}, (None, False)
        lags = {
            beat["name"]: beat["lag_ms"] / 1000
            for beat in (orjson.loads(raw) for raw in beats if raw is not None)
        }
        now_ms = time.time() * 1000 + self._testbed.offset_ms
        close_ms = Timeframe.M5.open_at(int(now_ms))
        is_missing = any(
            raw is None or orjson.loads(raw)["closed_until_ms"] < close_ms for raw in found
        )
        ages = {}
        for coin, raw in zip(coins, found, strict=True):
            if raw is None:
                ages[coin] = float("inf")
                continue
            self.published.take(raw)
            ages[coin] = max(0.0, (now_ms - orjson.loads(raw)["computed_at_ms"]) / 1000)
        return ages, lags, ((now_ms - close_ms) / 1000, is_missing)

    def _check_strays(self) -> None:
        now = self.now()
        strays = {each.pid: each for each in self._testbed.strays()}
        self._checker.checks["orphans"] += 1
        self._strays = {pid: self._strays.get(pid, now) for pid in strays}
        for pid, seen in list(self._strays.items()):
            if now - seen > STRAY_S:
                try:
                    line = " ".join(strays[pid].cmdline())
                except psutil.Error:
                    continue
                self._checker.report("orphans", now, f"pid {pid} ({line}) has no supervisor")
                self._strays[pid] = float("inf")

    def _sample(self) -> None:
        last = self.last
        if last is None or last.states is None:
            return
        rows = self._rows()
        if rows is None:
            return
        pids = {row["name"]: row["pid"] for row in rows if row["pid"]}
        pids |= {
            name: self._own[field]
            for name, field in (("supervisor", "pid"), ("zygote", "zygote_pid"),
                                ("redis", "redis_pid"))
            if self._own.get(field)
        }  # fmt: skip
        memory, descriptors = {}, {}
        for name, pid in pids.items():
            try:
                descriptors[name] = psutil.Process(pid).num_fds()
            except psutil.Error:
                continue
            memory[name] = proc_stats.pss_mb(pid) or 0.0
        try:
            with self._testbed.redis() as client:
                keys = int(client.dbsize())
        except (redis.RedisError, OSError):
            keys = None
        self.samples.append(
            ResourceSample(
                at=self.now(), memory_mb=memory, descriptors=descriptors, pids=pids, keys=keys,
                log_bytes=self._testbed.log_bytes(),
            )
        )  # fmt: skip


def _kinds(problems: tuple[str, ...]) -> set[str]:
    """Return the problems without their digits, which keep changing."""
    return {"".join(letter for letter in text if not letter.isdigit())[:60] for text in problems}
