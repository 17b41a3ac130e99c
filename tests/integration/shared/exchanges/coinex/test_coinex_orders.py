"""What is known of an order when the venue hangs, cuts, lies or says no."""

from __future__ import annotations

import socket
from decimal import Decimal
from typing import Any

import pytest

from shared.clock import SystemClock
from shared.errors import OutcomeUnknown, VenueDenied, VenueRefused, VenueUnavailable
from shared.exchanges.coinex.client import CoinExClient
from shared.exchanges.venue import OrderRequest
from tests.support.coinex.faults import FAULTS, GOOD_ORDER, KEYS, ORDER, ORDER_CALLS, outcome
from tests.support.coinex.scripted import (
    CUT,
    HTML_502,
    Answer,
    Asked,
    ScriptedVenue,
    no,
    ok,
    paged,
    venue_client,
)
from tests.support.coinex.wire_rows import (
    order_row,
)


@pytest.mark.parametrize("endpoint", ORDER_CALLS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_order_that_may_have_been_taken_has_an_unknown_outcome_and_is_sent_once(
    scripted: ScriptedVenue, coinex: CoinExClient, endpoint: str, fault: str
) -> None:
    scripted.answer(endpoint, FAULTS[fault], GOOD_ORDER)
    error = await outcome(ORDER_CALLS[endpoint](coinex))
    assert type(error) is OutcomeUnknown
    assert error.client_id == "ours-1"
    assert endpoint in str(error)
    assert scripted.count(endpoint) == 1


async def test_order_taken_before_the_connection_was_cut_is_found_by_its_id(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    taken: list[dict[str, Any]] = []

    def take_and_cut(asked: Asked) -> Answer:
        taken.append(order_row(order_id=7, client_id=asked.fields["client_id"]))
        return CUT

    scripted.answer("futures/order", take_and_cut)
    scripted.answer("futures/pending-order", ok([], has_next=False))
    scripted.answer("futures/finished-order", paged(taken))
    assert type(await outcome(coinex.place_order(ORDER))) is OutcomeUnknown
    (found,) = await coinex.orders_by_client_id("BTCUSDT", "ours-1")
    assert found.order_id == "7"
    assert len(taken) == 1


@pytest.mark.parametrize("endpoint", ORDER_CALLS)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (no(4213), VenueUnavailable),
        (no(4123), VenueUnavailable),
        (Answer(b"slow down", 429), VenueUnavailable),
        (no(4017), VenueUnavailable),
        (no(4010), VenueUnavailable),
        (no(3109), VenueRefused),
        (no(3620), VenueRefused),
        (no(4006), VenueDenied),
        (no(4130), VenueDenied),
    ],
)
async def test_order_surely_not_taken_is_said_so_and_not_sent_again(
    scripted: ScriptedVenue,
    coinex: CoinExClient,
    endpoint: str,
    answer: Answer,
    kind: type[Exception],
) -> None:
    scripted.answer(endpoint, answer, GOOD_ORDER)
    error = await outcome(ORDER_CALLS[endpoint](coinex))
    assert isinstance(error, kind)
    assert not isinstance(error, OutcomeUnknown)
    assert scripted.count(endpoint) == 1


async def test_order_refused_for_its_time_is_not_taken_even_if_the_time_cannot_be_asked(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/order", no(4017), GOOD_ORDER)
    scripted.answer("time", HTML_502)
    error = await outcome(coinex.place_order(ORDER))
    assert isinstance(error, VenueUnavailable)
    assert "4017" in str(error)


async def test_order_refused_for_its_time_leaves_the_clock_right_for_the_next(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/order", GOOD_ORDER)
    scripted.clock = SystemClock(offset_ms=90_000)
    assert isinstance(await outcome(coinex.place_order(ORDER)), VenueUnavailable)
    assert (await coinex.place_order(ORDER)).client_id == "ours-1"


@pytest.mark.parametrize(
    "reply", [order_row(client_id="another"), order_row(client_id=""), order_row(market="ETHUSDT")]
)
async def test_reply_about_another_order_leaves_the_outcome_of_ours_unknown(
    scripted: ScriptedVenue, coinex: CoinExClient, reply: dict[str, Any]
) -> None:
    scripted.answer("futures/order", ok(reply))
    assert type(await outcome(coinex.place_order(ORDER))) is OutcomeUnknown


@pytest.mark.parametrize("endpoint", ORDER_CALLS)
async def test_order_was_not_taken_where_the_connection_is_refused(endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with venue_client(f"http://127.0.0.1:{port}/v2", SystemClock(), KEYS) as client:
        error = await outcome(ORDER_CALLS[endpoint](client))
    assert type(error) is VenueUnavailable
    assert "not reached" in str(error)


async def test_order_was_not_taken_where_no_connection_comes_about_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # fill the queue nobody takes from
        for caller in waiting:
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v2"
        async with venue_client(url, SystemClock(), KEYS, timeout_s=0.4) as client:
            error = await outcome(client.place_order(ORDER))
        for caller in waiting:
            caller.close()
    assert type(error) is VenueUnavailable
    assert "not reached" in str(error)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"client_id": ""}, "client id"),
        ({"client_id": "a" * 33}, "client id"),
        ({"client_id": "a b"}, "client id"),
        ({"size": Decimal(0)}, "size"),
        ({"size": Decimal("NaN")}, "size"),
        ({"price": Decimal(-1)}, "price"),
        ({"price": None}, "price"),
        ({"kind": "market"}, "price"),
    ],
)
async def test_what_is_no_order_is_never_sent(
    scripted: ScriptedVenue, coinex: CoinExClient, bad: dict[str, Any], words: str
) -> None:
    fields = {name: getattr(ORDER, name) for name in OrderRequest.__slots__} | bad
    with pytest.raises(ValueError, match=words):
        await coinex.place_order(OrderRequest(**fields))
    assert not scripted.asked


async def test_body_carries_plain_numbers_and_what_the_call_documents(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/order", ok(order_row()))
    scripted.answer("futures/close-position", ok(order_row()))
    await coinex.place_order(
        OrderRequest(
            symbol="BTCUSDT",
            side="sell",
            kind="limit",
            size=Decimal("1E-8"),
            price=Decimal("6.2E+4"),
            client_id="ours-1",
        )
    )
    await coinex.close_position("BTCUSDT", "ours-1", Decimal("0.50"))
    placed, closed = (asked.fields for asked in scripted.asked)
    assert placed == {
        "market": "BTCUSDT",
        "market_type": "FUTURES",
        "side": "sell",
        "type": "limit",
        "amount": "0.00000001",
        "price": "62000",
        "client_id": "ours-1",
    }
    assert closed == {
        "market": "BTCUSDT",
        "market_type": "FUTURES",
        "type": "market",
        "client_id": "ours-1",
        "amount": "0.50",
    }
