"""One contract, held against recordings of the real exchange and against the simulator.

What a recording cannot answer (other parameters, other errors) is asked of the simulator alone,
below the contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from shared.errors import RateLimited, UnknownSymbol
from shared.exchanges.binance.client import BinanceClient
from shared.market import Timeframe
from tests.support.exchange import Reply, client_of, replaying, simulated
from tests.support.manual_clock import ManualClock
from tests.support.paths import ROOT

NOW = 1_735_000_000_000
TAPES = ROOT / "tests" / "tapes" / "binance"
DECIMAL = re.compile(r"\d+\.\d{8}")
KLINES = [("BTCUSDT", Timeframe.M5, 1000), ("ETHUSDT", Timeframe.M5, 1000),
          ("BTCUSDT", Timeframe.H1, 4)]  # fmt: skip


@dataclass
class Venue:
    """An exchange under contract; `today` tells whether its limits are today's."""

    url: str
    session: aiohttp.ClientSession
    client: BinanceClient
    clock: ManualClock
    today: bool

    async def raw(self, endpoint: str, **query: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}/api/v3/{endpoint}", params=query) as response:
            return response.status, await response.json()


def query(**parameters: str) -> str:
    return "&".join(f"{name}={value}" for name, value in parameters.items())


def tapes(directory: Path) -> dict[tuple[str, str], Reply]:
    """Return the recorded replies by the request that brings them."""

    def body(name: str) -> bytes:
        return (directory / name).read_bytes()

    errors = {e["body"]["code"]: e for e in json.loads(body("errors.json"))}
    banned = next(e for e in json.loads(body("errors.json")) if e["http_status"] == 418)

    def error(code: int) -> Reply:
        return errors[code]["http_status"], {}, json.dumps(errors[code]["body"]).encode()

    two = query(symbols='["BTCUSDT","ETHUSDT"]')
    klines = {
        ("BTCUSDT", "5m", "1000"): "klines_BTCUSDT_5m_2024-12-20_1000rows.json",
        ("ETHUSDT", "5m", "1000"): "klines_ETHUSDT_5m_2024-12-01_1000rows.json",
        ("BTCUSDT", "1h", "4"): "klines_BTCUSDT_1h_2023-01-06.json",
    }
    replies: dict[tuple[str, str], Reply] = {
        ("ping", ""): (200, {}, (TAPES / "ping.json").read_bytes()),
        ("time", ""): (200, {}, (TAPES / "time.json").read_bytes()),
        ("exchangeInfo", two): (200, {}, body("exchangeInfo_two_symbols_2021-10-22.json")),
        ("klines", query(interval="5m")): error(-1102),
        ("klines", query(symbol="BTCUSDT", interval="7m")): error(-1120),
        ("klines", query(symbol="NOPEUSDT", interval="5m")): error(-1121),
        ("klines", query(symbol="NOPEUSDT", interval="5m", limit="5")): error(-1121),
        ("klines", query(symbol="BTCUSDT", interval="4h", limit="7")): (
            418,
            {"Retry-After": "77"},
            json.dumps(banned["body"]).encode(),
        ),
    }
    for (symbol, interval, limit), name in klines.items():
        asked = query(symbol=symbol, interval=interval, limit=limit)
        replies["klines", asked] = (200, {"x-mbx-used-weight-1m": "41"}, body(name))
    return replies


@pytest.fixture(params=["recording", "simulator"])
async def venue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Venue]:
    clock = ManualClock(NOW)  # the client's; the exchange has its own
    async with AsyncExitStack() as stack:
        if request.param == "recording":
            directory = request.getfixturevalue("data_dir") / "recorded" / "binance"
            url = await stack.enter_async_context(replaying(tapes(directory)))
        else:
            simulator = await stack.enter_async_context(
                simulated(ManualClock(NOW), ["BTCUSDT", "ETHUSDT"])
            )
            simulator.wire.limits.refuse(39, NOW)
            url = simulator.url
        session = await stack.enter_async_context(aiohttp.ClientSession())
        client = await stack.enter_async_context(client_of(url, clock, tmp_path))
        yield Venue(url, session, client, clock, request.param == "simulator")


