"""What the client does when the venue fails, what it signs, and what it never shows."""

from __future__ import annotations

import asyncio
import logging
import traceback
from decimal import Decimal

import pytest
from aiohttp import web

from shared.clock import SystemClock
from shared.errors import ConfigError, VenueUnavailable
from shared.exchanges.coinex.client import CoinExClient
from tests.support.coinex.faults import FAULTS, KEYS, ORDER, outcome
from tests.support.coinex.scripted import (
    ACCESS_ID,
    SECRET,
    Answer,
    ScriptedVenue,
    no,
    ok,
    scripted_venue,
    venue_client,
)
from tests.support.coinex.wire_rows import (
    order_row,
    position_row,
)
from tests.support.exchange import served
from tests.support.manual_clock import ManualClock
from tests.support.waiting import eventually


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "sends a wrong type"])
async def test_call_that_fails_names_the_endpoint_and_the_next_one_works(
    scripted: ScriptedVenue, coinex: CoinExClient, fault: str
) -> None:
    good = ok([position_row()], has_next=False)
    scripted.answer("futures/pending-position", FAULTS[fault])
    error = await outcome(coinex.positions())
    assert isinstance(error, VenueUnavailable)
    assert "futures/pending-position" in str(error)
    scripted.answer("futures/pending-position", good)
    assert len(await coinex.positions()) == 1


async def test_field_of_a_wrong_type_is_named(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    rows = [position_row(), position_row(position_id=2, liq_price=1.5)]
    scripted.answer("futures/pending-position", ok(rows, has_next=False))
    error = await outcome(coinex.positions())
    assert str(error) == (
        "futures/pending-position: data[1].liq_price: expected a text, found 1.5"
    )  # fmt: skip


async def test_read_that_expired_is_repeated_once_after_a_look_at_the_clock(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/pending-position", ok([position_row()], has_next=False))
    scripted.clock = SystemClock(offset_ms=90_000)
    assert len(await coinex.positions()) == 1
    assert (scripted.count("futures/pending-position"), scripted.count("time")) == (2, 1)
    assert abs(coinex.now_ms() - scripted.clock.now_ms()) < 2000


async def test_read_that_goes_on_expiring_is_given_up_after_the_second_try(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("assets/futures/balance", no(4010, "expired"))
    error = await outcome(coinex.balance())
    assert isinstance(error, VenueUnavailable)
    assert "clock" in str(error)
    assert scripted.count("assets/futures/balance") == 2


async def test_time_call_that_expires_does_not_ask_for_the_time(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("time", no(4010))
    assert isinstance(await outcome(coinex.server_time()), VenueUnavailable)
    assert scripted.count("time") == 1


async def test_stop_that_expired_is_set_at_the_second_try(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer(
        "futures/set-position-stop-loss", no(4017), ok(position_row(stop_loss_price="61000"))
    )
    assert (await coinex.set_stop_loss("BTCUSDT", Decimal(61000))).stop_loss == 61000
    assert scripted.asked[-1].fields == {
        "market": "BTCUSDT",
        "market_type": "FUTURES",
        "stop_loss_type": "mark_price",
        "stop_loss_price": "61000",
    }


@pytest.mark.parametrize("symbol", ["BTCUSDT", "A B+/é,%41&x=1#f", "%2F", "?", "ü"])
async def test_query_is_signed_as_it_is_sent_whatever_it_holds(
    scripted: ScriptedVenue, coinex: CoinExClient, symbol: str
) -> None:
    """The scripted venue checks the signature over the line it received."""
    scripted.answer("futures/order-status", ok(order_row()))
    await coinex.order_status(symbol, "1")
    assert scripted.asked[0].query["market"] == symbol


async def test_signed_requests_carry_the_window_and_public_ones_no_keys(
    scripted: ScriptedVenue,
) -> None:
    scripted.answer("assets/futures/balance", ok([]))
    async with venue_client(scripted.url, SystemClock(), KEYS, window_ms=7000) as client:
        await client.server_time()
        await client.balance()
    public, signed = (asked.headers for asked in scripted.asked)
    assert not [name for name in public if name.upper().startswith("X-COINEX")]
    assert signed["X-COINEX-WINDOWTIME"] == "7000"
    assert signed["X-COINEX-SIGN"] == signed["X-COINEX-SIGN"].lower()


async def test_keys_follow_no_redirect(scripted: ScriptedVenue, coinex: CoinExClient) -> None:
    elsewhere: list[str] = []

    async def note(request: web.Request) -> web.Response:
        elsewhere.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    async with served(app) as url:
        scripted.answer("assets/futures/balance", Answer(b"", 307, {"Location": f"{url}/v2/x"}))
        assert "redirect" in str(await outcome(coinex.balance()))
    assert not elsewhere


def everything_said(error: BaseException | None) -> str:
    """Return all an error could print, what it came from and the objects it carries included."""
    said = []
    while error is not None:
        said += traceback.format_exception(error)
        said += [repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@pytest.mark.parametrize("fault", [*FAULTS, "echoes"])
async def test_no_error_and_no_log_line_shows_a_key_or_a_signature(
    scripted: ScriptedVenue, coinex: CoinExClient, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"<html>{ACCESS_ID}</html>".encode()
    answer = Answer(echo, 502) if fault == "echoes" else FAULTS[fault]
    scripted.answer("futures/order", answer)
    scripted.answer("futures/pending-position", answer)
    said = everything_said(await outcome(coinex.place_order(ORDER)))
    said += everything_said(await outcome(coinex.positions()))
    said += caplog.text
    secrets = [ACCESS_ID, SECRET, *(a.headers["X-COINEX-SIGN"] for a in scripted.asked)]
    assert not [secret for secret in secrets if secret in said]


async def test_too_many_makes_the_next_call_of_that_group_wait() -> None:
    clock = ManualClock()
    async with (
        scripted_venue(clock) as venue,
        venue_client(venue.url, clock, KEYS, timeout_s=5) as client,
    ):
        venue.answer(
            "futures/adjust-position-leverage",
            no(4213),
            ok({"leverage": 1, "margin_mode": "isolated"}),
        )
        venue.answer("assets/futures/balance", ok([]))
        assert isinstance(await outcome(client.set_leverage("BTCUSDT", 1)), VenueUnavailable)
        began = clock.monotonic()
        assert await client.balance() == []  # another group
        again = asyncio.create_task(client.set_leverage("BTCUSDT", 1))

        async def done() -> bool:
            await clock.advance(0.05)
            return again.done()

        await eventually(done)
        assert await again == 1
        assert clock.monotonic() - began >= 1


async def test_what_the_venue_says_is_left_slows_us_down() -> None:
    clock = ManualClock()
    async with (
        scripted_venue(clock) as venue,
        venue_client(venue.url, clock, KEYS, timeout_s=5) as client,
    ):
        venue.answer(
            "assets/futures/balance", Answer(ok([]).body, 200, {"X-RateLimit-Remaining": "0"})
        )
        await client.balance()
        again = asyncio.create_task(client.balance())
        assert not (await asyncio.wait([again], timeout=0.1))[0]
        await clock.advance(0.21)
        assert await again == []


@pytest.mark.parametrize("bad", ["api.coinex.com/v2", "https://api.coinex.com", "ftp://x/v2"])
async def test_base_url_without_scheme_or_version_is_a_config_error(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"venue\.base_url"):
        async with venue_client(bad, SystemClock()):
            pass
