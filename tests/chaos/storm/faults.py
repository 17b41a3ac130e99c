"""What each kind of fault does: begin, end, and the check that the platform has recovered."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable

import psutil
import redis

from shared import schema
from tests.chaos.storm.invariants import Checker
from tests.chaos.storm.schedule import Planned
from tests.chaos.storm.testbed import CALL_ERRORS, Testbed
from tests.support.floods import (
    BusyLoops,
    Connections,
    Flood,
    Send,
    Throttle,
    Watch,
    appending,
    control_messages,
    garbage,
    publishing,
)
from tests.support.platform_run import wait_for

BLOAT_OVER_MB = 60
SLOW_S = 0.25  # each way: 500 ms for a question and its answer
DROPS_S = 1.5
FULL_BYTES = "1mb"
HOUR_MS = 3_600_000
FLOOD_PER_S, FLOOD_CONNECTIONS = 1600, 300
FLOOD_GROWTH_MB, FLOOD_KEYS_LEFT = 50.0, 100
STARVED_SHARE = 0.1
GONE_S = 5.0


_PAST: dict[str, dict[str, float]] = {
    "redenomination": {"after_s": -7200, "for_s": 3600, "value": 0.1},
    "wick": {"after_s": -600},
    "deep_correction": {"value": 1},
}


class Fault:
    """One active fault.

    Args:
        checker: Receives breaches that the fault itself detects.
        since: The start of the storm, monotonic.
    """

    def __init__(self, testbed: Testbed, planned: Planned, checker: Checker, since: float) -> None:
        self.testbed = testbed
        self.planned = planned
        self.checker = checker
        self.since = since
        self.notes: list[str] = []
        """Remarks for the report."""

    def begin(self) -> None:
        """Inject the fault."""

    def end(self) -> None:
        """Remove the fault."""

    def is_undone(self) -> bool:
        """Return whether the platform has recovered, as far as that is visible."""
        return True

    def report(self, rule: str, evidence: str) -> None:
        name = f"fault {self.planned.number} ({self.planned.text()})"
        self.checker.report(rule, time.monotonic() - self.since, f"{name}: {evidence}")


class ActorFault(Fault):
    """A fault of one process; it is undone when a new process replaces it."""

    replaced = True

    def __init__(self, testbed: Testbed, planned: Planned, checker: Checker, since: float) -> None:
        super().__init__(testbed, planned, checker, since)
        self.pid: int | None = None

    def begin(self) -> None:
        """Inject the fault into the victim's current process."""
        row = self.testbed.platform.actor(self.planned.victim)
        self.pid = row["pid"]
        if self.pid is None:
            self.notes.append(f"no process to hit: it is {row['state']}")
        else:
            with contextlib.suppress(ProcessLookupError):
                self.inject(self.pid)

    def inject(self, pid: int) -> None:
        """Inject the fault into a process."""
        raise NotImplementedError

    def is_undone(self) -> bool:
        """Return whether a new process is ready in its place."""
        if not self.replaced or self.pid is None:
            return True
        row = self.testbed.platform.actor(self.planned.victim)
        return bool(row["state"] == "ready" and row["pid"] != self.pid)


class Kill(ActorFault):
    """SIGKILL."""

    def inject(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)


class KillInOrder(ActorFault):
    """SIGKILL of the trader some milliseconds after a close command."""

    def inject(self, pid: int) -> None:
        open_markets = [
            row["market"] for row in self.testbed.simulator("/sim/venue?last=0")["positions"]
        ]
        if open_markets:
            asking = threading.Thread(
                target=self._ask, args=(sorted(open_markets)[0],), daemon=True
            )
            asking.start()
        else:
            self.notes.append("nothing was open that could be closed")
        time.sleep(int(self.planned.way.partition(" ")[0]) / 1000)
        os.kill(pid, signal.SIGKILL)

    def _ask(self, coin: str) -> None:
        with contextlib.suppress(*CALL_ERRORS):  # the answer dies with the trader
            self.testbed.ask_trader(f"/close/{coin}")


class Crash(ActorFault):
    """SIGSEGV, as a fault in native code does."""

    def inject(self, pid: int) -> None:
        os.kill(pid, signal.SIGSEGV)


class Freeze(ActorFault):
    """SIGSTOP."""

    def inject(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)


class Block(ActorFault):
    """The event loop is blocked for longer than `hung_s`."""

    def inject(self, pid: int) -> None:
        self.testbed.order(self.planned.victim, block_s=self.testbed.pace.hung_s + 30)


class ShortBlock(ActorFault):
    """The event loop is blocked for less than `hung_s`: nothing may be killed."""

    replaced = False

    def inject(self, pid: int) -> None:
        self.testbed.order(self.planned.victim, block_s=self.planned.lasts_s)


