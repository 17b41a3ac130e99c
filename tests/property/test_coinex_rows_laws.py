"""Laws of the venue's wire: numbers go out and come back to the digit; nonsense is called so."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import VenueRefused, VenueUnavailable
from shared.exchanges.coinex import rows as read
from shared.exchanges.coinex.client import number_text
from shared.exchanges.coinex.replies import read_reply
from shared.exchanges.coinex.rows import Row, Unreadable
from tests.support.coinex.wire_rows import deal_row, market_row, order_row, position_row, ticker_row
from tests.support.message_strategies import JSON

PRICES: st.SearchStrategy[Decimal] = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(1, 10**18),
    st.integers(-18, 6),
)


@given(number=PRICES)
def test_number_sent_is_plain_and_reads_back_the_same(number: Decimal) -> None:
    text = number_text("price", number)
    assert set(text) <= set("0123456789.")
    assert Row({"price": text}, "endpoint", "data").positive("price") == number


@given(text=st.text(max_size=12))
def test_text_is_a_number_to_us_only_if_it_is_a_finite_one(text: str) -> None:
    row = Row({"price": text}, "endpoint", "data")
    try:
        number = row.decimal("price")
    except Unreadable:
        return
    assert number.is_finite()
    assert number == Decimal(text)


SHAPES: list[tuple[Callable[[Row], Any], Callable[..., dict[str, Any]]]] = [
    (read.market_rule, market_row),
    (read.ticker, ticker_row),
    (read.open_position, position_row),
    (read.placed_order, order_row),
    (read.fill, deal_row),
]


@pytest.mark.parametrize(("parse", "shape"), SHAPES)
@given(chance=st.data())
def test_any_field_may_be_anything_and_is_read_or_called_unreadable(
    parse: Callable[[Row], Any], shape: Callable[..., dict[str, Any]], chance: st.DataObject
) -> None:
    fields = shape()
    name = chance.draw(st.sampled_from(sorted(fields)))
    fields[name] = chance.draw(JSON)
    try:
        parse(Row(fields, "endpoint", "data"))
    except Unreadable as error:
        assert name in str(error)


@given(document=JSON, status=st.sampled_from([200, 200, 200, 404, 500]))
def test_any_body_is_a_reply_or_an_error_of_the_venue(document: Any, status: int) -> None:
    try:
        read_reply("endpoint", status, orjson.dumps(document))
    except (VenueUnavailable, VenueRefused) as error:
        assert "endpoint" in str(error)
