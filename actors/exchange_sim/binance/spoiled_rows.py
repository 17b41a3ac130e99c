"""Klines that no exchange should send: rows impossible, doubled, misplaced, in a wrong unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from actors.exchange_sim.binance.parameters import KlinesQuery
from actors.exchange_sim.faults import Concerning, InjectedFault
from actors.exchange_sim.market.bars import Scale
from shared.market import Timeframe

MICROSECONDS = 1e6
_TIME, _OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _CLOSE_TIME = range(7)

Row = list[Any]
"""The 12 fields of a row, as in JSON."""


def spoiled(
    rows: list[bytes], fault: Concerning, wanted: KlinesQuery, scale: Scale, skew_ms: int
) -> list[bytes]:
    """Return the rows of an answer as the faults that concern it make them.

    Args:
        rows: The JSON texts of the rows, oldest first, no more than wanted.
        skew_ms: How far the exchange's time is ahead of the simulator's own.
    """
    if fault("no_rows"):
        return []
    if bad := fault("bad_row"):
        spoil = IMPOSSIBLE[int(bad.value(1))]
        rows = [
            _changed(row, spoil) if _is_newest_closed(row, bad, wanted.timeframe, skew_ms) else row
            for row in rows
        ]
    if double := fault("duplicate_row"):
        higher = Decimal(int(double.value(0))).scaleb(-scale.price_digits)
        rows = list(_doubled(rows, double, wanted.timeframe, skew_ms, higher))
        rows = rows[-wanted.limit :] if wanted.start_ms is None else rows[: wanted.limit]
    if unit := fault("wrong_unit"):
        per_s = int(unit.value(MICROSECONDS))
        rows = [_changed(row, lambda fields: _in_unit(fields, per_s)) for row in rows]
    return rows[::-1] if fault("rows_reversed") else rows


def _is_newest_closed(row: bytes, fault: InjectedFault, timeframe: Timeframe, skew_ms: int) -> bool:
    """Return whether it was the newest closed row when the fault began."""
    newest_ms = timeframe.open_at(fault.from_ms + skew_ms) - timeframe.ms
    return row.startswith(b"[%d," % newest_ms)


def _doubled(
    rows: list[bytes], fault: InjectedFault, timeframe: Timeframe, skew_ms: int, higher: Decimal
) -> Iterator[bytes]:
    for row in rows:
        yield row
        if _is_newest_closed(row, fault, timeframe, skew_ms):
            yield _changed(row, lambda fields: _close_higher(fields, higher)) if higher else row


def _changed(row: bytes, change: Callable[[Row], None]) -> bytes:
    fields: Row = orjson.loads(row)
    change(fields)
    return orjson.dumps(fields)


def _close_higher(row: Row, higher: Decimal) -> None:
    close = Decimal(row[_CLOSE]) + higher
    row[_CLOSE] = f"{close:.8f}"
    row[_HIGH] = f"{max(close, Decimal(row[_HIGH])):.8f}"
    row[_LOW] = f"{min(close, Decimal(row[_LOW])):.8f}"


def _in_unit(row: Row, per_s: int) -> None:
    row[_TIME] = row[_TIME] * per_s // 1000
    row[_CLOSE_TIME] = (row[_CLOSE_TIME] + 1) * per_s // 1000 - 1


def in_unit(event: bytes, per_s: int) -> bytes:
    """Return a kline event with its times in another unit."""
    document = orjson.loads(event)
    kline = document["k"]
    document["E"] = document["E"] * per_s // 1000
    kline["t"] = kline["t"] * per_s // 1000
    kline["T"] = (kline["T"] + 1) * per_s // 1000 - 1
    return orjson.dumps(document)


def _zero_price(row: Row) -> None:
    row[_LOW] = row[_CLOSE] = "0.00000000"


def _negative_price(row: Row) -> None:
    row[_LOW] = row[_CLOSE] = "-" + row[_CLOSE]


def _high_below_low(row: Row) -> None:
    row[_HIGH] = f"{Decimal(row[_LOW]) / 2:.8f}"


def _off_the_grid(row: Row) -> None:
    row[_TIME] += 1000
    row[_CLOSE_TIME] += 1000


def _no_number(row: Row) -> None:
    row[_CLOSE] = "n/a"


def _huge_number(row: Row) -> None:
    row[_HIGH] = "9" * 400


IMPOSSIBLE: dict[int, Callable[[Row], None]] = {
    1: _zero_price,
    2: _negative_price,
    3: _high_below_low,
    4: _off_the_grid,
    5: _no_number,
    6: _huge_number,
}
"""What is wrong with a bad row, by the fault's value."""
