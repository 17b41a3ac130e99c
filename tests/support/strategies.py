"""Strategies of a user: a good one that misbehaves on request, and ones that look ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.clock import SystemClock
from shared.files import write_atomically
from shared.strategy.records import FILE, CheckRecord, filled, read_records, with_record
from shared.strategy.source import StrategyFile, StrategySection, read_strategy

HEAD = """
import ctypes, os, sys
import numpy as np
from pydantic import BaseModel, Field
from shared.market import Timeframe
from shared.strategy.contract import Scores

M5, H1 = Timeframe.M5, Timeframe.H1

def scores(close, earlier):
    points = 50 + 50 * np.tanh(100 * (close / earlier - 1))
    return Scores(points, 100 - points)
"""

TRIAL = (
    HEAD
    + """
class Trial:
    name, version = "trial", "3"
    timeframes = {M5: 96, H1: 24}
    cross_section = False

    class Parameters(BaseModel):
        bars: int = Field(5, ge=1, le=90)
        badly: str = ""  # with every coin; else with the coin of that name

    def score(self, series, parameters):
        self.do(parameters.badly or series.coins[0])
        close = series[M5].close
        earlier = np.full_like(close, np.nan)
        earlier[:, parameters.bars :] = close[:, : -parameters.bars]
        found = scores(close, earlier)
        if "NAN" in (parameters.badly, series.coins[0]):
            found.long[:, -1] = np.nan
        return found

    def do(self, what):
        if what == "RAISE":
            print(chr(0xD800))
            raise ZeroDivisionError("by nothing" + chr(0xD800))
        if what == "HANG":
            while True:
                pass
        if what == "MEMORY":
            np.ones(4 * 1024**3 // 8)
        if what == "PRINT":
            line = "x" * 1_000_000 + chr(10)
            for _ in range(1000):
                print(line)
        if what == "WRITE":
            open("/tmp/strategy-was-here", "w")
        if what == "HIDDEN":
            try:
                os.mkdir("/tmp/strategy-was-here")
            except OSError:
                pass
        if what == "EXIT":
            os._exit(3)
        if what == "STOP":
            sys.exit("no more")
        if what == "SEGV":
            ctypes.string_at(0)
        if what == "JUNK":
            head = b'{"printed": 7, "refused": 8, "columns": []}'
            for fd in range(3, 4096):
                try:
                    os.write(fd, len(head).to_bytes(4, "little") + bytes(4) + head)
                except OSError:
                    pass
        if what == "FORK":
            os.fork()
        if what == "SECRETS":
            raise RuntimeError(sorted(os.environ))
"""
)
SIMPLE = (
    HEAD
    + """
class Simple:
    name, version = "simple", "1"
    timeframes = {M5: 48}
    cross_section = False

    class Parameters(BaseModel):
        pass

    def score(self, series, parameters):
        close = series[M5].close
        return scores(close, @EARLIER@)
"""
)
"""@EARLIER@: what the close is compared with."""

STEADY = "np.concatenate([close[:, :1], close[:, :-1]], axis=1)"
PEEKS = {
    "one bar ahead, wrapped": "np.roll(close, -1, axis=1)",
    "one bar ahead": "np.concatenate([close[:, 1:], np.full((len(close), 1), np.nan)], axis=1)",
    "one bar ahead, the last repeated": "np.concatenate([close[:, 1:], close[:, -1:]], axis=1)",
    "the mean of all bars": "np.nanmean(close, axis=1, keepdims=True)",
    "the highest of all bars": "np.nanmax(close, axis=1, keepdims=True)",
}


def simple(earlier: str) -> str:
    """Return a strategy that compares each close with an expression."""
    return SIMPLE.replace("@EARLIER@", earlier)


def written(path: Path, source: str, class_name: str = "") -> StrategyFile:
    """Write a strategy as a file, and read it as the platform does."""
    path.write_text(source)
    path.chmod(0o644)
    return read_strategy(f"{path}:{class_name}" if class_name else str(path))


def section(file: StrategyFile, timeout_s: float = 1.0, **parameters: Any) -> StrategySection:
    """Return what an actor is given of a strategy."""
    return StrategySection(file=file, parameters=parameters, timeout_s=timeout_s)


PARAMETERS: dict[str, dict[str, Any]] = {
    "bars": {"type": "integer", "minimum": 1, "maximum": 90, "default": 5},
    "badly": {"type": "string", "default": ""},
}


def record(
    state_dir: Path,
    file: StrategyFile,
    broken: dict[str, str] | None = None,
    **parameters: Any,
) -> None:
    """Record that a strategy has passed its check with these parameters, or not."""
    passed = CheckRecord(
        path=file.path, class_name=file.class_name, digest=file.digest, name="trial", version="3",
        checked_ms=SystemClock().now_ms(), broken=broken or {}, is_whole_equal=True,
        parameters=PARAMETERS, tried=filled(PARAMETERS, parameters),
    )  # fmt: skip
    write_atomically(state_dir / FILE, with_record(read_records(state_dir), passed))


MOMENTUM = (
    HEAD
    + """
class Momentum:
    name, version = "momentum", "1"
    timeframes = {M5: 60, H1: 8}
    cross_section = False

    class Parameters(BaseModel):
        bars: int = Field(12, ge=1, le=59)
        steep: float = Field(60.0, gt=0)

    def score(self, series, parameters):
        close, hour = series[M5].close, series[H1].close
        earlier, before = np.full_like(close, np.nan), np.full_like(hour, np.nan)
        earlier[:, parameters.bars :] = close[:, : -parameters.bars]
        before[:, 6:] = hour[:, :-6]
        rise = close / earlier - 1 + 0.2 * series.on_5m(H1, hour / before - 1)
        points = 50 + 50 * np.tanh(parameters.steep * rise)
        stop = np.clip(3 * (series[M5].high - series[M5].low) / close, 0.002, 0.2)
        return Scores(points, 100 - points, stop)


class Calm(Momentum):
    name = "calm"

    def score(self, series, parameters):
        found = super().score(series, parameters)
        return Scores(found.long / 2, found.short / 2)
"""
)
"""A simple rule that trades, and another class beside it."""

ACROSS = (
    HEAD
    + """
class Across:
    name, version = "across", "1"
    timeframes = {M5: 48}
    cross_section = True

    class Parameters(BaseModel):
        pass

    def score(self, series, parameters):
        close = series[M5].close
        earlier = np.full_like(close, np.nan)
        earlier[:, 6:] = close[:, :-6]
        rise = close / earlier - 1
        known = np.isfinite(rise)
        mean = np.where(known, rise, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        points = 50 + 50 * np.tanh(80 * (rise - mean) + known.sum(axis=0) / 10)
        return Scores(points, 100 - points)
"""
)
"""Each coin against the mean of all that are known, and how many they are."""
