"""What a guest writes is read leniently, and what cannot be read is named by key and field."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
import pytest

from shared import codec, schema
from shared.errors import BadMessage
from shared.guests import shapes
from shared.guests.schemas import schemas, text_of
from shared.guests.shape import LARGEST, Shape
from shared.messages.candles import CandleWindow
from shared.messages.guests import GuestConfig
from shared.messages.signals import ScanResult, TaSignal
from shared.messages.trading import TraderConfig
from tests.support.paths import ROOT

AT_MS = 1_790_000_000_000
WRITTEN: dict[str, Shape[Any]] = {
    "state-positions": shapes.POSITIONS, "state-balance": shapes.BALANCE,
    "state-trader-status": shapes.STATUS, "trader-events": shapes.EVENT,
}  # fmt: skip
HELD = {"symbol": "BTCUSDT", "side": "long", "size": 1, "entry_price": 2}


def read_by_its_reader(name: str, raw: bytes) -> object:
    if name == "state-trader-config":
        return shapes.read_config(raw, name)
    if name == "cache-candles":
        return CandleWindow.decode(raw, name)
    if name in WRITTEN:
        return WRITTEN[name].read(raw, name)
    kinds: dict[str, type[Any]] = {"ta-latest": TaSignal, "scan-latest": ScanResult}
    return codec.decode(kinds[name], raw, name)


@pytest.mark.parametrize("name", schemas())
def test_docs_have_the_schemas_as_the_code_makes_them(name: str) -> None:
    path = ROOT / "docs" / "schemas" / f"{name}.json"
    stale = "stale: run python -m shared.guests.schemas docs/schemas"
    assert path.read_text(encoding="utf-8") == text_of(schemas()[name]), stale


def test_docs_have_no_other_schemas() -> None:
    assert {path.stem for path in (ROOT / "docs" / "schemas").iterdir()} == set(schemas())


@pytest.mark.parametrize("name", schemas())
def test_every_example_is_valid_and_read_by_the_real_reader(name: str) -> None:
    found = schemas()[name]
    validator = jsonschema_rs.validator_for(found)
    assert found["examples"]
    for example in found["examples"]:
        validator.validate(example)
        assert read_by_its_reader(name, orjson.dumps(example)) is not None
    assert not validator.is_valid([]) and not validator.is_valid(None)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_lacks_a_required_member_is_refused_by_schema_and_reader(name: str) -> None:
    found, shape = schemas()[name], WRITTEN[name]
    validator = jsonschema_rs.validator_for(found)
    for member in (member for member in shape.members if member.required):
        for example in found["examples"]:
            without = {key: value for key, value in example.items() if key not in member.names}
            assert not validator.is_valid(without), member.name
            with pytest.raises(BadMessage, match=f"{member.name}: missing, expected"):
                shape.read(orjson.dumps(without), name)


def said(shape: Shape[Any], document: object) -> str:
    raw = document if isinstance(document, bytes) else orjson.dumps(document)
    with pytest.raises(BadMessage) as found:
        shape.read(raw, schema.GUEST_POSITIONS.name())
    return str(found.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"as_of_ms": AT_MS, "positions": [HELD, {**HELD, "side": "x"}]},
         'state:positions: positions[1].side: found "x", expected long or short'),
        ({"as_of_ms": AT_MS, "positions": [{**HELD, "size": "1_0"}]},
         'state:positions: positions[0].size: found "1_0", expected a number above 0, or one as '
         "text"),
        ({"as_of_ms": AT_MS, "positions": [{**HELD, "size": -1}]},
         "state:positions: positions[0].size: found -1, expected a number above 0, or one as text"),
        ({"as_of_ms": AT_MS, "positions": [{**HELD, "entry_price": True}]},
         "state:positions: positions[0].entry_price: found true, expected a number above 0, or one "
         "as text"),
        ({"as_of_ms": AT_MS, "positions": {}},
         "state:positions: positions: found {}, expected a list of at most 200"),
        ({"as_of_ms": AT_MS, "positions": [HELD] * 201},
         "state:positions: positions: found 201 items, expected a list of at most 200"),
        ({"as_of_ms": AT_MS // 1000, "positions": []},
         "state:positions: as_of_ms: found 1790000000, expected epoch milliseconds, or a time such "
         "as 2026-03-01T12:00:00Z (it looks like seconds; write it times 1000)"),
        ({"timestamp": "2026-03-01T12:00:00", "positions": []},
         'state:positions: timestamp: found "2026-03-01T12:00:00", expected epoch milliseconds, or '
         "a time such as 2026-03-01T12:00:00Z (without a time zone; end it in Z for UTC)"),
        ([HELD], "state:positions: found "
         '[{"symbol":"BTCUSDT","side":"long","size":1,"entry_price"..., expected an object such as '
         '{"as_of_ms":"...","positions":"..."}'),
        (b"\x1b[2J{", 'state:positions: found "\\u001b[2J{", expected JSON (unexpected character, '
         "expected a JSON value: line 1 column 1 (char 0))"),
        (b" " * (LARGEST + 1),
         "state:positions: found 262,145 bytes, expected at most 262,144"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_by_key_and_field(document: object, words: str) -> None:
    text = said(shapes.POSITIONS, document)
    assert text == words or text.startswith(words.partition(" (unexpected")[0])
    assert text.isprintable()


@pytest.mark.parametrize("raw", [b"\xff\xfe", b'{"a":1e999}', b'"\\ud800"', b"[" * 5000, b"null"])
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    for shape in WRITTEN.values():
        with pytest.raises(BadMessage):
            shape.read(raw, "x")
    with pytest.raises(BadMessage):
        shapes.read_config(raw if raw != b'{"a":1e999}' else b"1", "x")


def test_units_may_be_left_out_and_numbers_be_numbers_or_texts() -> None:
    one = {"as_of_ms": AT_MS, "equity": 10.5, "margin": "600", "currency": "USDT"}
    two = {"timestamp": "2026-09-21T16:13:20+02:00", "equity_quote": "10.5", "margin_quote": 600,
           "currency": "USDT", "unknown": [1]}  # fmt: skip
    assert shapes.BALANCE.read(orjson.dumps(one), "x") == shapes.BALANCE.read(
        orjson.dumps(two), "x"
    )
    tiny = shapes.BALANCE.read(b'{"as_of_ms": 1790000000000, "equity": 1e-7}', "x")
    assert tiny.equity_quote == "0.0000001"


def test_what_our_own_trader_writes_is_read_too() -> None:
    held = {**HELD, "size_base": "0.05", "stop_loss": None, "leverage": 5, "opened_ms": AT_MS}
    del held["size"]
    found = shapes.POSITIONS.read(orjson.dumps({"as_of_ms": AT_MS, "positions": [held]}), "x")
    assert (found.positions[0].size_base, found.positions[0].leverage) == ("0.05", "5")
    status = {"as_of_ms": AT_MS, "mode": "reducing", "reason": "", "trouble": "", "venue": "sim"}
    assert shapes.STATUS.read(orjson.dumps(status), "x").mode == "reducing"


def test_control_characters_are_escaped_and_html_stays_text() -> None:
    event = {"kind": "a\x1b[2J", "text": "<b>x</b>\nforged: line\x07", "at_ms": AT_MS}
    found = shapes.EVENT.read(orjson.dumps(event), "x")
    assert found.kind == r"a\x1b[2J" and found.text == r"<b>x</b>\nforged: line\x07"


def test_settings_are_flat_and_secrets_masked() -> None:
    document = {
        "timestamp": AT_MS, "leverage": 3, "tp": {"pct": 2.5, "on": True}, "note": "a\nb",
        "apiKey": "hunter2", "venue": {"access_id": "hunter2", "name": "x"},
        "venues": [{"secret": "hunter2"}], "empty": {}, "none": None,
    }  # fmt: skip
    assert shapes.read_config(orjson.dumps(document), "x") == GuestConfig(
        as_of_ms=AT_MS,
        settings={
            "leverage": "3", "tp.pct": "2.5", "tp.on": "true", "note": r"a\nb", "apiKey": "***",
            "venue.access_id": "***", "venue.name": "x", "venues": "***", "empty": "{}",
            "none": "null",
        },
    )  # fmt: skip
    many = {f"s{i}": i for i in range(1000)}
    assert len(settings_of(orjson.dumps(many))) == shapes.MOST_SETTINGS
    deep = b'{"a":' * 100 + b"1" + b"}" * 100
    assert list(settings_of(deep)) == ["a.a.a.a.a"]


def test_settings_that_our_own_trader_left_are_not_the_guests() -> None:
    ours = TraderConfig(as_of_ms=AT_MS, venue="sim", settings={"leverage": 3})
    assert shapes.read_config(codec.encode(ours), "x") is None
    its = {"as_of_ms": AT_MS, "venue": "sim", "settings": {"leverage": 3}}
    found = shapes.read_config(orjson.dumps(its), "x")
    assert found is not None and found.settings["settings.leverage"] == "3"


def settings_of(raw: bytes) -> dict[str, str]:
    found = shapes.read_config(raw, "x")
    assert found is not None
    return found.settings


@pytest.mark.parametrize("levels", [101, 260, 1000])
def test_what_is_nested_too_deeply_to_be_shown_is_unreadable(levels: int) -> None:
    inner = b"[" * levels + b"]" * levels
    for raw in (b'{"a": %s}' % inner, b'{"a":' * levels + b"1" + b"}" * levels):
        with pytest.raises(BadMessage, match="deep, expected at most 100"):
            shapes.read_config(raw, "x")
    fields = {"kind": orjson.loads(inner), "text": "a", "at_ms": AT_MS}
    with pytest.raises(BadMessage, match="deep, expected at most 100"):
        shapes.event_of_entry(fields, "x")


def test_event_of_the_log_may_have_texts_that_look_like_numbers() -> None:
    fields = {"kind": "note", "text": 42, "at_ms": AT_MS, "id": 7, "price": 60000.5}
    found = shapes.event_of_entry(fields, "x")
    assert (found.text, found.id, found.price) == ("42", "7", "60000.5")


def test_two_copies_of_an_event_are_one() -> None:
    plain = {"kind": "a", "text": "b", "at_ms": AT_MS}
    first, again = (shapes.EVENT.of(plain | {"pnl": pnl}, "x") for pnl in (None, 1))
    assert first.identity == again.identity
    assert shapes.EVENT.of(plain | {"id": "1"}, "x").identity != first.identity
