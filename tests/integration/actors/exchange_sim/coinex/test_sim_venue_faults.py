"""Each fault of the simulated venue does what it says, and what was taken is in its books."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any, get_args

import aiohttp
import pytest

from shared.clock import SystemClock
from shared.config.sections import FaultKind
from tests.support.coinex.venue import FUTURES, CoinexUnderTest, coinex_on
from tests.support.manual_clock import ManualClock
from tests.support.paths import ROOT
from tests.support.venue import ScriptedPrices

NOW = 1_735_000_000_000
ORDER = {**FUTURES, "market": "BTCUSDT", "side": "buy", "type": "market", "amount": "0.01"}
BODY = json.dumps(ORDER).encode()


@pytest.fixture
def prices() -> ScriptedPrices:
    return ScriptedPrices(NOW, {"BTCUSDT": "64000", "ETHUSDT": "3000"})


@pytest.fixture
async def venue(prices: ScriptedPrices, tmp_path: Path) -> AsyncIterator[CoinexUnderTest]:
    async with coinex_on(prices, ManualClock(NOW), tmp_path) as served:
        yield served


async def taken(venue: CoinexUnderTest) -> int:
    """Return how many orders the venue has taken, seen past all faults."""
    return len((await venue.books())["over"])


@pytest.mark.parametrize(
    ("fault", "status", "start", "orders"),
    [
        ({"kind": "venue_5xx"}, 502, b"<html>", 0),
        ({"kind": "venue_5xx", "value": 504}, 504, b"<html>", 0),
        ({"kind": "venue_5xx_after"}, 502, b"<html>", 1),
        ({"kind": "venue_html"}, 200, b"<html>", 0),
        ({"kind": "venue_wrong_json"}, 200, b'{"unexpected"', 0),
        ({"kind": "venue_bomb", "value": 1}, 200, bytes(1000), 0),
        ({"kind": "venue_rate_limit"}, 200, b'{"code":4213', 0),
        ({"kind": "venue_busy"}, 200, b'{"code":3008', 0),
        ({"kind": "venue_auth"}, 200, b'{"code":4005', 0),
        ({"kind": "venue_auth", "value": 4006}, 200, b'{"code":4006', 0),
        ({"kind": "venue_expired"}, 200, b'{"code":4017', 0),
        ({"kind": "venue_unavailable"}, 200, b'{"code":4001', 0),
        ({"kind": "venue_unavailable", "value": 4003}, 200, b'{"code":4003', 0),
        ({"kind": "venue_unavailable_after", "value": 4002}, 200, b'{"code":4002', 1),
        ({"kind": "venue_clock_skew", "value": 6000}, 200, b'{"code":4017', 0),
        ({"kind": "venue_frozen"}, 200, b'{"code":3157', 0),
        ({"kind": "venue_thin", "value": 0.0001}, 200, b'{"code":3620', 0),
    ],
)
async def test_order_under_a_fault_is_answered_so_and_taken_or_not(
    venue: CoinexUnderTest, fault: dict[str, Any], status: int, start: bytes, orders: int
) -> None:
    await venue.plan(fault | {"for_s": 30})
    got, body = await venue.raw("POST", "/futures/order", BODY)
    assert got == status
    assert body.startswith(start), body
    assert await taken(venue) == orders
    await venue.advance(31)
    got, body = await venue.raw("POST", "/futures/order", BODY)
    assert json.loads(body)["code"] == 0
    assert await taken(venue) == orders + 1


@pytest.mark.parametrize("kind", ["venue_cut_after", "venue_half_body"])
async def test_order_is_taken_though_the_connection_is_cut(
    venue: CoinexUnderTest, kind: str
) -> None:
    await venue.plan({"kind": kind, "endpoint": "order"})
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        await venue.raw("POST", "/futures/order", BODY)
    assert await taken(venue) == 1


@pytest.mark.parametrize(
    ("kind", "orders"), [("venue_timeout_after", 1), ("venue_hang", 0), ("venue_endless", 0)]
)
async def test_no_answer_comes_and_the_order_is_taken_or_not(
    prices: ScriptedPrices, tmp_path: Path, kind: str, orders: int
) -> None:
    begun = SystemClock()
    real = SystemClock(NOW - begun.now_ms())
    async with coinex_on(prices, real, tmp_path) as venue:
        await venue.plan({"kind": kind, "endpoint": "order", "for_s": 600})
        url = f"{venue.url}/v2"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(0.5)) as hasty:
            impatient = CoinexUnderTest(url.removesuffix("/v2"), venue.wire, real, hasty)
            with pytest.raises(TimeoutError):
                await impatient.raw("POST", "/futures/order", BODY)
        assert await taken(venue) == orders
        assert len(await venue.listed("pending-position")) == orders


async def test_fault_with_an_endpoint_or_a_coin_spares_all_others(venue: CoinexUnderTest) -> None:
    await venue.plan({"kind": "venue_5xx", "endpoint": "set-position-stop-loss"})
    await venue.plan({"kind": "venue_busy", "symbol": "ETHUSDT"})
    await venue.buy("0.01")
    stop = {**FUTURES, "market": "BTCUSDT", "stop_loss_type": "mark_price",
            "stop_loss_price": "60000"}  # fmt: skip
    status, _ = await venue.raw("POST", "/futures/set-position-stop-loss",
                                json.dumps(stop).encode())  # fmt: skip
    assert status == 502
    assert await venue.code("order", market="ETHUSDT", side="buy", type="market",
                            amount="0.01") == 3008  # fmt: skip
    assert (await venue.reply("GET", "/futures/depth", market="ETHUSDT", limit=5, interval=0))[
        "code"
    ] == 3008
    assert await venue.get("/futures/ticker", market="BTCUSDT")


async def test_skewed_clock_is_seen_in_every_time_and_a_client_that_follows_it_is_served(
    venue: CoinexUnderTest,
) -> None:
    await venue.plan({"kind": "venue_clock_skew", "value": 60_000})
    assert (await venue.get("/time"))["timestamp"] == NOW + 60_000
    _, body = await venue.raw("POST", "/futures/order", BODY, stamp_ms=NOW + 60_000)
    assert json.loads(body)["data"]["created_at"] == NOW + 60_000
    path = f"/futures/user-deals?market_type=FUTURES&market=BTCUSDT&start_time={NOW + 60_000}"
    _, body = await venue.raw("GET", path, stamp_ms=NOW + 60_000)
    (deal,) = json.loads(body)["data"]
    assert deal["created_at"] == NOW + 60_000
    assert (await venue.books())["deals"][0]["at_ms"] == NOW


async def test_frozen_venue_answers_with_old_values_and_gaps_when_it_thaws(
    venue: CoinexUnderTest, prices: ScriptedPrices
) -> None:
    await venue.buy("0.01")
    await venue.post("set-position-stop-loss", market="BTCUSDT", stop_loss_type="mark_price",
                     stop_loss_price="63000")  # fmt: skip
    await venue.plan({"kind": "venue_frozen", "for_s": 600})
    before = await venue.balance()
    prices.go("BTCUSDT", NOW + 300_000, "61000")
    await venue.advance(300)
    depth = await venue.get("/futures/depth", market="BTCUSDT", limit=5, interval=0)
    assert (depth["depth"]["asks"], depth["depth"]["bids"]) == ([], [])
    assert depth["depth"]["updated_at"] == NOW
    (market,) = await venue.get("/futures/market", market="BTCUSDT")
    assert (market["is_market_available"], market["status"]) == (False, "online")
    (ticker,) = await venue.get("/futures/ticker", market="BTCUSDT")
    assert (ticker["index_price"], ticker["mark_price"]) == ("64000", "64000")
    assert (await venue.get("/futures/index", market="BTCUSDT"))[0]["created_at"] == NOW
    assert (await venue.get("/time"))["timestamp"] == NOW + 300_000
    assert await venue.balance() == before
    await venue.advance(301)
    assert await venue.listed("pending-position") == []
    deal = (await venue.listed("user-deals", market="BTCUSDT"))[0]
    assert D(deal["price"]) < 61000
    assert deal["created_at"] == NOW + 601_000


async def test_thin_book_fills_little_of_an_ioc(venue: CoinexUnderTest) -> None:
    await venue.plan({"kind": "venue_thin"})
    order = await venue.post("order", market="BTCUSDT", side="buy", type="ioc", amount="0.05",
                             price="64100")  # fmt: skip
    assert 0 < D(order["filled_amount"]) < D("0.05")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "hang"},  # there is no market here
        {"kind": "venue_frozen", "symbol": "BTCUSDT"},
        {"kind": "venue_thin", "endpoint": "order"},
        {"kind": "venue_5xx", "symbol": "NOPEUSDT"},
    ],
)
async def test_fault_that_cannot_be_is_refused(
    venue: CoinexUnderTest, fault: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError, match="error"):
        await venue.plan(fault)


async def test_funding_that_fell_due_while_frozen_is_paid_once_when_it_thaws(
    venue: CoinexUnderTest,
) -> None:
    await venue.by_hand("funding", market="BTCUSDT", rate="0.0006")
    await venue.buy("0.01")
    due_ms = (await venue.get("/futures/funding-rate", market="BTCUSDT"))[0]["next_funding_time"]
    before = (await venue.balance())["equity"]
    due_s = (due_ms - NOW) // 1000
    await venue.plan({"kind": "venue_frozen", "for_s": due_s + 60})
    await venue.advance(due_s + 30)
    assert (await venue.balance())["equity"] == before
    await venue.advance(60)
    assert (await venue.balance())["equity"] - before == -D("0.0006") * 64000 * D("0.01")


@pytest.mark.parametrize("document", ["docs/simulator.md", "config.yaml"])
def test_every_kind_of_fault_is_documented(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z0-9_]+", text))
    assert [kind for kind in get_args(FaultKind) if kind not in words] == []
