"""Control commands sent over Redis during the storm, and their outcomes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

import orjson
import redis

from shared import schema
from tests.chaos.storm.background import Background
from tests.chaos.storm.invariants import COMMAND_S, Checker, Command, Window, overdue
from tests.chaos.storm.testbed import Testbed

PAUSE_S = (12.0, 25.0)
QUICK_PAUSE_S, CALM_PAUSE_S = (5.0, 9.0), (60.0, 120.0)
POLL_S = 0.5
RESTARTED = ("indicators-*", "scanner")


class Commander:
    """Restarts random actors at random intervals, in a thread of its own.

    Args:
        windows: The faults so far; victims of open ones are not restarted.
        now: Seconds since the start of the storm.
    """

    def __init__(
        self, testbed: Testbed, checker: Checker, windows: Sequence[Window], *,
        names: Sequence[str], now: Callable[[], float], rng: random.Random,
        pause_s: tuple[float, float],
    ) -> None:  # fmt: skip
        self._testbed = testbed
        self._checker = checker
        self._windows = windows
        self._names = list(names)
        self._now = now
        self._rng = rng
        self._pause_s = pause_s
        self._background = Background("commands", self._run)
        self.commands: list[Command] = []
        self._reported: set[str] = set()

    def start(self) -> None:
        self._background.start()

    def stop(self) -> None:
        """Stop sending, and wait for the outcomes of accepted commands."""
        self._background.stop(2 * COMMAND_S)

    def _run(self, over: threading.Event) -> None:
        due = self._now() + self._rng.uniform(*self._pause_s)
        while not over.is_set():
            if self._now() >= due:
                self._send()
                due = self._now() + self._rng.uniform(*self._pause_s)
            self._observe()
            over.wait(POLL_S)
        while self._awaits_an_outcome():
            self._observe()
            time.sleep(POLL_S)

    def _awaits_an_outcome(self) -> bool:
        """Return whether an accepted command without an outcome is within its deadline."""
        return any(
            command.accepted is not None
            and command.finished is None
            and self._now() - command.accepted < COMMAND_S + 1
            for command in self.commands
        )

    def _send(self) -> None:
        hit = {w.planned.victim for w in self._windows if w.well is None}
        names = [name for name in self._names if name not in hit]
        if not names:
            return
        name = self._rng.choice(names)
        command = Command(
            id=f"storm-{len(self.commands)}", text=f"restart {name}", sent=self._now()
        )
        self.commands.append(command)
        request = {"id": command.id, "command": "restart", "actor": name}
        try:
            with self._testbed.redis() as client:
                client.publish(schema.CONTROL.name(), orjson.dumps(request))
        except (redis.RedisError, OSError) as error:
            command.outcome = f"not sent: {error}"

    def _observe(self) -> None:
        waiting = [c for c in self.commands if c.finished is None and not c.outcome]
        for command in waiting:
            try:
                with self._testbed.redis() as client:
                    name = schema.CONTROL_REPLIES.name(id=command.id)
                    replies = [orjson.loads(raw) for raw in client.lrange(name, 0, -1)]
            except (redis.RedisError, OSError):
                continue
            for reply in replies:
                if reply["outcome"] == "accepted":
                    command.accepted = command.accepted or self._now()
                else:
                    command.accepted = command.accepted or self._now()
                    command.finished, command.outcome = self._now(), reply["outcome"]
            self._checker.checks["commands"] += 1
            late = overdue(command, list(self._windows), self._now())
            if late and command.id not in self._reported:
                self._reported.add(command.id)
                self._checker.report(
                    "commands", self._now(),
                    f"{command.id} ({command.text}) was accepted at {command.accepted:.1f} s and "
                    "has neither succeeded nor failed",
                )  # fmt: skip
