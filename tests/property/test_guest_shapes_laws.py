"""Laws of what a guest writes: whatever it is, it is read or named, and nothing else happens."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadMessage
from shared.guests import shapes
from shared.guests.shape import Shape

AT_MS = 1_790_000_000_000
SHAPES: list[Shape[Any]] = [shapes.POSITIONS, shapes.BALANCE, shapes.STATUS, shapes.EVENT]
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
NAMES = sorted({name for shape in SHAPES for member in shape.members for name in member.names})
DOCUMENTS = JSON | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON)


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, list) else []


def read(shape: Shape[Any], raw: bytes) -> str | None:
    """Return why it cannot be read; None if it could, with texts that print on one line."""
    try:
        found = dataclasses.asdict(shape.read(raw, "key"))
    except BadMessage as error:
        return str(error)
    assert all(text.isprintable() for text in texts(found))
    assert orjson.loads(orjson.dumps(found)) == found
    return None


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_read_or_named(raw: bytes) -> None:
    for shape in SHAPES:
        said = read(shape, raw)
        assert said is None or (said.startswith("key: ") and said.isprintable())


@given(document=DOCUMENTS, sample=st.integers(0, 1), shape=st.sampled_from(SHAPES))
def test_any_change_of_an_example_is_read_or_named(
    document: Any, sample: int, shape: Shape[Any]
) -> None:
    changed = {**shape.examples[sample], **(document if type(document) is dict else {})}
    for each in (document, changed):
        said = read(shape, orjson.dumps(each))
        assert said is None or (said.startswith("key: ") and said.isprintable())


@given(document=st.dictionaries(st.text(max_size=12), JSON, max_size=6))
def test_any_settings_are_shown_flat_on_one_line_each(document: dict[str, Any]) -> None:
    found = shapes.read_config(orjson.dumps(document), "key")
    assert found is not None
    assert all(text.isprintable() for pair in found.settings.items() for text in pair)


@given(name=st.sampled_from(("kind", "text", "id")), value=PLAIN)
def test_any_value_of_an_entry_of_the_log_is_read_or_named(name: str, value: Any) -> None:
    fields = {"kind": "a", "text": "b", "at_ms": AT_MS, name: value}
    try:
        assert shapes.event_of_entry(fields, "log").at_ms == AT_MS
    except BadMessage as error:
        assert str(error).isprintable()
