"""Requests to the simulator that decompress to too much, or hold what is no number."""

from __future__ import annotations

import aiohttp
import psutil
import pytest

from actors.exchange_sim.parameters import Parameters
from shared.clock import SystemClock
from shared.exchanges.sim.errors import SimRefused
from tests.support.exchange import simulated
from tests.support.hostile_server import bomb

MOST_GROWTH_MB = 40
GZIP = {"Content-Encoding": "gzip", "Content-Type": "application/json"}


async def test_the_simulator_refuses_a_gzip_bomb() -> None:
    bombed, memory = bomb(500), psutil.Process().memory_info
    async with simulated(SystemClock(), ["BTCUSDT"]) as simulator, aiohttp.ClientSession() as here:
        before = memory().rss
        async with here.post(f"{simulator.url}/sim/faults", data=bombed, headers=GZIP) as answer:
            assert answer.status == 413
        assert memory().rss - before < MOST_GROWTH_MB * 2**20


@pytest.mark.parametrize("last", ["", "-1", "1_0", "%2B1", "１", "9" * 5000])
async def test_a_count_that_is_no_whole_number_is_refused(last: str) -> None:
    async with (
        simulated(SystemClock(), ["BTCUSDT"]) as simulator,
        aiohttp.ClientSession() as here,
        here.get(f"{simulator.url}/sim/requests?last={last}") as answer,
    ):
        assert answer.status == 400


@pytest.mark.parametrize("text", ["1_0", " 1", "+1", "１", "inf", "NaN", "1e999999", "1" * 99, "-"])
def test_an_amount_that_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(SimRefused, match="amount is no decimal number"):
        Parameters({"amount": text}).amount("amount")


@pytest.mark.parametrize("value", ["１", "1_0", "+1", "9" * 5000, 10**18, True, 1.0, None])
def test_a_whole_number_has_at_most_18_ascii_digits(value: object) -> None:
    with pytest.raises(SimRefused, match="limit is missing or no whole number"):
        Parameters({"limit": value}).whole("limit")
