"""Candle columns as JSON text, updated as candles are appended.

Encoding a thousand numbers per column at each close is most of the cost of publishing; here the
oldest numbers are cut off the text and the new ones appended.
"""

from __future__ import annotations

import numpy as np
import orjson

from shared.market import COLUMNS, Candles


class ColumnTexts:
    """Caches the texts of the latest candles; uses about as much memory as they do."""

    def __init__(self) -> None:
        self._candles = Candles.empty()
        self._texts = texts(self._candles)

    def of(self, candles: Candles) -> list[bytes]:
        """Return each column as comma-separated numbers."""
        if candles is not self._candles:
            self._candles, self._texts = candles, texts(candles)
        return self._texts

    def appended(self, before: Candles, newer: Candles, after: Candles) -> None:
        """Update the texts for `after`, which must be `before.appended(newer, ...)`.

        Candles are identified by identity, not compared.
        """
        cut = len(before) + len(newer) - len(after)
        if before is not self._candles or not 0 <= cut < len(before):
            return
        self._texts = [
            joined(_without_first(text, cut), end)
            for text, end in zip(self._texts, texts(newer), strict=True)
        ]
        self._candles = after


def texts(candles: Candles) -> list[bytes]:
    """Encode each column as comma-separated numbers."""
    return [
        orjson.dumps(
            np.ascontiguousarray(getattr(candles, name)), option=orjson.OPT_SERIALIZE_NUMPY
        )[1:-1]
        for name in COLUMNS
    ]


def joined(text: bytes, end: bytes) -> bytes:
    """Join two comma-separated lists."""
    return b",".join(part for part in (text, end) if part)


def _without_first(text: bytes, count: int) -> bytes:
    at = 0
    for _ in range(count):
        at = text.index(b",", at) + 1
    return text[at:] if at else text
