"""A coin taken out of the configuration while something is open in it stays managed."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.conftest import Make
from tests.support.platform_run import Platform, wait_for

SETTINGS = ("auditor.enabled=false", "account.interval_s=1", "trader.protect_s=1")
ALL = "groups:\n  majors: [BTCUSDT, ETHUSDT]\n  payments: [LTCUSDT]\n"
LEFT = "groups:\n  majors: [BTCUSDT]\n"


def set_groups(config: Path, groups: str) -> None:
    text = re.sub(r"^groups:\n(?:  .*\n| {4}.*\n)+", groups, config.read_text(), flags=re.M)
    config.write_text(text)


def positions(running: Platform) -> dict[str, Any]:
    """Return the stop of each open position."""
    rows = running.simulator("/sim/venue")[1]["positions"]
    return {row["market"]: row["stops"][0]["price"] if row["stops"] else "0" for row in rows}


def mark(running: Platform, symbol: str) -> str:
    rows = running.simulator(f"/v2/futures/ticker?market={symbol}")[1]["data"]
    return str(rows[0]["mark_price"]) if rows else ""


def fetched_ms(running: Platform, symbol: str) -> int:
    with running.redis() as client:
        raw = client.get(f"cache:candles:{symbol}")
    return 0 if raw is None else int(orjson.loads(raw)["fetched_at_ms"])


def close(running: Platform, symbol: str) -> None:
    ended = running.run("trader", "close", symbol)
    assert ended.returncode == 0, ended.stderr
    wait_for(lambda: symbol not in positions(running), 20, f"{symbol} closed")


def test_coin_with_a_position_is_managed_to_its_end_whatever_the_configuration_says(
    platform: Make, checkout: Path
) -> None:
    config = checkout / "config.yaml"
    set_groups(config, ALL)
    running = platform(*SETTINGS, root=checkout)
    running.start()
    wait_for(lambda: running.run("trader", "disable").returncode == 0, 30, "no entries of its own")
    for symbol, amount in (("ETHUSDT", "0.5"), ("LTCUSDT", "5")):
        wait_for(partial(fetched_ms, running, symbol), 30, "candles")
        hand = {"market": symbol, "side": "long", "amount": amount}
        assert running.simulator("/sim/venue/position", hand, "POST")[0] == 200
        adopted = running.run("trader", "adopt", symbol)
        assert adopted.returncode == 0, adopted.stderr
    set_groups(config, LEFT)
    assert "ETHUSDT, LTCUSDT: in no group, but with an open position" in running.run("check").stdout
    reloaded = running.run("reload")
    assert reloaded.returncode == 0, reloaded.stderr
    assert "ETHUSDT, LTCUSDT: in no group, but with an open position" in reloaded.stdout
    wait_for(running.all_ready, 40, "ready again")
    before, price = fetched_ms(running, "ETHUSDT"), mark(running, "ETHUSDT")
    wait_for(lambda: fetched_ms(running, "ETHUSDT") > before, 20, "candles go on")
    wait_for(lambda: mark(running, "ETHUSDT") != price, 60, "its price moves")
    stops = positions(running)
    assert set(stops) == {"ETHUSDT", "LTCUSDT"}
    assert all(float(stop) > 0 for stop in stops.values())
    close(running, "ETHUSDT")

    running.stop()
    running.start()
    assert "LTCUSDT: in no group" in running.output()
    price = mark(running, "LTCUSDT")
    wait_for(lambda: mark(running, "LTCUSDT") != price, 60, "its price moves")
    close(running, "LTCUSDT")
    reloaded = running.run("reload")
    assert "restarted: fetcher\n" in reloaded.stdout, reloaded.stdout
    assert "LTCUSDT" not in reloaded.stdout
