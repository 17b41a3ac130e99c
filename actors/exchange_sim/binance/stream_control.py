"""Stream names and control messages of Binance's stream socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from shared.market import Timeframe

MOST_STREAMS = 1024
_NAME = re.compile(r"([^\W_A-Z]{1,50})@kline_(5m|1h|4h)")


@dataclass(frozen=True, slots=True)
class KlineName:
    """A stream of one coin on one timeframe."""

    symbol: str
    timeframe: Timeframe


def kline_name(text: str) -> KlineName | None:
    """Parse a stream name; None for one that is not served and stays silent."""
    found = _NAME.fullmatch(text)
    return KlineName(found[1].upper(), Timeframe(found[2])) if found else None


def answer(raw: str | bytes, names: dict[str, None], properties: dict[str, bool]) -> bytes:
    """Carry out one control message and return the reply.

    Args:
        names: The connection's subscriptions, in order; changed in place.
        properties: The connection's properties; changed in place.
    """
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _error(3, f"Invalid JSON: {error}")
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return _error(2, "Invalid request: expected an object with a `method`")
    method, number, params = message["method"], message.get("id"), message.get("params")
    if method == "LIST_SUBSCRIPTIONS":
        return _result(list(names), number)
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return _change(method, params, names, number)
    if method in ("SET_PROPERTY", "GET_PROPERTY"):
        return _property(method, params, properties, number)
    return _error(2, f"Invalid request: unknown method {method[:40]!r}", number)


def _change(method: str, params: Any, names: dict[str, None], number: Any) -> bytes:
    if not isinstance(params, list) or not all(isinstance(p, str) for p in params):
        return _error(2, "Invalid request: `params` must be a list of stream names", number)
    if method == "UNSUBSCRIBE":
        for name in params:
            names.pop(name, None)
    elif len(names.keys() | set(params)) > MOST_STREAMS:
        return _error(2, f"Invalid request: more than {MOST_STREAMS} streams", number)
    else:
        names.update(dict.fromkeys(params))
    return _result(None, number)


def _property(method: str, params: Any, properties: dict[str, bool], number: Any) -> bytes:
    if method == "GET_PROPERTY" and params == ["combined"]:
        return _result(properties["combined"], number)
    match params:
        case ["combined", bool(value)]:
            properties["combined"] = value
            return _result(None, number)
        case ["combined", _]:
            return _error(1, "Invalid value type: expected Boolean", number)
    return _error(0, "Unknown property", number)


def _result(result: Any, number: Any) -> bytes:
    return orjson.dumps({"result": result, "id": number})


def _error(code: int, text: str, number: Any = None) -> bytes:
    return orjson.dumps({"code": code, "msg": text, "id": number})
