"""Parses Binance's klines into admitted candles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.candles.admission import Admitted, Refused, admit, readable_ms
from shared.decimals import floats_of
from shared.exchanges.excerpts import excerpt_of
from shared.market import CandleLength, Candles, Times

FIELDS = 12
_INTEGERS = (0, 6, 8)
_TEXTS = (1, 2, 3, 4, 5, 7, 9, 10)
_OHLCV = (1, 2, 3, 4, 5)


def parse_klines(rows: Sequence[Any], symbol: str, timeframe: CandleLength) -> Admitted:
    """Return the candles of a klines body, and which rows cannot be candles.

    A row that has not 12 fields of the documented types, or whose close time does not match, is
    refused like one that `admit` refuses.

    Raises:
        WrongUnit: All times are in another unit than ms.
    """
    if not rows:
        return Admitted(Candles.empty())
    try:
        candles, close_times = _columns(rows)
    except (TypeError, ValueError, OverflowError):
        return _one_by_one(rows, symbol, timeframe)
    if not np.array_equal(close_times, candles.open_time_ms + timeframe.ms - 1):
        return _one_by_one(rows, symbol, timeframe)
    return admit(candles, symbol, timeframe)


def _columns(rows: Sequence[Any]) -> tuple[Candles, Times]:
    """Return the candles of rows, and their close times."""
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
    return Candles(times, *numbers), np.array(columns[6], dtype=np.int64)


def _one_by_one(rows: Sequence[Any], symbol: str, timeframe: CandleLength) -> Admitted:
    good, numbers, refused = [], [], []
    for number, row in enumerate(rows, 1):
        if why := _fault(row, timeframe):
            refused.append(Refused(_time_of(row, timeframe), number, why))
        else:
            good.append(row)
            numbers.append(number)
    candles = _columns(good)[0] if good else Candles.empty()
    return admit(candles, symbol, timeframe, rows=numbers, refused=refused)


def _time_of(row: Any, timeframe: CandleLength) -> int | None:
    """Return the open time of a bad row, by its close time if need be."""
    if type(row) is not list:
        return None
    for field, later_ms in ((0, 0), (6, timeframe.ms - 1)):
        time = row[field] if len(row) > field else None
        if type(time) is int and readable_ms(time - later_ms):
            return time - later_ms
    return None


def _fault(row: Any, timeframe: CandleLength) -> str:
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
    # times in another unit are named by `admit`
    if readable_ms(row[0]) and row[6] != row[0] + timeframe.ms - 1:
        return f"close time {row[6]}, expected {row[0] + timeframe.ms - 1}"
    return ""
