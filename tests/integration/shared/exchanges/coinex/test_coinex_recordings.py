"""Replies that were recorded, or stand in the documentation, read to the digit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from shared.exchanges.liveness import frozen
from tests.support.coinex.contract import Tapes, recordings
from tests.support.coinex.scripted import ok


@pytest.fixture
async def tapes(data_dir: Path, tmp_path: Path) -> AsyncIterator[Tapes]:
    async with recordings(lambda: data_dir, tmp_path) as contract:
        yield contract


async def test_recorded_position_is_read_to_the_digit(tapes: Tapes) -> None:
    (position,) = await tapes.client.positions()
    assert position.position_id == "305891033"
    assert position.margin_mode == "cross"
    assert position.leverage == 3
    assert str(position.margin) == "2.07789333"
    assert str(position.realized_pnl) == "-0.00311684"
    assert position.liquidation_price is None


async def test_recorded_close_is_read_to_the_digit(tapes: Tapes) -> None:
    closed = await tapes.client.close_position("BTCUSDT", tapes.finished_id)
    assert closed.average_price == Decimal("64420.17")
    assert str(closed.fee) == "0.003221"
    assert closed.state == "accepted"


async def test_market_recorded_in_2024_is_read_by_its_precision(tapes: Tapes) -> None:
    rule = (await tapes.client.markets(["BTCUSDT"]))["BTCUSDT"]
    assert (rule.min_size, rule.tick) == (Decimal("0.0001"), Decimal("0.01"))
    assert rule.size_step == Decimal("0.00000001")
    assert rule.leverages == (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100)


async def test_fill_recorded_in_2024_tells_no_fee_and_says_so(tapes: Tapes) -> None:
    (fill,) = await tapes.client.fills("BTCUSDT", 0)
    assert (fill.fee, fill.fee_currency) == (Decimal(0), "")
    assert (fill.role, fill.position_id) == (None, None)
    assert tapes.venue.count("futures/user-deals") == 2


async def test_documented_shapes_of_today_are_read(tapes: Tapes) -> None:
    for endpoint, name in (
        ("futures/market", "futures_market"),
        ("futures/user-deals", "futures_user_deals"),
        ("futures/pending-position", "pending_position"),
        ("assets/futures/balance", "futures_balance"),
    ):
        tapes.venue.answer(endpoint, tapes.read(f"doc-examples/{name}.json"))
    assert (await tapes.client.markets())["BTCUSDT"].tick == Decimal("0.5")
    (fill,) = await tapes.client.fills("BTCUSDT", 0)
    assert (fill.role, fill.fee, fill.fee_currency) == ("taker", Decimal("0.0299"), "USDT")
    (position,) = await tapes.client.positions()
    assert position.symbol == "CETUSDT"
    assert position.liquidation_price == Decimal("0.05679")
    assert (await tapes.client.balance())[0].currency == "CET"


async def test_book_recorded_after_the_venue_ended_counts_as_down(tapes: Tapes) -> None:
    frames = [entry["frame"] for entry in json.loads(tapes.read("ws_frames_2026-09-23.json").body)]
    ended = next(frame["data"] for frame in frames if frame.get("method") == "depth.update")
    tapes.venue.answer("futures/depth", ok(ended))
    book = await tapes.client.book(ended["market"])
    rule = (await tapes.client.markets(["BTCUSDT"]))["BTCUSDT"]
    ticker = (await tapes.client.tickers(["BTCUSDT"]))["BTCUSDT"]
    assert frozen(rule, book, ticker, ended["depth"]["updated_at"]) == (
        "ETHUSDT: the book has no bids and asks"
    )


async def test_book_recorded_long_ago_counts_as_down(tapes: Tapes) -> None:
    book = await tapes.client.book("BTCUSDT")
    rule = (await tapes.client.markets(["BTCUSDT"]))["BTCUSDT"]
    ticker = (await tapes.client.tickers(["BTCUSDT"]))["BTCUSDT"]
    assert book.updated_ms is not None
    assert frozen(rule, book, ticker, book.updated_ms) == ""
    assert "has not changed for 3600 s" in frozen(rule, book, ticker, book.updated_ms + 3_600_000)
