"""Candle columns as JSON text, carried on as candles are appended.

Writing a thousand numbers per column anew at each close is most of what publishing costs; here
the oldest numbers are cut off the text and the new ones added to it.
"""

from __future__ import annotations

import numpy as np
import orjson

from shared.market import COLUMNS, Candles


class ColumnTexts:
    """The texts of the candles last asked for; costs about as much memory as they do."""

    def __init__(self) -> None:
        self._candles = Candles.empty()
        self._texts = texts(self._candles)

    def of(self, candles: Candles) -> list[bytes]:
        """Return each column as its numbers with commas in between."""
        if candles is not self._candles:
            self._candles, self._texts = candles, texts(candles)
        return self._texts

    def appended(self, before: Candles, newer: Candles, after: Candles) -> None:
        """Learn that `after` is `before.appended(newer, ...)`; all else is written when asked for.

        Candles are told apart by identity: nothing is compared.
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
    """Return each column as its numbers with commas in between, written anew."""
    return [
        orjson.dumps(
            np.ascontiguousarray(getattr(candles, name)), option=orjson.OPT_SERIALIZE_NUMPY
        )[1:-1]
        for name in COLUMNS
    ]


def joined(text: bytes, end: bytes) -> bytes:
    """Return two lists of numbers as one."""
    return b",".join(part for part in (text, end) if part)


def _without_first(text: bytes, count: int) -> bytes:
    at = 0
    for _ in range(count):
        at = text.index(b",", at) + 1
    return text[at:] if at else text
