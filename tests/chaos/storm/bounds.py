"""Bounds of memory, descriptors, keys and logs in a storm, slopes in a soak. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.chaos.storm.monitor import ResourceSample

DESCRIPTORS_MOST = 400
DESCRIPTORS_GROWTH = 60
KEYS_GROWTH = 200
LOG_MB_PER_ACTOR = 16  # three files of 5 MB and a line
HOUR_S = 3600.0


def beyond(samples: Sequence[ResourceSample], max_mb: float) -> Iterator[str]:
    """Yield a text for each resource beyond its bound.

    The last sample of a process is compared with its first.

    Args:
        max_mb: Memory limit of an actor at the end; a bloated one has been replaced before.
    """
    if not samples:
        return
    first_of: dict[tuple[str, int], int] = {}
    for sample in samples:
        for name, count in sample.descriptors.items():
            first_of.setdefault((name, sample.pids[name]), count)
            if count > DESCRIPTORS_MOST:
                yield f"{name}: {count} descriptors at {sample.at:.0f} s, most {DESCRIPTORS_MOST}"
                return
    last = samples[-1]
    for name, count in last.descriptors.items():
        before = first_of[name, last.pids[name]]
        if count - before > DESCRIPTORS_GROWTH:
            yield f"{name}: from {before} to {count} descriptors"
    for name, mb in last.memory_mb.items():
        if mb > max_mb:
            yield f"{name}: {mb:.0f} MB at the end, most {max_mb:.0f}"
    keys = [sample.keys for sample in samples if sample.keys is not None]
    if keys and keys[-1] - keys[0] > KEYS_GROWTH:
        yield f"from {keys[0]} to {keys[-1]} keys in Redis"
    most_mb = LOG_MB_PER_ACTOR * max(1, len(last.pids))
    if last.log_bytes / 2**20 > most_mb:
        yield f"logs of {last.log_bytes / 2**20:.0f} MB, most {most_mb}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """The growth of one resource, in its unit."""

    name: str
    unit: str
    first: float
    last: float
    per_hour: float


def slopes(samples: Sequence[ResourceSample]) -> list[Slope]:
    """Return the least-squares slope of each resource, without the first tenth (warm-up)."""
    kept = samples[len(samples) // 10 :]
    found = []
    rows: list[tuple[str, str, list[float | None]]] = []
    for name in sorted({name for sample in kept for name in sample.memory_mb}):
        rows.append((f"memory {name}", "MB", [_of(w.memory_mb, name) for w in kept]))
    for name in sorted({name for sample in kept for name in sample.descriptors}):
        rows.append((f"descriptors {name}", "", [_of(w.descriptors, name) for w in kept]))
    rows.append(("keys in Redis", "", [None if w.keys is None else float(w.keys) for w in kept]))
    rows.append(("logs", "MB", [w.log_bytes / 2**20 for w in kept]))
    for name, unit, values in rows:
        pairs = [(w.at, v) for w, v in zip(kept, values, strict=True) if v is not None]
        if len(pairs) >= 2:
            times, figures = np.array(pairs).T
            slope = float(np.polyfit(times / HOUR_S, figures, 1)[0])
            found.append(
                Slope(name=name, unit=unit, first=float(figures[0]), last=float(figures[-1]),
                      per_hour=slope)
            )  # fmt: skip
    return found


def _of(figures: Mapping[str, float] | Mapping[str, int], name: str) -> float | None:
    value = figures.get(name)
    return None if value is None else float(value)
