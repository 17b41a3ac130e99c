"""The simulated exchange as a process of its own: killed, blocked, misconfigured."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.defaults import UNNAMED_VENUE
from shared.errors import EXIT_BAD_CONFIG
from shared.market import Timeframe
from shared.messages.actors import Heartbeat
from shared.messages.candles import CandleRow, CandleUpdate
from tests.support.paths import ROOT
from tests.support.waiting import eventually

RUN = """
import json, sys
from actors.__main__ import live
sys.exit(live(json.loads(sys.argv[1]), None))
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        free: int = trial.getsockname()[1]
        return free


@pytest.fixture
async def start(redis_url: str, tmp_path: Path, port: int) -> AsyncIterator[Start]:
    """Start the actor in a process of its own: `start(faults=[...])`."""
    processes: list[subprocess.Popen[str]] = []

    def run(mode: str = "demo", **simulator: Any) -> subprocess.Popen[str]:
        launch = {
            "name": "exchange-sim",
            "code": "actors.exchange_sim.actor:ExchangeSim",
            "mode": mode,
            "source": "sim" if mode == "demo" else "binance",
            "state_dir": str(tmp_path),
            "section": {
                "simulator": {"host": "127.0.0.1", "port": port, **simulator},
                "symbols": ["BTCUSDT", "ETHUSDT"],
                "venue": UNNAMED_VENUE,
            },
            "redis_url": redis_url,
            "namespace": "",
            "probation": False,
            "quarantined_coins": {},
        }
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(launch)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


async def get(url: str) -> Any:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(url) as response:
                return await response.json()
        except aiohttp.ClientError:
            return None


async def history(base: str) -> dict[tuple[str, Timeframe, int], list[Any]]:
    """Return the closed bars of two coins on all timeframes, by place and open time."""
    now = (await get(f"{base}/time"))["serverTime"]
    seen: dict[tuple[str, Timeframe, int], list[Any]] = {}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for timeframe in Timeframe:
            url = f"{base}/klines?symbol={symbol}&interval={timeframe}&limit=1000"
            for row in await get(url):
                if row[6] < now:
                    seen[symbol, timeframe, row[0]] = row
    return seen


@pytest.mark.parametrize("recorded", [False, True], ids=["generated", "recorded"])
async def test_killed_simulator_comes_back_with_the_same_history(
    start: Start, port: int, recorded: bool, request: pytest.FixtureRequest
) -> None:
    options = {}
    if recorded:
        options["candles_dir"] = str(request.getfixturevalue("data_dir") / "candles")
    base = f"http://127.0.0.1:{port}/api/v3"
    process = start(**options)
    await eventually(lambda: get(f"{base}/time"), 20)
    before = await history(base)
    process.send_signal(signal.SIGKILL)
    process.wait()
    start(**options)
    await eventually(lambda: get(f"{base}/time"), 20)
    after = await history(base)
    assert len(before) >= 2 * (999 + 999 + 546)
    same = before.keys() & after.keys()
    assert len(same) >= len(before) - 6  # a new bar may have pushed out the oldest
    assert all(before[key] == after[key] for key in same)


async def test_taken_port_is_waited_for_and_named(start: Start, port: int, bus: Bus) -> None:
    async def complaint() -> str:
        beat = await bus.get(schema.HEARTBEAT, name="exchange-sim")
        return "" if beat is None else str(beat.detail.get("retrying", ""))

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        start()
        text = await eventually(complaint, 20)
        assert f"simulator.port: cannot listen on 127.0.0.1:{port}" in text
    await eventually(lambda: get(f"http://127.0.0.1:{port}/api/v3/time"), 20)


async def test_heartbeat_tells_requests_faults_and_prices(
    start: Start, port: int, bus: Bus
) -> None:
    start(faults=[{"kind": "gap", "symbol": "ETHUSDT", "for_s": 600}])
    await eventually(lambda: get(f"http://127.0.0.1:{port}/api/v3/time"), 20)

    async def detail() -> dict[str, Any] | None:
        beat = await bus.get(schema.HEARTBEAT, name="exchange-sim")
        return beat.detail if beat is not None and beat.detail.get("requests") else None

    told = await eventually(detail, 10)
    assert told is not None
    assert told["requests"]["time"] >= 1
    assert [f["kind"] for f in told["faults"]] == ["gap"]
    assert told["prices"] == "generated, seed 7"
    assert told["coins"] == 2


