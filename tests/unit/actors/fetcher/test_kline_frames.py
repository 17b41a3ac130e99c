"""Frames of the kline stream: the recorded ones, and all that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.fetcher.binance_stream import stream_url
from actors.fetcher.kline_frames import (
    KlineEvent,
    ServerShutdown,
    StreamReply,
    parse_frame,
    stream_name,
)
from shared.candles.admission import require
from shared.errors import BadCandle, BadMessage
from shared.exchanges.binance.kline_rows import parse_klines
from shared.market import Timeframe


@pytest.fixture(scope="session")
def tapes(data_dir: Path) -> Path:
    return data_dir / "recorded" / "binance"


@pytest.fixture(scope="session")
def recorded(tapes: Path) -> list[str]:
    path = tapes / "ws_raw_BTCUSDT_5m_close_transition_2021-06-21.jsonl"
    return path.read_text().splitlines()


def test_recorded_frames_across_a_close_are_understood(recorded: list[str]) -> None:
    events = [parse_frame(line) for line in recorded]
    assert all(isinstance(event, KlineEvent) for event in events)
    closed = [e for e in events if isinstance(e, KlineEvent) and e.is_closed]
    assert len(closed) == 1
    event = closed[0]
    assert (event.symbol, event.timeframe) == ("BTCUSDT", Timeframe.M5)
    assert event.event_ms - (event.open_ms + Timeframe.M5.ms) == 120
    assert event.close == 32206.08
    assert event.volume == 335.174139


def test_a_streamed_candle_is_the_rest_candle_to_the_bit(recorded: list[str]) -> None:
    for line in recorded:
        event = parse_frame(line)
        assert isinstance(event, KlineEvent)
        k = json.loads(line)["k"]
        row = [k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"], k["V"],
               k["Q"], k["B"]]  # fmt: skip
        rest = parse_klines([row], event.symbol, event.timeframe).candles
        require(event.row(), event.symbol, event.timeframe)
        assert event.row().same_as(rest)


def test_recorded_combined_frames_are_told_apart(tapes: Path) -> None:
    klines = others = 0
    for line in (tapes / "ws_combined_2021-10-12.jsonl").read_text().splitlines()[1:]:
        frame = json.loads(line)["frame"]
        raw = frame if isinstance(frame, str) else json.dumps(frame)
        kind = json.loads(raw)["data"].get("e")
        if kind == "kline" and json.loads(raw)["data"]["k"]["i"] in tuple(Timeframe):
            assert isinstance(parse_frame(raw), KlineEvent)
            klines += 1
        else:  # other channels, and timeframes this project does not ask for
            with pytest.raises(BadMessage):
                parse_frame(raw)
            others += 1
    assert klines + others == 264 + 1
    assert others


def test_recorded_single_frames_of_other_timeframes(tapes: Path) -> None:
    found = json.loads((tapes / "ws_kline_frames_misc.json").read_text())
    events = [parse_frame(json.dumps(frame)) for frame in found.values()]
    assert {e.timeframe for e in events if isinstance(e, KlineEvent)} == {"5m", "4h"}


def test_control_frames() -> None:
    assert parse_frame('{"result":null,"id":4}') == StreamReply(4, "")
    assert parse_frame('{"code":2,"msg":"Invalid request: x"}') == StreamReply(
        None, "2: Invalid request: x"
    )
    assert parse_frame('{"error":{"code":2,"msg":"no"},"id":7}') == StreamReply(7, "2: no")
    assert parse_frame('{"e":"serverShutdown","E":5}') == ServerShutdown(5)
    combined = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":5}}'
    assert parse_frame(combined) == ServerShutdown(5)


def changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda frame: frame["k"].update(fields)


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception]]] = {
    "no candle": (lambda frame: frame.pop("k"), BadMessage),
    "a candle that is no object": (lambda frame: frame.update(k=[1]), BadMessage),
    "another symbol inside": (changed(s="ETHUSDT"), BadMessage),
    "a timeframe not asked for": (changed(i="1m"), BadMessage),
    "closed as text": (changed(x="true"), BadMessage),
    "a price as number": (changed(c=1.5), BadMessage),
    "a price that is no number": (changed(c="much"), BadMessage),
    "a time as text": (changed(t="1"), BadMessage),
    "a price of nan": (changed(c="nan"), BadMessage),
    "a price of zero": (changed(l="0.0"), BadCandle),
    "a high below the close": (changed(h="1.0"), BadCandle),
    "a low above the open": (changed(l="32285.42"), BadCandle),
    "a negative volume": (changed(v="-1"), BadCandle),
    "a time off the grid": (changed(t=1624297800001, T=1624298100000), BadCandle),
    "a close time of another length": (changed(T=1624301399999), BadCandle),
    "a time beyond all candles": (
        changed(t=18446744073709200000, T=18446744073709499999),
        BadCandle,
    ),
    "closed before its end": (lambda frame: frame.update(E=1624298099000), BadCandle),
}


@pytest.mark.parametrize("name", BAD)
def test_a_frame_that_cannot_be_true_is_refused(name: str, recorded: list[str]) -> None:
    change, error = BAD[name]
    frame = next(json.loads(line) for line in recorded if json.loads(line)["k"]["x"])
    parse_frame(json.dumps(frame))
    change(frame)
    with pytest.raises(error):
        parse_frame(json.dumps(frame))


@pytest.mark.parametrize("raw", ["", "{", "[]", "7", '{"e":"trade"}', '{"data":1,"stream":"x"}'])
def test_what_is_no_frame_is_refused(raw: str) -> None:
    with pytest.raises(BadMessage):
        parse_frame(raw)


def test_names_and_places() -> None:
    assert stream_name("BTCUSDT", Timeframe.H4) == "btcusdt@kline_4h"
    assert stream_url("https://data-api.binance.vision") == "wss://data-stream.binance.vision"
    assert stream_url("https://api2.binance.com/") == "wss://stream.binance.com:9443"
    assert stream_url("http://127.0.0.1:8899") == "ws://127.0.0.1:8899"
    assert stream_url("https://mirror.example:8443/x") == "wss://mirror.example:8443"
