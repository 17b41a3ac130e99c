"""Parses frames of Binance's kline streams into validated events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from shared import codec
from shared.candles.admission import row_fault
from shared.decimals import floats_of
from shared.errors import BadCandle, BadMessage, shortened
from shared.exchanges.excerpts import excerpt_of
from shared.market import Candles, Timeframe

WHERE = "kline stream"
_TIMEFRAMES = {str(timeframe): timeframe for timeframe in Timeframe}


class KlineEvent(NamedTuple):
    """One candle at `event_ms`. Prices are the same floats as from REST."""

    symbol: str
    timeframe: Timeframe
    event_ms: int
    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_closed: bool

    def row(self) -> Candles:
        """Return the candle as candles of length one."""
        return Candles.of(
            [self.open_ms], [self.open], [self.high], [self.low], [self.close], [self.volume]
        )


@dataclass(frozen=True, slots=True)
class StreamReply:
    """The reply to a control message. `error` is "" for a success."""

    number: int | None
    error: str


class ServerShutdown(NamedTuple):
    """The server is about to end the connection."""

    event_ms: int


def stream_name(symbol: str, timeframe: Timeframe) -> str:
    """Return Binance's name of a stream."""
    return f"{symbol.lower()}@kline_{timeframe}"


def parse_frame(raw: str | bytes) -> KlineEvent | StreamReply | ServerShutdown:
    """Parse one frame of a raw or of a combined stream.

    Raises:
        BadMessage: Not JSON, or of unknown shape.
        BadCandle: An impossible kline.
    """
    document = codec.json_object(raw, WHERE)
    event = document["data"] if "stream" in document and "data" in document else document
    kind = event.get("e") if type(event) is dict else None
    if kind == "kline":
        return _kline(event)
    if kind == "serverShutdown":
        time_ms = event.get("E")
        return ServerShutdown(time_ms if type(time_ms) is int else 0)
    if "result" in document or "code" in document or "error" in document:
        return _reply(document)
    raise BadMessage(WHERE, "e", f"expected a kline event, found {excerpt_of(kind)}")


def _reply(document: dict[str, Any]) -> StreamReply:
    number = document.get("id")
    fault = document.get("error", document)
    error = ""
    if type(fault) is dict and "code" in fault:
        text = fault.get("msg", "")
        shown = shortened(text, 120) if type(text) is str else excerpt_of(text)
        error = f"{excerpt_of(fault['code'])}: {shown}"
    return StreamReply(number if type(number) is int else None, error)


def _kline(event: dict[str, Any]) -> KlineEvent:
    try:
        kline = event["k"]
        timeframe = _TIMEFRAMES[kline["i"]]
        symbol, event_ms, open_ms, is_closed = event["s"], event["E"], kline["t"], kline["x"]
        texts = (kline["o"], kline["h"], kline["l"], kline["c"], kline["v"])
        close_ms = kline["T"]
    except (KeyError, TypeError) as error:
        raise BadMessage(
            WHERE, "k", f"missing or of the wrong type ({shortened(repr(error))})"
        ) from None
    if type(symbol) is not str or kline.get("s") != symbol or type(is_closed) is not bool:
        raise BadMessage(WHERE, "k", "expected one symbol, and `x` true or false")
    if not (type(event_ms) is type(open_ms) is type(close_ms) is int):
        raise BadMessage(WHERE, "k", "expected whole numbers as times")
    if set(map(type, texts)) != {str}:
        raise BadMessage(WHERE, "k", "expected prices and volume as texts")
    try:
        open_, high, low, close, volume = floats_of(texts).tolist()
    except ValueError as error:
        raise BadMessage(WHERE, "k", str(error)) from None
    fault = row_fault(timeframe, open_ms, open_, high, low, close, volume)
    if not fault and close_ms != open_ms + timeframe.ms - 1:
        fault = f"close time {close_ms}, expected {open_ms + timeframe.ms - 1}"
    elif not fault and is_closed and event_ms < close_ms:
        fault = f"closed at {event_ms}, before its end {close_ms}"
    if fault:
        raise BadCandle(f"{shortened(symbol)} {timeframe} at {open_ms} (stream): {fault}")
    return KlineEvent(
        symbol, timeframe, event_ms, open_ms, open_, high, low, close, volume, is_closed
    )
