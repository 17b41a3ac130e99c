"""Query parameters as Binance reads them, and the errors it answers with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from multidict import MultiMapping

from shared.market import StoredTimeframe, Timeframe

_SYMBOL = r"[\w\-._&&[^a-z]]{1,50}"
SYMBOL_PATTERN = f"^{_SYMBOL}$"
_SYMBOL_HERE = r"(?:[^\Wa-z]|[-.]){1,50}"
"""The same in Python, which has no intersection of classes."""

_NUMBER_PATTERN = "^[0-9]{1,20}$"
_LIST_PATTERN = rf'^\[("{_SYMBOL}"(,"{_SYMBOL}"){{0,}}){{0,1}}\]$'
_MAX_LIMIT = 1000
_DEFAULT_LIMIT = 500
_DEFAULT_RATES = 100
_MICROSECONDS = 10**14


class BadParameter(Exception):
    """An error body of Binance: HTTP 400 with code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


INVALID_SYMBOL = -1121, "Invalid symbol."


@dataclass(frozen=True, slots=True)
class KlinesQuery:
    """The parameters of GET /api/v3/klines.

    Attributes:
        of_minutes: For 1m bars, which are cut out of those of the timeframe.
    """

    symbol: str
    timeframe: Timeframe
    start_ms: int | None
    end_ms: int | None
    limit: int
    of_minutes: bool = False


def klines_query(query: MultiMapping[str]) -> KlinesQuery:
    """Return the parameters of a klines request.

    Raises:
        BadParameter: As Binance does: -1101, -1100, -1102, -1105, -1120 or -1130.
    """
    _only(query, ("symbol", "interval", "startTime", "endTime", "timeZone", "limit"))
    symbol = _matching(query, "symbol", SYMBOL_PATTERN)
    interval = _required(query, "interval")
    of_minutes = interval == StoredTimeframe.M1
    try:
        timeframe = Timeframe.M5 if of_minutes else Timeframe(interval)
    except ValueError:
        raise BadParameter(-1120, "Invalid interval.") from None
    if query.get("timeZone", "0") != "0":
        raise BadParameter(-1130, "Data sent for parameter 'timeZone' is not valid.")
    limit = _number(query, "limit")
    if limit is not None and limit < 1:
        raise BadParameter(-1130, "Data sent for parameter 'limit' is not valid.")
    return KlinesQuery(
        symbol=symbol,
        timeframe=timeframe,
        start_ms=_time(query, "startTime"),
        end_ms=_time(query, "endTime"),
        limit=min(limit or _DEFAULT_LIMIT, _MAX_LIMIT),
        of_minutes=of_minutes,
    )


@dataclass(frozen=True, slots=True)
class FundingQuery:
    """The parameters of GET /fapi/v1/fundingRate."""

    symbol: str
    start_ms: int | None
    end_ms: int | None
    limit: int


def funding_query(query: MultiMapping[str]) -> FundingQuery:
    """Return the parameters of a request for funding rates; the real one can do without a coin.

    Raises:
        BadParameter: As Binance does: -1101, -1100, -1102, -1105 or -1130.
    """
    _only(query, ("symbol", "startTime", "endTime", "limit"))
    limit = _number(query, "limit")
    if limit is not None and limit < 1:
        raise BadParameter(-1130, "Data sent for parameter 'limit' is not valid.")
    return FundingQuery(
        symbol=_matching(query, "symbol", SYMBOL_PATTERN),
        start_ms=_time(query, "startTime"),
        end_ms=_time(query, "endTime"),
        limit=min(limit or _DEFAULT_RATES, _MAX_LIMIT),
    )


def exchange_info_symbols(query: MultiMapping[str]) -> list[str] | None:
    """Return the coins an exchangeInfo request names, or None for all.

    Raises:
        BadParameter: As Binance does: -1101, -1100, -1105, -1128 or -1151.
    """
    _only(query, ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"))
    if "symbol" in query and "symbols" in query:
        raise BadParameter(-1128, "Combination of optional parameters invalid.")
    if "symbol" in query:
        return [_matching(query, "symbol", SYMBOL_PATTERN)]
    if "symbols" not in query:
        return None
    symbols: list[str] = json.loads(_matching(query, "symbols", _LIST_PATTERN))
    if len(set(symbols)) != len(symbols):
        raise BadParameter(-1151, "Symbol is present multiple times in the list.")
    return symbols


def no_parameters(query: MultiMapping[str]) -> None:
    """Raise BadParameter -1101 for any parameter."""
    _only(query, ())


def _only(query: MultiMapping[str], known: tuple[str, ...]) -> None:
    for name in query:
        if name not in known:
            raise BadParameter(-1101, "Too many parameters sent for this endpoint.")
        if len(query.getall(name)) > 1:
            raise BadParameter(-1101, f"Duplicate values for parameter '{name}'.")


def _required(query: MultiMapping[str], name: str) -> str:
    if name not in query:
        raise BadParameter(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        )
    if not query[name]:
        raise BadParameter(-1105, f"Parameter '{name}' was empty.")
    return query[name]


def _matching(query: MultiMapping[str], name: str, pattern: str) -> str:
    text = _required(query, name)
    if not re.fullmatch(pattern.replace(_SYMBOL, _SYMBOL_HERE), text):
        raise BadParameter(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'."
        )
    return text


def _number(query: MultiMapping[str], name: str) -> int | None:
    return int(_matching(query, name, _NUMBER_PATTERN)) if name in query else None


def _time(query: MultiMapping[str], name: str) -> int | None:
    time = _number(query, name)
    return time // 1000 if time is not None and time >= _MICROSECONDS else time
