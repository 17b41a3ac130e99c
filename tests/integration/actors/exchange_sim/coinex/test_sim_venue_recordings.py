"""The simulated venue's replies have the fields, and the kinds of values, that were recorded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from tests.support.coinex.venue import FUTURES, CoinexUnderTest, coinex_on
from tests.support.manual_clock import ManualClock
from tests.support.venue import ScriptedPrices

NOW = 1_735_000_000_000
MARKET = {"market": "BTCUSDT"}


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[CoinexUnderTest]:
    prices = ScriptedPrices(NOW, {"BTCUSDT": "64000"})
    async with coinex_on(prices, ManualClock(NOW), tmp_path) as served:
        await served.buy("0.01")
        await served.sell("0.002")
        yield served


@pytest.fixture
def recorded(data_dir: Path) -> Path:
    directory = data_dir / "recorded" / "coinex"
    if not directory.is_dir():
        pytest.skip(f"no recorded replies in {directory}")
    return directory


def kind(value: Any) -> str:
    """Return what kind of value it is; a number as text is not any text."""
    if not isinstance(value, str):
        return type(value).__name__
    try:
        Decimal(value)
    except InvalidOperation:
        return "text"
    return "number as text"


def missing(recorded: Any, ours: Any, at: str = "") -> list[str]:
    """Return what the recording has and ours has not, or has otherwise."""
    if isinstance(recorded, dict):
        if not isinstance(ours, dict):
            return [f"{at}: {kind(ours)}"]
        gone = [f"{at}.{name}" for name in recorded if name not in ours]
        both = [name for name in recorded if name in ours]
        return gone + [f for n in both for f in missing(recorded[n], ours[n], f"{at}.{n}")]
    if isinstance(recorded, list):
        if not isinstance(ours, list) or (recorded and not ours):
            return [f"{at}: {ours!r} for a list"]
        return missing(recorded[0], ours[0], f"{at}[0]") if recorded else []
    # "" and "0" both mean that there is none
    same = kind(recorded) == kind(ours) or "" in (recorded, ours)
    return [] if same else [f"{at}: {kind(ours)} for {kind(recorded)}"]


GETS = [
    ("time", "/time", {}),
    ("futures_balance", "/assets/futures/balance", {}),
    ("futures_market", "/futures/market", {}),
    ("doc-examples/futures_market", "/futures/market", MARKET),
    ("futures_ticker", "/futures/ticker", MARKET),
    ("futures_depth", "/futures/depth", {**MARKET, "limit": 5, "interval": 0}),
    ("futures_funding_rate", "/futures/funding-rate", MARKET),
    ("futures_position_level", "/futures/position-level", MARKET),
    ("futures_pending_position", "/futures/pending-position", FUTURES),
    ("doc-examples/pending_position", "/futures/pending-position", FUTURES),
    ("doc-examples/finished_position", "/futures/finished-position", FUTURES),
    ("futures_pending_order", "/futures/pending-order", FUTURES),
    ("futures_finished_order", "/futures/finished-order", FUTURES),
    ("futures_user_deals", "/futures/user-deals", {**FUTURES, **MARKET}),
    ("doc-examples/futures_user_deals", "/futures/user-deals", {**FUTURES, **MARKET}),
]


@pytest.mark.parametrize(("name", "path", "query"), GETS, ids=[name for name, _, _ in GETS])
async def test_what_is_asked_has_every_recorded_field(
    venue: CoinexUnderTest, recorded: Path, name: str, path: str, query: dict[str, Any]
) -> None:
    await venue.post("order", **MARKET, side="buy", type="limit", amount="0.01", price="60000")
    if "finished_position" in name:
        await venue.sell("0.008")
    theirs = json.loads((recorded / f"{name}.json").read_bytes())
    theirs.setdefault("message", "OK")
    assert missing(theirs, await venue.reply("GET", path, **query)) == []


STOP = {"stop_loss_type": "latest_price", "stop_loss_price": "62000"}
TARGET = {"take_profit_type": "latest_price", "take_profit_price": "70000"}
POSTS: list[tuple[str, str, dict[str, Any]]] = [
    ("futures_order_limit", "order",
     {"side": "buy", "type": "limit", "amount": "0.0001", "price": "61000.42",
      "client_id": "x-167673045-1471b81d747080a0"}),
    ("futures_close_position", "close-position", {"type": "market", "client_id": "x-1"}),
    ("futures_set_position_stop_loss", "set-position-stop-loss", STOP),
    ("futures_set_position_take_profit", "set-position-take-profit", TARGET),
    ("doc-examples/modify_position_stop_loss", "set-position-stop-loss",
     STOP | {"stop_loss_amount": "0.004"}),
    ("doc-examples/cancel_position_stop_loss", "cancel-position-stop-loss", {}),
    ("futures_adjust_position_leverage", "adjust-position-leverage",
     {"margin_mode": "isolated", "leverage": 1}),
    ("futures_adjust_position_margin", "adjust-position-margin", {"amount": "1"}),
    ("futures_cancel_all_order", "cancel-all-order", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "given"), POSTS, ids=[name for name, _, _ in POSTS])
async def test_what_is_done_is_told_with_every_recorded_field(
    venue: CoinexUnderTest, recorded: Path, name: str, path: str, given: dict[str, Any]
) -> None:
    theirs = json.loads((recorded / f"{name}.json").read_bytes())
    ours = await venue.reply("POST", f"/futures/{path}", **FUTURES, **MARKET, **given)
    assert missing(theirs, ours) == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("futures_cancel_order", "cancel-order"),
        ("futures_cancel_order_by_client_id", "cancel-order-by-client-id"),
        ("futures_order_status_open", None),
    ],
)
async def test_resting_order_is_told_with_every_recorded_field(
    venue: CoinexUnderTest, recorded: Path, name: str, path: str | None
) -> None:
    order = await venue.post("order", **MARKET, side="buy", type="limit", amount="0.0001",
                             price="61000", client_id="x-2")  # fmt: skip
    theirs = json.loads((recorded / f"{name}.json").read_bytes())
    which = {**MARKET, "order_id": order["order_id"]}
    if path is None:
        ours = await venue.reply("GET", "/futures/order-status", **which)
    elif path == "cancel-order":
        ours = await venue.reply("POST", f"/futures/{path}", **FUTURES, **which)
    else:
        ours = await venue.reply("POST", f"/futures/{path}", **FUTURES, client_id="x-2")
    assert missing(theirs, ours) == []


async def test_recorded_errors_are_told_word_for_word(
    venue: CoinexUnderTest, recorded: Path
) -> None:
    errors = {e["body"]["code"]: e["body"] for e in
              json.loads((recorded / "http_errors.json").read_bytes())}  # fmt: skip
    order = {**FUTURES, **MARKET, "side": "buy", "type": "market", "amount": "5"}
    for code, path, given in (
        (3109, "order", order | {"type": "limit", "price": "60000"}),
        (3600, "cancel-order", {**FUTURES, **MARKET, "order_id": 1}),
    ):
        assert await venue.reply("POST", f"/futures/{path}", **given) == errors[code]
    assert await venue.reply("GET", "/futures/ticker", market="NOPE") == errors[4004]
    for fault, code in (("venue_busy", 3008), ("venue_frozen", 3157)):
        await venue.plan({"kind": fault, "for_s": 5})
        assert await venue.reply("POST", "/futures/order", **order) == errors[code]
        await venue.advance(6)
