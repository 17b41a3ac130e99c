"""Parses CoinEx's objects into the types of `shared/exchanges/venue.py`.

Numbers are strings on this wire and become exact `Decimal`; optional ones are `"0"` or `""` for
none. Errors name endpoint and field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

from shared.clock import LATEST_MS
from shared.decimals import decimal_of
from shared.errors import VenueUnavailable
from shared.exchanges.excerpts import excerpt_of
from shared.exchanges.venue import (
    AccountBalance,
    BookLevel,
    EndedPosition,
    Fill,
    Funding,
    MarketRule,
    OpenPosition,
    OrderBook,
    OrderKind,
    OrderSide,
    OrderState,
    PlacedOrder,
    Role,
    Ticker,
    VenueEnd,
)
from shared.messages.trading import TradeSide

MOST_PLACES = 18
MOST_WHOLE = 2**63
LONGEST_TEXT = 100
ENDS: Mapping[str, VenueEnd] = {
    "stop_loss": "stop", "take_profit": "target", "liq": "liquidation", "adl": "deleveraging"
}  # fmt: skip
_MISSING = object()


class Unreadable(VenueUnavailable):
    """No reply, or one that leaves open whether the request was carried out."""


class Row:
    """One object of a reply, read field by field.

    Args:
        document: The parsed JSON.
        endpoint, path: For errors; `path` is the position in the reply.

    Raises:
        Unreadable: It is no object; every method: the field is missing or invalid.
    """

    def __init__(self, document: Any, endpoint: str, path: str) -> None:
        self._endpoint, self._path = endpoint, path
        if type(document) is not dict:
            raise self._fault(path, "an object", document)
        self._fields = document

    def has(self, name: str) -> bool:
        """Return whether the field is present and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str) -> str:
        text = self._typed(name, str, "a text")
        fits = len(text) <= LONGEST_TEXT and text.isprintable()
        return text if fits else self._wrong(name, f"at most {LONGEST_TEXT} printable characters")

    def market(self) -> str:
        """Return the market's name; some replies have a blank before it."""
        name = self.text("market").strip()
        return name if name else self._wrong("market", "the name of a market")

    def flag(self, name: str) -> bool:
        return self._typed(name, bool, "true or false")

    def whole(self, name: str) -> int:
        number = self._typed(name, int, "a whole number")
        fits = -MOST_WHOLE < number < MOST_WHOLE
        return number if fits else self._wrong(name, "a whole number of 64 bits")

    def id(self, name: str) -> str:
        """Return a whole number that is an id, as text."""
        return str(self.whole(name))

    def id_or_none(self, name: str) -> str | None:
        """Return an id; None if 0 or missing."""
        return str(self.whole(name) or "") or None if self.has(name) else None

    def time_ms(self, name: str) -> int:
        """Return a time in epoch ms; some replies have 0 for none."""
        time_ms = self.whole(name)
        return time_ms if 0 <= time_ms < LATEST_MS else self._wrong(name, "a time in epoch ms")

    def time_ms_or_none(self, name: str) -> int | None:
        """Return a time; None if 0 or missing."""
        return (self.time_ms(name) or None) if self.has(name) else None

    def places(self, name: str) -> int:
        """Return a number of decimal places, 0 to 18."""
        places = self.whole(name)
        known = 0 <= places <= MOST_PLACES
        return places if known else self._wrong(name, "0 to 18 decimal places")

    def leverage(self, name: str = "leverage") -> int:
        """Return a leverage, which is a string in some replies and a number in others."""
        value = self._fields.get(name)
        if type(value) is str and re.fullmatch(r"[1-9][0-9]{0,3}", value):
            return int(value)
        known = type(value) is int and 1 <= value <= 9999
        return value if known else self._wrong(name, "a leverage")  # type: ignore[return-value]

    def decimal(self, name: str) -> Decimal:
        return self._number(name, self.text(name))

    def amount(self, name: str) -> Decimal:
        """Return a number that must not be negative."""
        number = self.decimal(name)
        return number if number >= 0 else self._wrong(name, "a number from 0 up")

    def positive(self, name: str) -> Decimal:
        """Return a number that must be above 0."""
        number = self.decimal(name)
        return number if number > 0 else self._wrong(name, "a number above 0")

    def amount_or_none(self, name: str) -> Decimal | None:
        """Return a number; None if 0, empty or missing."""
        present = self.has(name) and self.text(name) != ""
        return (self.amount(name) or None) if present else None

    def one_of[T: str](self, name: str, choices: Sequence[T]) -> T:
        word = self.text(name)
        found = next((choice for choice in choices if choice == word), None)
        return found if found is not None else self._wrong(name, f"one of {', '.join(choices)}")

    def row(self, name: str) -> Row:
        return Row(self._fields.get(name), self._endpoint, f"{self._path}.{name}")

    def rows(self, name: str) -> list[Row]:
        """Return a list of objects; empty if missing."""
        found = self._fields.get(name)
        return [] if found is None else rows_of(found, self._endpoint, f"{self._path}.{name}")

    def texts(self, name: str) -> list[str]:
        found = self._typed(name, list, "a list")
        known = all(type(text) is str for text in found)
        return found if known else self._wrong(name, "a list of texts")

    def levels(self, name: str) -> tuple[BookLevel, ...]:
        """Return one side of a book: a list of pairs of price and size."""
        found = self._typed(name, list, "a list")
        for pair in found:
            if type(pair) is not list or len(pair) != 2 or not all(type(x) is str for x in pair):
                self._wrong(name, "pairs of price and size")
        levels = tuple(
            BookLevel(price=self._number(name, price), size=self._number(name, size))
            for price, size in found
        )
        if any(level.price <= 0 or level.size <= 0 for level in levels):
            self._wrong(name, "prices and sizes above 0")
        return levels

    def _number(self, name: str, text: str) -> Decimal:
        number = decimal_of(text, exponent=True)
        return self._wrong(name, "a number in a text") if number is None else number

    def _typed[T](self, name: str, kind: type[T], word: str) -> T:
        value = self._fields.get(name)
        return value if type(value) is kind else self._wrong(name, word)

    def _wrong(self, name: str, word: str) -> Any:
        found = self._fields.get(name, _MISSING)
        raise self._fault(f"{self._path}.{name}", word, found)

    def _fault(self, path: str, word: str, found: object) -> Unreadable:
        if found is _MISSING:
            return Unreadable(f"{self._endpoint}: {path}: missing, expected {word}")
        return Unreadable(f"{self._endpoint}: {path}: expected {word}, found {excerpt_of(found)}")