@pytest.mark.parametrize(("symbol", "timeframe", "limit"), KLINES)
async def test_kline_rows_have_twelve_fields_of_the_documented_types(
    venue: Venue, symbol: str, timeframe: Timeframe, limit: int
) -> None:
    status, rows = await venue.raw(
        "klines", symbol=symbol, interval=str(timeframe), limit=str(limit)
    )
    assert status == 200
    assert len(rows) == limit
    for row in rows:
        assert len(row) == 12
        for field in (0, 6, 8):
            assert type(row[field]) is int
        for field in (1, 2, 3, 4, 5, 7, 9, 10):
            assert DECIMAL.fullmatch(row[field]), row
        assert row[11] == "0"
        assert row[6] == row[0] + timeframe.ms - 1


@pytest.mark.parametrize(("symbol", "timeframe", "limit"), KLINES)
async def test_kline_values_belong_together(
    venue: Venue, symbol: str, timeframe: Timeframe, limit: int
) -> None:
    _, rows = await venue.raw("klines", symbol=symbol, interval=str(timeframe), limit=str(limit))
    columns = np.array(rows, dtype=np.float64).T
    times, _, high, low, _, volume, _, quote, trades, taker_base, taker_quote, _ = columns
    assert (np.diff(times) == timeframe.ms).all()
    assert (times % timeframe.ms == 0).all()
    assert (quote >= low * volume - 1e-3).all()
    assert (quote <= high * volume + 1e-3).all()
    assert (taker_base <= volume).all()
    assert (taker_quote <= quote).all()
    assert ((trades > 0) == (volume > 0)).all()


@pytest.mark.parametrize(("symbol", "timeframe", "limit"), KLINES)
async def test_client_reads_klines_to_the_digit(
    venue: Venue, symbol: str, timeframe: Timeframe, limit: int
) -> None:
    _, rows = await venue.raw("klines", symbol=symbol, interval=str(timeframe), limit=str(limit))
    candles = (await venue.client.klines(symbol, timeframe, limit=limit)).candles
    assert candles.open_time_ms.tolist() == [row[0] for row in rows]
    for field, column in enumerate(
        (candles.open, candles.high, candles.low, candles.close, candles.volume), start=1
    ):
        assert column.tolist() == [float(row[field]) for row in rows]


async def test_client_learns_the_weight_from_the_header(venue: Venue) -> None:
    await venue.client.klines("BTCUSDT", Timeframe.M5, limit=1000)
    assert venue.client.used_weight == 41


async def test_client_learns_the_offset_of_the_clock(venue: Venue) -> None:
    _, body = await venue.raw("time")
    venue.clock.step_wall(-75_000)
    offset = await venue.client.sync_time()
    assert offset == venue.client.offset_ms
    assert venue.client.now_ms() == body["serverTime"]
    assert venue.clock.now_ms() == body["serverTime"] - offset


async def test_ping_is_an_empty_object(venue: Venue) -> None:
    assert await venue.raw("ping") == (200, {})


