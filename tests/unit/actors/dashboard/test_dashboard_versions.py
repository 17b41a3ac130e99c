"""Whoever follows the patches, however late, holds what the board shows."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from actors.dashboard.versions import DocumentVersions

SYMBOLS = ["AAAUSDT", "BBBUSDT", "CCCUSDT"]


def document(price: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "asOf": 5,
        "mode": "demo",
        "coinData": [{"symbol": symbol, "price": price} for symbol in SYMBOLS],
        "taSignals": dict.fromkeys(SYMBOLS),
        **other,
    }


class Page:
    """What a browser makes of the messages, by the rules of the wire."""

    def __init__(self, snapshot: bytes) -> None:
        self.data = orjson.loads(snapshot)["data"]

    def take(self, message: bytes) -> None:
        patch = orjson.loads(message)
        assert patch["type"] == "patch"
        self.data.update(patch["set"])
        self.data["asOf"] = patch["asOf"]
        self.data["taSignals"].update(patch["ta"])
        self.data["coinData"] = [
            patch["coins"].get(coin["symbol"], coin) for coin in self.data["coinData"]
        ]


values = st.integers(0, 2)
documents = st.builds(
    lambda prices, signals, errors: document(
        coinData=[{"symbol": s, "price": p} for s, p in zip(SYMBOLS, prices, strict=True)],
        taSignals=dict(zip(SYMBOLS, signals, strict=True)),
        errors=errors,
    ),
    st.tuples(values, values, values),
    st.tuples(*[st.none() | values] * 3),
    st.lists(values, max_size=2),
)


@given(st.lists(st.tuples(documents, st.booleans()), min_size=1, max_size=12))
def test_patches_bring_a_page_to_the_newest_document_whatever_it_missed(
    shown: list[tuple[dict[str, Any], bool]],
) -> None:
    board = DocumentVersions()
    board.update(document(errors=[]))
    page, version = Page(board.snapshot(1, 7)), board.version
    for newest, is_told in shown:
        board.update(newest)
        if is_told:
            page.take(board.patch(version, 2, 8))
            version = board.version
    page.take(board.patch(version, 3, 9))
    assert page.data == {**shown[-1][0], "asOf": 9}
    assert orjson.loads(board.data(9)) == page.data


def test_time_alone_is_no_new_version_and_equal_parts_are_not_sent_again() -> None:
    board = DocumentVersions()
    assert board.update(document()) and board.version == 1
    assert not board.update(document(asOf=6)) and board.version == 1
    changed = document()
    changed["coinData"][1] = {"symbol": "BBBUSDT", "price": 2}
    assert board.update(changed)
    patch = orjson.loads(board.patch(1, 2, 99))
    assert patch == {
        "type": "patch", "seq": 2, "asOf": 99, "set": {}, "ta": {},
        "coins": {"BBBUSDT": {"symbol": "BBBUSDT", "price": 2}},
    }  # fmt: skip


def test_patch_since_the_newest_version_says_nothing_but_the_time() -> None:
    board = DocumentVersions()
    board.update(document())
    assert orjson.loads(board.patch(1, 4, 9)) == {
        "type": "patch", "seq": 4, "asOf": 9, "set": {}, "coins": {}, "ta": {}
    }  # fmt: skip
