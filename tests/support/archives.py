"""Archives of candles, made as Binance makes them."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from shared.market import COLUMNS, CandleLength, Candles

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)


def csv_of(
    candles: Candles, timeframe: CandleLength, *, per_ms: int = 1, header: bool = False
) -> str:
    """Return the text of an archive; `per_ms` is 1000 for microseconds."""
    rows = zip(*(getattr(candles, name).tolist() for name in COLUMNS), strict=True)
    lines = [HEADER] if header else []
    for open_ms, *numbers in rows:
        first, last = open_ms * per_ms, (open_ms + timeframe.ms) * per_ms - 1
        lines.append(",".join(map(repr, (first, *numbers, last, 1.5, 3, 0.5, 0.25, 0))))
    return "\n".join(lines) + "\n"


def write_archive(path: Path, text: str | bytes, *, checksum: bool = True) -> Path:
    """Write an archive of one file, and its checksum beside it; return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../any/name.csv", text)
    if checksum:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path