def rows_of(document: Any, endpoint: str, path: str) -> list[Row]:
    """Return the objects of a list; raise Unreadable if it is none."""
    if type(document) is not list:
        raise Unreadable(f"{endpoint}: {path}: expected a list, found {type(document).__name__}")
    return [Row(entry, endpoint, f"{path}[{i}]") for i, entry in enumerate(document)]


def market_rule(row: Row) -> MarketRule:
    """Parse a market; the format of 2024, without tick size and status, is accepted, too."""
    tick = row.amount_or_none("tick_size")
    switches = ("is_market_available", "is_api_trading_available")
    return MarketRule(
        symbol=row.market(),
        min_size=row.positive("min_amount"),
        size_step=Decimal(1).scaleb(-row.places("base_ccy_precision")),
        tick=tick or Decimal(1).scaleb(-row.places("quote_ccy_precision")),
        maker_fee=row.decimal("maker_fee_rate"),
        taker_fee=row.decimal("taker_fee_rate"),
        leverages=_leverages(row),
        min_value=None,
        available=all(row.flag(name) for name in switches if row.has(name))
        and (not row.has("status") or row.text("status") == "online"),
    )


def is_linear(row: Row) -> bool:
    """Return whether sizes of this market are in its base currency, as `Venue` has them."""
    return not row.has("contract_type") or row.text("contract_type") == "linear"


def ticker(row: Row) -> Ticker:
    return Ticker(
        symbol=row.market(),
        last=row.amount("last"),
        mark=row.amount("mark_price"),
        index=row.amount("index_price"),
    )


def book(row: Row) -> OrderBook:
    """Parse an order book, best price first on both sides."""
    depth = row.row("depth")
    bids, asks = depth.levels("bids"), depth.levels("asks")
    return OrderBook(
        symbol=row.market(),
        bids=tuple(sorted(bids, key=lambda level: level.price, reverse=True)),
        asks=tuple(sorted(asks, key=lambda level: level.price)),
        updated_ms=depth.time_ms_or_none("updated_at"),
    )


def funding(row: Row) -> Funding:
    return Funding(
        symbol=row.market(),
        latest_rate=row.decimal("latest_funding_rate"),
        latest_ms=row.time_ms_or_none("latest_funding_time"),
        next_rate=row.decimal("next_funding_rate"),
        next_ms=row.time_ms_or_none("next_funding_time"),
    )


