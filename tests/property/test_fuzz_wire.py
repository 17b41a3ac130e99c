"""What comes over a wire is what it claims, or is refused with the project's own error."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.fetcher.kline_frames import KlineEvent, ServerShutdown, StreamReply, parse_frame
from shared import codec
from shared.bus import Bus
from shared.candles.admission import require
from shared.errors import BadCandle, BadMessage
from shared.exchanges.binance.kline_rows import FIELDS, parse_klines
from shared.market import Timeframe
from shared.messages.actors import ControlCommand
from shared.messages.candles import CandleWindow
from shared.schema import TABLE, Entry
from shared.supervision.control import COMMANDS, NO_ID, parse
from tests.support.manual_clock import ManualClock
from tests.support.message_strategies import JSON, candle_windows, messages
from tests.support.mutations import mutated, spoilt

MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
SOME = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])

OPEN_MS = 1_700_000_100_000
ROW: list[Any] = [
    OPEN_MS, "10.5", "11", "10", "10.8", "120.25", OPEN_MS + 299_999, "1300.1", 42, "60", "650",
    "0",
]  # fmt: skip
ROWS = [ROW, [OPEN_MS + 300_000, *ROW[1:6], OPEN_MS + 599_999, *ROW[7:]]]
FRAME: dict[str, Any] = {
    "e": "kline", "E": OPEN_MS + 300_000, "s": "BTCUSDT",
    "k": {
        "t": OPEN_MS, "T": OPEN_MS + 299_999, "s": "BTCUSDT", "i": "5m", "f": 1, "L": 2,
        "o": "10.5", "c": "10.8", "h": "11", "l": "10", "v": "120.25", "n": 42, "x": True,
    },
}  # fmt: skip
COMBINED = {"stream": "btcusdt@kline_5m", "data": FRAME}
COMMAND = {"id": "try-1", "command": "restart", "actor": "fetcher"}


def rows_are_candles_or_refused(rows: list[Any]) -> None:
    try:
        admitted = parse_klines(rows, "BTCUSDT", Timeframe.M5)
    except BadCandle as error:
        assert "BTCUSDT 5m" in str(error) and len(str(error)) < 500 and str(error).isprintable()
        return
    named = {each.row for each in admitted.refused}
    good = [row for number, row in enumerate(rows, 1) if number not in named]
    assert all(len(row) == FIELDS for row in good)
    assert {row[0] for row in good} == set(admitted.candles.open_time_ms.tolist())
    assert all(len(each.why) < 500 and each.why.isprintable() for each in admitted.refused)
    require(admitted.candles, "BTCUSDT", Timeframe.M5)


def frame_is_known_or_refused(raw: bytes | str) -> None:
    try:
        frame = parse_frame(raw)
    except (BadMessage, BadCandle) as error:
        assert "stream" in str(error) and len(str(error)) < 500 and str(error).isprintable()
        return
    if isinstance(frame, KlineEvent):
        row = frame.row()
        require(row, frame.symbol, frame.timeframe)
        assert row.closed(frame.timeframe, frame.open_ms + frame.timeframe.ms).same_as(row)
    else:
        assert isinstance(frame, StreamReply | ServerShutdown)


@given(rows=mutated(ROWS))
@MANY
def test_rows_of_candles_that_were_changed(rows: Any) -> None:
    rows_are_candles_or_refused(rows if isinstance(rows, list) else [rows])


@given(rows=st.lists(JSON, max_size=4))
@MANY
def test_rows_of_anything(rows: list[Any]) -> None:
    rows_are_candles_or_refused(rows)


@given(frame=mutated(FRAME) | mutated(COMBINED))
@MANY
def test_frames_that_were_changed(frame: Any) -> None:
    frame_is_known_or_refused(orjson.dumps(frame))


@given(raw=spoilt(orjson.dumps(FRAME)) | st.binary(max_size=60))
@MANY
def test_frames_of_spoilt_bytes(raw: bytes) -> None:
    frame_is_known_or_refused(raw)
    frame_is_known_or_refused(raw.decode(errors="surrogateescape"))


def command_is_known_or_answered(raw: bytes) -> None:
    found = parse(raw)
    if isinstance(found, ControlCommand):
        assert found.command in COMMANDS
        assert codec.decode(ControlCommand, codec.encode(found), "control") == found
        return
    assert found.outcome == "error" and found.reason
    assert len(found.reason) < 500
    assert found.id == NO_ID or 1 <= len(found.id) <= 64
    codec.encode(found)  # it can be sent


@given(document=mutated(COMMAND) | JSON)
@MANY
def test_commands_that_were_changed(document: Any) -> None:
    command_is_known_or_answered(orjson.dumps(document))


@given(raw=spoilt(orjson.dumps(COMMAND)) | st.binary(max_size=60))
@MANY
def test_commands_of_spoilt_bytes(raw: bytes) -> None:
    command_is_known_or_answered(raw)


def quiet_bus() -> Bus:
    log = logging.getLogger("fuzz")
    log.setLevel(logging.CRITICAL)
    return Bus("redis://127.0.0.1:1/0", name="fuzz", clock=ManualClock(), log=log)


def taken_or_counted(entry: Entry[Any], raw: bytes) -> None:
    bus = quiet_bus()
    message = bus.decode(entry, raw, "somewhere")
    if message is None:
        assert bus.bad_messages == 1
        assert bus.bad_message.startswith("somewhere: ") and len(bus.bad_message) < 1200
        return
    assert bus.bad_messages == 0 and isinstance(message, entry.message)
    if isinstance(message, CandleWindow):
        require(message.candles, message.symbol, message.timeframe)
        message.unfilled_gaps()
        message.encode()
    else:
        codec.encode(message)


def examples_of(entry: Entry[Any]) -> st.SearchStrategy[Any]:
    """Return documents as the writer of an entry would put them there."""
    if entry.message is dict:
        return st.dictionaries(st.text(max_size=5), JSON, max_size=4)
    if entry.message is CandleWindow:
        return candle_windows().map(lambda window: orjson.loads(window.encode()))
    return messages(entry.message).map(lambda message: orjson.loads(codec.encode(message)))


@pytest.mark.parametrize("entry", TABLE, ids=[entry.pattern for entry in TABLE])
@given(chance=st.data())
@SOME
def test_messages_on_the_bus_that_were_changed(entry: Entry[Any], chance: st.DataObject) -> None:
    document = chance.draw(examples_of(entry))
    taken_or_counted(entry, orjson.dumps(chance.draw(mutated(document))))
    taken_or_counted(entry, chance.draw(spoilt(orjson.dumps(document))))