async def test_client_reads_the_weight_limit_and_statuses(venue: Venue) -> None:
    statuses = await venue.client.statuses(["BTCUSDT", "ETHUSDT"])
    assert statuses == {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING"}
    assert venue.client.assets == {"BTCUSDT": ("BTC", "USDT"), "ETHUSDT": ("ETH", "USDT")}
    assert venue.client.weight_limit == (6000 if venue.today else 1200)


async def test_coin_entries_carry_the_documented_fields(venue: Venue) -> None:
    _, body = await venue.raw("exchangeInfo", symbols='["BTCUSDT","ETHUSDT"]')
    assert {"timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"} <= set(body)
    for entry in body["symbols"]:
        assert entry["symbol"] == entry["baseAsset"] + entry["quoteAsset"]
        filters = {f["filterType"]: f for f in entry["filters"]}
        assert DECIMAL.fullmatch(filters["PRICE_FILTER"]["tickSize"])
        assert DECIMAL.fullmatch(filters["LOT_SIZE"]["stepSize"])


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"interval": "5m"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "NOPEUSDT", "interval": "5m"}, -1121),
    ],
)
async def test_errors_are_400_with_code_and_text(
    venue: Venue, parameters: dict[str, str], code: int
) -> None:
    status, body = await venue.raw("klines", **parameters)
    assert status == 400
    assert body["code"] == code
    assert set(body) == {"code", "msg"}


async def test_client_names_an_unknown_coin(venue: Venue) -> None:
    with pytest.raises(UnknownSymbol, match="NOPEUSDT"):
        await venue.client.klines("NOPEUSDT", Timeframe.M5, limit=5)


async def test_ban_is_418_with_its_end_in_header_and_text(venue: Venue) -> None:
    if venue.today:
        fault = {"kind": "418", "for_s": 77}
        async with venue.session.post(f"{venue.url}/sim/faults", json=fault) as reply:
            assert reply.status == 200
    status, body = await venue.raw("klines", symbol="BTCUSDT", interval="4h", limit="7")
    assert status == 418
    assert body["code"] == -1003
    assert re.search(r"IP banned until \d{13}\.", body["msg"])
    with pytest.raises(RateLimited) as caught:
        await venue.client.klines("BTCUSDT", Timeframe.H4, limit=7)
    assert caught.value.status == 418
    assert caught.value.until_ms == NOW + 77_000


# Below: of the simulator alone.

SYMBOLS = ["BTCUSDT", "ETHUSDT", "DOGEUSDT"]


async def ask(path: str, clock: ManualClock | None = None) -> tuple[int, Any, Any]:
    clock = clock or ManualClock(NOW)
    async with (
        simulated(clock, SYMBOLS) as simulator,
        aiohttp.ClientSession() as session,
        session.get(f"{simulator.url}{path}") as response,
    ):
        return response.status, await response.json(), response.headers


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("klines", -1102),
        ("klines?symbol=BTCUSDT", -1102),
        ("klines?symbol=&interval=5m", -1105),
        ("klines?symbol=btcusdt&interval=5m", -1100),
        ("klines?symbol=BTC/USDT&interval=5m", -1100),
        ("klines?symbol=BTCUSDT&interval=5M", -1120),
        ("klines?symbol=BTCUSDT&interval=5m&limit=ten", -1100),
        ("klines?symbol=BTCUSDT&interval=5m&limit=-5", -1100),
        ("klines?symbol=BTCUSDT&interval=5m&limit=0", -1130),
        ("klines?symbol=BTCUSDT&interval=5m&limit=", -1105),
        ("klines?symbol=BTCUSDT&interval=5m&startTime=1.5", -1100),
        ("klines?symbol=BTCUSDT&interval=5m&timeZone=5", -1130),
        ("klines?symbol=BTCUSDT&interval=5m&colour=red", -1101),
        ("klines?symbol=BTCUSDT&symbol=ETHUSDT&interval=5m", -1101),
        ("ping?symbol=BTCUSDT", -1101),
        ("time?x=1", -1101),
        ("exchangeInfo?symbol=NOPEUSDT", -1121),
        ('exchangeInfo?symbols=["BTCUSDT","NOPEUSDT"]', -1121),
        ('exchangeInfo?symbols=["BTCUSDT","BTCUSDT"]', -1151),
        ("exchangeInfo?symbols=BTCUSDT", -1100),
        ('exchangeInfo?symbol=BTCUSDT&symbols=["ETHUSDT"]', -1128),
    ],
)
async def test_bad_parameters_bring_the_documented_code(path: str, code: int) -> None:
    status, body, _ = await ask(f"/api/v3/{path}")
    assert (status, body["code"]) == (400, code)


