"""Markdown tables, and timing in turns, so that machine load affects all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; every column but the first is aligned to the right."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, marks, *rows))


def verdict(holds: bool) -> str:
    return "held" if holds else "**missed**"


def in_turns(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run each in turn, so many rounds, and return the processor seconds each took."""
    took: dict[str, list[float]] = {name: [] for name in work}
    for call in work.values():
        call()  # caches, imports and memory are made once
    for _ in range(rounds):
        for name, call in work.items():
            started = time.process_time()
            call()
            took[name].append(time.process_time() - started)
    return took


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median over the rounds of our time over theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[
        min(len(ordered) - 1, max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1))
    ]
