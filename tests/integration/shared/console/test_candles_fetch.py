"""`coinex candles fetch` as a user runs it, against the simulated exchange."""

from __future__ import annotations

import asyncio
import fcntl
import json
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.exchange_sim.binance.limits import LimitRefusal
from shared.candles.parquet import read_funding, read_series, write_series
from shared.candles.stored_series import StoredSeries, store_file
from shared.clock import SystemClock, utc_text
from shared.console.candle_download import PAGES_AT_ONCE, Download
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import USD_M
from shared.market import Candles, StoredTimeframe, Timeframe
from shared.messages.candles import Ban
from tests.support.exchange import Simulator, client_of, simulated
from tests.support.manual_clock import ManualClock
from tests.support.paths import ROOT
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
FROM, TO = "2025-02-01", "2025-02-21"
FROM_MS, DAY_MS = 1_738_368_000_000, 86_400_000
NOW_MS = FROM_MS + 100 * DAY_MS
M5, H1 = StoredTimeframe.M5, StoredTimeframe.H1


class Command:
    """A `candles fetch` process."""

    def __init__(self, url: str, directory: Path, store: str, *arguments: str) -> None:
        self.store = directory / store
        self._arguments = [
            "supervisor.py", "candles", "fetch", "--mode", "paper",
            "--set", f"binance.base_url={url}", "--set", f"binance.futures_url={url}",
            "--set", f"state_dir={directory / 'state'}", "--store", str(self.store),
            "--from", FROM, "--to", TO, "--symbols", ",".join(COINS), "--timeframes", "5m,1h",
            *arguments,
        ]  # fmt: skip

    async def start(self) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self.process

    async def end(self) -> tuple[int, str, str]:
        said, complaints = await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode(), complaints.decode()

    async def run(self) -> tuple[int, str, str]:
        await self.start()
        return await self.end()

    def content(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.store.iterdir()}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulated(SystemClock(), COINS) as simulator:
        yield simulator


async def test_killed_and_resumed_it_leaves_the_same_store_byte_for_byte(
    simulator: Simulator, tmp_path: Path
) -> None:
    whole = Command(simulator.url, tmp_path, "whole", "--funding", "--json")
    code, said, complaints = await whole.run()
    assert (code, complaints) == (0, "")
    document = json.loads(said)
    assert sum(each["rows"] for each in document["series"]) == 3 * (20 * (288 + 24) + 60)
    asked = (await simulator.requests())["counts"]["klines"]

    cut = Command(simulator.url, tmp_path, "cut", "--funding")
    for file in ("BTCUSDT-5m.parquet", "BTCUSDT-funding.parquet", "SOLUSDT-1h.parquet"):
        await cut.start()
        await eventually((cut.store / file).exists, 60)
        cut.process.kill()
        assert (await cut.end())[0] == -signal.SIGKILL
    assert (cut.store / ".lock").exists() and cut.content() != whole.content()
    assert (await cut.run())[0] == 0
    assert cut.content() == whole.content()

    assert (await cut.run())[1].startswith("0 new rows")
    again = (await simulator.requests())["counts"]["klines"]
    assert again - asked <= asked + 12  # what was there was not asked for again, but for the cuts


