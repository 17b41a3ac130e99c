"""Account and trader in the page's document: the messages of the bus, and who holds what."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

from actors.dashboard.document import PageInputs, document
from actors.dashboard.prices import CoinPrices
from actors.dashboard.versions import DocumentVersions
from shared.health.trading_verdict import TradingView
from shared.health.verdict import Limits, RedisView, Snapshot
from tests.support.sightings import NOW_MS
from tests.support.trading_sightings import (
    balance,
    position,
    positions,
    trade_event,
    trader_config,
    trader_status,
)


def shown(trading: TradingView, actors: tuple[str, ...] = (), **world: Any) -> dict[str, Any]:
    seen = Snapshot(
        mode="demo", since_ms=NOW_MS, symbols=("BTCUSDT",), actors=actors,
        redis=RedisView(status="up", since_ms=NOW_MS, reason="", round_trip_ms=0.1),
        trading=trading,
    )  # fmt: skip
    told = PageInputs(
        snapshot=seen, source="sim", namespace="", groups={"all": ["BTCUSDT"]}, limits=Limits(),
        prices={"BTCUSDT": CoinPrices()},
    )  # fmt: skip
    for name, value in world.items():
        setattr(told, name, value)
    return document(told, NOW_MS)


def test_without_account_and_trader_the_document_says_that_there_is_none() -> None:
    data = shown(TradingView())
    names = ("positions", "balance", "trader", "tradeEvents", "equity")
    assert [data[name] for name in names] == [None, None, None, [], []]


def test_a_trader_of_the_configuration_that_has_said_nothing_is_one_without_status() -> None:
    assert shown(TradingView(), ("trader",))["trader"] == {
        "status": None, "config": None, "silent_after_ms": 30_000, "timer_s": None,
    }  # fmt: skip


def test_messages_are_shown_as_on_the_bus_with_the_equity_apart() -> None:
    told = TradingView(
        positions=positions(position(), reason="venue down"),
        balance=balance(reason="venue down"),
        status=trader_status(foreign=["BTCUSDT"]),
    )
    config = trader_config(risk_pct=0.25)
    event = trade_event()
    data = shown(told, trader_config=config, events=[event])
    assert told.positions is not None and told.balance is not None and told.status is not None
    assert data["positions"] == dataclasses.asdict(told.positions) | {
        "old_after_ms": 60_000,
        "positions": [
            dataclasses.asdict(position())
            | {"foreign": True, "bare_since_ms": None, "bare_alarm_ms": None}
        ],
    }
    assert data["balance"] == dataclasses.asdict(told.balance) | {"old_after_ms": 60_000}
    status = dataclasses.asdict(told.status)
    assert data["equity"] == status.pop("equity")
    assert data["trader"]["status"] == status
    assert data["trader"]["config"] == dataclasses.asdict(config)
    assert data["tradeEvents"] == [dataclasses.asdict(event)]


def test_a_position_of_a_watched_account_tells_since_when_it_has_no_stop_and_when_to_alarm() -> (
    None
):
    told = TradingView(
        positions=positions(position(stop_loss=None)), bare_since_ms={"BTCUSDT": NOW_MS - 5_000}
    )
    (left_behind,) = shown(told)["positions"]["positions"]
    assert (left_behind["bare_since_ms"], left_behind["bare_alarm_ms"]) == (None, None)
    (held,) = shown(told, ("account",))["positions"]["positions"]
    assert (held["foreign"], held["bare_since_ms"], held["bare_alarm_ms"]) == (
        False, NOW_MS - 5_000, NOW_MS + 15_000,
    )  # fmt: skip


def test_time_alone_changes_nothing_of_them() -> None:
    told = TradingView(positions=positions(position()), balance=balance(), status=trader_status())
    board = DocumentVersions()
    assert board.update(shown(told))
    assert not board.update(shown(told))
    assert board.update(shown(replace(told, status=trader_status(NOW_MS + 1))))


def test_a_trader_run_by_a_timer_is_old_when_its_next_run_is_late() -> None:
    status = trader_status(every_s=300, next_cycle_ms=NOW_MS + 240_000)
    page = shown(TradingView(status=status, timer_s=300.0), ("account",))["trader"]
    assert (page["silent_after_ms"], page["timer_s"]) == (330_000, 300.0)
    assert shown(TradingView(timer_s=300.0), ("account",))["trader"]["status"] is None
    left = shown(TradingView(status=status), ("account", "trader"))["trader"]
    assert left["silent_after_ms"] == 30_000
