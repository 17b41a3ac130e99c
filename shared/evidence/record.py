"""`evidence.json`: what was tested, and what came out; a record, not a signature."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from shared import codec
from shared.errors import BadMessage, shortened
from shared.messages.trading import StrategyIdentity

VERSION = 1
MOST_BYTES = 65_536
LATEST_MS = 4_102_444_800_000  # the year 2100
LEVEL_PCT = 95.0
"""How sure the lower bound is, one-sided, of a hold-out opened once."""

Outcome = Literal["edge", "no_edge", "undecided"]
HOW = "`coinex evidence record` writes one, and trader.evidence_file names it"
_HASH = re.compile(r"[0-9a-f]{64}")


def level_pct(openings: int) -> float:
    """Return how sure a bound must be so that all openings together are wrong in 5 %.

    Source: Bonferroni.
    """
    return 100.0 - (100.0 - LEVEL_PCT) / openings


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecord:
    """What was tested and what came out. Units: R; percent; epoch ms.

    Attributes:
        settings: `trader`, `strategy_parameters` and `indicators` as tested, to name what differs.
        settings_hash: Of these and the fill model; see `settings_hash`.
        fill_model: Every assumption of the test by its name.
        taker_fee: Assumed, as share of the value.
        from_ms, to_ms: The hold-out, which no setting was chosen on.
        data_hash: Of the candles tested on.
        trades, mean_r: On the hold-out; net of all costs.
        lower_r: One-sided lower bound of the mean at `level_pct`.
        tries: Settings ever tried on these candles.
        openings: How often this hold-out was looked at.
    """

    strategy: StrategyIdentity
    settings: dict[str, Any]
    settings_hash: str
    use_ta_signals: bool
    fill_model: dict[str, Any]
    taker_fee: Decimal
    from_ms: int
    to_ms: int
    data_hash: str
    trades: int
    mean_r: float
    lower_r: float
    level_pct: float
    tries: int
    openings: int
    verdict: Outcome
    recorded_ms: int
    v: int = VERSION


def decode_record(raw: bytes, where: str) -> EvidenceRecord:
    """Return the record in `raw`.

    Args:
        where: Names it in errors.

    Raises:
        BadMessage: Too large, of another version, or with a value that cannot be.
    """
    if len(raw) > MOST_BYTES:
        raise BadMessage(where, "", f"found more than {MOST_BYTES:,} bytes, expected a record")
    version = codec.json_object(raw, where).get("v")
    if version != VERSION:
        raise BadMessage(where, "v", f"found {version!r}, expected {VERSION}: record it again")
    record = codec.decode(EvidenceRecord, raw, where)
    for field, why in _faults(record):
        raise BadMessage(where, field, why)
    return record


def _faults(record: EvidenceRecord) -> Iterator[tuple[str, str]]:
    hashes = {
        "strategy.hash": record.strategy.hash,
        "settings_hash": record.settings_hash,
        "data_hash": record.data_hash,
    }
    for name, text in hashes.items():
        if not _HASH.fullmatch(text):
            yield name, f"found {shortened(text)!r}, expected 64 hexadecimal digits"
    for name in ("from_ms", "to_ms", "recorded_ms"):
        if not 0 <= getattr(record, name) < LATEST_MS:
            yield name, f"found {getattr(record, name)}, expected epoch milliseconds"
    if record.from_ms >= record.to_ms:
        yield "to_ms", f"found {record.to_ms}, expected it after from_ms ({record.from_ms})"
    if not 0 <= record.taker_fee < 1:
        yield "taker_fee", f"found {record.taker_fee}, expected a share of the value"
    if not 0 < record.level_pct < 100:
        yield "level_pct", f"found {record.level_pct:g}, expected it between 0 and 100"
    for name in ("trades", "tries"):
        if getattr(record, name) < 1:
            yield name, f"found {getattr(record, name)}, expected at least 1"
    if record.openings < 0:
        yield "openings", f"found {record.openings}, expected 0 or more"


def read_record(path: Path) -> EvidenceRecord:
    """Read a record.

    Raises:
        OSError: It cannot be read.
        BadMessage: It is none; see `decode_record`.
    """
    return decode_record(read_bounded(path), str(path))


def record_or_why(name: str | None) -> EvidenceRecord | str:
    """Return the record that `trader.evidence_file` names, or why there is none, in words."""
    if name is None:
        return f"trader.evidence_file is not set: {HOW}"
    try:
        return read_record(Path(name))
    except FileNotFoundError:
        return f"{name} does not exist: {HOW}"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror or error}): correct it, then reload"
    except BadMessage as error:
        return f"{error}; record it again, then reload"


def read_bounded(path: Path) -> bytes:
    """Return a file's content, of one that is too large for a record only a little more.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    # a pipe must keep nobody waiting
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "no regular file", str(path))
        return file.read(MOST_BYTES + 1)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or "" if it cannot be read."""
    try:
        return hashlib.sha256(read_bounded(path)).hexdigest()
    except OSError:
        return ""