async def test_ctrl_c_ends_it_with_130_and_a_second_one_is_told_who_writes(
    simulator: Simulator, tmp_path: Path
) -> None:
    await simulator.plan({"kind": "hang", "symbol": "ETHUSDT", "for_s": 600})
    first, second = (Command(simulator.url, tmp_path, "store") for _ in range(2))
    await first.start()
    await eventually((first.store / "BTCUSDT-1h.parquet").exists, 60)
    code, _, complaints = await second.run()
    assert code == 1 and f"pid {first.process.pid}" in complaints, complaints
    first.process.send_signal(signal.SIGINT)
    code, said, complaints = await first.end()
    assert code == 130 and "Traceback" not in complaints
    assert "the same command goes on from here" in complaints
    assert said.startswith("6,240 new rows in 3 files")
    assert sorted(first.content()) == ["BTCUSDT-1h.parquet", "BTCUSDT-5m.parquet"]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--from", "2025-03-01"), 2, "is not before --to"),
        (("--from", "yesterday"), 2, "--from yesterday: expected a date"),
        (("--timeframes", "3m"), 2, "expected of 1m,5m,1h,4h"),
        (("--symbols", "../BTC"), 2, "expected a symbol of"),
        (("--mode", "demo"), 3, "none runs on"),
        (("--set", "binance.futures_url=x"), 78, "binance.futures_url"),
    ],
)
async def test_what_is_not_possible_is_said(
    tmp_path: Path, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    found, _, complaints = await Command("http://127.0.0.1:9", tmp_path, "s", *arguments).run()
    assert found == code and complaint in complaints, complaints


async def test_a_long_refusal_of_the_address_ends_it_and_says_until_when_and_what_to_do(
    tmp_path: Path,
) -> None:
    now_ms = SystemClock().now_ms()
    until_ms = now_ms + 1_000_000
    (tmp_path / "state").mkdir()
    ban = Ban(until_ms=until_ms, status=451, at_ms=now_ms)
    BanFile(tmp_path / "state" / "binance-ban").write(ban)
    code, said, complaints = await Command("http://127.0.0.1:9", tmp_path, "s", "--json").run()
    assert code == 1
    for text in ("HTTP 451", utc_text(until_ms), "https://data-api.binance.vision"):
        assert text in complaints
    document = json.loads(said)
    assert document["series"] == [] and "HTTP 451" in document["error"]


# In this process, on a clock of its own


@asynccontextmanager
async def download(
    url: str,
    clock: ManualClock | SystemClock,
    directory: Path,
    share: Callable[[], float],
    *,
    again: bool = False,
) -> AsyncIterator[Download]:
    async with (
        client_of(url, clock, directory) as spot,
        client_of(url, clock, directory, api=USD_M) as futures,
    ):
        yield Download(
            spot,
            futures,
            directory,
            source="sim",
            clock=clock,
            rng=random.Random(1),
            share=share,
            again=again,
        )


async def fetched(
    simulator: Simulator, directory: Path, days: int = 20, timeframe: StoredTimeframe = M5
) -> Any:
    async with download(simulator.url, SystemClock(), directory, lambda: 0.5) as loading:
        await loading.begin(COINS)
        return await loading.candles("BTCUSDT", timeframe, FROM_MS, FROM_MS + days * DAY_MS)


def holes(*ranges: tuple[int, int]) -> list[tuple[int, int]]:
    return [(FROM_MS + since * M5.ms, FROM_MS + until * M5.ms) for since, until in ranges]


async def test_a_halt_is_remembered_and_what_was_there_before_a_listing_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated(SystemClock(), COINS) as simulator:
        market = simulator.wire.market
        bars = market.bars

        def halted(symbol: str, timeframe: Timeframe, *given: Any, **options: Any) -> Any:
            gone = {FROM_MS + bar * M5.ms for bar in (*range(700), *range(2000, 2010))}
            return bars(symbol, timeframe, *given, **options | {"absent": gone})

        monkeypatch.setattr(market, "bars", halted)
        result = await fetched(simulator, tmp_path)
        assert result.error == "" and result.absent == holes((0, 700), (2000, 2010))
        series = read_series(store_file(tmp_path, "BTCUSDT", M5), "BTCUSDT", M5)
        assert list(series.absent) == result.absent and series.holes() == []
        asked = simulator.wire.counts["klines"]
        await fetched(simulator, tmp_path)
        assert simulator.wire.counts["klines"] == asked


async def test_rows_that_are_refused_are_named_and_asked_for_again(
    simulator: Simulator, tmp_path: Path
) -> None:
    await simulator.plan({"kind": "price_zero", "symbol": "BTCUSDT", "for_s": 600})
    now_ms = SystemClock().now_ms()
    async with download(simulator.url, SystemClock(), tmp_path, lambda: 0.5) as loading:
        await loading.begin(COINS)
        until_ms = loading.closed_until_ms(H1)
        result = await loading.candles("BTCUSDT", H1, until_ms - 48 * H1.ms, now_ms + DAY_MS)
        [refused] = result.refused
        assert refused.startswith("BTCUSDT 1h at ") and "price" in refused
        assert (result.rows, result.absent) == (47, [])
        simulator.wire.script.clear()
        again = await loading.candles("BTCUSDT", H1, until_ms - 48 * H1.ms, now_ms + DAY_MS)
        assert (again.rows, again.refused) == (1, [])


async def test_asked_again_the_exchange_counts_and_what_it_changed_is_listed(
    simulator: Simulator, tmp_path: Path
) -> None:
    await fetched(simulator, tmp_path, 2)
    path = store_file(tmp_path, "BTCUSDT", M5)
    right = path.read_bytes()
    series = read_series(path, "BTCUSDT", M5)
    wrong = StoredSeries("BTCUSDT", M5, series.candles[np.arange(576) != 100], source="sim")
    wrong.candles.volume[7] = 1.5
    write_series(path, wrong.merged(Candles.empty(), absent=holes((100, 101))))
    assert (await fetched(simulator, tmp_path, 2)).rows == 0 and path.read_bytes() != right
    async with download(simulator.url, SystemClock(), tmp_path, lambda: 0.5, again=True) as loading:
        await loading.begin(COINS)
        result = await loading.candles("BTCUSDT", M5, FROM_MS, FROM_MS + 2 * DAY_MS)
    [replaced] = result.replaced
    assert replaced.startswith("BTCUSDT 5m at 2025-02-01T00:35:00Z: volume ")
    assert "stored 1.5" in replaced and result.rows == 1 and path.read_bytes() == right


async def test_only_closed_candles_are_kept(simulator: Simulator, tmp_path: Path) -> None:
    clock = SystemClock()
    async with download(simulator.url, clock, tmp_path, lambda: 0.5) as loading:
        await loading.begin(COINS)
        await loading.candles("BTCUSDT", M5, clock.now_ms() - DAY_MS, clock.now_ms() + DAY_MS)
    series = read_series(store_file(tmp_path, "BTCUSDT", M5), "BTCUSDT", M5)
    assert int(series.candles.open_time_ms[-1]) + M5.ms <= clock.now_ms() - 20_000


async def test_beside_a_platform_it_takes_only_what_that_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(NOW_MS)
    async with (
        simulated(clock, COINS, limit=400) as simulator,
        download(simulator.url, clock, tmp_path, lambda: 0.25) as loading,
    ):
        await loading.begin(COINS)
        used: list[int] = []

        async def waits() -> bool:
            """Return whether it has asked for nothing for a while."""
            used.append(simulator.wire.limits.used)
            await asyncio.sleep(0.05)
            return loads.done() or (len(used) > 4 and len(set(used[-4:])) == 1)

        loads = asyncio.create_task(loading.candles("BTCUSDT", M5, FROM_MS - 300 * DAY_MS, FROM_MS))
        await eventually(waits, 30)
        assert simulator.wire.limits.used <= 100 and not loads.done()
        limits, minutes = simulator.wire.limits, 0
        refuse = limits.refuse

        def beside(weight: int, now_ms: int) -> LimitRefusal | None:
            first = now_ms // 60_000 != limits._minute
            return refuse(weight + 80 * first, now_ms)  # the platform, early in each minute

        monkeypatch.setattr(limits, "refuse", beside)
        while not loads.done():
            await clock.advance(60)
            used.clear()
            await eventually(waits, 30)
            # its first request brings the count; four may be under way until then
            assert limits.used <= 100 + 2 * PAGES_AT_ONCE
            minutes += 1
        assert (await loads).error == "" and minutes >= 5


async def test_a_ban_is_waited_for_and_no_request_is_sent_meanwhile(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    async with (
        simulated(clock, COINS) as simulator,
        download(simulator.url, clock, tmp_path, lambda: 0.5) as loading,
    ):
        await loading.begin(COINS)
        ban = Ban(until_ms=NOW_MS + 90_000, status=418, at_ms=NOW_MS)
        BanFile(tmp_path / "binance-ban").write(ban)
        before = simulator.wire.counts.total()
        loads = asyncio.create_task(loading.candles("BTCUSDT", M5, FROM_MS, FROM_MS + DAY_MS))
        await clock.advance(89)
        assert simulator.wire.counts.total() == before and not loads.done()
        await clock.advance(3)
        assert (await asyncio.wait_for(loads, 30)).rows == 288


async def test_funding_rates_of_a_year_come_in_pages(simulator: Simulator, tmp_path: Path) -> None:
    clock = SystemClock()
    async with download(simulator.url, clock, tmp_path, lambda: 0.5) as loading:
        await loading.begin(COINS)
        result = await loading.funding("BTCUSDT", FROM_MS, FROM_MS + 400 * DAY_MS)
        assert (result.rows, result.error) == (1200, "")
        rates = read_funding(store_file(tmp_path, "BTCUSDT", "funding"), "BTCUSDT")
        assert rates.missing(FROM_MS, FROM_MS + 400 * DAY_MS) == []
        assert (rates.mark_prices > 0).all() and (abs(rates.rates) < 0.01).all()
        assert (await loading.funding("NOPEUSDT", FROM_MS, FROM_MS + DAY_MS)).error


def test_a_running_supervisor_is_noticed(tmp_path: Path) -> None:
    from shared.config.load import load
    from shared.console.candle_fetch import _share

    config = load(ROOT / "config.yaml", to_run=False)
    assert _share(config, tmp_path) == 0.5
    with (tmp_path / "supervisor.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert _share(config, tmp_path) == 0.25
