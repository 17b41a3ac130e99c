"""The trader's API over real HTTP, a real Redis that comes and goes, and a trader that talks."""

from __future__ import annotations

import asyncio
import logging
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.trader_api.commands import CommandClient, CommandRefused, NotSent
from shared import schema
from shared.bus import Bus
from shared.errors import ConfigError
from shared.kill_switch import KillSwitch, Lock
from shared.messages.trading import (
    Balance,
    KillFlag,
    Position,
    Positions,
    TraderCommand,
    TraderConfig,
    TraderStatus,
)
from tests.support.api_site import CLOCK, Site, api_site
from tests.support.full_disk import create_no_lock_files
from tests.support.hostile_server import bomb
from tests.support.private_redis import PrivateRedis
from tests.support.trader_stand_in import StandIn, stand_in
from tests.support.waiting import eventually

VERBS = ["enable", "disable", "reduce", "close", "flatten", "kill", "release", "adopt"]


def path_of(verb: str) -> str:
    return f"/{verb}/BTCUSDT" if verb in ("close", "adopt") else f"/{verb}"


@pytest.fixture
async def site(redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with api_site(redis_url, tmp_path) as site:
        yield site


@pytest.fixture
async def trader(redis_url: str) -> AsyncIterator[StandIn]:
    async with stand_in(redis_url) as trader:
        yield trader


def told(now_ms: int) -> TraderStatus:
    return TraderStatus(
        as_of_ms=now_ms, mode="enabled", reason="entries and exits", venue="Venue (simulated)",
        cycle_ms=None, next_cycle_ms=now_ms + 60_000, candles_from="none", trouble="",
        last_trade_ms=None, use_ta_signals=False, ours=[], foreign=[], unprotected=[], limits=[],
        skipped={}, pnl_today_quote=None, fees_today_quote=None, equity=[(now_ms, "1000")],
    )  # fmt: skip


async def publish(bus: Bus) -> None:
    """Put on Redis what account and trader keep there."""
    now_ms = CLOCK.now_ms()
    await bus.put(schema.TRADER_STATUS, told(now_ms))
    config = TraderConfig(as_of_ms=now_ms, venue="Venue", settings={"entry_score": 85})
    await bus.put(schema.TRADER_CONFIG, config)
    position = Position(
        symbol="OLDUSDT", side="long", size_base="0.5", entry_price="10", mark_price="11",
        stop_loss="9", take_profit=None, liquidation_price=None, leverage=3, margin_quote="2",
        unrealized_pnl_quote="0.5", realized_pnl_quote="-0.01", opened_ms=now_ms,
    )  # fmt: skip
    positions = Positions(as_of_ms=now_ms, venue="Venue", positions=[position])
    await bus.put(schema.POSITIONS, positions)
    balance = Balance(
        as_of_ms=now_ms, venue="Venue", currency="USDT", equity_quote="1000",
        available_quote="998", frozen_quote="0", margin_quote="2", unrealized_pnl_quote="0",
    )  # fmt: skip
    await bus.put(schema.BALANCE, balance)


# Who may ask


def test_token_is_for_the_owner_only_and_stays_the_same(site: Site) -> None:
    path = site.state_dir / "api.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(site.token) >= 43


async def test_token_of_the_first_start_is_used_again(redis_url: str, tmp_path: Path) -> None:
    async with api_site(redis_url, tmp_path) as first:
        token = first.token
    async with api_site(redis_url, tmp_path) as second:
        assert second.token == token
        assert (await second.ask("GET", "/status", token=token))[0] == 200


async def test_address_that_was_removed_is_written_again(site: Site) -> None:
    path = site.state_dir / "api.url"
    path.unlink()
    site.actor.wake()
    await eventually(path.exists)
    assert path.read_text() == f"{site.base}\n"


@pytest.mark.parametrize(("mode", "content"), [(0o644, "x" * 43), (0o600, "short"), (0o600, "")])
async def test_token_that_others_could_read_or_guess_is_refused(
    redis_url: str, tmp_path: Path, mode: int, content: str
) -> None:
    path = tmp_path / "api.token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"api.token: .*; remove .* and start trader-api again"):
        async with api_site(redis_url, tmp_path):
            pass
    assert path.read_text() == content


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no token": ({"path": "/status", "token": ""}, 401, "Authorization: Bearer"),
    "a wrong token": ({"path": "/status", "token": "x" * 43}, 401, "another token"),
    "no token for a command": ({"method": "POST", "path": "/kill", "token": ""}, 401, "Bearer"),
    "another scheme": (
        {"path": "/status", "token": "", "headers": {"Authorization": "Basic eDp5"}}, 401, "Bearer",
    ),
    "a foreign host": (
        {"path": "/status", "headers": {"Host": "evil.example"}}, 421, "trader_api.allowed_hosts",
    ),
    "another site's page": (
        {"method": "POST", "path": "/kill", "headers": {"Origin": "http://evil.example"}}, 403,
        "another site",
    ),
    "no such path": ({"path": "/nothing"}, 404, "GET /nothing: Not Found"),
    "an unknown coin": ({"method": "POST", "path": "/close/NOPEUSDT"}, 404, "'NOPEUSDT' is"),
    "a coin without its quote": ({"method": "POST", "path": "/close/BTC"}, 404, "'BTC' is neither"),
    "no coin at all": ({"method": "POST", "path": "/close/btc-usdt"}, 404, "mean BTCUSDT?"),
    "no coin named": ({"method": "POST", "path": "/close"}, 404, "POST /close: Not Found"),
    "a wrong verb": ({"method": "GET", "path": "/kill"}, 405, "Method Not Allowed"),
    "a write to a reading": ({"method": "DELETE", "path": "/status"}, 405, "Method Not Allowed"),
    "an oversized body": (
        {"method": "POST", "path": "/kill", "json": {"reason": "x" * 70_000}}, 413, "65536",
    ),
    "an oversized body for a reading": ({"path": "/status", "data": b"x" * 70_000}, 413, "65536"),
    "a gzip bomb": (
        {"method": "POST", "path": "/kill", "data": bomb(60),
         "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"}},
        413, "65536",
    ),
    "a body of another kind": (
        {"method": "POST", "path": "/kill", "data": "reason=x",
         "headers": {"Content-Type": "text/plain"}}, 415, "application/json",
    ),
    "a body that is no JSON": (
        {"method": "POST", "path": "/kill", "data": b"{",
         "headers": {"Content-Type": "application/json"}}, 400, "not JSON",
    ),
    "an unknown field": (
        {"method": "POST", "path": "/kill", "json": {"reasn": "x"}}, 422, "reasn",
    ),
    "a number for a reason": (
        {"method": "POST", "path": "/kill", "json": {"reason": 5}}, 422, "reason",
    ),
    "a list for a body": ({"method": "POST", "path": "/kill", "json": []}, 422, "expected an obj"),
    "a reason without end": (
        {"method": "POST", "path": "/kill", "json": {"reason": "x" * 201}}, 422, "at most 200",
    ),
    "an unknown parameter": ({"path": "/trades?limits=5"}, 400, "expected limit, before_id"),
    "a word for a number": ({"path": "/trades?limit=many"}, 400, "expected one whole number"),
    "digits of another script": ({"path": "/trades?limit=١٢"}, 400, "expected one whole number"),
    "a number with a sign": ({"path": "/trades?limit=%2B12"}, 400, "expected one whole number"),
    "a number with a line in it": ({"path": "/trades?limit=1_2"}, 400, "expected one whole number"),
    "too many rows": ({"path": "/events?limit=1001"}, 400, "from 1 to 1000"),
    "a parameter twice": ({"path": "/events?limit=1&limit=2"}, 400, "one whole number"),
    "nothing told yet": ({"path": "/positions"}, 503, "account has not published it yet"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(REFUSED))
