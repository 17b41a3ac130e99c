"""Messages of the market: candle windows, their changes, assets, listings, and bans.

Candle windows encode themselves, because they are sent as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import orjson

from shared import codec
from shared.candles.admission import require
from shared.errors import BadCandle, BadMessage
from shared.market import COLUMNS, Candles, Timeframe

Source = Literal["binance", "sim"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandleWindow:
    """The newest candles of one coin on one timeframe: up to 1000 closed, then the open one.

    Units: times in epoch ms. A candle is closed when its open time + length is at most
        `closed_until_ms`. `absent` lists ranges of open times `[from, until)` that the
        exchange confirmed it never had (a halt); any other hole can still be filled.

    Attributes:
        begins_ms: Where the price scale last broke (0: nowhere known): all these candles open at
            or after it, so there may be none.
        texts: Returns the columns of these candles as JSON text, if that is cached; not part of
            the message.
    """

    symbol: str
    timeframe: Timeframe
    candles: Candles
    closed_until_ms: int
    fetched_at_ms: int
    source: Source
    absent: tuple[tuple[int, int], ...] = ()
    begins_ms: int = 0
    v: int = 1
    texts: tuple[Candles, Callable[[], Sequence[bytes]]] | None = field(default=None, repr=False)

    def closed(self) -> Candles:
        return self.candles.closed(self.timeframe, self.closed_until_ms)

    def unfilled_gaps(self) -> list[tuple[int, int]]:
        """Return the holes between closed candles that the exchange has not confirmed."""
        return [g for g in self.closed().gaps(self.timeframe) if not _within(g, self.absent)]

    def encode(self) -> bytes:
        """Return the JSON bytes: one flat object, one array per column."""
        document: dict[str, Any] = {
            "v": self.v,
            "symbol": self.symbol,
            "timeframe": str(self.timeframe),
            "closed_until_ms": self.closed_until_ms,
            "fetched_at_ms": self.fetched_at_ms,
            "source": self.source,
            "absent": self.absent,
            "begins_ms": self.begins_ms,
        }
        if self.texts is not None and self.texts[0] is self.candles:
            parts = zip(COLUMNS, self.texts[1](), strict=True)
            columns = b",".join(b'"%s":[%s]' % (name.encode(), text) for name, text in parts)
            return b"%s,%s}" % (orjson.dumps(document)[:-1], columns)
        for name in COLUMNS:
            document[name] = np.ascontiguousarray(getattr(self.candles, name))
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)

    @classmethod
    def decode(cls, raw: bytes | str, where: str) -> CandleWindow:
        """Return the window in `raw`.

        Raises:
            BadMessage: A field is missing, of the wrong type, or the candles are impossible.
        """
        document = codec.json_object(raw, where)
        columns = [_column(document, name, where) for name in COLUMNS]
        if len({len(c) for c in columns}) != 1:
            raise BadMessage(where, COLUMNS[0], "columns differ in length")
        for name in ("closed_until_ms", "fetched_at_ms"):
            if type(document.get(name)) is not int:
                raise BadMessage(where, name, "expected a whole number")
        begins_ms = document.get("begins_ms", 0)
        if type(begins_ms) is not int or begins_ms < 0:
            raise BadMessage(where, "begins_ms", "expected a whole number, not negative")
        if document.get("source") not in ("binance", "sim"):
            raise BadMessage(where, "source", "expected 'binance' or 'sim'")
        try:
            timeframe = Timeframe(str(document.get("timeframe")))
        except ValueError:
            raise BadMessage(where, "timeframe", "expected 5m, 1h or 4h") from None
        if type(document.get("symbol")) is not str:
            raise BadMessage(where, "symbol", "expected a text")
        candles = Candles.of(*columns)
        try:
            require(candles, document["symbol"], timeframe)
            absent = tuple((first, end) for first, end in document.get("absent", ()))
            if not all(type(time) is int for gap in absent for time in gap):
                raise ValueError("absent: expected pairs of whole numbers")
        except (BadCandle, TypeError, ValueError) as error:
            raise BadMessage(where, "candles", str(error)) from None
        return cls(
            symbol=document["symbol"],
            timeframe=timeframe,
            candles=candles,
            closed_until_ms=document["closed_until_ms"],
            fetched_at_ms=document["fetched_at_ms"],
            source=document["source"],
            absent=absent,
            begins_ms=begins_ms,
        )


def _within(gap: tuple[int, int], ranges: Iterable[tuple[int, int]]) -> bool:
    return any(start <= gap[0] and gap[1] <= until for start, until in ranges)


def _column(document: dict[str, Any], name: str, where: str) -> np.ndarray[Any, Any]:
    value = document.get(name)
    kinds, dtype = ({int}, np.int64) if name == "open_time_ms" else ({int, float}, np.float64)
    if type(value) is not list:
        raise BadMessage(where, name, "expected a list of numbers")
    if not kinds.issuperset(map(type, value)):
        raise BadMessage(where, name, "expected a list of numbers, found something else in it")
    try:
        return np.array(value, dtype=dtype)
    except OverflowError:
        raise BadMessage(where, name, "a number is too large") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleRow:
    """One candle. Units: epoch ms, quote currency, base currency."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleUpdate:
    """Candles of one coin that changed; a reader that missed one reads the window key.

    `appends`: the closed candles follow the previous window's without a gap, and no others
    changed: a reader with that window need not read the key.
    """

    symbol: str
    timeframe: Timeframe
    candles: list[CandleRow]
    closed_until_ms: int
    at_ms: int
    source: Source
    appends: bool = False
    v: int = 1


ListingState = Literal["announced", "young", "halted", "dead", "delisted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How a coin is listed, if it does not simply trade. A `young` one does.

    Attributes:
        text: In words, the state first.
        since_ms: When a young coin was listed; the close of the last candle of one that no longer
            trades. None if there is none.
    """

    state: ListingState
    text: str
    since_ms: int | None

    @property
    def is_traded(self) -> bool:
        return self.state == "young"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listings:
    """The coins that do not simply trade, by symbol."""

    coins: dict[str, Listing]
    at_ms: int
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Assets:
    """What each symbol stands for, as the exchange lists it: (base asset, quote asset)."""

    pairs: dict[str, tuple[str, str]]
    at_ms: int
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """The exchange forbids requests until `until_ms` (epoch ms).

    Attributes:
        host: The only one concerned, if it refuses our address; "" for the whole exchange.
    """

    until_ms: int
    status: int
    at_ms: int
    host: str = ""
    v: int = 1
