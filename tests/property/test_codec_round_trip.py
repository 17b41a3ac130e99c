"""Laws of the wire: what is written is read back; what is not a message is refused as such."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import codec
from shared.errors import BadMessage
from shared.messages.candles import CandleWindow
from shared.schema import TABLE
from tests.support.message_strategies import JSON, candle_windows, messages

KINDS = sorted({e.message for e in TABLE if e.message is not dict}, key=lambda kind: kind.__name__)
PLAIN = [kind for kind in KINDS if kind is not CandleWindow]
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def decoded(kind: type[Any], raw: bytes) -> Any:
    if kind is CandleWindow:
        return CandleWindow.decode(raw, "somewhere")
    return codec.decode(kind, raw, "somewhere")


@pytest.mark.parametrize("kind", PLAIN)
@given(chance=st.data())
@QUICK
def test_every_message_is_read_back_as_it_was_written(
    kind: type[Any], chance: st.DataObject
) -> None:
    message = chance.draw(messages(kind))
    assert codec.decode(kind, codec.encode(message), "somewhere") == message


@given(window=candle_windows())
@QUICK
def test_candle_windows_are_read_back_to_the_bit(window: CandleWindow) -> None:
    read = CandleWindow.decode(window.encode(), "somewhere")
    assert read.candles.same_as(window.candles)
    for field in dataclasses.fields(CandleWindow):
        if field.name != "candles":
            assert getattr(read, field.name) == getattr(window, field.name)


@pytest.mark.parametrize("kind", KINDS)
@given(chance=st.data())
@QUICK
def test_one_wrong_value_anywhere_is_a_bad_message_or_a_message(
    kind: type[Any], chance: st.DataObject
) -> None:
    """Whatever a field is replaced with, nothing but BadMessage may come out."""
    message = chance.draw(messages(kind))
    raw = message.encode() if isinstance(message, CandleWindow) else codec.encode(message)
    document = orjson.loads(raw)
    name = chance.draw(st.sampled_from(sorted(document)))
    document[name] = chance.draw(JSON)
    try:
        read = decoded(kind, orjson.dumps(document))
    except BadMessage as error:
        assert error.where == "somewhere" and error.why
    else:
        assert isinstance(read, kind)


@pytest.mark.parametrize("kind", KINDS)
@given(chance=st.data())
@QUICK
def test_any_bytes_are_a_bad_message_or_a_message(kind: type[Any], chance: st.DataObject) -> None:
    raw = chance.draw(st.binary(max_size=60) | JSON.map(orjson.dumps))
    try:
        assert isinstance(decoded(kind, raw), kind)
    except BadMessage as error:
        assert str(error).startswith("somewhere: ")


@pytest.mark.parametrize("kind", KINDS)
@given(chance=st.data())
@QUICK
def test_cut_off_messages_are_refused(kind: type[Any], chance: st.DataObject) -> None:
    message = chance.draw(messages(kind))
    raw = message.encode() if isinstance(message, CandleWindow) else codec.encode(message)
    cut = chance.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(BadMessage):
        decoded(kind, raw[:cut])


@pytest.mark.parametrize("kind", PLAIN)
@given(chance=st.data())
@QUICK
def test_fields_of_a_later_version_are_ignored(kind: type[Any], chance: st.DataObject) -> None:
    message = chance.draw(messages(kind))
    document = orjson.loads(codec.encode(message)) | {"added_later": chance.draw(JSON)}
    assert codec.decode(kind, orjson.dumps(document), "somewhere") == message
