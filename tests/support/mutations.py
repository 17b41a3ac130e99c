"""Documents and bytes that were right, and then were not: what a broken or hostile peer sends."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5, -0.0,
    1e308, -1e308, 5e-324, "", " ", "0", "-1", "nan", "inf", "-Infinity", "1e999", "1_000", "٣",
    "0x10", "5m", "BTCUSDT", "\x00", "\u2028", "x" * 3000, [], {}, [[]], [None], [1, "1"],
    {"": None}, {"e": "kline"}, [[0] * 12],
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy of a document of dicts and lists with one to four things wrong in it."""
    changed = copy.deepcopy(document)
    chance = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(changed))
        if not places:
            return chance.choice(JUNK)
        _spoil(changed, *chance.choice(places), chance)
    return changed


@st.composite
def spoilt(draw: st.DrawFn, raw: bytes) -> bytes:
    """Return bytes with some of them lost, changed, doubled or added."""
    chance = draw(st.randoms(use_true_random=False))
    found = bytearray(raw)
    for _ in range(draw(st.integers(1, 5))):
        at = chance.randrange(len(found) + 1)
        until = min(len(found), at + chance.choice((1, 1, 2, 5, 40)))
        match chance.randrange(5):
            case 0:
                del found[at:until]
            case 1:
                found[at:until] = bytes(chance.randrange(256) for _ in range(until - at))
            case 2:
                found[at:at] = found[at:until]
            case 3:
                found[at:at] = chance.choice(
                    (b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"{", b"]", b"9" * 400, b"\r\n")
                )
            case _:
                del found[at:]
    return bytes(found)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container with each of its keys or indices."""
    items: Any = ()
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))
    for key, inner in items:
        yield document, key
        yield from _places(inner)


def _spoil(_: Any, container: Any, key: Any, chance: random.Random) -> None:
    kind = chance.randrange(5)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[chance.choice(("", "v", "e", "x", "ключ"))] = container.pop(key)
    elif kind == 1:
        container.append(container[key])
    elif kind == 2 and isinstance(container[key], str):
        text = container[key]
        container[key] = chance.choice((text[:-1], text + "0", text.swapcase(), "-" + text))
    elif kind == 3 and type(container[key]) in (int, float):
        container[key] = chance.choice((str(container[key]), -container[key], container[key] + 1))
    else:
        container[key] = copy.deepcopy(chance.choice(JUNK))