def balance(row: Row) -> AccountBalance:
    return AccountBalance(
        currency=row.text("ccy"),
        available=row.decimal("available"),
        frozen=row.decimal("frozen"),
        margin=row.decimal("margin"),
        unrealized_pnl=row.decimal("unrealized_pnl"),
    )


def open_position(row: Row) -> OpenPosition:
    """Parse an open position. Stops and targets of a part of it are ignored."""
    size = row.amount("open_interest")
    return OpenPosition(
        position_id=row.id("position_id"),
        symbol=row.market(),
        side=row.one_of("side", get_args(TradeSide)),
        size=size,
        entry_price=row.positive("avg_entry_price"),
        leverage=row.leverage(),
        margin_mode=row.one_of("margin_mode", ("isolated", "cross")),
        margin=row.decimal("margin_avbl"),
        unrealized_pnl=row.decimal("unrealized_pnl"),
        realized_pnl=row.decimal("realized_pnl"),
        stop_loss=_trigger(row, "stop_loss", size),
        take_profit=_trigger(row, "take_profit", size),
        liquidation_price=row.amount_or_none("liq_price"),
        opened_ms=row.time_ms("created_at"),
        updated_ms=row.time_ms("updated_at"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPosition:
    """A position that ended, of whichever market."""

    position_id: str
    symbol: str
    opened_ms: int
    end: EndedPosition


def finished_position(row: Row) -> FinishedPosition:
    return FinishedPosition(
        position_id=row.id("position_id"),
        symbol=row.market(),
        opened_ms=row.time_ms("created_at"),
        end=EndedPosition(
            realized_pnl=row.decimal("realized_pnl"),
            fees=None,
            funding=None,
            closed_ms=row.time_ms("updated_at"),
            by=ENDS.get(row.text("finished_type")),
            how=row.text("finished_type"),
        ),
    )


def placed_order(row: Row) -> PlacedOrder:
    """Parse an order; without a state in the reply it is no more than accepted."""
    return PlacedOrder(
        order_id=row.id("order_id"),
        client_id=row.text("client_id") if row.has("client_id") else "",
        symbol=row.market(),
        side=row.one_of("side", get_args(OrderSide)),
        kind=row.one_of("type", get_args(OrderKind)),
        size=row.positive("amount"),
        price=row.amount_or_none("price"),
        filled_size=row.amount("filled_amount"),
        filled_value=row.amount("filled_value"),
        fee=row.decimal("fee"),
        fee_currency=row.text("fee_ccy"),
        state=row.one_of("status", get_args(OrderState)) if row.has("status") else "accepted",
        created_ms=row.time_ms("created_at"),
        updated_ms=row.time_ms("updated_at"),
    )


def fill(row: Row) -> Fill:
    """Parse a fill; replies of 2024 have neither role nor fee nor position."""
    present = row.has("fee")
    return Fill(
        fill_id=row.id("deal_id"),
        order_id=row.id("order_id"),
        position_id=row.id_or_none("position_id"),
        symbol=row.market(),
        side=row.one_of("side", get_args(OrderSide)),
        price=row.positive("price"),
        size=row.positive("amount"),
        role=row.one_of("role", get_args(Role)) if row.has("role") else None,
        fee=row.decimal("fee") if present else Decimal(0),
        fee_currency=row.text("fee_ccy") if present else "",
        at_ms=row.time_ms("created_at"),
    )


def _trigger(row: Row, kind: str, size: Decimal) -> Decimal | None:
    entries = row.rows(f"{kind}_list")
    if not entries:
        return row.amount_or_none(f"{kind}_price")
    whole = (e for e in entries if (e.has("is_all") and e.flag("is_all")) or _covers(e, size))
    return next((entry.positive("price") for entry in whole), None)


def _covers(entry: Row, size: Decimal) -> bool:
    amount = entry.amount_or_none("amount")
    return amount is not None and amount >= size


def _leverages(row: Row) -> tuple[int, ...]:
    texts = row.texts("leverage")
    if not all(re.fullmatch(r"[1-9][0-9]{0,3}", text) for text in texts):
        raise Unreadable(
            f"leverages of {row.market()}: expected whole numbers, found {excerpt_of(texts)}"
        )
    return tuple(sorted(map(int, texts)))
