"""Versions of the page's document: the whole, or a patch since any version.

Clients at the same version share one encoding; a client that missed versions gets one patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

COINS, SIGNALS, AS_OF = "coinData", "taSignals", "asOf"
FLAT = (COINS, "positions", "signalHistory", SIGNALS, "errors")
"""What a client that asks for one plain object is sent."""

Document = Mapping[str, Any]


class DocumentVersions:
    """The newest document, and for each part the version that last changed it.

    Parts are the coins of `coinData`, the entries of `taSignals`, and the other top-level
    keys. `asOf` is set per message and is not a part.

    Attributes:
        version: 0 before the first document, incremented by each that differs.
    """

    def __init__(self) -> None:
        self.version = 0
        self._document: Document = {}
        self._keys: dict[str, int] = {}
        self._coins: dict[str, int] = {}
        self._signals: dict[str, int] = {}
        self._snapshot: bytes | None = None
        self._flat: bytes | None = None
        self._patches: dict[int, bytes] = {}

    def update(self, document: Document) -> bool:
        """Store the newest document; return whether it differs from the previous one."""
        before, after = self._document, document
        version = self.version + 1
        changed = _stamp(self._keys, _top_level(before), _top_level(after), version)
        changed |= _stamp(self._coins, _coins(before), _coins(after), version)
        changed |= _stamp(self._signals, before.get(SIGNALS, {}), after.get(SIGNALS, {}), version)
        if changed:
            self._document, self.version = document, version
            self._snapshot = self._flat = None
            self._patches.clear()
        return changed

    def data(self, as_of_ms: int) -> bytes:
        if self._snapshot is None:
            document = {key: value for key, value in self._document.items() if key != AS_OF}
            self._snapshot = orjson.dumps(document)
        return b'{"%s":%d,%s' % (AS_OF.encode(), as_of_ms, self._snapshot[1:])

    def snapshot(self, sequence: int, as_of_ms: int) -> bytes:
        return b'{"type":"snapshot","seq":%d,"data":%s}' % (sequence, self.data(as_of_ms))

    def flat(self) -> bytes:
        """Return the newest document as one object, cut to `FLAT`."""
        if self._flat is None:
            self._flat = orjson.dumps({key: self._document[key] for key in FLAT})
        return self._flat

    def patch(self, since: int, sequence: int, as_of_ms: int) -> bytes:
        """Return the message with what changed after version `since`."""
        body = self._patches.get(since)
        if body is None:
            body = self._patches[since] = orjson.dumps(self._changes(since))
        head = b'{"type":"patch","seq":%d,"%s":%d,' % (sequence, AS_OF.encode(), as_of_ms)
        return head + body[1:]

    def _changes(self, since: int) -> dict[str, Any]:
        keys, coins = self._document, _coins(self._document)
        signals = self._document.get(SIGNALS, {})
        return {
            "set": {key: keys[key] for key, at in self._keys.items() if at > since},
            "coins": {coin: coins[coin] for coin, at in self._coins.items() if at > since},
            "ta": {coin: signals[coin] for coin, at in self._signals.items() if at > since},
        }


def _top_level(document: Document) -> Document:
    return {k: v for k, v in document.items() if k not in (COINS, SIGNALS, AS_OF)}


def _coins(document: Document) -> Document:
    return {coin["symbol"]: coin for coin in document.get(COINS, ())}


def _stamp(stamps: dict[str, int], before: Document, after: Document, version: int) -> bool:
    """Set the version of each part that differs; return whether any did."""
    changed = [k for k, v in after.items() if k not in before or before[k] != v]
    gone = [key for key in stamps if key not in after]
    for key in gone:
        del stamps[key]
    stamps.update(dict.fromkeys(changed, version))
    return bool(changed or gone)