async def test_every_refusal_is_a_problem_document_and_changes_nothing(
    site: Site, what: str
) -> None:
    asked, expected, words = REFUSED[what]
    asked = {"method": "GET", **asked}
    status, body, kind = await site.ask(**asked)
    assert (status, kind) == (expected, "application/problem+json")
    assert body["status"] == expected
    assert words in body["detail"]
    assert body["title"]
    assert KillSwitch(site.state_dir).read() is None


async def test_refusals_say_how_to_come_in(site: Site) -> None:
    async with site.session.get(site.base + "/status") as response:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in response.headers
    headers = {"Authorization": f"Bearer {site.token}"}
    async with site.session.get(site.base + "/kill", headers=headers) as response:
        assert response.headers["Allow"] == "POST"


async def test_whoever_guesses_is_slowed_down_and_the_owner_is_not(
    site: Site, trader: StandIn
) -> None:
    statuses = [(await site.ask("GET", "/status", token=f"{n:043}"))[0] for n in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    assert (await site.ask("GET", "/status", token=""))[0] == 401
    assert (await site.ask("GET", "/status"))[0] == 200
    assert (await site.ask("POST", "/kill"))[0] == 200


async def test_what_is_no_http_leaves_nothing_of_itself_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /status HTTP/1.1\r\nAuthorization: Bearer marked\x00\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.0 400")
    writer.close()
    assert "it is no HTTP" in caplog.text
    assert "marked" not in caplog.text


# What can be read


async def test_what_is_published_is_told(site: Site, bus: Bus) -> None:
    await publish(bus)
    status = await site.get("/status")
    assert (status["answering"], status["lock"], status["redis"]) == (True, None, "up")
    assert status["status"]["mode"] == "enabled"
    assert (await site.get("/config"))["settings"] == {"entry_score": 85}
    assert (await site.get("/positions"))["positions"][0]["symbol"] == "OLDUSDT"
    assert (await site.get("/balance"))["equity_quote"] == "1000"


async def test_status_of_a_silent_trader_says_since_when(site: Site, bus: Bus) -> None:
    status = await site.get("/status")
    assert (status["answering"], status["status"]) == (False, None)
    assert "no trader" in status["why"]
    await bus.put(schema.TRADER_STATUS, told(CLOCK.now_ms() - 60_000))
    status = await site.get("/status")
    assert (status["answering"], status["status"]["mode"]) == (False, "enabled")
    assert "60 s ago" in status["why"]


# Commands


@pytest.mark.parametrize("verb", VERBS)
async def test_command_is_answered_with_what_the_trader_did(
    site: Site, trader: StandIn, verb: str
) -> None:
    asked = {"reason": "a trial", "who": "ada"}
    status, body, _ = await site.ask("POST", path_of(verb), json=asked)
    assert (status, body["outcome"], body["command"]) == (200, "done", verb)
    assert body["text"] == f"{verb} done by the stand-in"
    (heard,) = trader.commands
    assert (heard.command, heard.who, heard.id) == (verb, "ada", body["id"])
    assert heard.symbol == ("BTCUSDT" if verb in ("close", "adopt") else None)


LOCKS = {"kill": ("locked", False), "flatten": ("locked", True), "disable": ("disabled", False)}


@pytest.mark.parametrize("verb", list(LOCKS))
async def test_what_must_hold_is_in_the_lock_file_before_the_trader_hears_of_it(
    site: Site, bus: Bus, redis_url: str, verb: str
) -> None:
    mode, flatten = LOCKS[verb]
    locks: list[Lock | None] = []

    class Looking(StandIn):
        def record(self, command: TraderCommand) -> None:
            locks.append(KillSwitch(site.state_dir).read())

    async with stand_in(redis_url, Looking):
        _, body, _ = await site.ask("POST", f"/{verb}", json={"reason": "odd", "who": "ada"})
    (lock,) = locks
    assert lock is not None
    assert (lock.mode, lock.flatten, lock.reason, lock.who) == (mode, flatten, "odd", "ada")
    assert body["lock"]["mode"] == mode
    found = await bus.get(schema.TRADER_KILL)
    assert (found is not None) is (mode == "locked")


async def test_release_ends_a_kill_everywhere(site: Site, bus: Bus, trader: StandIn) -> None:
    await site.ask("POST", "/kill")
    status, body, _ = await site.ask("POST", "/release")
    assert (status, body["lock"]) == (200, None)
    assert KillSwitch(site.state_dir).read() is None
    assert await bus.get(schema.TRADER_KILL) is None


async def test_enable_ends_a_disable_and_never_a_kill(site: Site, trader: StandIn) -> None:
    await site.ask("POST", "/disable")
    assert (await site.ask("POST", "/enable"))[1]["lock"] is None
    await site.ask("POST", "/kill", json={"reason": "odd"})
    status, body, _ = await site.ask("POST", "/enable")
    assert status == 409
    assert "odd; release it first" in body["detail"]
    assert KillSwitch(site.state_dir).read() is not None
    assert [heard.command for heard in trader.commands] == ["disable", "enable", "kill"]


async def test_disable_leaves_a_kill_a_kill(site: Site, trader: StandIn) -> None:
    await site.ask("POST", "/kill")
    _, body, _ = await site.ask("POST", "/disable")
    assert body["lock"]["mode"] == "locked"


async def test_what_the_trader_refuses_is_a_conflict_in_its_words(
    site: Site, trader: StandIn
) -> None:
    trader.refuses["close"] = "BTCUSDT: no position of ours"
    status, body, kind = await site.ask("POST", "/close/BTCUSDT")
    assert (status, kind) == (409, "application/problem+json")
    assert body["detail"] == "BTCUSDT: no position of ours"


async def test_position_in_a_coin_no_longer_configured_can_be_closed(
    site: Site, bus: Bus, trader: StandIn
) -> None:
    assert (await site.ask("POST", "/close/OLDUSDT"))[0] == 404
    await publish(bus)
    assert (await site.ask("POST", "/close/OLDUSDT"))[0] == 200


async def test_words_can_forge_no_line_of_a_log(site: Site, trader: StandIn) -> None:
    await site.ask("POST", "/kill", json={"who": "ada\nroot", "reason": "a\x1b[2Jb"})
    lock = KillSwitch(site.state_dir).read()
    assert lock is not None
    assert (lock.who, lock.reason) == ("ada root", "a [2Jb")


async def test_silent_trader_is_said_so_in_time(bus: Bus, tmp_path: Path) -> None:
    commands = CommandClient(bus, CLOCK, tmp_path, log=logging.getLogger("test"), answer_s=0.05)
    outcome = await commands.carry_out("reduce", who="ada", reason="")
    assert outcome.reply is None
    assert "has not answered within 0.05 s" in outcome.text
    outcome = await commands.carry_out("kill", who="ada", reason="")
    assert outcome.text.startswith("the lock is set; the trader has not answered")


# Without Redis


@pytest.mark.parametrize("verb", ["kill", "disable", "flatten"])
async def test_without_redis_the_lock_is_set_all_the_same(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path, verb: str
) -> None:
    server = own_redis()
    async with api_site(server.url, tmp_path) as site:
        server.kill()
        status, body, _ = await site.ask("POST", f"/{verb}", json={"reason": "odd"})
        assert (status, body["outcome"], body["mode"]) == (202, "pending", None)
        assert body["text"].startswith(
            "the lock is set; the trader reads it from the file, because Redis at "
        )
        lock = KillSwitch(tmp_path).read()
        assert lock is not None
        assert (lock.reason, lock.flatten) == ("odd", verb == "flatten")
        status, body, _ = await site.ask("GET", "/status")
        assert (status, body["redis"]) == (200, "down")
        assert body["lock"]["reason"] == "odd"


async def test_frozen_redis_keeps_nobody_from_the_lock_for_long(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    async with api_site(server.url, tmp_path) as site:
        server.freeze()
        try:
            async with asyncio.timeout(5):
                status, _, _ = await site.ask("POST", "/kill")
        finally:
            server.thaw()
        assert status == 202
        assert KillSwitch(tmp_path).read() is not None


async def test_kill_set_while_an_enable_waits_for_redis_stays(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server, switch = own_redis(), KillSwitch(tmp_path)
    switch.set(Lock(reason="x", who="ada", at_ms=1, mode="disabled"))
    bus = Bus(server.url, name="test", clock=CLOCK, timeout_s=10)
    await bus.ping()
    commands = CommandClient(bus, CLOCK, tmp_path, log=logging.getLogger("test"), answer_s=0.05)
    server.freeze()
    try:
        enabling = asyncio.create_task(commands.carry_out("enable", who="ada", reason=""))
        for _ in range(50):  # it has read the file and waits for Redis
            await asyncio.to_thread(int)
        killed = switch.set(Lock(reason="y", who="bob", at_ms=2))
    finally:
        server.thaw()
    with pytest.raises(CommandRefused, match="locked by bob"):
        await enabling
    assert switch.read() == killed
    await bus.close()


@pytest.mark.parametrize("verb", ["enable", "release", "reduce", "close", "adopt"])
async def test_without_redis_nothing_else_is_done_and_a_lock_stays(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path, verb: str
) -> None:
    server = own_redis()
    lock = Lock(reason="x", who="ada", at_ms=1, mode="disabled")
    KillSwitch(tmp_path).set(lock)
    async with api_site(server.url, tmp_path) as site:
        server.kill()
        status, body, kind = await site.ask("POST", path_of(verb))
        assert (status, kind) == (503, "application/problem+json")
        assert body["detail"].startswith("Redis at ")
        assert body["detail"].endswith("; nothing was changed")
        assert KillSwitch(tmp_path).read() == lock


async def test_lock_file_that_cannot_be_written_still_reaches_the_trader(
    site: Site, bus: Bus, trader: StandIn
) -> None:
    (site.state_dir / "trader.lock").mkdir()
    status, body, _ = await site.ask("POST", "/kill")
    assert (status, body["mode"]) == (200, "locked")
    assert isinstance(await bus.get(schema.TRADER_KILL), KillFlag)
    assert [heard.command for heard in trader.commands] == ["kill"]


# Where nothing can be written


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    create_no_lock_files(monkeypatch)


async def test_kill_on_a_full_disk_sets_a_lock_that_was_prepared(
    site: Site, trader: StandIn, unwritable: None
) -> None:
    status, body, _ = await site.ask("POST", "/kill", json={"reason": "odd", "who": "ada"})
    assert (status, body["lock"]["reason"]) == (200, "odd")
    assert "NOT LOCKED" not in body["text"]
    status, body, _ = await site.ask("POST", "/flatten", json={"reason": "out", "who": "ada"})
    assert (status, body["lock"]["flatten"], body["lock"]["reason"]) == (200, True, "out")


async def test_answer_says_exactly_what_does_not_hold(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path, unwritable: None
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK, timeout_s=0.5)
    commands = CommandClient(bus, CLOCK, tmp_path, log=logging.getLogger("test"), answer_s=0.05)
    outcome = await commands.carry_out("kill", who="ada", reason="")
    assert outcome.text.startswith("NOT LOCKED: ")
    assert "No space left on device" in outcome.text
    assert "has not answered within 0.05 s; it has the command" in outcome.text
    server.kill()
    with pytest.raises(NotSent, match=r"NOT LOCKED: .*; Redis at .*nothing was changed"):
        await commands.carry_out("kill", who="ada", reason="")
    await bus.close()


async def test_release_says_when_no_lock_file_could_be_prepared(
    bus: Bus, tmp_path: Path, unwritable: None
) -> None:
    commands = CommandClient(bus, CLOCK, tmp_path, log=logging.getLogger("test"), answer_s=0.05)
    outcome = await commands.carry_out("release", who="ada", reason="")
    assert outcome.text.startswith("no lock file could be prepared (No space left on device)")


# Its description


async def test_made_up_requests_find_no_answer_the_description_does_not_know(
    site: Site, bus: Bus, trader: StandIn
) -> None:
    await publish(bus)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{site.base}/openapi.json",
        "-H", f"Authorization: Bearer {site.token}", "--seed", "7", "-n", "20",
        "--phases", "examples,coverage,fuzzing", "--output-truncate", "true",
        cwd=site.state_dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert {heard.command for heard in trader.commands} >= {"kill", "release", "close", "flatten"}
