"""Tables of a result as Parquet; loads pyarrow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.evidence_packages import needed_for

with needed_for("Parquet"):
    import pyarrow
    from pyarrow import parquet


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of one length under a temporary name; rename it when it is whole."""
    unfinished = path.with_name(path.name + ".part")
    parquet.write_table(pyarrow.table(dict(columns)), unfinished)
    unfinished.replace(path)
