"""What an open position's candles alone say of it: where it may end, what it is worth till then."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import numpy as np

from shared.backtest.simulation.bar_prices import BAR_MS, BarPrices
from shared.exchanges.sim.account import SIGN, SimPosition
from shared.market import Floats, Times

NEAR = 1e-9
"""Prices and amounts nearer to a limit than this share are looked at in decimals."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Of one position, over some closes in a row.

    Attributes:
        first_ms, end_ms: The closes are those of `[first_ms, end_ms)`.
        worth: P&L at the mark when each close is decided on, quote currency. Shape: (closes,).
        reaching: Opens of the candles that may reach stop or target: all that do, and perhaps some
            that almost do.
    """

    first_ms: int
    end_ms: int
    worth: Floats
    reaching: Times

    @classmethod
    def of(
        cls,
        position: SimPosition,
        levels: tuple[Decimal, Decimal],
        prices: BarPrices,
        *,
        first_ms: int,
        count: int,
        after_ms: int,
    ) -> Self:
        """Look at the candles of `count` closes from `first_ms` on.

        Args:
            levels: Stop and target.
            after_ms: When after a close it is decided on.
        """
        end_ms = first_ms + count * BAR_MS
        marks = prices.at_closes(position.market, position.side, first_ms, count, after_ms)
        candles = prices.coins[position.market].candles
        begin, end = candles.open_time_ms.searchsorted([first_ms, end_ms])
        low, high = sorted(map(float, levels))
        reached = (candles.low[begin:end] <= low * (1 + NEAR)) | (
            candles.high[begin:end] >= high * (1 - NEAR)
        )
        return cls(
            first_ms=first_ms,
            end_ms=end_ms,
            worth=SIGN[position.side] * (marks * float(position.size) - float(position.cost)),
            reaching=candles.open_time_ms[begin:end][np.flatnonzero(reached)],
        )

    def calm_until(self, from_ms: int) -> int:
        """Return the open of the first candle from a time on that may reach a level, or the end."""
        place = int(self.reaching.searchsorted(from_ms))
        return int(self.reaching[place]) if place < len(self.reaching) else self.end_ms

    def at(self, first_ms: int, count: int) -> Floats:
        """Return what it is worth at some closes in a row."""
        place = (first_ms - self.first_ms) // BAR_MS
        return self.worth[place : place + count]
