"""The simulated venue on real sockets: signatures, refusals, pages, orders, stops, restarts."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import AsyncIterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.live_prices import LivePrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from shared.exchanges.sim.prices import PriceFeed
from shared.exchanges.sim.save_file import VenueFile, fresh_state
from tests.support.coinex.venue import FUTURES, CoinexUnderTest, coinex_on
from tests.support.manual_clock import ManualClock
from tests.support.venue import ScriptedPrices

NOW = 1_735_000_000_000
HOUR_MS = 3_600_000
COINS = {f"C{n:02d}USDT": "50" for n in range(13)}
PRICES = {"BTCUSDT": "64000", "ETHUSDT": "3000", **COINS}


@pytest.fixture
def prices() -> ScriptedPrices:
    return ScriptedPrices(NOW, PRICES)


@pytest.fixture
async def venue(prices: ScriptedPrices, tmp_path: Path) -> AsyncIterator[CoinexUnderTest]:
    async with coinex_on(prices, ManualClock(NOW), tmp_path) as served:
        yield served


async def to(venue: CoinexUnderTest, prices: ScriptedPrices, price: str, after_s: int = 60) -> None:
    """Let BTCUSDT go straight to a price."""
    prices.go("BTCUSDT", venue.clock.now_ms() + after_s * 1000, price)
    await venue.advance(after_s)


async def position(venue: CoinexUnderTest) -> dict[str, Any] | None:
    rows = await venue.listed("pending-position", market="BTCUSDT")
    return rows[0] if rows else None


# signatures


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"key": "someone"}, 4005),
        ({"secret": "another"}, 4006),
        ({"X-COINEX-SIGN": "no signature"}, 4008),
        ({"X-COINEX-TIMESTAMP": "soon"}, 4008),
        ({"stamp_ms": NOW - 5001}, 4017),
        ({"stamp_ms": NOW + 5001}, 4017),
        ({"stamp_ms": NOW - 5000}, 0),
        ({"stamp_ms": NOW - 9000, "X-COINEX-WINDOWTIME": "9000"}, 0),
    ],
)
async def test_request_signed_otherwise_or_too_late_is_refused(
    venue: CoinexUnderTest, how: dict[str, Any], code: int
) -> None:
    status, body = await venue.raw("GET", "/assets/futures/balance", **how)
    assert (status, json.loads(body)["code"]) == (200, code)


async def test_signature_is_of_the_very_bytes_sent(venue: CoinexUnderTest) -> None:
    path = "/futures/pending-position?market_type=FUTURES&market=BTC%55SDT"
    assert json.loads((await venue.raw("GET", path))[1])["code"] == 0
    body = json.dumps({"market": "BTCUSDT", **FUTURES, "type": "market"}, indent=3).encode()
    refused = json.loads((await venue.raw("POST", "/futures/close-position", body))[1])
    assert refused["code"] == 3639  # understood, and nothing to close


async def test_documented_signature_is_the_one_that_is_checked() -> None:
    import hashlib
    import hmac

    prepared = b"GET/v2/futures/pending-position?market_type=FUTURES&market=BTCUSDT1700490703564"
    expected = "113706ea933f78ffc3138a1b1bb3ba8975f090534c03018365877e96f1003218"
    assert hmac.new(b"test-secret", prepared, hashlib.sha256).hexdigest() == expected


async def test_futures_must_be_asked_for(venue: CoinexUnderTest) -> None:
    assert (await venue.reply("GET", "/futures/pending-order"))["code"] == 4004
    for method, path in (
        ("GET", "/futures/kline"), ("POST", "/futures/stop-order"),
        ("GET", "/futures/pending-stop-order"), ("POST", "/futures/cancel-stop-order"),
        ("POST", "/futures/modify-position-stop-loss"),
        ("POST", "/futures/modify-position-take-profit"), ("GET", "/assets/spot/balance"),
        ("GET", "/nothing"),
    ):  # fmt: skip
        reply = await venue.reply(method, path)
        assert reply == {"code": 4004, "data": {}, "message": f"/v2{path}: not simulated"}
    assert (await venue.reply("GET", "/futures/order"))["code"] == 4009


# refusals


ORDER = {"market": "BTCUSDT", "side": "buy", "type": "limit", "amount": "0.01", "price": "63000"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"market": "NOPEUSDT"}, 3639),
        ({"amount": "0.00001"}, 3127),
        ({"amount": "0.01005"}, 3639),
        ({"amount": "many"}, 3639),
        ({"price": "63000.001"}, 3639),
        ({"price": "67201"}, 3606),
        ({"side": "sell", "price": "60000"}, 3606),
        ({"amount": "0.5"}, 3109),
        ({"type": "market", "amount": "90"}, 3620),
        ({"type": "fok", "price": "64010", "amount": "0.12"}, 3621),
        ({"type": "maker_only", "price": "64010"}, 3622),
        ({"client_id": "no spaces"}, 3639),
        ({"type": "iceberg"}, 3639),
    ],
)
async def test_refused_order_says_its_code_and_changes_nothing(
    venue: CoinexUnderTest, changed: dict[str, str], code: int
) -> None:
    before = await venue.books()
    assert await venue.code("order", **(ORDER | changed)) == code
    after = await venue.books()
    for name in ("wallet", "frozen", "orders", "over", "deals", "ledger", "positions"):
        assert after[name] == before[name]


@pytest.mark.parametrize(
    ("path", "given", "code"),
    [
        ("cancel-order", {"market": "BTCUSDT", "order_id": 5}, 3600),
        ("cancel-order-by-client-id", {"client_id": "nobody"}, 3600),
        ("close-position", {"market": "BTCUSDT", "type": "market"}, 3639),
        ("adjust-position-leverage",
         {"market": "BTCUSDT", "margin_mode": "isolated", "leverage": 7}, 3639),
        ("set-position-stop-loss",
         {"market": "BTCUSDT", "stop_loss_type": "mark_price", "stop_loss_price": "1"}, 3639),
    ],
)  # fmt: skip
async def test_what_there_is_none_of_is_refused(
    venue: CoinexUnderTest, path: str, given: dict[str, Any], code: int
) -> None:
    assert await venue.code(path, **given) == code


async def test_unknown_market_of_a_public_path_is_an_invalid_argument(
    venue: CoinexUnderTest,
) -> None:
    assert (await venue.reply("GET", "/futures/ticker", market="NOPEUSDT"))["code"] == 4004


async def test_more_requests_than_a_group_may_have_are_refused_until_a_second_is_over(
    prices: ScriptedPrices, tmp_path: Path
) -> None:
    async with coinex_on(prices, ManualClock(NOW), tmp_path, limited=True) as venue:
        replies = [await venue.reply("GET", "/assets/futures/balance") for _ in range(11)]
        assert [reply["code"] for reply in replies] == [0] * 10 + [4213]
        assert (await venue.reply("GET", "/futures/pending-order", **FUTURES))["code"] == 0
        await venue.advance(1)
        assert (await venue.reply("GET", "/assets/futures/balance"))["code"] == 0


# lists


async def test_lists_have_ten_rows_a_page_until_there_is_no_next(venue: CoinexUnderTest) -> None:
    for coin in COINS:
        await venue.buy("1", coin)
    seen: list[str] = []
    for page, rows in ((1, 10), (2, 3), (3, 0)):
        reply = await venue.reply("GET", "/futures/pending-position", **FUTURES, page=page)
        assert len(reply["data"]) == rows
        assert reply["pagination"] == {"has_next": page == 1}
        seen += [row["market"] for row in reply["data"]]
    assert sorted(seen) == sorted(COINS)
    assert len(await venue.listed("pending-position", limit=50)) == 13


@pytest.mark.parametrize("query", [{"page": 0}, {"limit": 101}, {"limit": 0}])
async def test_page_that_cannot_be_is_an_invalid_argument(
    venue: CoinexUnderTest, query: dict[str, int]
) -> None:
    reply = await venue.reply("GET", "/futures/pending-position", **FUTURES, **query)
    assert reply["code"] == 4004


async def test_order_cancelled_without_a_fill_vanishes_from_finished_but_not_from_status(
    venue: CoinexUnderTest,
) -> None:
    order = await venue.post("order", **ORDER, client_id="mine")
    assert [o["client_id"] for o in await venue.listed("pending-order", client_id="mine")]
    await venue.post("cancel-order", market="BTCUSDT", order_id=order["order_id"])
    assert await venue.listed("pending-order") == await venue.listed("finished-order") == []
    status = await venue.get("/futures/order-status", market="BTCUSDT", order_id=order["order_id"])
    assert status["status"] == "canceled"


async def test_deals_are_told_within_the_times_asked_for(venue: CoinexUnderTest) -> None:
    await venue.buy("0.001")
    await venue.advance(10)
    await venue.sell("0.001")
    times = [row["created_at"] for row in await venue.listed("user-deals", market="BTCUSDT")]
    assert times == [NOW + 10_000, NOW]
    first = await venue.listed("user-deals", market="BTCUSDT", end_time=NOW + 9_999)
    assert [row["side"] for row in first] == ["buy"]


# orders


async def test_market_order_walks_the_book_and_pays_for_it(venue: CoinexUnderTest) -> None:
    book = (await venue.get("/futures/depth", market="BTCUSDT", limit=20, interval=0))["depth"]
    order = await venue.buy("0.05", client_id="walk")
    deals = await venue.listed("order-deals", market="BTCUSDT", order_id=order["order_id"])
    expected = [level[0] for level in book["asks"]][: len(deals)]
    assert [deal["price"] for deal in reversed(deals)] == expected
    assert len(deals) >= 2
    assert D(order["filled_value"]) == sum(D(d["price"]) * D(d["amount"]) for d in deals)
    assert D(order["fee"]) == D(order["filled_value"]) * D("0.0005")
    assert order["price"] == "0"
    again = (await venue.get("/futures/depth", market="BTCUSDT", limit=5, interval=0))["depth"]
    assert D(again["asks"][0][0]) > D(book["asks"][0][0])


async def test_ioc_takes_what_is_within_its_limit_and_gives_up_the_rest(
    venue: CoinexUnderTest,
) -> None:
    book = (await venue.get("/futures/depth", market="BTCUSDT", limit=5, interval=0))["depth"]
    best, size = book["asks"][0]
    await venue.post("adjust-position-leverage", market="BTCUSDT", margin_mode="isolated",
                     leverage=10)  # fmt: skip
    order = await venue.post("order", market="BTCUSDT", side="buy", type="ioc", price=best,
                             amount="0.2")  # fmt: skip
    assert (order["filled_amount"], order["last_filled_price"]) == (size, best)
    status = await venue.get("/futures/order-status", market="BTCUSDT", order_id=order["order_id"])
    assert status["status"] == "part_canceled"
    assert (await venue.balance())["frozen"] == 0


async def test_limit_rests_freezes_money_and_fills_as_maker_when_the_price_crosses(
    venue: CoinexUnderTest, prices: ScriptedPrices
) -> None:
    await venue.post("order", **ORDER)
    frozen = (await venue.balance())["frozen"]
    assert frozen == D("63000") * D("0.01") * (D(1) / 3 + D("0.0005"))
    await to(venue, prices, "62990")
    (deal,) = await venue.listed("user-deals", market="BTCUSDT")
    assert (deal["role"], deal["price"], deal["fee"]) == ("maker", "63000", "0.189")
    assert NOW < deal["created_at"] < NOW + 60_000
    assert (await venue.balance())["frozen"] == 0


async def test_opposite_order_reduces_first_and_then_turns_round(venue: CoinexUnderTest) -> None:
    await venue.buy("0.01")
    await venue.sell("0.004")
    held = await position(venue)
    assert held is not None
    assert (held["side"], held["open_interest"]) == ("long", "0.006")
    await venue.sell("0.01")
    held = await position(venue)
    assert held is not None
    assert (held["side"], held["open_interest"]) == ("short", "0.004")
    (ended,) = await venue.listed("finished-position")
    assert (ended["finished_type"], ended["side"]) == ("market", "long")
    assert D(ended["avg_entry_price"]) > 64000


async def test_closing_needs_neither_size_nor_money(venue: CoinexUnderTest) -> None:
    await venue.buy("0.0003")
    half = await venue.post("close-position", market="BTCUSDT", type="market", amount="0.0001")
    assert (half["side"], half["filled_amount"]) == ("sell", "0.0001")
    rest = await venue.post("close-position", market="BTCUSDT", type="market", client_id="c")
    assert (rest["filled_amount"], rest["client_id"]) == ("0.0002", "c")
    assert await position(venue) is None


async def test_order_that_closes_is_cancelled_with_its_position(venue: CoinexUnderTest) -> None:
    await venue.buy("0.01")
    order = await venue.post("close-position", market="BTCUSDT", type="limit", price="65000")
    held = await position(venue)
    assert held is not None
    assert held["close_avbl"] == "0"
    assert await venue.code("close-position", market="BTCUSDT", type="market") == 3127
    await venue.sell("0.01")
    status = await venue.get("/futures/order-status", market="BTCUSDT", order_id=order["order_id"])
    assert status["status"] == "canceled"


async def test_order_modified_keeps_its_number(venue: CoinexUnderTest) -> None:
    order = await venue.post("order", **ORDER)
    changed = await venue.post("modify-order", market="BTCUSDT", order_id=order["order_id"],
                               price="62000", amount="0.02")  # fmt: skip
    assert changed["order_id"] == order["order_id"]
    assert (changed["price"], changed["amount"]) == ("62000", "0.02")
    refused = await venue.code("modify-order", market="BTCUSDT", order_id=order["order_id"],
                               amount="5")  # fmt: skip
    assert refused == 3109
    assert [o["price"] for o in await venue.listed("pending-order")] == ["62000"]


async def test_batches_answer_for_each_order(venue: CoinexUnderTest) -> None:
    ids = [(await venue.post("order", **ORDER, client_id="twin"))["order_id"] for _ in range(3)]
    items = await venue.post("cancel-batch-order", market="BTCUSDT", order_ids=[ids[0], 7])
    assert [item["code"] for item in items] == [0, 3600]
    items = await venue.post("cancel-order-by-client-id", client_id="twin")
    assert [item["data"]["order_id"] for item in items] == ids[1:]
    assert await venue.post("cancel-all-order", market="BTCUSDT") == {}


# stops and targets


async def protect(venue: CoinexUnderTest, stop: str, target: str, **more: str) -> Any:
    await venue.post("set-position-stop-loss", market="BTCUSDT", stop_loss_type="mark_price",
                     stop_loss_price=stop, **more)  # fmt: skip
    return await venue.post("set-position-take-profit", market="BTCUSDT",
                            take_profit_type="mark_price", take_profit_price=target)  # fmt: skip


async def test_stop_for_all_replaces_those_there_are_and_one_for_a_part_is_added(
    venue: CoinexUnderTest,
) -> None:
    await venue.buy("0.01")
    assert (await protect(venue, "63000", "66000"))["stop_loss_price"] == "63000"
    await protect(venue, "62000", "66000", stop_loss_amount="0.004")
    held = await position(venue)
    assert held is not None
    assert [(s["price"], s["amount"], s["is_all"]) for s in held["stop_loss_list"]] == [
        ("63000", "0.01", True), ("62000", "0.004", False),
    ]  # fmt: skip
    held = await protect(venue, "61000", "66000")
    assert [s["price"] for s in held["stop_loss_list"]] == ["61000"]
    held = await venue.post("cancel-position-stop-loss", market="BTCUSDT")
    assert (held["stop_loss_price"], held["stop_loss_type"], held["stop_loss_list"]) == (
        "0",
        "",
        [],
    )
    assert held["take_profit_price"] == "66000"


@pytest.mark.parametrize(
    ("price", "how", "level"), [("62000", "stop_loss", "63000"), ("67000", "take_profit", "66000")]
)
async def test_stop_and_target_close_at_their_level_and_time_though_nobody_looks(
    venue: CoinexUnderTest, prices: ScriptedPrices, price: str, how: str, level: str
) -> None:
    await venue.buy("0.01")
    await protect(venue, "63000", "66000")
    prices.go("BTCUSDT", NOW + 60_000, price)
    prices.go("BTCUSDT", NOW + 120_000, "64000")
    await venue.advance(120)
    assert await position(venue) is None
    (ended,) = await venue.listed("finished-position")
    assert ended["finished_type"] == how
    assert NOW + 20_000 < ended["updated_at"] < NOW + 60_000
    deal = (await venue.listed("user-deals", market="BTCUSDT"))[0]
    assert abs(D(deal["price"]) / D(level) - 1) < D("0.001")


async def test_stop_is_gapped_through_when_the_price_jumps(
    venue: CoinexUnderTest, prices: ScriptedPrices
) -> None:
    await venue.buy("0.01")
    await protect(venue, "63000", "66000")
    prices.jump("BTCUSDT", NOW + 60_000, "61000")
    await venue.advance(60)
    assert await position(venue) is None
    deal = (await venue.listed("user-deals", market="BTCUSDT"))[0]
    assert D(deal["price"]) < 61000


async def test_stop_beyond_the_mark_closes_at_once(venue: CoinexUnderTest) -> None:
    await venue.buy("0.01")
    await protect(venue, "64500", "66000")
    await venue.advance(1)
    assert await position(venue) is None


# time


async def test_funding_is_paid_at_the_hour_by_the_rate_that_was_told(
    venue: CoinexUnderTest,
) -> None:
    status, _ = await venue.by_hand("funding", market="BTCUSDT", rate="0.0006")
    assert status == 200
    await venue.buy("0.01")
    told = (await venue.get("/futures/funding-rate", market="BTCUSDT"))[0]
    assert told["next_funding_rate"] == "0.0006"
    before = await venue.balance()
    due_s = (told["next_funding_time"] - NOW) / 1000
    await venue.advance(due_s - 1)
    assert await venue.balance() == before
    await venue.advance(1)
    paid = (await venue.balance())["equity"] - before["equity"]
    assert paid == -D("0.0006") * 64000 * D("0.01")
    assert [e["at_ms"] for e in (await venue.books())["ledger"] if e["kind"] == "funding"] == [
        told["next_funding_time"]
    ]
    later = (await venue.get("/futures/funding-rate", market="BTCUSDT"))[0]
    assert later["latest_funding_time"] == told["next_funding_time"]


async def test_position_is_liquidated_at_the_price_that_was_told(
    venue: CoinexUnderTest, prices: ScriptedPrices
) -> None:
    await venue.post("adjust-position-leverage", market="BTCUSDT", margin_mode="isolated",
                     leverage=50)  # fmt: skip
    await venue.buy("0.05")
    held = await position(venue)
    assert held is not None
    before = (await venue.balance())["available"]
    await to(venue, prices, str(int(D(held["liq_price"])) + 1))
    assert await position(venue) is not None
    await to(venue, prices, str(int(D(held["liq_price"])) - 1))
    (ended,) = await venue.listed("finished-position")
    assert ended["finished_type"] == "liq"
    balance = await venue.balance()
    assert balance["available"] == balance["equity"] == before
    books = await venue.books()
    assert D(books["totals"]["liquidation"]) < 0
    assert D(books["wallet"]) == sum(D(amount) for amount in books["totals"].values())


async def test_leverage_of_an_open_position_moves_its_margin(venue: CoinexUnderTest) -> None:
    await venue.buy("0.01")
    for leverage in (10, 2):
        await venue.post("adjust-position-leverage", market="BTCUSDT", margin_mode="isolated",
                         leverage=leverage)  # fmt: skip
        held = await position(venue)
        assert held is not None
        assert held["leverage"] == str(leverage)
        assert abs(D(held["margin_avbl"]) * leverage - D(held["cml_position_value"])) < D("1e-9")
    assert held is not None
    more = await venue.post("adjust-position-margin", market="BTCUSDT", amount="10")
    assert D(more["margin_avbl"]) - D(held["margin_avbl"]) == 10
    assert await venue.code("adjust-position-margin", market="BTCUSDT", amount="-9000") == 3109


# the file


async def test_venue_goes_on_after_a_restart_where_it_was(
    prices: ScriptedPrices, tmp_path: Path
) -> None:
    clock = ManualClock(NOW)
    async with coinex_on(prices, clock, tmp_path) as venue:
        await venue.buy("0.01")
        await protect(venue, "63000", "66000")
        await venue.post("order", **ORDER | {"price": "60000"}, client_id="rests")
        before = await venue.books()
    prices.go("BTCUSDT", NOW + 60_000, "62500")
    await clock.advance(90)
    async with coinex_on(prices, clock, tmp_path) as venue:
        (ended,) = await venue.listed("finished-position")
        assert ended["finished_type"] == "stop_loss"
        assert ended["updated_at"] < NOW + 60_000
        assert [o["client_id"] for o in await venue.listed("pending-order")] == ["rests"]
        after = await venue.books()
        assert after["deals"][: len(before["deals"])] == before["deals"]


@pytest.mark.parametrize("content", [b"{", b'{"version": 9}', b"[]", b"\xff\xfe"])
async def test_broken_file_is_set_aside_and_named(
    prices: ScriptedPrices, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "venue.json").write_bytes(content)
    with caplog.at_level(logging.ERROR):
        async with coinex_on(prices, ManualClock(NOW), tmp_path) as venue:
            assert (await venue.balance())["equity"] == 10_000
            await venue.buy("0.01")
    aside = tmp_path / f"venue.json.broken-{NOW}"
    assert aside.read_bytes() == content
    assert str(aside) in caplog.text
    assert "begins anew" in caplog.text
    assert VenueFile(tmp_path / "venue.json").load(NOW).account.positions


def test_file_of_a_newer_version_is_named_by_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = VenueFile(tmp_path / "venue.json")
    file.save(dataclasses.replace(fresh_state(NOW), version=10))
    file.load(NOW)
    assert "found 10, expected" in caplog.text


async def test_file_that_cannot_be_written_is_told_and_tried_again(
    prices: ScriptedPrices, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with coinex_on(prices, ManualClock(NOW), tmp_path) as venue:
        blocker = tmp_path / "venue.json"
        blocker.mkdir()
        await venue.buy("0.01")
        assert (await venue.books())["unsaved"]
        assert caplog.text.count("cannot be written") == 1
        blocker.rmdir()
        assert (await venue.books())["unsaved"] is None
        assert VenueFile(blocker).load(NOW).account.positions


# by hand


async def test_operator_trades_and_moves_money_as_if_elsewhere(venue: CoinexUnderTest) -> None:
    status, order = await venue.by_hand("position", market="BTCUSDT", side="short", amount="0.02")
    assert (status, order["side"]) == (200, "sell")
    held = await position(venue)
    assert held is not None
    assert (held["side"], held["open_interest"]) == ("short", "0.02")
    assert (await venue.by_hand("close", market="BTCUSDT"))[0] == 200
    assert await position(venue) is None
    wallet = (await venue.balance())["equity"]
    assert (await venue.by_hand("transfer", amount="-500.5"))[0] == 200
    assert (await venue.balance())["equity"] == wallet - D("500.5")
    status, refused = await venue.by_hand("transfer", amount="-1000000")
    assert status == 400
    assert "balance is not enough" in refused["error"]
    assert (await venue.by_hand("position", market="BTCUSDT", side="up", amount="1"))[0] == 400


# the simulated market


async def test_stop_at_a_price_the_candles_will_touch_is_hit_on_their_way(tmp_path: Path) -> None:
    market = Market(GeneratedPrices(["BTCUSDT"], 7))
    feed, clock = MarketPrices(market), ManualClock(NOW)
    way = feed.path("BTCUSDT", NOW, NOW + 6 * HOUR_MS)
    lowest = min(way, key=lambda corner: corner.price)
    stop = lowest.price + D("0.01")
    async with coinex_on(feed, clock, tmp_path) as venue:
        await venue.buy("0.01")
        await venue.post("set-position-stop-loss", market="BTCUSDT", stop_loss_type="mark_price",
                         stop_loss_price=str(stop))  # fmt: skip
        await venue.advance((lowest.at_ms - NOW) / 1000 - 60)
        assert await position(venue) is not None
        await venue.advance(6 * 3600)
        (ended,) = await venue.listed("finished-position")
        assert lowest.at_ms - 60_000 < ended["updated_at"] <= lowest.at_ms


@pytest.mark.parametrize("feed", ["simulated", "bus"])
async def test_position_in_a_coin_that_is_gone_stays_and_cannot_be_traded(
    tmp_path: Path, feed: str
) -> None:
    clock = ManualClock(NOW)
    both = MarketPrices(Market(GeneratedPrices(["BTCUSDT", "ETHUSDT"], 7)))
    async with coinex_on(both, clock, tmp_path) as venue:
        await venue.buy("0.01")
        await protect(venue, "100", "900000")
    one: PriceFeed = MarketPrices(Market(GeneratedPrices(["ETHUSDT"], 7)))
    if feed == "bus":
        one = LivePrices(["ETHUSDT"], since_ms=NOW, source="binance", clock=clock)
    async with coinex_on(one, clock, tmp_path) as venue:
        await venue.advance(9 * 3600)
        (held,) = await venue.listed("pending-position")
        assert (held["market"], held["unrealized_pnl"]) == ("BTCUSDT", "0")
        assert await venue.code("close-position", market="BTCUSDT", type="market") == 3157
        assert (await venue.balance())["margin"] > 0
    async with coinex_on(both, clock, tmp_path) as venue:
        assert (await venue.post("close-position", market="BTCUSDT", type="market"))["fee"]