async def test_limit_defaults_to_500_and_stops_at_1000() -> None:
    for suffix, rows in (("", 500), ("&limit=1000", 1000), ("&limit=5000", 1000)):
        _, body, _ = await ask(f"/api/v3/klines?symbol=BTCUSDT&interval=1h{suffix}")
        assert len(body) == rows


async def test_start_asks_for_the_oldest_end_for_the_newest() -> None:
    hour = Timeframe.H1.ms
    start = NOW - NOW % hour - 50 * hour
    base = "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=3"
    for times, first in (
        (f"&startTime={start}", start),
        (f"&startTime={start - 1}", start),
        (f"&startTime={start * 1000}", start),
        (f"&endTime={start}", start - 2 * hour),
        (f"&startTime={start}&endTime={start + 9 * hour}", start),
    ):
        _, body, _ = await ask(base + times)
        assert [row[0] for row in body] == [first, first + hour, first + 2 * hour], times
    _, body, _ = await ask(f"{base}&startTime={start}&endTime={start + hour}")
    assert [row[0] for row in body] == [start, start + hour]
    assert (await ask(f"{base}&startTime={NOW + hour}"))[1] == []


async def test_last_row_is_the_open_bar_and_changes() -> None:
    clock = ManualClock(NOW)
    async with (
        simulated(clock, SYMBOLS) as simulator,
        aiohttp.ClientSession() as session,
    ):
        rows = []
        for _ in range(2):
            url = f"{simulator.url}/api/v3/klines?symbol=BTCUSDT&interval=4h&limit=2"
            async with session.get(url) as response:
                rows.append(await response.json())
            await clock.advance(30)
    (closed, running), (closed_later, running_later) = rows
    assert closed == closed_later
    assert running[0] == running_later[0] == NOW - NOW % Timeframe.H4.ms
    assert running[6] > NOW
    assert running != running_later


async def test_all_coins_are_listed_without_parameters() -> None:
    _, body, _ = await ask("/api/v3/exchangeInfo")
    assert [entry["symbol"] for entry in body["symbols"]] == SYMBOLS


async def test_weights_are_the_documented_ones_and_counted_per_clock_minute() -> None:
    clock = ManualClock(NOW - NOW % 60_000 + 1000)
    async with (
        simulated(clock, SYMBOLS) as simulator,
        aiohttp.ClientSession() as session,
    ):

        async def used(path: str) -> int:
            async with session.get(f"{simulator.url}/api/v3/{path}") as response:
                return int(response.headers["X-MBX-USED-WEIGHT-1M"])

        assert await used("ping") == 1
        assert await used("time") == 2
        assert await used("klines?symbol=BTCUSDT&interval=5m&limit=1000") == 4
        assert await used("exchangeInfo") == 24
        assert await used("klines?symbol=NOPEUSDT&interval=5m") == 26
        await clock.advance(60)
        assert await used("ping") == 1


async def test_limit_is_6000_then_429_with_retry_after_then_418() -> None:
    clock = ManualClock(NOW - NOW % 60_000 + 1500)
    async with (
        simulated(clock, SYMBOLS) as simulator,
        aiohttp.ClientSession() as session,
    ):
        simulator.wire.limits.refuse(5999, clock.now_ms())
        seen = []
        for _ in range(13):
            async with session.get(f"{simulator.url}/api/v3/ping") as response:
                seen.append((response.status, response.headers.get("Retry-After")))
                body = await response.json()
        assert seen[0] == (200, None)
        assert seen[1:12] == [(429, "59")] * 11
        assert seen[12] == (418, "120")
        assert f"banned until {clock.now_ms() + 120_000}" in body["msg"]
        await clock.advance(120)
        async with session.get(f"{simulator.url}/api/v3/ping") as response:
            assert response.status == 200
