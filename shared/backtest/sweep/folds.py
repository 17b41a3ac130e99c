"""How a sweep cuts time: the hold-out first, then walk-forward folds over what is before it.

Source: all days so far choose, not the last ones alone: see
    `docs/adr/0059-an-edge-passes-four-tests.md`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from shared.backtest.bootstrap import DAY_MS
from shared.clock import utc_text
from shared.errors import PlatformError, count

EMBARGO_MS = DAY_MS
"""Entries stop so long before what settings are tested on: no trade may reach into it."""


class BadPlan(PlatformError):
    """Time cannot be cut as asked."""


@dataclass(frozen=True, slots=True)
class Part:
    """A span of whole UTC days that an account runs through, flat at both ends.

    Attributes:
        to_ms: End, not included.
        entries_until_ms: From then on nothing is entered.
    """

    from_ms: int
    to_ms: int
    entries_until_ms: int

    @property
    def days(self) -> int:
        return (self.to_ms - self.from_ms) // DAY_MS

    def __str__(self) -> str:
        return f"{utc_text(self.from_ms)[:10]} to {utc_text(self.to_ms)[:10]}"


@dataclass(frozen=True, slots=True)
class Fold:
    """Settings are chosen on `training`, all days so far; the chosen one is tested on the next."""

    training: Part
    test: Part


@dataclass(frozen=True, slots=True)
class TimePlan:
    """All parts of a sweep.

    Attributes:
        selection: All days before the hold-out, in one part.
        hold_out: The last days, None if there is no hold-out.
    """

    selection: Part
    folds: tuple[Fold, ...]
    hold_out: Part | None

    @property
    def end_ms(self) -> int:
        """Return the end of all parts."""
        return (self.hold_out or self.selection).to_ms


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Days before the first choice, and days from each to the next."""

    training_days: int
    test_days: int


def walk_forward(text: str) -> WalkForward | None:
    """Return what `30d/10d` means; None for `none`.

    Raises:
        BadPlan: It means nothing.
    """
    if text.strip() == "none":
        return None
    found = re.fullmatch(r"(\d{1,4})d/(\d{1,4})d", text.strip())
    lengths = tuple(map(int, found.groups())) if found else (0, 0)
    if lengths[0] < 3 or lengths[1] < 1:
        raise BadPlan(
            f"--walk-forward {text}: expected days to choose on first, at least 3, and days to "
            "test on, such as 30d/10d; or none"
        )
    return WalkForward(*lengths)


def hold_out_share(text: str) -> float:
    """Return what `20%` means, as a share.

    Raises:
        BadPlan: It is not from 0 to 50 %.
    """
    found = re.fullmatch(r"(\d{1,2}(?:\.\d+)?)\s*%", text.strip())
    if found is None or float(found[1]) > 50:
        raise BadPlan(f"--hold-out {text}: expected a share from 0% to 50%, such as 20%")
    return float(found[1]) / 100


def time_plan(
    from_ms: int, to_ms: int, hold_out: float = 0.2, fold: WalkForward | None = None
) -> TimePlan:
    """Return how the time between is cut, into whole UTC days.

    The hold-out is cut first, from the end. Test parts follow each other without a gap; the last
    one takes the days that are left, if fewer.

    Args:
        hold_out: Its share of the days; rounded up to whole days.

    Raises:
        BadPlan: There are not days enough.
    """
    first, end = -(-from_ms // DAY_MS) * DAY_MS, to_ms // DAY_MS * DAY_MS
    days = (end - first) // DAY_MS
    kept = math.ceil(days * hold_out - 1e-9)
    cut = end - kept * DAY_MS
    least = 3 if fold is None else fold.training_days + 1
    if days - kept < least:
        raise BadPlan(
            f"{count(max(days, 0), 'whole UTC day')} with candles, {kept} of them held out: "
            f"expected at least {least} before the hold-out; take a longer time, or a shorter "
            "--hold-out" + ("" if fold is None else " or --walk-forward")
        )
    embargo = EMBARGO_MS if kept else 0
    return TimePlan(
        selection=Part(first, cut, cut - embargo),
        folds=() if fold is None else tuple(_folds(first, cut, fold)),
        hold_out=Part(cut, end, end) if kept else None,
    )


def _folds(first: int, cut: int, fold: WalkForward) -> list[Fold]:
    found = []
    for begin in range(first + fold.training_days * DAY_MS, cut, fold.test_days * DAY_MS):
        end = min(begin + fold.test_days * DAY_MS, cut)
        found.append(Fold(Part(first, begin, begin - EMBARGO_MS), Part(begin, end, end)))
    return found
