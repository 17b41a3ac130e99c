"""A platform whose trader is a program of the user's, or that has none."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import LIGHT, Make
from tests.support.guest_trader import GuestTrader
from tests.support.platform_run import Platform, wait_for

WATCHED_S = float(os.environ.get("WATCHED_S", "5"))
"""For how long nothing of ours may write a guest's key; WATCHED_S=600 for ten minutes."""

STATE = ("state:positions", "state:balance", "state:trader:status", "state:trader:config")
READING = {"GET", "MGET", "EXISTS"}
SEVERAL = {"MGET", "EXISTS", "DEL"}


def page(running: Platform) -> dict[str, Any]:
    body = running.dashboard()[1]
    assert isinstance(body, dict)
    return body


def texts(running: Platform) -> list[str]:
    return [event["text"] for event in page(running)["tradeEvents"]]


def says(running: Platform, words: str) -> bool:
    """Tell whether both page and health have a problem with these words."""
    on_health = running.health()[1]["problems"]
    return all(any(words in text for text in told) for told in (on_health, page(running)["errors"]))


def shows_all(running: Platform) -> bool:
    data = page(running)
    return None not in (data["positions"], data["balance"], data["outside"]["status"],
                        data["outside"]["config"])  # fmt: skip


def assert_shown(running: Platform) -> None:
    data = page(running)
    (held,) = data["positions"]["positions"]
    assert (held["symbol"], held["size_base"], held["stop_loss"]) == ("BTCUSDT", "0.05", "59000")
    assert data["positions"]["venue"] == "your own trader"
    assert data["balance"]["equity_quote"] == "10050.5"
    assert data["outside"]["status"]["reason"] == "<i>well</i>"
    assert data["outside"]["config"]["settings"] == {
        "leverage": "3", "tp.pct": "2.5", "api_key": "***",
    }  # fmt: skip
    body = running.health()[1]
    assert (body["account"]["kind"], body["account"]["equity_quote"]) == ("outside", "10050.5")
    assert (body["trader"]["mode"], body["trader"]["answering"]) == ("enabled", True)
    assert [text for text in body["problems"] if "own trader" in text or "state:" in text] == []
    metrics = running.health("/metrics")[1]
    assert "coinex_account_equity 10050.5\n" in metrics
    assert 'coinex_trader_mode{mode="enabled"} 1.0\n' in metrics


def written(running: Platform, seconds: float) -> Iterator[tuple[str, str]]:
    """Yield command and key of all that is sent to Redis for a while."""
    end = time.monotonic() + seconds
    with running.redis() as admin, admin.monitor() as monitor:
        while time.monotonic() < end:
            name, *words = monitor.next_command()["command"].split(" ")
            # behind the key of a write stands its value, which may speak of any other
            for key in words if name.upper() in SEVERAL else words[:1]:
                yield name.upper(), key


@pytest.mark.slow
@pytest.mark.timeout(120 + WATCHED_S)
def test_outside_trader_is_shown_judged_and_never_overwritten(platform: Make) -> None:
    running = platform(*LIGHT, "trader.kind=outside", "mode=demo")
    running.start()
    names = {row["name"] for row in running.actors()}
    assert "guests" in names and not {"trader", "trader-api", "account"} & names
    notes = running.health()[1]["notes"]
    assert "your own trader: state:positions has not been written yet" in notes

    with GuestTrader(running) as guest:
        guest.write_all()
        assert guest.publish("<b>long</b> 0.05 BTC\x1b[2J") == 1
        added = {"kind": "closed", "text": "added by itself", "at_ms": "1790000000000"}
        guest.client.xadd("trader:events:log", added)  # type: ignore[arg-type]
        wait_for(lambda: shows_all(running) and len(texts(running)) == 2, 20, "all on the page")
        wait_for(lambda: (running.health()[1]["trader"] or {}).get("answering"), 10)
        assert_shown(running)
        assert set(texts(running)) == {"<b>long</b> 0.05 BTC\\x1b[2J", "added by itself"}

        good = str(guest.client.get("state:positions"))
        guest.write("state:positions", {"as_of_ms": 1790000000000, "positions": [{"side": "x"}]})
        wait_for(lambda: says(running, "state:positions: positions[0].symbol: missing"), 10)
        guest.write("state:positions", good)
        wait_for(lambda: not says(running, "state:positions: "), 10)

    commands = list(written(running, WATCHED_S))
    assert {("SET", "actor:heartbeat:guests"), ("MGET", "state:positions")} <= set(commands)
    assert {command for command, key in commands if key in STATE} <= READING

    pid = running.kill_actor("guests")
    running.wait_replaced("guests", pid)
    with GuestTrader(running) as guest:
        wait_for(lambda: guest.publish("after its restart") == 1, 10)
        wait_for(lambda: "after its restart" in texts(running), 10)
        guest.write_all()
    with running.redis() as admin:
        refused = [row for row in admin.acl_log() if row["reason"] in ("command", "key", "channel")]
    assert refused == []

    running.stop()
    running.start()
    wait_for(lambda: shows_all(running) and len(texts(running)) == 3, 20, "all is there again")
    wait_for(lambda: running.health()[1]["trader"], 10)
    assert_shown(running)


@pytest.mark.slow
def test_platform_without_a_trader_says_nothing_of_one(platform: Make, checkout: Path) -> None:
    config = checkout / "config.yaml"
    config.write_text(config.read_text().replace("  kind: own\n", "  kind: none\n"))
    running = platform(*LIGHT, root=checkout)
    running.start()
    names = {row["name"] for row in running.actors()}
    assert not {"trader", "trader-api", "account", "guests"} & names
    wait_for(lambda: running.health()[1]["status"] == "ok", 60, "ok")
    body, data = running.health()[1], page(running)
    assert body["account"] is body["trader"] is None and body["notes"] == []
    assert data["traderKind"] == "none"
    assert [data[name] for name in ("positions", "balance", "trader", "outside")] == [None] * 4
    metrics = running.health("/metrics")[1]
    assert "coinex_trader_mode" not in metrics and "coinex_account_equity" not in metrics
    refused = running.run("trader", "kill")
    assert refused.returncode == 3 and "trader.kind is none" in refused.stderr

    config.write_text(config.read_text().replace("  kind: none\n", "  kind: own\n"))
    reloaded = running.run("reload")
    assert "a restart of the supervisor is needed for: trader.kind" in reloaded.stdout
    assert {row["name"] for row in running.actors()} == names
