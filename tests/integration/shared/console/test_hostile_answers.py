"""Commands that ask over HTTP, against servers that send too much or something else."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest

from shared.api.address import AddressFile
from shared.api.token import make_token, token_path
from shared.clock import SystemClock
from shared.config.load import load
from shared.console import trader as console
from shared.console.doctor import exchange_offset_ms
from shared.errors import EXIT_FAILED, EXIT_NO_SUPERVISOR, ExchangeUnavailable
from tests.support.exchange import simulated
from tests.support.hostile_server import HostileReply, hostile, replies
from tests.support.paths import ROOT


async def offset_ms(url: str, directory: Path) -> int:
    config = load(ROOT / "config.yaml", [f"binance.base_url={url}"], mode="paper")
    return await exchange_offset_ms(config, directory, SystemClock())


async def test_doctor_compares_the_clock_with_the_exchange(tmp_path: Path) -> None:
    async with simulated(SystemClock(3_000), ["BTCUSDT"]) as simulator:
        assert abs(await offset_ms(simulator.url, tmp_path) - 3_000) < 1_000


@pytest.mark.parametrize("name", ["gzip bomb in chunks", "body without end", "a redirect"])
async def test_doctor_refuses_what_every_client_refuses(name: str, tmp_path: Path) -> None:
    reply, pattern = replies()[name]
    async with hostile(reply) as url:
        with pytest.raises(ExchangeUnavailable, match=pattern):
            await offset_ms(url, tmp_path)


async def status_of(reply: HostileReply, directory: Path) -> int:
    """Run `trader status` against an API that sends a reply."""
    make_token(token_path(directory))
    async with hostile(reply) as url:
        AddressFile(directory).write("127.0.0.1", int(url.rpartition(":")[2]))
        options = argparse.Namespace(
            action="status", symbol=None, reason=None, json=False,
            config=ROOT / "config.yaml", set=[f"state_dir={directory}"],
        )  # fmt: skip
        return await asyncio.to_thread(console.trader, options)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("body without end", "its answer is larger than 8,388,608 bytes"),
        ("chunks without end", "its answer is larger than 8,388,608 bytes"),
        ("drip", "its answer has not ended after 0.3 s"),
        ("headers without end", "got more than 100 headers"),
    ],
)
async def test_trader_limits_an_answer(
    name: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "TIMEOUT_S", 0.3 if name == "drip" else 10)
    assert await status_of(replies()[name][0], tmp_path) == EXIT_NO_SUPERVISOR
    assert said in capsys.readouterr().err


async def test_trader_follows_no_redirect(tmp_path: Path) -> None:
    reply = HostileReply(
        b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert await status_of(reply, tmp_path) == EXIT_FAILED
