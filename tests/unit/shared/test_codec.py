"""The codec names what is wrong, where it is and what was expected."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest

from shared.codec import decode, encode, from_plain, number
from shared.errors import BadMessage
from shared.market import Candles, Timeframe
from shared.messages.candles import Ban, CandleUpdate, CandleWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    price: float
    side: Literal["long", "short"] = "long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    name: str
    count: int
    flag: bool
    legs: list[Leg]
    pair: tuple[int, str]
    named: dict[str, float]
    perhaps: float | None
    anything: Any = None
    more: dict[str, int] = field(default_factory=dict)


GOOD: dict[str, Any] = {
    "name": "n",
    "count": 1,
    "flag": True,
    "legs": [{"price": 1.5, "side": "short"}],
    "pair": [1, "a"],
    "named": {"x": 1},
    "perhaps": None,
}


def test_good_document_becomes_the_message() -> None:
    assert from_plain(Sample, GOOD, "here") == Sample(
        name="n",
        count=1,
        flag=True,
        legs=[Leg(price=1.5, side="short")],
        pair=(1, "a"),
        named={"x": 1.0},
        perhaps=None,
    )


@pytest.mark.parametrize(
    ("change", "path", "why"),
    [
        ({"name": 5}, "name", "expected a text, found 5"),
        ({"count": 1.0}, "count", "expected a whole number, found 1.0"),
        ({"count": True}, "count", "expected a whole number, found True"),
        ({"count": "1"}, "count", "expected a whole number, found '1'"),
        ({"flag": 1}, "flag", "expected true or false, found 1"),
        ({"legs": {}}, "legs", "expected a list, found {}"),
        ({"legs": [{"price": "1"}]}, "legs[0].price", "expected a number, found '1'"),
        ({"legs": [{"price": True}]}, "legs[0].price", "expected a number, found True"),
        ({"legs": [{"price": math.nan}]}, "legs[0].price", "expected a finite number, found nan"),
        ({"legs": [{"price": math.inf}]}, "legs[0].price", "expected a finite number, found inf"),
        ({"legs": [{"price": None}]}, "legs[0].price", "expected a number, found None"),
        ({"legs": [{}]}, "legs[0].price", "missing"),
        (
            {"legs": [{"price": 1, "side": "up"}]},
            "legs[0].side",
            "expected one of 'long', 'short', found 'up'",
        ),
        ({"legs": [[]]}, "legs[0]", "expected an object, found []"),
        ({"pair": [1]}, "pair", "expected 2 values, found [1]"),
        ({"pair": [1, 2]}, "pair[1]", "expected a text, found 2"),
        ({"named": []}, "named", "expected an object, found []"),
        ({"named": {"x": None}}, "named.x", "expected a number, found None"),
        ({"perhaps": "x"}, "perhaps", "expected a number, found 'x'"),
        ({"more": {"a": 1.5}}, "more.a", "expected a whole number, found 1.5"),
    ],
)
def test_fault_is_named_with_path_finding_and_expectation(
    change: dict[str, Any], path: str, why: str
) -> None:
    with pytest.raises(BadMessage) as caught:
        from_plain(Sample, GOOD | change, "the:key")
    assert (caught.value.where, caught.value.field, caught.value.why) == ("the:key", path, why)


@pytest.mark.parametrize("name", GOOD)
def test_missing_field_is_named(name: str) -> None:
    document = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(BadMessage, match=f"^the:key: {name}: missing$"):
        from_plain(Sample, document, "the:key")


def test_long_finding_is_cut() -> None:
    with pytest.raises(BadMessage) as caught:
        from_plain(Sample, GOOD | {"count": "x" * 500}, "here")
    assert len(caught.value.why) < 120


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"NaN", b'{"a": Infinity}', "ü{"])
def test_what_is_not_json_is_a_bad_message(raw: bytes | str) -> None:
    with pytest.raises(BadMessage, match="not JSON"):
        decode(Ban, raw, "here")


def test_numbers_too_large_for_a_float_are_refused() -> None:
    @dataclass(frozen=True)
    class One:
        value: float

    for raw in (b'{"value": 1e999}', b'{"value": ' + b"9" * 400 + b"}"):
        with pytest.raises(BadMessage):
            decode(One, raw, "here")


def test_type_the_codec_cannot_check_is_a_bug_not_a_bad_message() -> None:
    @dataclass(frozen=True)
    class Strange:
        value: bytes

    with pytest.raises(TypeError, match="messages may not hold"):
        from_plain(Strange, {"value": ""}, "here")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (0, 0.0), (math.nan, None), (math.inf, None), (-math.inf, None)],
)
def test_number_turns_what_is_not_available_into_none(value: float, expected: float | None) -> None:
    assert number(value) == expected


def test_encode_is_plain_json() -> None:
    assert encode(Ban(until_ms=1, status=418, at_ms=2)) == (
        b'{"until_ms":1,"status":418,"at_ms":2,"host":"","v":1}'
    )


BASE_MS = 1_700_006_400_000


def window_document(**change: Any) -> bytes:
    ones = np.ones(3)
    window = CandleWindow(
        symbol="BTCUSDT",
        timeframe=Timeframe.M5,
        candles=Candles.of(BASE_MS + np.arange(3) * 300_000, ones, ones, ones, ones, ones),
        closed_until_ms=BASE_MS + 600_000,
        fetched_at_ms=BASE_MS + 700_000,
        source="sim",
    )
    return encode(
        from_plain(dict[str, Any], decode(dict[str, Any], window.encode(), ""), "") | change
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"open": None}, "open: expected a list of numbers"),
        ({"open_time_ms": [0, 300_000, 2**63]}, "open_time_ms: a number is too large"),
        ({"open": [1, 2]}, "columns differ in length"),
        ({"open": [1, "2", 3]}, "open: expected a list of numbers"),
        ({"open": [1, None, 3]}, "open: expected a list of numbers"),
        ({"open": [1, [2], 3]}, "open: expected a list of numbers"),
        ({"open": [[1], [2], [3]]}, "open: expected a list of numbers"),
        ({"open": [1, True, 1]}, "open: expected a list of numbers"),
        ({"open_time_ms": [0.0, 300_000.0, 600_000.0]}, "open_time_ms: expected a list of"),
        (
            {"open_time_ms": [BASE_MS, BASE_MS + 600_000, BASE_MS + 300_000]},
            "open time not after the row before",
        ),
        (
            {"open_time_ms": [BASE_MS, BASE_MS + 300_001, BASE_MS + 600_000]},
            "not on the timeframe's grid",
        ),
        ({"open_time_ms": [0, 300_000, 600_000]}, "open time not between 2009 and 2100"),
        ({"open_time_ms": [BASE_MS * 1000] * 3}, "open time in microseconds"),
        ({"begins_ms": -1}, "begins_ms: expected a whole number"),
        ({"begins_ms": 1.5}, "begins_ms: expected a whole number"),
        ({"high": [0.5, 1, 1]}, "high below open, close or low"),
        ({"high": [2, 2, 2], "low": [1, 1, 1.5]}, "low above open, close or high"),
        ({"close": [1, 0, 1]}, "price not finite and above 0"),
        ({"volume": [1, -1, 1]}, "volume not finite or negative"),
        ({"timeframe": "7m"}, "timeframe: expected 5m, 1h or 4h"),
        ({"timeframe": None}, "timeframe: expected 5m, 1h or 4h"),
        ({"closed_until_ms": "x"}, "closed_until_ms: expected a whole number"),
        ({"fetched_at_ms": None}, "fetched_at_ms: expected a whole number"),
        ({"source": "kraken"}, "source: expected 'binance' or 'sim'"),
        ({"symbol": 5}, "symbol: expected a text"),
        ({"absent": [[1]]}, "candles: "),
        ({"absent": None}, "candles: "),
        ({"absent": [[1e308, 2]]}, "absent: expected pairs of whole numbers"),
    ],
)
def test_impossible_candle_window_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadMessage) as caught:
        CandleWindow.decode(window_document(**change), "the:key")
    assert why in str(caught.value)


@pytest.mark.parametrize("raw", [b"[]", b"5", b"{", b"null"])
def test_candle_window_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        CandleWindow.decode(raw, "the:key")


def test_decimals_travel_as_texts_to_the_last_digit() -> None:
    @dataclass(frozen=True)
    class Money:
        amount: Decimal
        perhaps: Decimal | None

    money = Money(Decimal("0.10000000000000000000000000001"), None)
    assert decode(Money, encode(money), "key") == money


@pytest.mark.parametrize("value", ["ten", "NaN", "Infinity", 1, 1.5, True, None])
def test_what_is_no_finite_decimal_text_is_refused(value: Any) -> None:
    @dataclass(frozen=True)
    class Money:
        amount: Decimal

    with pytest.raises(BadMessage, match="amount: expected a decimal number as text"):
        from_plain(Money, {"amount": value}, "key")


def test_a_candle_update_has_one_of_our_timeframes() -> None:
    update = CandleUpdate(
        symbol="BTCUSDT", timeframe=Timeframe.H1, candles=[], closed_until_ms=1, at_ms=1,
        source="sim",
    )  # fmt: skip
    again = decode(CandleUpdate, encode(update), "market:candles:BTCUSDT")
    assert again == update
    assert again.timeframe is Timeframe.H1
    for wrong in (b'"7m"', b'""', b"null", b'["1h"]', b"5"):
        raw = encode(update).replace(b'"1h"', wrong)
        with pytest.raises(BadMessage, match="timeframe: expected 5m or 1h or 4h, found "):
            decode(CandleUpdate, raw, "market:candles:BTCUSDT")
