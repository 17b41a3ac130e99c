"""An outside trader in the page's document: in our own forms, without what has no meaning."""

from __future__ import annotations

from typing import Any

import orjson

from actors.dashboard.document import PageInputs, document
from actors.dashboard.prices import CoinPrices
from shared.guests.shapes import EVENT, read_config
from shared.health.guest_verdict import GuestView
from shared.health.verdict import Limits, RedisView, Snapshot
from shared.messages.trading import TraderKind
from tests.support.guest_sightings import (
    guest_balance,
    guest_position,
    guest_positions,
    guest_status,
)
from tests.support.sightings import NOW_MS

UNTOLD = ("mark_price", "stop_loss", "margin_quote", "leverage", "opened_ms", "bare_since_ms",
          "bare_alarm_ms")  # fmt: skip


def shown(view: GuestView, kind: TraderKind = "outside", **world: Any) -> dict[str, Any]:
    seen = Snapshot(
        mode="live", since_ms=NOW_MS, symbols=("BTCUSDT",), actors=("guests",),
        redis=RedisView(status="up", since_ms=NOW_MS, reason="", round_trip_ms=0.1),
        trader_kind=kind, guest=view,
    )  # fmt: skip
    told = PageInputs(
        snapshot=seen, source="sim", namespace="", groups={"all": ["BTCUSDT"]}, limits=Limits(),
        prices={"BTCUSDT": CoinPrices()}, **world,
    )  # fmt: skip
    found = document(told, NOW_MS)
    orjson.dumps(found)
    return found


def test_a_guest_that_has_written_nothing_is_there_without_values() -> None:
    data = shown(GuestView())
    assert (data["traderKind"], data["positions"], data["balance"]) == ("outside", None, None)
    assert data["outside"] == {"status": None, "config": None, "silent_after_ms": 450_000}
    assert data["trader"] is None and data["equity"] == data["tradeEvents"] == []


def test_what_the_guest_told_is_shown_and_what_it_did_not_is_null() -> None:
    event = EVENT.of({"kind": "tp", "text": "<b>x</b>", "at_ms": NOW_MS, "pnl": 3}, "x")
    data = shown(
        GuestView(
            positions=guest_positions(NOW_MS, guest_position(take_profit="63000")),
            balance=guest_balance(),
            status=guest_status(reason="well"),
            config=read_config(b'{"tp": {"pct": 2}}', "x"),
        ),
        guest_events=[event],
    )
    (held,) = data["positions"]["positions"]
    assert (held["symbol"], held["take_profit"], held["outside"]) == ("BTCUSDT", "63000", True)
    assert {name: held[name] for name in UNTOLD} == dict.fromkeys(UNTOLD)
    assert data["positions"]["venue"] == data["balance"]["venue"] == "your own trader"
    assert data["positions"]["old_after_ms"] == 450_000
    assert data["balance"]["equity_quote"] == "10050.5"
    assert data["outside"]["status"]["reason"] == "well"
    assert data["outside"]["config"]["settings"] == {"tp.pct": "2"}
    (told,) = data["tradeEvents"]
    assert (told["text"], told["pnl_quote"], told["event_id"]) == ("<b>x</b>", "3", None)


def test_without_a_trader_there_is_nothing_of_one_whatever_is_left_on_redis() -> None:
    data = shown(GuestView(balance=guest_balance()), kind="none")
    names = ("positions", "balance", "trader", "outside", "tradeEvents", "equity")
    assert data["traderKind"] == "none"
    assert [data[name] for name in names] == [None, None, None, None, [], []]
