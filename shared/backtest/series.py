"""The columns of a coin's signals that a report needs, one row per close."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from shared.indicators.composite import DIVERGENCE_POINTS, RIBBON_POINTS, SQUEEZE_POINTS
from shared.indicators.scoring import BaseScore
from shared.market import Floats, Times
from shared.messages.signals import TaSignal

BasePair = tuple[float, float]

REASONS = {"ribbon": "EMA ribbon", "squeeze": "TTM squeeze", "divergence": "Stoch RSI"}
"""The three contributions, and how the reason for each begins."""

POINTS = {"ribbon": RIBBON_POINTS, "squeeze": SQUEEZE_POINTS, "divergence": DIVERGENCE_POINTS}

_SIGNS = {"bullish": 1, "bearish": -1}
_STATES: Mapping[str | None, float] = {"bullish": 1, "bearish": -1, "mixed": 0, None: math.nan}


class Series:
    """Signals of one coin in order of time, as columns.

    Attributes:
        times: Closes, epoch ms.
        columns: `close`, `atr_1h` (quote currency), `long`, `short` (points), `spread_5m`,
            `stacked_5m`, `stacked_1h`, `stacked_4h` (1, 0, -1), `momentum`, `stoch_k`, `rsi`, and
            the side (1, 0, -1) that each contribution of `POINTS` gives its points to; the base
            scores `base_long` and `base_short`, NaN if incomplete. NaN for missing numbers and
            states. With a user's strategy the base scores are its points, and `stop` may be there:
            a share of the price, NaN for none.
    """

    def __init__(self, times: Times, columns: dict[str, Floats]) -> None:
        self.times = times
        self.columns = columns

    def __len__(self) -> int:
        return len(self.times)

    def followed_by(self, later: Self) -> Series:
        return Series(
            np.concatenate([self.times, later.times]),
            {name: np.concatenate([c, later.columns[name]]) for name, c in self.columns.items()},
        )


def series_of(signals: Sequence[TaSignal], scores: Sequence[BasePair]) -> Series:
    """Return the columns of a coin's signals and of the base scores at the same closes."""
    rows = [
        (
            s.close,
            s.inputs["1h"].atr14,
            s.composite_score_adjustment.long_bonus,
            s.composite_score_adjustment.short_bonus,
            s.ema_ribbon.spread_5m,
            *(_STATES[getattr(s.ema_ribbon, f"state_{t}")] for t in ("5m", "1h", "4h")),
            s.ttm_squeeze.momentum,
            s.stoch_rsi_divergence.stoch_k,
            s.stoch_rsi_divergence.rsi,
            *contributions(s).values(),
            *base,
        )
        for s, base in zip(signals, scores, strict=True)
    ]
    names = (
        "close", "atr_1h", "long", "short", "spread_5m", "stacked_5m", "stacked_1h",
        "stacked_4h", "momentum", "stoch_k", "rsi", *REASONS, "base_long", "base_short",
    )  # fmt: skip
    table = np.array(rows, dtype=np.float64).reshape(-1, len(names))
    return Series(
        np.array([s.closed_until_ms for s in signals], dtype=np.int64),
        {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(names)},
    )


def base_pair(score: BaseScore) -> BasePair:
    """Return the long and the short score; NaN unless they are complete."""
    if score.coverage < 1:
        return math.nan, math.nan
    return score.score("long"), score.score("short")


def contributions(signal: TaSignal) -> dict[str, int]:
    """Return the side that each contribution gave its points to: 1 long, -1 short, 0 none.

    Read from the reasons, because points may have been withheld.
    """
    sides = dict.fromkeys(REASONS, 0)
    for reason in signal.composite_score_adjustment.reasoning:
        for name, beginning in REASONS.items():
            if reason.startswith(beginning):
                sides[name] = next(sign for side, sign in _SIGNS.items() if f" {side}" in reason)
    return sides
