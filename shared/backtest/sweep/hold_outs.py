"""Looks at candles that a sweep holds out, by whatever is no sweep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.backtest.sweep.ledger import LedgerBroken, LedgerLine, append, read_ledger
from shared.backtest.sweep.stored import key_of
from shared.clock import utc_text
from shared.errors import count


def _strategy_key(result: Mapping[str, Any]) -> str:
    return f"{result['strategy_hash']} {result['strategy']['class_name']}".rstrip()


def note_look(candles: Path, result: Mapping[str, Any], at_ms: int) -> str:
    """Note a backtest over candles that a sweep holds out as an opening; return it in words.

    Args:
        candles: The store, with its ledger; without one there is nothing to note.
        result: `from_ms`, `to_ms` and the hashes of the backtest.

    Returns:
        What was noted, or why it could not be; "" if no sweep holds out candles of that time.
    """
    from_ms, to_ms = result["from_ms"], result["to_ms"]
    try:
        ledger = read_ledger(candles)
        touched = ledger.touched(from_ms, to_ms) if ledger else ()
        if not touched:
            return ""
        first_ms = max(from_ms, min(line.to_ms for line in touched))
        line = LedgerLine(
            before="", at_ms=at_ms, kind="opening", data_hash=result["data_hash"],
            id=key_of(
                "backtest", _strategy_key(result), result["settings_hash"], result["data_hash"],
                from_ms, to_ms,
            ),
            from_ms=first_ms, to_ms=to_ms, held_out_ms=to_ms, tries=1, what="coinex backtest",
        )  # fmt: skip
        ledger = append(candles, line)
    except (LedgerBroken, OSError) as error:
        return f"whether a sweep holds out these candles is not known, nor noted: {error}"
    return (
        f"{count(len(touched), 'sweep')} of these candles held out what follows "
        f"{utc_text(first_ms)[:10]}: the ledger notes that it was looked at; --to "
        f"{utc_text(first_ms)[:10]} would not have"
    )
