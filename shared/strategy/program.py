"""The process a user's strategy runs in: no Redis, no secrets, no files, within limits.

Started by its path with `python -I`. It reads requests from one pipe and answers on another, each
as a frame of `shared.strategy.frames`. What the strategy prints is kept up to a limit and sent
with the next answer. Isolated against faults, not against malice.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import resource
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pydantic
from setproctitle import setproctitle

from shared.market import Timeframe
from shared.strategy.contract import (
    PRICES,
    CandleMatrix,
    Series,
    checked_scores,
    checked_timeframes,
    label_of,
)
from shared.strategy.frames import LARGEST_BODY, Frame, read_blocking, write_blocking

ADDRESS_SPACE = 1024**3
DESCRIPTORS = 64
NICE = 10
OOM_SCORE_ADJ = "900"
MOST_PRINTED, EACH_S = 64 * 1024, 60.0
"""Bytes of output that are kept in so many seconds; the rest is counted."""

MOST_TEXT = 300
PR_SET_PDEATHSIG = 1
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = {
    "a program": ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"),
    "a process": ("os.fork", "os.forkpty", "os.kill", "os.killpg"),
    "the network": ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"),
    "files": ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
              "os.truncate", "os.chmod", "os.chown"),
}  # fmt: skip


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # JSON has no lone surrogates


class Output(io.TextIOBase):
    """Standard output and error of a strategy."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._room, self._until_s = MOST_PRINTED, 0.0
        self._left_out = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        now_s = time.monotonic()
        if now_s >= self._until_s:
            self._room, self._until_s = MOST_PRINTED, now_s + EACH_S
        kept = text[: self._room]
        self._room -= len(kept)
        self._left_out += len(text) - len(kept)
        if kept:
            self._kept.append(kept)
        return len(text)

    def take(self) -> tuple[str, int]:
        """Return what was printed since the last time, and how many letters were left out."""
        found = _sendable("".join(self._kept)), self._left_out
        self._kept, self._left_out = [], 0
        return found


class Guard:
    """Refuses what a strategy has no business with, and notes it: a strategy may hide errors."""

    def __init__(self) -> None:
        self._events = {event: what for what, events in FORBIDDEN.items() for event in events}
        self.refused: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        what = self._events.get(event, "")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            what = f"a file to write ({str(arguments[0])[:80]})"
        if what:
            self.refused.append(what)
            raise PermissionError(f"a strategy may not use {what}")


def restrict(parent: int) -> None:
    """Set the limits of this process, and end it with its parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) or os.getppid() != parent:
        os._exit(1)
    os.nice(NICE)
    with contextlib.suppress(OSError):  # a service may not be allowed to
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)
    for limit, most in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ):
        resource.setrlimit(limit, (most, most))


def allow_cpu(seconds: float) -> None:
    """Let this process compute for so long from now on; then it ends, whoever watches it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


class Host:
    """Loads one strategy and calls it."""

    def __init__(self) -> None:
        self._strategy: Any = None
        self._parameters: Any = None
        self._path = ""

    def answer(self, request: Frame) -> Frame:
        head = request.head
        return self._load(head) if head["ask"] == "load" else self._score(request)

    def _load(self, head: dict[str, Any]) -> Frame:
        self._path = head["path"]
        module = types.ModuleType("strategy")
        module.__file__ = self._path
        sys.modules[module.__name__] = module
        exec(compile(head["source"], self._path, "exec"), module.__dict__)
        made = getattr(module, head["class_name"])()
        self._parameters = made.Parameters.model_validate(head["parameters"])
        if extra := sorted(set(head["parameters"]) - set(type(self._parameters).model_fields)):
            raise ValueError(f"strategy_parameters: {', '.join(extra)}: no such parameter")
        self._strategy = made
        schema = type(self._parameters).model_json_schema().get("properties", {})
        return Frame({
            "name": label_of(made.name, "name"),
            "version": label_of(made.version, "version"),
            "timeframes": {str(t): n for t, n in checked_timeframes(made.timeframes).items()},
            "cross_section": bool(made.cross_section),
            "parameters": schema,
        })  # fmt: skip

    def _score(self, request: Frame) -> Frame:
        head, matrices = request.head, {}
        values = np.frombuffer(request.body, dtype=np.float64)
        coins, at = tuple(head["coins"]), 0
        for name, first_ms, bars in head["timeframes"]:
            timeframe, size = Timeframe(name), len(coins) * bars
            columns = {}
            for column in PRICES:
                columns[column] = values[at : at + size].reshape(len(coins), bars).copy()
                at += size
            times = first_ms + timeframe.ms * np.arange(bars, dtype=np.int64)
            matrices[timeframe] = CandleMatrix(times, **columns)
        series = Series(coins, matrices)
        # numbers that come of missing bars are what a strategy has to expect
        with np.errstate(all="ignore"):
            given = self._strategy.score(series, self._parameters)
        scores = checked_scores(given, series.shape)
        sent = [each for each in (scores.long, scores.short, scores.stop) if each is not None]
        head = {"reasons": scores.reasons, "columns": len(sent)}
        return Frame(head, b"".join(column.tobytes() for column in sent))

    def fault(self, error: BaseException) -> str:
        """Return an error of the strategy in words, with its line."""
        line, trace = None, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._path:
                line = trace.tb_lineno
            trace = trace.tb_next
        if isinstance(error, pydantic.ValidationError):
            texts = [
                f"strategy_parameters.{'.'.join(map(str, each['loc']))}: "
                f"found {each['input']!r:.40}, "
                f"{each['msg']}"
                for each in error.errors()
            ]
            return "; ".join(texts)[:MOST_TEXT]
        where = "" if line is None else f" (line {line})"
        return f"{type(error).__name__}: {str(error)[:MOST_TEXT]}{where}"


def main(arguments: list[str]) -> None:
    """Answer requests until the other side hangs up."""
    requests, answers, parent = map(int, arguments[:3])
    setproctitle(f"coinex: strategy of {arguments[3]}")
    restrict(parent)
    output, guard, host = Output(), Guard(), Host()
    sys.stdout = sys.stderr = output
    sys.dont_write_bytecode = True
    sys.addaudithook(guard)
    while True:
        request = read_blocking(requests, LARGEST_BODY)
        if request is None:
            return
        allow_cpu(request.head["cpu_s"])
        try:
            answer = host.answer(request)
        except BaseException as error:  # noqa: BLE001  # SystemExit is an answer, too
            answer = Frame({"error": _sendable(host.fault(error))})
        printed, left_out = output.take()
        answer.head.update(
            printed=printed, left_out=left_out, refused=list(dict.fromkeys(guard.refused))[:5]
        )
        guard.refused.clear()
        write_blocking(answers, answer)


if __name__ == "__main__":
    main(sys.argv[1:])
