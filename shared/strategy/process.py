"""A user's strategy in a process of its own, asked over pipes with a time limit. Blocking."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from shared import codec
from shared.errors import BadMessage, PlatformError, escaped, shortened
from shared.strategy.contract import (
    PRICES,
    BadScores,
    LoadedStrategy,
    Scores,
    Series,
    checked_scores,
    checked_timeframes,
)
from shared.strategy.frames import Frame, HungUp, Overdue, Pipes
from shared.strategy.source import StrategySection

PROGRAM = Path(__file__).with_name("program.py")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""All there is in it: each thread of a library takes address space, whether it is used or not."""

START_S = 20.0
"""For Python and its libraries to load on a busy machine, before the strategy's own time begins."""


class StrategyFailed(PlatformError):
    """The strategy raised, or gave no scores; its process goes on."""


class StrategyDied(PlatformError):
    """The process ended, or had to be killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What goes with every answer; `error`: why there is no other."""

    printed: str = ""
    left_out: int = 0
    refused: list[str] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScoresHead:
    """Header of scores; `columns`: 2, or 3 with stops."""

    columns: int
    reasons: list[str]


class StrategyProcess:
    """One strategy, loaded in one process. Start it from the main thread: it dies with its thread.

    Args:
        owner: Names whose it is, in the process' title.
        now_s: Returns seconds that never go backwards.

    Attributes:
        printed: What it printed, since this was last emptied; already bounded by the process.
        remarks: What the last answer was wrong with although there was one: output left out,
            files refused.
    """

    def __init__(self, section: StrategySection, *, owner: str, now_s: Callable[[], float]) -> None:
        self._section = section
        self._owner = owner
        self._now_s = now_s
        self._until_s = 0.0
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ours: list[int] = []
        self._pipes: Pipes
        self.printed = ""
        self.remarks: list[str] = []

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, without waiting for it.

        Raises:
            StrategyDied: The system has no room for another process or another descriptor.
        """
        try:
            self._start()
        except OSError as error:
            self.kill()
            raise StrategyDied(f"it cannot be started: {error.strerror or error}") from error

    def _start(self) -> None:
        requests = os.pipe()
        try:
            answers = os.pipe()
        except OSError:
            for fd in requests:
                os.close(fd)
            raise
        try:
            command = [sys.executable, "-I", "-B", str(PROGRAM)]
            values = [str(requests[0]), str(answers[1]), str(os.getpid()), self._owner]
            self._process = subprocess.Popen(
                command + values,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=(requests[0], answers[1]),
                process_group=0,
            )
        finally:
            self._ours = [requests[1], answers[0]]
            for fd in (requests[0], answers[1]):
                os.close(fd)
        for fd in self._ours:
            os.set_blocking(fd, False)
        self._pipes = Pipes(requests[1], answers[0], lambda: self._until_s - self._now_s())

    def load(self, parameters: Mapping[str, Any] | None = None) -> LoadedStrategy:
        """Have the strategy loaded.

        Args:
            parameters: Instead of those of its section.

        Raises:
            StrategyFailed: It cannot be, or does not take its parameters.
            StrategyDied: As for `score`.
        """
        file = self._section.file
        request = Frame({
            "ask": "load", "cpu_s": START_S + self._section.timeout_s, "path": file.path,
            "source": file.source, "class_name": file.class_name,
            "parameters": dict(self._section.parameters if parameters is None else parameters),
        })  # fmt: skip
        answer = self._ask(request, START_S + self._section.timeout_s, 0)
        try:
            loaded = codec.from_plain(LoadedStrategy, answer.head, "strategy")
            return replace(loaded, timeframes=checked_timeframes(loaded.timeframes))
        except (BadMessage, ValueError) as error:
            raise StrategyFailed(str(error)) from None

    def score(self, series: Series, limits: int = 1) -> Scores:
        """Return the scores of one call.

        Args:
            limits: Its time limit, as a multiple of that of a live call.

        Raises:
            StrategyFailed: It raised, or gave something else.
            StrategyDied: It ended or gave no answer in time, and was killed.
        """
        first = [
            (str(t), int(m.open_time_ms[0]) if m.open_time_ms.size else 0, m.open_time_ms.size)
            for t, m in series.candles.items()
        ]
        body = b"".join(
            np.ascontiguousarray(getattr(matrix, name)).tobytes()
            for matrix in series.candles.values()
            for name in PRICES
        )
        limit_s = limits * self._section.timeout_s
        head = {"ask": "score", "cpu_s": limit_s, "coins": series.coins, "timeframes": first}
        rows, bars = series.shape
        size = rows * bars * 8
        answer = self._ask(Frame(head, body), limit_s, 3 * size)
        found = self._taken(_ScoresHead, answer.head)
        if found.columns not in (2, 3) or len(answer.body) != found.columns * size:
            self._fail(f"it sends {len(answer.body)} bytes of scores for {rows} x {bars}")
        long, short, *stops = np.frombuffer(answer.body).reshape(found.columns, rows, bars)
        try:
            given = Scores(long, short, stops[0] if stops else None, tuple(found.reasons))
            return checked_scores(given, series.shape)
        except BadScores as error:
            raise StrategyFailed(str(error)) from None

    def kill(self) -> None:
        """End the process and all it started; nothing happens if there is none."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with self._asking:  # a thread that still asks is about to see that it has ended
            self._process = None
            for fd in self._ours:
                os.close(fd)
            self._ours = []

    def _ask(self, request: Frame, within_s: float, most: int) -> Frame:
        self.remarks = []
        self._until_s = self._now_s() + within_s
        try:
            with self._asking:
                if not self._ours:
                    raise HungUp("it has ended")
                answer = self._pipes.ask(request, most)
        except Overdue:
            self._fail(f"no answer within {within_s:g} s, so it was killed")
        except HungUp as error:
            self._fail(str(error))
        note = self._taken(_Note, answer.head)
        self.printed += note.printed
        if note.left_out:
            self.remarks.append(
                f"it printed {note.left_out} letters beyond 64 kB a minute, which are left out"
            )
        self.remarks += [f"it may not use {escaped(what)}" for what in note.refused]
        if note.error:
            raise StrategyFailed(shortened(note.error, 400))
        return answer

    def _taken[T](self, kind: type[T], head: dict[str, Any]) -> T:
        """Return the fields of one kind, taken out of a header."""
        names = [each.name for each in fields(kind) if each.name in head]  # type: ignore[arg-type]
        try:
            return codec.from_plain(kind, {name: head.pop(name) for name in names}, "strategy")
        except BadMessage as error:
            self._fail(f"it sends nonsense ({error})")

    def _fail(self, why: str) -> NoReturn:
        process = self._process
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process is not None:  # what ended by itself leaves its reason
                process.wait(0.2 if why == "it has ended" else 0)
                why = _ended(process.returncode)
        self.kill()
        raise StrategyDied(why)


def _ended(code: int) -> str:
    if code >= 0:
        return f"its process ended by itself, exit code {code}"
    name = signal.Signals(-code).name
    why = {"SIGXCPU": ": it computed for too long", "SIGKILL": ": memory may have run out"}
    return f"its process was ended by {name}{why.get(name, '')}"
