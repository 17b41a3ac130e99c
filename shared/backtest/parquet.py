"""Signals as Parquet; loads pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.backtest.table import COLUMNS
from shared.evidence_packages import needed_for

with needed_for("Parquet"):
    import pyarrow
    from pyarrow import parquet

_TYPES = {
    str: pyarrow.string(),
    int: pyarrow.int64(),
    float: pyarrow.float64(),
    bool: pyarrow.bool_(),
}
SCHEMA = pyarrow.schema([(name, _TYPES[kind]) for name, kind in COLUMNS.items()])


def arrow_table(rows: Sequence[tuple[Any, ...]]) -> Any:
    """Return rows of `table.row` as a pyarrow table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    arrays = [pyarrow.array(c, field.type) for c, field in zip(columns, SCHEMA, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=SCHEMA)


def open_parquet(path: Path) -> Any:
    """Return a writer whose `write_table` adds to the file."""
    return parquet.ParquetWriter(path, SCHEMA)
