"""Parses Binance's funding rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.decimals import decimal_of
from shared.errors import BadCandle
from shared.exchanges.excerpts import excerpt_of
from shared.market import Floats, Times

FundingRows = tuple[Times, Floats, Floats]
"""Times in epoch ms, rates, and mark prices, NaN where none is stated (before 2023)."""


def parse_funding(rows: Sequence[Any], symbol: str, start_ms: int, end_ms: int) -> FundingRows:
    """Return the columns of a fundingRate body.

    Raises:
        BadCandle: A row is not as documented, of another coin, or not within the times asked for
            and after the one before.
    """
    times, rates, marks = [], [], []
    latest_ms = start_ms - 1
    for number, row in enumerate(rows):
        why, numbers = _fault(row, symbol, latest_ms, end_ms)
        if why:
            raise BadCandle(f"{symbol} funding (row {number}): {why}")
        latest_ms = row["fundingTime"]
        times.append(latest_ms)
        rates.append(numbers[0])
        marks.append(numbers[1])
    return (
        np.array(times, dtype=np.int64),
        np.array(rates, dtype=np.float64),
        np.array(marks, dtype=np.float64),
    )


def _fault(row: Any, symbol: str, after_ms: int, end_ms: int) -> tuple[str, tuple[float, float]]:
    nothing = (math.nan, math.nan)
    if type(row) is not dict or type(row.get("fundingTime")) is not int:
        return f"expected an object with a fundingTime, found {excerpt_of(row)}", nothing
    time_ms = row["fundingTime"]
    if row.get("symbol") != symbol:
        return f"it is of {excerpt_of(row.get('symbol'))}", nothing
    if not after_ms < time_ms <= end_ms:
        return f"time {time_ms}, expected after {after_ms}, until {end_ms}", nothing
    rate, mark = row.get("fundingRate"), row.get("markPrice", "")
    number = decimal_of(rate) if type(rate) is str else None
    if number is None or not -1 < number < 1:
        return f"rate {excerpt_of(rate)}, expected a share as text", nothing
    price = decimal_of(mark) if type(mark) is str and mark else None
    if (price is None and mark) or (price is not None and price < 0):
        return f"mark price {excerpt_of(mark)}, expected a price as text, or none", nothing
    return "", (float(number), float(price) if price else math.nan)
