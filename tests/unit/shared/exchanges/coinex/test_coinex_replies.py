"""What each answer of CoinEx means: carried out, refused, denied, to be asked again, unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from shared.errors import VenueDenied, VenueRefused, VenueUnavailable
from shared.exchanges.coinex import rows as read
from shared.exchanges.coinex.replies import Expired, TooMany, read_reply
from shared.exchanges.coinex.rows import Row, Unreadable
from tests.support.coinex.wire_rows import market_row, order_row, position_row


def envelope(code: int, data: Any = None, message: str = "words") -> bytes:
    return orjson.dumps({"code": code, "data": data, "message": message})


def answer(code: int, status: int = 200) -> Exception:
    with pytest.raises((VenueUnavailable, VenueRefused)) as caught:
        read_reply("futures/order", status, envelope(code, {}))
    return caught.value


MEANINGS: list[tuple[type[Exception], list[int]]] = [
    (Unreadable, [3008, 4001, 4002, 4003]),
    (TooMany, [4123, 4213]),
    (Expired, [4010, 4017]),
    (VenueDenied, [4005, 4006, 4007, 4008, 4011, 4115, 4117, 4130, 4158, 4159, 4512]),
    (VenueRefused, [3109, 3127, 3157, 3600, 3606, 3610, 3612, 3613, 3614, 3620, 3621, 3622, 3638,
                    3639, 4004, 4009, 77777]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind, codes in MEANINGS for code in codes]
)
def test_code_has_its_one_meaning_and_error_names_endpoint_code_and_words(
    kind: type[Exception], code: int
) -> None:
    error = answer(code)
    assert type(error) is kind
    for part in ("futures/order", str(code), "words"):
        assert part in str(error)
    assert getattr(error, "code", code) == code


def test_only_refusals_for_rate_and_time_are_surely_not_carried_out_and_transient() -> None:
    assert not issubclass(TooMany, Unreadable)
    assert not issubclass(Expired, Unreadable)
    assert issubclass(TooMany, VenueUnavailable)
    assert issubclass(Expired, VenueUnavailable)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (502, b"<html>\n<b>Bad Gateway</b></html>", "a fault: a web page, 'Bad Gateway'"),
        (200, b"<html>hello</html>", "HTTP 200, the body is no reply of the API"),
        (200, b"", "an empty body"),
        (200, b'{"code":0,"da', "no reply"),
        (200, b"[]", "no reply"),
        (200, b"null", "no reply"),
        (200, b'{"data":{}}', "no reply"),
        (200, b'{"code":"0","data":{}}', "no reply"),
        (200, b'{"code":false,"data":{}}', "no reply"),
        (200, b'{"code":0.0,"data":{}}', "no reply"),
        (200, b'{"code":0,"message":"OK"}', "data: missing"),
        (200, b'{"code":0,"data":NaN}', "no reply"),
        (200, b"\xff\xfe", "no reply"),
        (500, envelope(0, {}), "HTTP 500, the venue has a fault"),
        (503, envelope(3109, {}), "HTTP 503, the venue has a fault"),
        (404, envelope(0, {}), "HTTP 404, not as documented"),
        (302, b"", "a redirect, which is never followed"),
        (403, b"<html>blocked</html>", "refused before the API saw it"),
    ],
)
def test_what_is_no_reply_of_the_api_leaves_open_whether_it_was_carried_out(
    status: int, body: bytes, words: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        read_reply("futures/order", status, body)
    assert "futures/order: " in str(caught.value)
    assert words in str(caught.value)


def test_gateway_that_says_too_many_did_not_pass_it_on() -> None:
    with pytest.raises(TooMany):
        read_reply("futures/order", 429, b"<html>slow down</html>")


def test_words_of_the_venue_are_one_short_line() -> None:
    with pytest.raises(VenueRefused) as caught:
        read_reply("x", 200, envelope(3109, {}, "a\n" * 5000))
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_access_id_sent_back_is_hidden_from_every_error() -> None:
    def hide(text: str) -> str:
        return text.replace("AN-ID", "hidden")

    for status, body in ((200, envelope(4005, {}, "no AN-ID")), (502, b"no AN-ID")):
        with pytest.raises((VenueDenied, Unreadable), match="no hidden"):
            read_reply("x", status, body, hide)


def test_list_without_pagination_is_not_taken_for_a_whole_one() -> None:
    reply = read_reply("futures/pending-position", 200, envelope(0, []))
    with pytest.raises(Unreadable, match="futures/pending-position: pagination: expected"):
        reply.has_next()


def row(**fields: Any) -> Row:
    return Row(fields, "endpoint", "data")


NO_NUMBERS: list[object] = [
    *(1, 1.5, None, True, [], {}),
    *("", "NaN", "Infinity", "-Infinity", "1_000", " 1", "1 ", "0x10", "1,5", "١", "1e400"),
]


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_what_is_no_number_in_a_text_is_named_by_endpoint_and_field(bad: Any) -> None:
    with pytest.raises(Unreadable, match=r"^endpoint: data\.price: expected a (number|text)"):
        row(price=bad).decimal("price")


def test_missing_field_is_called_missing() -> None:
    with pytest.raises(Unreadable, match=r"^endpoint: data\.price: missing, expected a text$"):
        row().decimal("price")


@pytest.mark.parametrize("none", ["0", "", "0.00", None])
def test_zero_and_empty_are_both_none_where_there_may_be_none(none: str | None) -> None:
    assert row(liq_price=none).amount_or_none("liq_price") is None
    position = read.open_position(
        Row(
            position_row(
                take_profit_price=none, stop_loss_price=none, liq_price=none, stop_loss_list=[]
            ),
            "endpoint",
            "data",
        )
    )
    assert (position.stop_loss, position.take_profit, position.liquidation_price) == (None,) * 3
    assert read.placed_order(Row(order_row(price=none), "e", "d")).price is None


def test_numbers_are_kept_to_the_digit() -> None:
    text = "30852.82412060301507579316"
    assert row(liq_price=text).amount_or_none("liq_price") == Decimal(text)


@pytest.mark.parametrize(
    ("entries", "stop"),
    [
        ([], Decimal("60000")),
        ([{"price": "61000", "amount": "0", "is_all": True}], Decimal("61000")),
        ([{"price": "61000", "amount": "0.5", "is_all": False}], Decimal("61000")),
        ([{"price": "61000", "amount": "0.2", "is_all": False}], None),
    ],
)
def test_stop_of_a_part_is_no_stop_of_the_position(entries: list[Any], stop: Decimal) -> None:
    fields = position_row(open_interest="0.5", stop_loss_price="60000", stop_loss_list=entries)
    assert read.open_position(Row(fields, "e", "d")).stop_loss == stop


def market(**fields: Any) -> Any:
    return read.market_rule(Row(market_row(**fields), "futures/market", "data[0]"))


def test_market_of_2024_gets_its_tick_from_its_precision() -> None:
    fields = market_row()
    for name in ("tick_size", "status", "is_market_available"):
        del fields[name]
    rule = read.market_rule(Row(fields, "futures/market", "data[0]"))
    assert (rule.size_step, rule.tick) == (Decimal("0.0001"), Decimal("0.01"))
    assert rule.available


@pytest.mark.parametrize(
    "closed",
    [
        {"is_market_available": False},
        {"is_api_trading_available": False},
        {"status": "bidding"},
    ],
)
def test_market_that_says_it_is_closed_is_not_available(closed: dict[str, Any]) -> None:
    assert market().available
    assert not market(**closed).available


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("base_ccy_precision", 19),
        ("base_ccy_precision", -1),
        ("base_ccy_precision", "4"),
        ("min_amount", "0"),
        ("min_amount", 0.0001),
        ("tick_size", "-1"),
        ("leverage", ["1", "x"]),
        ("leverage", [1, 2]),
        ("leverage", "100"),
        ("is_market_available", "true"),
        ("market", " "),
    ],
)
def test_market_that_cannot_be_true_is_refused_by_field(field: str, bad: Any) -> None:
    with pytest.raises(Unreadable, match=field):
        market(**{field: bad})


def test_leverages_ascend() -> None:
    assert market(leverage=["50", "3", "10"]).leverages == (3, 10, 50)


def test_book_is_best_price_first_whatever_the_order_sent() -> None:
    depth = {"bids": [["1", "1"], ["3", "1"]], "asks": [["9", "1"], ["4", "2"]], "updated_at": 0}
    book = read.book(row(market="BTCUSDT", depth=depth))
    assert [level.price for level in book.bids] == [3, 1]
    assert [level.price for level in book.asks] == [4, 9]
    assert book.updated_ms is None


@pytest.mark.parametrize("level", [["1"], ["1", "2", "3"], ["0", "1"], ["1", "-1"], [1, 2], "12"])
def test_book_level_that_is_no_pair_of_price_and_size_is_refused(level: Any) -> None:
    depth = {"bids": [level], "asks": [], "updated_at": 1}
    with pytest.raises(Unreadable, match=r"data\.depth\.bids"):
        read.book(row(market="BTCUSDT", depth=depth))
