"""Results of settings on disk, each by a hash of all it depends on.

A sweep that was stopped goes on with what it has; one that is repeated has it all. A file is there
whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.evidence.hashes import canonical
from shared.files import write_atomically
from shared.market import Floats, Times

FORM = 2
"""Raised with every change of what is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class PartResult:
    """What one setting's account did in one part of the time.

    Attributes:
        daily: Net return of equity per UTC day. Shape: (days,).
        entered_ms: Of each trade, in order of entry. Shape: (trades,).
        results_r: Net result of each trade in R. Shape: (trades,).
        digest: Of the trades and the equity.
    """

    daily: Floats
    entered_ms: Times
    results_r: Floats
    digest: str


def key_of(*what: Any) -> str:
    """Return a hash of plain values: the same for 3 and 3.0, and for any order of keys."""
    text = json.dumps(canonical(what), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_result(path: Path, result: PartResult) -> None:
    """Write the result of one setting.

    Raises:
        OSError: Not writable, or the disk is full; there is no file then, or the old one.
    """
    content = io.BytesIO()
    np.savez(
        content, allow_pickle=False, form=np.int64(FORM), daily=result.daily,
        entered_ms=result.entered_ms, results_r=result.results_r, digest=np.array(result.digest),
    )  # fmt: skip
    write_atomically(path, content.getvalue())


def read_result(path: Path) -> PartResult | None:
    """Return what was stored; None if it is not there, or damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            if int(file["form"]) != FORM:
                return None
            columns = (file["daily"], file["entered_ms"], file["results_r"])
            return PartResult(*columns, digest=str(file["digest"]))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
