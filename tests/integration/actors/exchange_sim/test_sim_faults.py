"""What the client makes of everything the exchange may do wrong, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shared.candles.admission import Admitted, WrongUnit
from shared.clock import SystemClock
from shared.errors import BadCandle, ExchangeUnavailable, RateLimited, UnknownSymbol
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.market import Candles, Timeframe
from shared.messages.candles import Ban
from tests.support.exchange import Simulator, client_of, served, simulated
from tests.support.manual_clock import ManualClock
from tests.support.waiting import eventually

NOW = 1_735_000_000_000 - 1_735_000_000_000 % Timeframe.H4.ms + 3_723_000
M5 = Timeframe.M5


@dataclass
class Pair:
    """A client and the simulator it talks to, on one clock that moves when told to."""

    clock: ManualClock
    simulator: Simulator
    client: BinanceClient
    ban_path: Path

    async def klines(self, symbol: str = "BTCUSDT", limit: int = 20) -> Candles:
        return (await self.client.klines(symbol, M5, limit=limit)).candles

    async def asked(self) -> int:
        counts: dict[str, int] = (await self.simulator.requests())["counts"]
        return sum(counts.values())


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    clock = ManualClock(NOW)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(simulated(clock, ["BTCUSDT", "ETHUSDT"]))
        client = await stack.enter_async_context(client_of(simulator.url, clock, tmp_path))
        yield Pair(clock, simulator, client, tmp_path / "binance-ban")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"kind": "5xx"}, "HTTP 503, the exchange has a fault"),
        ({"kind": "5xx", "value": 502}, "HTTP 502"),
        ({"kind": "html"}, "HTTP 200, the body is no JSON: a web page, '"),
        ({"kind": "half_body"}, "klines: Client"),
        ({"kind": "wrong_json"}, "klines: expected a list"),
        ({"kind": "bomb"}, "bytes of gzip decompress to more than 1,048,576 bytes"),
        ({"kind": "bomb", "value": 5000}, "its Content-Length is 5,"),
        ({"kind": "endless"}, "bytes have arrived, at most 1,048,576 are read"),
    ],
)
async def test_failing_exchange_is_unavailable_and_says_why(
    pair: Pair, fault: dict[str, Any], text: str
) -> None:
    await pair.simulator.plan(fault)
    with pytest.raises(ExchangeUnavailable) as caught:
        await pair.klines()
    assert text in str(caught.value)
    await pair.clock.advance(60)
    assert len(await pair.klines()) == 20
    assert not pair.ban_path.exists()


async def test_wrong_shape_of_time_and_rules_is_unavailable(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "wrong_json"})
    with pytest.raises(ExchangeUnavailable, match="serverTime"):
        await pair.client.sync_time()
    with pytest.raises(ExchangeUnavailable, match="rateLimits"):
        await pair.client.statuses(["BTCUSDT"])


async def test_silent_exchange_is_unavailable_after_the_timeout(tmp_path: Path) -> None:
    clock = SystemClock()
    async with (
        simulated(clock, ["BTCUSDT"]) as simulator,
        client_of(simulator.url, clock, tmp_path, timeout_s=0.2) as client,
    ):
        await simulator.plan({"kind": "hang"})
        with pytest.raises(ExchangeUnavailable, match=r"no answer within 0\.2 s"):
            await client.klines("BTCUSDT", M5, limit=5)


async def test_exchange_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    clock = SystemClock()
    async with simulated(clock, ["BTCUSDT"]) as simulator:
        gone = simulator.url
    async with client_of(gone, clock, tmp_path) as client:
        with pytest.raises(ExchangeUnavailable, match="ClientConnectorError"):
            await client.klines("BTCUSDT", M5, limit=5)


async def test_fault_of_one_coin_leaves_the_others_alone(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "5xx", "symbol": "ETHUSDT"})
    assert len(await pair.klines("BTCUSDT")) == 20
    with pytest.raises(ExchangeUnavailable):
        await pair.klines("ETHUSDT")
    await pair.client.sync_time()


async def test_fault_begins_and_ends_when_the_script_says(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "5xx", "after_s": 10, "for_s": 5})
    await pair.klines()
    await pair.clock.advance(10)
    with pytest.raises(ExchangeUnavailable):
        await pair.klines()
    await pair.clock.advance(5)
    await pair.klines()


async def test_zero_price_refuses_that_row_alone(pair: Pair) -> None:
    whole = await pair.klines()
    await pair.simulator.plan({"kind": "price_zero"})
    admitted = await pair.client.klines("BTCUSDT", M5, limit=20)
    newest_closed = M5.open_at(NOW) - M5.ms
    (refused,) = admitted.refused
    assert (refused.open_time_ms, refused.row) == (newest_closed, 19)
    assert refused.why.startswith("price not finite and above 0")
    assert admitted.candles.same_as(whole[whole.open_time_ms != newest_closed])


async def test_gap_is_one_candle_missing_in_the_middle_until_the_fault_ends(pair: Pair) -> None:
    whole = await pair.klines()
    await pair.simulator.plan({"kind": "gap", "for_s": 600})
    missing = M5.open_at(NOW) - 10 * M5.ms
    for _ in range(2):
        holed = await pair.klines(limit=18)
        assert holed.gaps(M5) == [(missing, missing + M5.ms)]
        assert len(holed) == 18
        await pair.clock.advance(299)
    await pair.clock.advance(2)
    healed = await pair.klines()
    assert not healed.gaps(M5)
    assert missing in healed.open_time_ms.tolist()
    assert missing in whole.open_time_ms.tolist()


async def test_late_candle_appears_value_seconds_after_its_close(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "late", "for_s": 3600, "value": 20})
    boundary = M5.open_at(NOW) + M5.ms
    await pair.clock.advance((boundary - NOW) / 1000 + 1)
    late = await pair.klines()
    assert boundary - M5.ms not in late.open_time_ms
    assert late.open_time_ms[-1] == boundary
    await pair.clock.advance(19)
    assert boundary - M5.ms in (await pair.klines()).open_time_ms


async def test_delisted_coin_is_unknown_and_no_longer_listed(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "delisted", "symbol": "ETHUSDT"})
    with pytest.raises(UnknownSymbol, match="ETHUSDT"):
        await pair.klines("ETHUSDT")
    with pytest.raises(UnknownSymbol, match="BTCUSDT, ETHUSDT"):
        await pair.client.statuses(["BTCUSDT", "ETHUSDT"])
    assert set(await pair.client.statuses(["BTCUSDT"])) == {"BTCUSDT"}
    await pair.klines("BTCUSDT")


async def test_halt_shows_flat_candles_then_none_and_a_status(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "halt", "symbol": "BTCUSDT", "for_s": 3600, "value": 1200})
    assert await pair.client.statuses(["BTCUSDT"]) == {"BTCUSDT": "HALT"}
    await pair.clock.advance(3000)
    halted = await pair.klines()
    stopped = M5.open_at(NOW)
    flat = halted[halted.open_time_ms > stopped]
    assert (flat.open_time_ms - stopped).tolist() == [M5.ms * n for n in (1, 2, 3, 4)]
    assert (flat.volume == 0).all()
    assert len(set(flat.high.tolist() + flat.low.tolist())) == 1
    await pair.clock.advance(3600)
    resumed = await pair.klines(limit=100)
    assert resumed.gaps(M5) == [(stopped + 5 * M5.ms, stopped + 13 * M5.ms)]
    assert await pair.client.statuses(["BTCUSDT"]) == {"BTCUSDT": "TRADING"}


@pytest.mark.parametrize("skew_ms", [90_000, -90_000])
async def test_skewed_exchange_clock_shifts_time_and_candles(pair: Pair, skew_ms: int) -> None:
    await pair.simulator.plan({"kind": "clock_skew", "value": skew_ms})
    assert await pair.client.sync_time() == skew_ms
    assert pair.client.now_ms() == NOW + skew_ms
    assert (await pair.klines()).open_time_ms[-1] == M5.open_at(NOW + skew_ms)


@pytest.mark.parametrize("kind", ["429", "418"])
async def test_no_request_is_sent_while_forbidden_not_even_after_a_restart(
    pair: Pair, kind: str
) -> None:
    await pair.simulator.plan({"kind": kind, "for_s": 5, "value": 100})
    with pytest.raises(RateLimited) as caught:
        await pair.klines()
    assert (caught.value.until_ms, caught.value.status) == (NOW + 100_000, int(kind))
    assert await pair.asked() == 1
    async with client_of(pair.simulator.url, pair.clock, pair.ban_path.parent) as restarted:
        for client in (pair.client, restarted):
            for call in (
                client.sync_time(),
                client.statuses(["BTCUSDT"]),
                client.klines("BTCUSDT", M5, limit=5),
            ):
                with pytest.raises(RateLimited):
                    await call
        await pair.clock.advance(99.9)
        with pytest.raises(RateLimited):
            await restarted.sync_time()
        assert await pair.asked() == 1
        await pair.clock.advance(0.1)
        await restarted.sync_time()
        await pair.client.sync_time()
    assert await pair.asked() == 3


async def test_ban_ends_the_calls_already_queued_before_they_are_sent(tmp_path: Path) -> None:
    clock = SystemClock()
    async with simulated(clock, ["BTCUSDT"]) as simulator:
        await simulator.plan({"kind": "418", "for_s": 60})
        connector = aiohttp.TCPConnector(limit=1)  # so that all but one queue for a connection
        async with aiohttp.ClientSession(connector=connector) as session:
            client = BinanceClient(
                session, base_url=simulator.url, clock=clock, ban=BanFile(tmp_path / "ban")
            )
            outcomes = await asyncio.gather(
                *(client.klines("BTCUSDT", M5, limit=5) for _ in range(30)),
                return_exceptions=True,
            )
        assert [type(outcome) for outcome in outcomes] == [RateLimited] * 30
        assert (await simulator.requests())["counts"] == {"klines": 1}


async def test_ban_reaches_calls_waiting_for_weight(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with (
        simulated(clock, ["BTCUSDT"]) as simulator,
        client_of(simulator.url, clock, tmp_path, weight_share=0.001) as client,
    ):
        for _ in range(3):
            await client.klines("BTCUSDT", M5, limit=5)
        waiting = asyncio.create_task(client.klines("BTCUSDT", M5, limit=5))
        await clock.advance(1)
        assert not waiting.done()
        other = BanFile(tmp_path / "binance-ban")
        other.write(Ban(until_ms=NOW + 600_000, status=418, at_ms=NOW))
        await clock.advance(60)
        with pytest.raises(RateLimited):
            await waiting
        assert (await simulator.requests())["counts"] == {"klines": 3}


async def test_weight_share_delays_requests_to_the_next_clock_minute(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    async with (
        simulated(clock, ["BTCUSDT"], limit=100) as simulator,
        client_of(simulator.url, clock, tmp_path, weight_share=0.5) as client,
    ):
        await client.statuses(["BTCUSDT"])
        assert client.weight_limit == 100
        calls = [asyncio.create_task(client.klines("BTCUSDT", M5, limit=5)) for _ in range(30)]
        await eventually(lambda: sum(call.done() for call in calls) == 15)
        assert client.used_weight == 50
        await clock.advance(60 - NOW % 60_000 / 1000)
        await asyncio.gather(*calls)
        requests = await simulator.requests()
    minutes = [time // 60_000 - NOW // 60_000 for time in requests["times_ms"]["klines"]]
    assert minutes == [0] * 15 + [1] * 15
    assert requests["statuses"] == {"200": 31}


async def test_clock_set_back_does_not_make_a_short_ban_a_long_one(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "418", "for_s": 5, "value": 100})
    with pytest.raises(RateLimited):
        await pair.klines()
    pair.clock.step_wall(-86_400_000)
    await pair.simulator.plan()
    with pytest.raises(RateLimited) as caught:
        await pair.klines()
    assert caught.value.until_ms == NOW - 86_400_000 + 100_000


async def test_ban_that_cannot_be_written_still_silences_this_client(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.ban_path.mkdir()
    (pair.ban_path / "in the way").touch()
    await pair.simulator.plan({"kind": "418"})
    with caplog.at_level(logging.ERROR), pytest.raises(RateLimited):
        await pair.klines()
    assert "ban not written" in caplog.text
    with pytest.raises(RateLimited):
        await pair.klines()
    assert await pair.asked() <= 1


# What no exchange in its right mind sends: answers written by hand.


async def answer(
    tmp_path: Path,
    reply: Callable[[web.Request], Awaitable[web.StreamResponse]],
    call: Callable[[BinanceClient], Awaitable[object]],
) -> object:
    app = web.Application()
    app.router.add_get("/{anything:.*}", reply)
    async with (
        served(app) as url,
        client_of(url, ManualClock(NOW), tmp_path, timeout_s=5) as client,
    ):
        return await call(client)


@pytest.mark.parametrize(
    ("status", "headers", "body", "pause_s"),
    [
        (429, {"Retry-After": "7"}, "{}", 7),
        (429, {"retry-after": "0"}, "{}", 1),
        (429, {}, "<html>", 60),
        (418, {}, "", 120),
        (429, {"Retry-After": "soon"}, "{}", 60),
        (418, {"Retry-After": "-5"}, "{}", 120),
        (418, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "{}", 120),
        (418, {"Retry-After": "99999999"}, "{}", 259_200),
        (418, {"Retry-After": "5"}, f'{{"msg":"IP banned until {NOW + 300_000}."}}', 300),
        (418, {"Retry-After": "500"}, f'{{"msg":"IP banned until {NOW + 300_000}."}}', 500),
        (418, {}, f'{{"msg":"IP banned until {NOW * 5}."}}', 259_200),
        (400, {}, '{"code":-1003,"msg":"Too many requests."}', 60),
        (200, {}, '{"code":-1003,"msg":"Too many requests."}', 60),
    ],
)
async def test_length_of_the_pause_is_what_was_told_or_a_sane_one(
    tmp_path: Path, status: int, headers: dict[str, str], body: str, pause_s: int
) -> None:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text=body)

    with pytest.raises(RateLimited) as caught:
        await answer(tmp_path, reply, lambda client: client.sync_time())
    assert caught.value.until_ms == NOW + pause_s * 1000
    written = BanFile(tmp_path / "binance-ban").read()
    assert written is not None
    assert written.until_ms == caught.value.until_ms


async def test_ban_whose_body_never_arrives_is_kept_all_the_same(tmp_path: Path) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=418, headers={"Retry-After": "9"})
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(RateLimited) as caught:
        await answer(tmp_path, reply, lambda client: client.sync_time())
    assert caught.value.until_ms == NOW + 9000


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (200, "", "an empty body"),
        (200, "[1,", "no JSON"),
        (200, "NaN", "no JSON"),
        (200, "null", "HTTP 200"),
        (200, '"fine"', "expected a list"),
        (400, '{"code":-1102,"msg":"Mandatory parameter"}', "the request was refused: .*-1102"),
        (404, "not here", "HTTP 404"),
        (504, '{"code":-1007,"msg":"Timeout"}', "HTTP 504, the exchange has a fault"),
    ],
)
async def test_nonsense_is_unavailable_and_quoted(
    tmp_path: Path, status: int, body: str, text: str
) -> None:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    with pytest.raises(ExchangeUnavailable, match=text):
        await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5))


async def test_redirect_is_not_followed(tmp_path: Path) -> None:
    seen = []

    async def reply(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPFound("/elsewhere")

    with pytest.raises(ExchangeUnavailable, match="redirect"):
        await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5))
    assert seen == ["/api/v3/klines"]


T = M5.open_at(NOW)
GOOD: list[Any] = [T, "2.0", "3.0", "1.0", "2.5", "7.0", T + M5.ms - 1, "9", 3, "1", "2", "0"]


def changed(field: int, value: Any) -> list[Any]:
    return [*GOOD[:field], value, *GOOD[field + 1 :]]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([GOOD[:11]], "expected a list of 12"),
        ([[*GOOD, "0"]], "expected a list of 12"),
        ([GOOD, {"t": T}], "row 2.*expected a list of 12"),
        ([7], "expected a list of 12"),
        ([changed(0, str(T))], "field 0: expected a whole number"),
        ([changed(0, T + 0.5)], "field 0: expected a whole number"),
        ([changed(8, "3")], "field 8: expected a whole number"),
        ([changed(1, 2.0)], f"at {T} .*field 1: expected a number as text"),
        ([changed(9, None)], "field 9: expected a number as text"),
        ([changed(4, "2,5")], "field 4: expected a decimal number, found '2,5'"),
        ([changed(4, "NaN")], "field 4: expected a decimal number, found 'NaN'"),
        ([changed(5, "Infinity")], "field 5: expected a decimal number, found 'Infinity'"),
        ([changed(5, "１２")], r"field 5: expected .*, found '\\uff11\\uff12'"),
        ([changed(1, "1_0")], "field 1: expected a decimal number, found '1_0'"),
        ([changed(5, "-1.0")], "volume"),
        ([changed(2, "2.2")], "high below"),
        ([changed(3, "2.2")], "low above"),
        ([changed(3, "0.0")], "price"),
        ([changed(6, T + M5.ms)], "close time"),
        ([[T + 1, *GOOD[1:6], T + M5.ms, *GOOD[7:]]], "grid"),
    ],
)
async def test_row_that_cannot_be_true_is_refused(
    tmp_path: Path, rows: list[Any], text: str
) -> None:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(rows))

    admitted = await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5))
    assert isinstance(admitted, Admitted)
    (refused,) = admitted.refused
    assert re.search(text, f"row {refused.row} at {refused.open_time_ms} {refused.why}")
    assert len(admitted.candles) == len(rows) - 1


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "seconds"), (1000, "microseconds")])
async def test_answer_in_another_unit_is_refused_by_its_name(
    tmp_path: Path, factor: float, unit: str
) -> None:
    row = [int(T * factor), *GOOD[1:6], int((T + M5.ms) * factor) - 1, *GOOD[7:]]

    async def reply(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps([row]))

    with pytest.raises(WrongUnit, match=f"BTCUSDT 5m: times in {unit}.*row 1 has {row[0]}"):
        await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5))


async def test_equal_rows_are_one_and_counted(tmp_path: Path) -> None:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps([GOOD] * 3))

    admitted = await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5))
    assert isinstance(admitted, Admitted)
    assert (len(admitted.candles), admitted.duplicates, admitted.conflicts) == (1, 2, ())


async def test_rows_not_asked_for_are_refused(tmp_path: Path) -> None:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps([GOOD]))

    with pytest.raises(BadCandle, match="before"):
        await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5, start_ms=T + 1))
    with pytest.raises(BadCandle, match="1 candles, asked for 0"):
        await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=0))


async def test_no_rows_are_no_candles(tmp_path: Path) -> None:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(text="[]")

    admitted = await answer(tmp_path, reply, lambda c: c.klines("BTCUSDT", M5, limit=5))
    assert isinstance(admitted, Admitted)
    assert len(admitted.candles) == 0


# The control panel.


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{", "not JSON"),
        ('{"kind": "5xy"}', "kind: expected one of '5xx'"),
        ('{"symbol": "*"}', "kind: missing"),
        ('{"kind": "5xx", "fore_s": 3}', "fore_s: unknown; expected kind, symbol, after_s"),
        ('{"kind": "5xx", "for_s": -3}', "for_s: expected more than 0"),
        ('{"kind": "5xx", "after_s": "now"}', "after_s: expected a number"),
        ('[{"kind": "5xx"}, {"kind": "5xx", "symbol": "NOPEUSDT"}]', "entry 1: symbol"),
        ("7", "expected an object"),
    ],
)
async def test_bad_fault_is_refused_whole_with_a_clear_text(
    pair: Pair, body: str, text: str
) -> None:
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{pair.simulator.url}/sim/faults", data=body, headers=headers) as response,
    ):
        assert response.status == 400
        assert text in (await response.json())["error"]
        async with session.get(f"{pair.simulator.url}/sim/faults") as listing:
            assert await listing.json() == []


async def test_faults_are_listed_and_cleared_and_bans_lifted(pair: Pair) -> None:
    await pair.simulator.plan({"kind": "418"}, {"kind": "gap", "after_s": 5})
    url = f"{pair.simulator.url}/sim/faults"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            listed = await response.json()
        assert [(f["kind"], f["active"]) for f in listed] == [("418", True), ("gap", False)]
        assert listed[1]["from_ms"] == NOW + 5000
        with pytest.raises(RateLimited):
            await pair.klines()
        async with session.delete(url) as response:
            assert await response.json() == []
        pair.ban_path.unlink()
        async with session.get(f"{pair.simulator.url}/api/v3/ping") as response:
            assert response.status == 200


async def test_requests_are_counted_with_their_times(pair: Pair) -> None:
    await pair.klines()
    await pair.clock.advance(3)
    await pair.klines()
    await pair.client.sync_time()
    seen = await pair.simulator.requests()
    assert seen["counts"] == {"klines": 2, "time": 1}
    assert seen["times_ms"] == {"klines": [NOW, NOW + 3000], "time": [NOW + 3000]}
