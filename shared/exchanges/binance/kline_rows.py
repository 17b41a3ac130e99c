"""Parses Binance's klines into checked candles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.decimals import floats_of
from shared.errors import BadCandle
from shared.exchanges.excerpts import excerpt_of
from shared.market import Candles, Timeframe

FIELDS = 12
_INTEGERS = (0, 6, 8)
_TEXTS = (1, 2, 3, 4, 5, 7, 9, 10)
_OHLCV = (1, 2, 3, 4, 5)


def parse_klines(rows: Sequence[Any], symbol: str, timeframe: Timeframe) -> Candles:
    """Return the candles of a klines body.

    Raises:
        BadCandle: A row has not 12 fields of the documented types, a string is no finite number,
            a close time does not match, or the candles are impossible (see `Candles.check`).
    """
    if not rows:
        return Candles.empty()
    try:
        columns = list(zip(*rows, strict=True))
        typed = len(columns) == FIELDS and all(
            set(map(type, columns[i])) == {kind}
            for kind, fields in ((int, _INTEGERS), (str, _TEXTS))
            for i in fields
        )
        if not typed:
            raise ValueError("fields differ in number or type")
        times = np.array(columns[0], dtype=np.int64)
        numbers = [floats_of(columns[i]) for i in _OHLCV]
        close_times = np.array(columns[6], dtype=np.int64)
        if not np.array_equal(close_times, times + timeframe.ms - 1):
            raise ValueError("close times do not fit")
    except (TypeError, ValueError, OverflowError) as error:
        raise _culprit(rows, symbol, timeframe, error) from None
    candles = Candles(times, *numbers)
    candles.check(symbol, timeframe)
    return candles


def _culprit(rows: Sequence[Any], symbol: str, timeframe: Timeframe, error: Exception) -> BadCandle:
    """Return an error naming the first bad row; rows are checked one by one only here."""
    for number, row in enumerate(rows):
        why = _fault(row, timeframe)
        if why:
            at = row[0] if isinstance(row, list) and row and type(row[0]) is int else "?"
            return BadCandle(f"{symbol} {timeframe} at {at} (row {number}): {why}")
    return BadCandle(f"{symbol} {timeframe}: {error}")


def _fault(row: Any, timeframe: Timeframe) -> str:
    if type(row) is not list or len(row) != FIELDS:
        return f"expected a list of {FIELDS} fields, found {excerpt_of(row)}"
    for i in _INTEGERS:
        if type(row[i]) is not int or abs(row[i]) >= 2**62:
            return f"field {i}: expected a whole number, found {excerpt_of(row[i])}"
    for i in _TEXTS:
        if type(row[i]) is not str:
            return f"field {i}: expected a number as text, found {excerpt_of(row[i])}"
    for i in _OHLCV:
        try:
            floats_of([row[i]])
        except ValueError as error:
            return f"field {i}: {error}"
    if row[6] != row[0] + timeframe.ms - 1:
        return f"close time {row[6]}, expected {row[0] + timeframe.ms - 1}"
    return ""