class Bloat(ActorFault):
    """Memory beyond the limit: the actor is recycled without a death."""

    def inject(self, pid: int) -> None:
        limit_mb = self.testbed.config.supervisor.max_pss_mb
        self.testbed.order(self.planned.victim, bloat_mb=limit_mb + BLOAT_OVER_MB)


class Descriptors(ActorFault):
    """The process runs out of descriptors; it may or may not die."""

    replaced = False

    def inject(self, pid: int) -> None:
        # numbers from 4 on are in use, so every new one is beyond the limit
        self.limits = psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)
        psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE, (5, self.limits[1]))

    def end(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(psutil.Error):
                psutil.Process(self.pid).rlimit(psutil.RLIMIT_NOFILE, self.limits)


class ZygoteKill(Fault):
    """SIGKILL of the zygote: all actors die with it."""

    def begin(self) -> None:
        status = self.testbed.platform.status()
        self.pids = {row["name"]: row["pid"] for row in status["actors"]}
        os.kill(status["supervisor"]["zygote_pid"], signal.SIGKILL)

    def is_undone(self) -> bool:
        return all(
            row["state"] == "ready" and row["pid"] != self.pids.get(row["name"])
            for row in self.testbed.platform.actors()
        )


class SupervisorKill(Fault):
    """SIGKILL of the supervisor: no process of it may remain, and a new one starts."""

    def begin(self) -> None:
        tree = self.testbed.platform.tree()
        self.testbed.platform.kill()
        deadline = time.monotonic() + GONE_S
        while left := [each for each in tree if _is_alive(each)]:
            if time.monotonic() > deadline:
                self.report("orphans", f"{GONE_S:g} s after the supervisor's death: {left}")
                break
            time.sleep(0.02)

    def end(self) -> None:
        self.testbed.platform.start(ready=False)

    def is_undone(self) -> bool:
        return self.testbed.platform.all_ready()


class TwoSupervisors(SupervisorKill):
    """The supervisor is killed, and two are started at the same time."""

    def end(self) -> None:
        self.testbed.platform.start(ready=False)
        first = self.testbed.platform.process
        rival = self.testbed.second = self.testbed.rival()
        assert first is not None
        try:
            wait_for(lambda: first.poll() is not None or rival.poll() is not None, 30, "one gone")
        except AssertionError:
            self.report("alone", "30 s later both supervisors still run")
            rival.kill()
            rival.wait()
        if rival.poll() is None:  # the rival won the lock: it is the platform from now on
            self.testbed.platform.process, loser = rival, first
        else:
            loser = rival
        self.testbed.second = None
        self.checker.checks["alone"] += 1
        words = (self.testbed.home / "rival.out").read_text() + self.testbed.platform.output()[
            -4000:
        ]
        if loser.returncode != 1 or "another supervisor" not in words:
            self.report("alone", f"the second ended with {loser.returncode}: {words[-300:]}")

    def is_undone(self) -> bool:
        running = self.testbed.platform.process
        if running is None or running.poll() is not None:
            self.report("alone", "no supervisor is left")
            self.testbed.platform.start(ready=False)
        return self.testbed.platform.all_ready()


class RedisKill(Fault):
    """SIGKILL of the embedded Redis."""

    def begin(self) -> None:
        self.pid = self.testbed.platform.status()["supervisor"]["redis_pid"]
        os.kill(self.pid, signal.SIGKILL)

    def is_undone(self) -> bool:
        return self.testbed.platform.status()["supervisor"]["redis_pid"] not in (None, self.pid)


class RedisPause(Fault):
    """Redis accepts requests but answers none."""

    def begin(self) -> None:
        with self.testbed.redis() as client:
            client.execute_command("CLIENT", "PAUSE", round(self.planned.lasts_s * 1000), "ALL")


class RedisFull(Fault):
    """Redis refuses every write."""

    def begin(self) -> None:
        with self.testbed.redis() as client:
            self.before = client.config_get("maxmemory")["maxmemory"]
            client.config_set("maxmemory", FULL_BYTES)

    def end(self) -> None:
        for _ in range(100):  # another fault may be active
            try:
                with self.testbed.redis() as client:
                    client.config_set("maxmemory", self.before)
                return
            except (redis.RedisError, OSError):
                time.sleep(0.1)


class RedisRefuses(Fault):
    """Redis refuses writes: a replica, one without replicas, or one whose primary is gone."""

    def begin(self) -> None:
        with self.testbed.redis() as client:
            if self.planned.way == "NOREPLICAS":
                client.config_set("min-replicas-to-write", 1)
            else:
                client.execute_command("REPLICAOF", "127.0.0.1", "1")
            if self.planned.way == "MASTERDOWN":
                client.config_set("replica-serve-stale-data", "no")

    def end(self) -> None:
        with self.testbed.redis() as client:
            client.config_set("min-replicas-to-write", 0)
            client.config_set("replica-serve-stale-data", "yes")
            client.execute_command("REPLICAOF", "NO", "ONE")


class RedisFrozen(RedisKill):
    """SIGSTOP of the embedded Redis: connections stay open, nothing is answered."""

    def begin(self) -> None:
        self.pid = self.testbed.platform.status()["supervisor"]["redis_pid"]
        os.kill(self.pid, signal.SIGSTOP)


class RedisFlushed(Fault):
    """FLUSHALL: every key is gone."""

    def begin(self) -> None:
        with self.testbed.redis() as client:
            client.flushall()


class CutOff(ActorFault):
    """What one actor asks of Redis is swallowed; all others are served."""

    replaced = False

    def inject(self, pid: int) -> None:
        self._over = threading.Event()
        self._swallowing = threading.Thread(target=self._swallow, args=(pid,), daemon=True)
        self._swallowing.start()

    def _swallow(self, pid: int) -> None:
        wire = self.testbed.wire
        assert wire is not None
        while not self._over.wait(0.1):
            with contextlib.suppress(psutil.Error):
                wire.swallowed = {
                    each.laddr[1]
                    for each in psutil.Process(pid).net_connections("tcp")
                    if each.raddr and each.raddr[1] == wire.port
                }
        wire.swallowed = set()

    def end(self) -> None:
        if self.pid is not None:
            self._over.set()
            self._swallowing.join()


class RedisSlow(Fault):
    """Half a second between request and reply."""

    def begin(self) -> None:
        assert self.testbed.wire is not None
        self.testbed.wire.delay_s = SLOW_S

    def end(self) -> None:
        assert self.testbed.wire is not None
        self.testbed.wire.delay_s = 0


class RedisDrops(Fault):
    """Connections are cut repeatedly, and every reply is late."""

    def begin(self) -> None:
        assert self.testbed.wire is not None
        self.testbed.wire.drops_s, self.testbed.wire.delay_s = DROPS_S, SLOW_S / 5

    def end(self) -> None:
        assert self.testbed.wire is not None
        self.testbed.wire.drops_s, self.testbed.wire.delay_s = None, 0


class RedisHole(Fault):
    """Connections stay open, and nothing arrives."""

    def begin(self) -> None:
        assert self.testbed.wire is not None
        self.testbed.wire.swallows = True

    def end(self) -> None:
        assert self.testbed.wire is not None
        self.testbed.wire.swallows = False


class ExchangeFault(Fault):
    """A fault of the simulated exchange or venue."""

    def begin(self) -> None:
        fault = {"kind": self.planned.way, "for_s": self.planned.lasts_s}
        self.testbed.simulator("/sim/faults", [fault], "POST")

    def end(self) -> None:
        self.testbed.simulator("/sim/faults", method="DELETE")


class History(ExchangeFault):
    """The past of one coin changes, and changes back.

    Its signals are not compared with those of a replay from then on. It is a coin without a
    position: the venue would close one.
    """

    def begin(self) -> None:
        in_use = {row["market"] for row in self.testbed.simulator("/sim/venue?last=0")["positions"]}
        coins = [c for coins in self.testbed.groups.values() for c in coins if c not in in_use]
        coin = coins[self.planned.number % len(coins)]
        self.testbed.rewritten.add(coin)
        fault = {"kind": self.planned.way, "symbol": coin, **_PAST[self.planned.way]}
        self.testbed.simulator("/sim/faults", [fault], "POST")


class ClockStep(Fault):
    """The wall clock of all but the exchange is an hour off, then right again."""

    def begin(self) -> None:
        self.testbed.step_clock(HOUR_MS if self.planned.way == "+1h" else -HOUR_MS)

    def end(self) -> None:
        self.testbed.step_clock(0)


class Removed(Fault):
    """The logs' directory, or the control socket, is removed."""

    def begin(self) -> None:
        self.path = self.testbed.state_dir / self.planned.way
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()

    def is_undone(self) -> bool:
        return self.path.exists()


class Modes(Fault):
    """A file or directory of state_dir gets a mode that it should not have."""

    def begin(self) -> None:
        self.path = self.testbed.state_dir / self.planned.way
        self.before = self.path.stat().st_mode
        self.path.chmod(0o777 if self.planned.way == "." else 0o000)

    def is_undone(self) -> bool:
        return self.path.stat().st_mode == self.before


class FloodFault(Fault):
    """1600 messages a second on a channel or stream, or connections without a request."""

    def begin(self) -> None:
        self.watch = Watch(self.testbed.platform)
        with self.testbed.redis() as client:
            self.keys_before = client.dbsize()
        make = self._connections if self.planned.way == "connections" else self._messages
        self.ending = make()

    def _messages(self) -> Callable[[], None]:
        coins = [coin for group in self.testbed.groups.values() for coin in group]
        sends: dict[str, Send] = {
            "control": publishing(schema.CONTROL.name()),
            "closes": publishing(*(schema.CANDLE_UPDATES.name(symbol=coin) for coin in coins)),
            "signals": publishing(*(schema.TA_SIGNALS.name(symbol=coin) for coin in coins)),
            "events": publishing(schema.TRADE_EVENTS.name(), schema.ACCOUNT_REFRESH.name()),
            "commands": appending(schema.TRADER_COMMANDS.name()),
        }
        send, seconds = sends[self.planned.way], self.planned.lasts_s
        messages = control_messages("scanner") if self.planned.way == "control" else garbage()
        flood = Flood(
            self.testbed.redis, send, messages, count=round(FLOOD_PER_S * seconds), seconds=seconds
        )
        flood.start()
        return flood.stop

    def _connections(self) -> Callable[[], None]:
        connections = Connections()
        for row in self.testbed.platform.actors():
            if row["port"] and row["name"] != "exchange-sim":
                connections.open(row["port"], FLOOD_CONNECTIONS)
        return connections.close

    def end(self) -> None:
        self.watch.look()
        if self.watch.grown_mb > FLOOD_GROWTH_MB:
            self.report("bounds", f"the supervisor grew by {self.watch.grown_mb:.0f} MB")
        self.ending()

    def is_undone(self) -> bool:
        with self.testbed.redis() as client:
            return bool(client.dbsize() < self.keys_before + FLOOD_KEYS_LEFT)


class Starved(Fault):
    """Busy loops on every processor, or a tenth of the time for the whole platform."""

    def begin(self) -> None:
        loops = self.planned.way == "busy loops"
        self.thief: BusyLoops | Throttle = (
            BusyLoops(2 * self.planned.lasts_s)
            if loops
            else Throttle(self.testbed.platform, STARVED_SHARE)
        )
        self.thief.start()

    def end(self) -> None:
        self.thief.stop()


class JournalLocked(Fault):
    """Another process holds the trader's journal."""

    def begin(self) -> None:
        path = self.testbed.state_dir / "trader.db"
        self.holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.holder.execute("PRAGMA busy_timeout=10000")
        self.holder.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        self.holder.close()


class DiskFull(Fault):
    """The disk of state_dir is full, and kept full."""

    def begin(self) -> None:
        self._over = threading.Event()
        self._filling = threading.Thread(target=self._fill, daemon=True)
        self._filling.start()

    def _fill(self) -> None:
        while not self._over.is_set():
            self.testbed.fill_disk()
            self._over.wait(0.3)

    def end(self) -> None:
        self._over.set()
        self._filling.join()
        self.testbed.free_disk()


CLASSES: dict[str, type[Fault]] = {
    "kill": Kill,
    "kill-in-order": KillInOrder,
    "crash": Crash,
    "freeze": Freeze,
    "block": Block,
    "short-block": ShortBlock,
    "bloat": Bloat,
    "descriptors": Descriptors,
    "zygote-kill": ZygoteKill,
    "supervisor-kill": SupervisorKill,
    "two-supervisors": TwoSupervisors,
    "redis-kill": RedisKill,
    "redis-pause": RedisPause,
    "redis-full": RedisFull,
    "redis-refuses": RedisRefuses,
    "redis-frozen": RedisFrozen,
    "redis-flushed": RedisFlushed,
    "cut-off": CutOff,
    "redis-slow": RedisSlow,
    "redis-drops": RedisDrops,
    "redis-hole": RedisHole,
    "exchange": ExchangeFault,
    "ban": ExchangeFault,
    "address": ExchangeFault,
    "rows": ExchangeFault,
    "rows-none": ExchangeFault,
    "history": History,
    "stream": ExchangeFault,
    "venue": ExchangeFault,
    "venue-doubt": ExchangeFault,
    "venue-refuses": ExchangeFault,
    "venue-odd": ExchangeFault,
    "clock": ClockStep,
    "disk-full": DiskFull,
    "removed": Removed,
    "modes": Modes,
    "flood": FloodFault,
    "starved": Starved,
    "journal-locked": JournalLocked,
}


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