async def test_request_that_hangs_does_not_keep_the_simulator_from_stopping(
    start: Start, port: int
) -> None:
    process = start(faults=[{"kind": "hang", "for_s": 3600}])
    faults = f"http://127.0.0.1:{port}/sim/faults"
    await eventually(lambda: get(faults), 20)
    hanging = asyncio.create_task(get(f"http://127.0.0.1:{port}/api/v3/time"))

    async def arrived() -> bool:
        seen = await get(f"http://127.0.0.1:{port}/sim/requests")
        return bool(seen["counts"])

    await eventually(arrived)
    process.send_signal(signal.SIGTERM)
    await eventually(lambda: process.poll() is not None, 8)
    assert process.returncode == 0
    assert await hanging is None


async def test_missing_directory_of_recordings_ends_with_the_config_code(
    start: Start, tmp_path: Path
) -> None:
    process = start(candles_dir=str(tmp_path / "nowhere"))
    await eventually(lambda: process.poll() is not None, 20)
    assert process.returncode == EXIT_BAD_CONFIG
    assert process.stderr is not None
    assert "simulator.candles_dir: no directory" in process.stderr.read()


async def test_killed_simulator_comes_back_with_the_same_account(start: Start, port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    process = start()
    await eventually(lambda: get(f"{base}/v2/time"), 20)
    async with aiohttp.ClientSession() as session:
        hand = {"market": "BTCUSDT", "side": "long", "amount": "0.01"}
        async with session.post(f"{base}/sim/venue/position", json=hand) as reply:
            assert reply.status == 200, await reply.text()
    before = await get(f"{base}/sim/venue")
    process.send_signal(signal.SIGKILL)
    process.wait()
    start()
    await eventually(lambda: get(f"{base}/v2/time"), 20)
    after = await get(f"{base}/sim/venue")
    assert len(before["positions"]) == 1
    assert after["deals"] == before["deals"]
    assert after["positions"][0]["position_id"] == before["positions"][0]["position_id"]


async def test_paper_mode_serves_the_venue_alone_at_prices_from_the_bus(
    start: Start, port: int, bus: Bus
) -> None:
    base = f"http://127.0.0.1:{port}"
    start("paper", faults=[{"kind": "hang"}, {"kind": "venue_thin", "for_s": 600}])
    await eventually(lambda: get(f"{base}/v2/time"), 20)
    assert (await get(f"{base}/v2/futures/ticker"))["data"] == []
    now_ms = SystemClock().now_ms()
    open_ms = Timeframe.M5.open_at(now_ms)

    def update(price: float) -> CandleUpdate:
        row = CandleRow(open_time_ms=open_ms, open=price, high=price, low=price, close=price,
                        volume=1, closed=False)  # fmt: skip
        return CandleUpdate(symbol="BTCUSDT", timeframe=Timeframe.M5, candles=[row], at_ms=now_ms,
                            closed_until_ms=open_ms, source="binance")  # fmt: skip

    unpriced = await get(f"{base}/v2/futures/ticker?market=BTCUSDT")
    assert (unpriced["code"], unpriced["message"]) == (4004, "no price of BTCUSDT yet")

    async def told() -> list[str]:
        await bus.publish(schema.CANDLE_UPDATES, update(61_234.5), symbol="BTCUSDT")
        rows = (await get(f"{base}/v2/futures/ticker"))["data"]
        return [row["mark_price"] for row in rows]

    assert await eventually(told, 10) == ["61234.5"]
    (fault,) = await get(f"{base}/sim/faults")
    assert fault["kind"] == "venue_thin"
    async with aiohttp.ClientSession() as session, session.get(f"{base}/api/v3/time") as reply:
        assert reply.status == 404


async def test_first_heartbeat_reports_no_refusal_of_a_redis_that_was_not_asked_yet(
    start: Start, bus: Bus
) -> None:
    start()

    async def first() -> Heartbeat | None:
        return await bus.get(schema.HEARTBEAT, name="exchange-sim")

    beat = await eventually(first, 20)
    assert beat is not None and beat.detail["refused"] == ""
