"""What a sweep notes in the ledger beside its candles, and what it says of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.backtest.sweep.ledger import (
    FIRST,
    NAME,
    Kind,
    Ledger,
    LedgerBroken,
    LedgerLine,
    append,
    read_ledger,
    shown,
)
from shared.backtest.sweep.run import Question
from shared.errors import count

Document = Mapping[str, Any]


def ledger_path(candles: Path) -> Path:
    """Return where the ledger of candles is."""
    return candles.resolve() / NAME


def sweep_line(question: Question, data_hash: str, at_ms: int) -> LedgerLine:
    """Return the line of a sweep.

    Args:
        data_hash: Of the candles, those of the hold-out included.
    """
    selection, hold_out = question.plan.selection, question.plan.hold_out
    span = (selection.from_ms, selection.to_ms, (hold_out or selection).to_ms)
    return _line("sweep", question.id, data_hash, span, len(question.settings), at_ms=at_ms)


def noted_sweep(
    candles: Path, line: LedgerLine, before: Document | None, out: Path
) -> Ledger | None:
    """Append a sweep to the ledger; return it, or None, said in words, if tries are unknown.

    Args:
        before: The result that is in `out` already.
    """
    try:
        ledger = append(candles, line)
        if before is not None:
            _require_whole(ledger, before, out)
    except (LedgerBroken, OSError) as error:
        print(f"sweep: tries unknown, so nothing can count as an edge: {error}", file=sys.stderr)
        return None
    for other in ledger.touched(line.from_ms, line.to_ms):
        if other.id != line.id:
            print(
                f"sweep: this chooses on candles that a sweep of {count(other.tries, 'setting')} "
                "held out: it counts as openings of that hold-out",
                file=sys.stderr,
            )
    return ledger


def noted_opening(
    candles: Path,
    found: Document,
    out: Path,
    *,
    id_: str,
    held_ms: tuple[int, int, int],
    at_ms: int,
) -> Ledger:
    """Append the opening of a sweep's hold-out to the ledger, and return it.

    Args:
        found: The sweep's result, which is in `out`.

    Raises:
        LedgerBroken: It is broken, or lacks what the result knows of it.
        OSError: It cannot be written.
    """
    _require_whole(read_ledger(candles) or Ledger(), found, out)
    return append(candles, _line("opening", id_, found["data_hash"], held_ms, 1, at_ms=at_ms))


def _require_whole(ledger: Ledger, found: Document, out: Path) -> None:
    """Require that a ledger still has the line that was its last when a result was written."""
    head = found.get("ledger_head")
    if head not in {FIRST, ledger.head, *(line.before for line in ledger.lines)}:
        raise LedgerBroken(
            f"the ledger has no line {shown(str(head))}, its last one when {out / 'sweep.json'} "
            "was written: lines are missing at its end, or it is another; restore it from a copy"
        )


def _line(
    kind: Kind, id_: str, data_hash: str, span: tuple[int, int, int], tries: int, *, at_ms: int
) -> LedgerLine:
    return LedgerLine(
        before="", at_ms=at_ms, kind=kind, id=id_, data_hash=data_hash,
        from_ms=span[0], to_ms=span[1], held_out_ms=span[2], tries=tries, what="coinex sweep",
    )  # fmt: skip
