"""The account's publisher against the simulated venue on a real socket, and a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.account import Account
from actors.base import Context
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.defaults import UNNAMED_VENUE
from shared.config.venue_catalog import venue_catalog
from shared.errors import BusUnavailable
from shared.exchanges.venue_keys import VenueKeys
from shared.messages.actors import Heartbeat
from shared.messages.trading import Balance, Positions, Refresh
from shared.supervision.status_pipe import StatusPipe
from tests.support.private_redis import PrivateRedis
from tests.support.venue import (
    KEYS,
    ScriptedPrices,
    VenueUnderTest,
    simulated_client,
    simulated_url,
    venue_on,
)
from tests.support.waiting import eventually

CLOCK = SystemClock()
PRICES = {"BTCUSDT": "60000", "ETHUSDT": "3000", "XRPUSDT": "2"}
NEVER_S = 3600.0
VENUE = venue_catalog()[UNNAMED_VENUE].title


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[VenueUnderTest]:
    async with venue_on(ScriptedPrices(CLOCK.now_ms() - 1000, PRICES), CLOCK, tmp_path) as venue:
        yield venue


@contextlib.asynccontextmanager
async def account(
    redis_url: str,
    venue_url: str,
    *,
    keys: VenueKeys | None = KEYS,
    mode: str = "demo",
    interval_s: float = 1.0,
    symbols: Sequence[str] = tuple(PRICES),
) -> AsyncIterator[Account]:
    """Run the actor."""
    context = Context(
        name="account",
        mode=mode,
        source="sim",
        state_dir=Path("unused"),
        section={
            "account": {"interval_s": interval_s},
            "venue": {
                "base_url": simulated_url(venue_url),
                "window_ms": 5000,
                "request_timeout_s": 1.0,
            },
            "symbols": list(symbols),
        },
        bus=Bus(redis_url, name="account", clock=CLOCK, timeout_s=0.5),
        clock=CLOCK,
        log=logging.getLogger("test"),
        rng=random.Random(7),
        status=StatusPipe(None),
        probation=False,
        quarantined_coins={},
        keys=keys,
    )
    actor = Account(context)
    running = asyncio.create_task(actor.run())
    try:
        yield actor
    finally:
        actor.stop()
        await running
        await context.bus.close()


class Told:
    """What stands on Redis."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def positions(self) -> Positions | None:
        return await self._bus.get(schema.POSITIONS)

    async def balance(self) -> Balance | None:
        return await self._bus.get(schema.BALANCE)

    async def both(
        self, fits: Callable[[Positions, Balance], object], within_s: float = 8
    ) -> tuple[Positions, Balance]:
        """Return both messages once they fit."""

        async def look() -> Any:
            try:
                positions, balance = await self.positions(), await self.balance()
            except BusUnavailable:
                return None
            if positions is None or balance is None or not fits(positions, balance):
                return None
            return positions, balance

        found: tuple[Positions, Balance] = await eventually(look, within_s)
        return found

    async def beat(self, fits: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return the detail of the heartbeat once it fits."""

        async def look() -> Any:
            beat: Heartbeat | None = await self._bus.get(schema.HEARTBEAT, name="account")
            return beat.detail if beat is not None and fits(beat.detail) else None

        found: dict[str, Any] = await eventually(look, 10)
        return found


@pytest.fixture
def told(bus: Bus) -> Told:
    return Told(bus)


async def buy(venue: VenueUnderTest) -> None:
    await venue.by_hand("position", market="BTCUSDT", side="long", amount="0.01")


async def set_stop(venue: VenueUnderTest) -> None:
    client = simulated_client(venue.url, venue.session, venue.clock)
    await client.set_stop_loss("BTCUSDT", Decimal(59000))


async def test_positions_and_balance_are_told_as_the_venue_has_them(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    await buy(venue)
    await set_stop(venue)
    await venue.by_hand("position", market="ETHUSDT", side="short", amount="0.5")
    async with account(redis_url, venue.url):
        positions, balance = await told.both(lambda p, b: p.as_of_ms)
    bitcoin, ether = positions.positions
    assert (bitcoin.symbol, bitcoin.side, bitcoin.size_base) == ("BTCUSDT", "long", "0.01")
    assert (float(bitcoin.stop_loss or 0), bitcoin.take_profit) == (59000, None)
    assert float(bitcoin.mark_price or 0) == pytest.approx(60000, rel=0.01)
    assert (ether.symbol, ether.side, ether.stop_loss) == ("ETHUSDT", "short", None)
    assert (positions.reason, balance.reason) == ("", "")
    parts = (
        balance.available_quote,
        balance.frozen_quote,
        balance.margin_quote,
        balance.unrealized_pnl_quote,
    )
    assert float(balance.equity_quote or 0) == pytest.approx(sum(float(p or 0) for p in parts))
    assert balance.currency == "USDT"


@pytest.mark.parametrize("unlisted", [["AAAUSDT"], ["AAAUSDT", "BBBUSDT", "CCCUSDT"]])
async def test_first_coins_that_the_venue_does_not_list_do_not_hide_the_account(
    unlisted: list[str], venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    async with account(redis_url, venue.url, symbols=[*unlisted, *PRICES]):
        await told.both(lambda p, b: p.as_of_ms and not p.reason and b.equity_quote)


async def test_a_venue_that_lists_none_of_our_coins_is_a_reason(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    async with account(redis_url, venue.url, symbols=["AAAUSDT"]):
        await told.both(lambda p, b: "lists none of our coins" in p.reason)


async def test_more_positions_than_fit_on_a_page_are_all_told(
    tmp_path: Path, redis_url: str, told: Told
) -> None:
    prices = {f"C{n:02}USDT": "10" for n in range(23)} | PRICES
    async with venue_on(ScriptedPrices(CLOCK.now_ms() - 1000, prices), CLOCK, tmp_path) as venue:
        for symbol in prices:
            await venue.by_hand("position", market=symbol, side="long", amount="1")
        held = {row["market"] for row in (await venue.books())["positions"]}
        assert len(held) > 20
        async with account(redis_url, venue.url):
            positions, _ = await told.both(lambda p, b: p.as_of_ms)
    assert {each.symbol for each in positions.positions} == held
    assert all(each.mark_price is not None for each in positions.positions)


async def test_values_that_stay_get_a_younger_time_and_nothing_else(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    async with account(redis_url, venue.url):
        first, first_balance = await told.both(lambda p, b: p.as_of_ms)
        later, later_balance = await told.both(lambda p, b: p.as_of_ms > first.as_of_ms)
    assert later.positions == first.positions
    assert later_balance.equity_quote == first_balance.equity_quote


async def test_look_is_taken_at_once_when_somebody_asks(
    venue: VenueUnderTest, redis_url: str, bus: Bus, told: Told
) -> None:
    async with account(redis_url, venue.url, interval_s=NEVER_S):
        await told.both(lambda p, b: p.as_of_ms)
        await buy(venue)

        async def asked() -> bool:
            await bus.publish(schema.ACCOUNT_REFRESH, Refresh(at_ms=CLOCK.now_ms()))
            positions = await told.positions()
            return positions is not None and bool(positions.positions)

        await eventually(asked, 10, every_s=0.1)


async def test_many_who_ask_do_not_wear_out_the_venue(
    venue: VenueUnderTest, redis_url: str, bus: Bus, told: Told
) -> None:
    async with account(redis_url, venue.url, interval_s=NEVER_S):
        await told.both(lambda p, b: p.as_of_ms)
        began = time.monotonic()
        before = dict((await venue.books())["requests"])
        for _ in range(300):
            await bus.publish(schema.ACCOUNT_REFRESH, Refresh(at_ms=CLOCK.now_ms()))
        after = dict((await venue.books())["requests"])
        took_s = time.monotonic() - began
    (name,) = (name for name in after if "pending-position" in name)
    assert after[name] - before.get(name, 0) <= took_s + 2


async def test_without_keys_it_says_so_and_runs_on(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    async with account(redis_url, venue.url, keys=None, mode="live") as actor:
        positions, balance = await told.both(lambda p, b: p.reason)
        detail = await told.beat(lambda d: d.get("trouble"))
        assert actor._state == "ready"
    assert positions.reason == balance.reason == detail["trouble"]
    assert positions.reason.startswith("no keys: set COINEX_VENUE_KEY")
    assert (positions.as_of_ms, positions.positions, balance.equity_quote) == (0, [], None)


async def test_keys_the_venue_does_not_take_are_a_reason_not_an_end(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    keys = VenueKeys("marked-access-id", "marked-secret")
    async with account(redis_url, venue.url, keys=keys):
        positions, _ = await told.both(lambda p, b: p.reason)
    assert "4005" in positions.reason
    assert "marked" not in positions.reason


FAULTS = ["venue_5xx", "venue_html", "venue_wrong_json", "venue_half_body", "venue_hang",
          "venue_busy", "venue_auth", "venue_frozen"]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_venue_that_is_down_or_frozen_leaves_the_last_values_and_their_time(
    venue: VenueUnderTest, redis_url: str, told: Told, fault: str
) -> None:
    await buy(venue)
    async with account(redis_url, venue.url):
        before, _ = await told.both(lambda p, b: p.positions)
        await venue.plan({"kind": fault, "for_s": 600})
        if fault == "venue_frozen":
            # its book has then stood still for longer than any lull lasts
            await venue.plan({"kind": "venue_clock_skew", "for_s": 600, "value": 120_000})
        positions, balance = await told.both(lambda p, b: p.reason, within_s=20)
        again, _ = await told.both(lambda p, b: p.reason)
        assert positions.reason.startswith(f"{VENUE}: ")
        assert ("is frozen" in positions.reason) is (fault == "venue_frozen")
        assert again.as_of_ms == positions.as_of_ms >= before.as_of_ms
        assert [each.symbol for each in positions.positions] == ["BTCUSDT"]
        assert balance.equity_quote is not None
        detail = await told.beat(lambda d: d.get("trouble"))
        assert detail["trouble"] == again.reason


async def test_venue_that_comes_back_is_told_again(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    async with account(redis_url, venue.url):
        await venue.plan({"kind": "venue_5xx", "for_s": 600})
        down, _ = await told.both(lambda p, b: p.reason)
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{venue.url}/sim/faults") as reply,
        ):
            assert reply.status == 200
        up, _ = await told.both(lambda p, b: not p.reason and p.as_of_ms > down.as_of_ms)
        assert (await told.beat(lambda d: not d.get("trouble")))["trouble"] == ""
    assert up.positions == []


async def test_what_was_told_last_survives_a_restart_while_the_venue_is_away(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    await buy(venue)
    async with account(redis_url, venue.url):
        before, _ = await told.both(lambda p, b: p.positions)
    async with account(redis_url, "http://127.0.0.1:9"):
        after, balance = await told.both(lambda p, b: p.reason)
    assert (after.positions, after.as_of_ms >= before.as_of_ms) == (before.positions, True)
    assert balance.equity_quote is not None


async def test_what_another_venue_told_is_no_memory_of_this_one(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    await buy(venue)
    async with account(redis_url, venue.url):
        await told.both(lambda p, b: p.positions)
    async with account(redis_url, "http://127.0.0.1:9", mode="live"):
        positions, balance = await told.both(lambda p, b: p.reason)
    assert (positions.positions, positions.as_of_ms, balance.equity_quote) == ([], 0, None)


async def test_position_without_a_stop_for_longer_than_a_look_is_named(
    venue: VenueUnderTest, redis_url: str, told: Told
) -> None:
    await buy(venue)
    async with account(redis_url, venue.url):
        assert (await told.beat(lambda d: d.get("unprotected")))["unprotected"] == ["BTCUSDT"]
        await set_stop(venue)
        assert (await told.beat(lambda d: not d.get("unprotected")))["positions"] == 1


async def test_redis_that_was_away_is_told_everything_when_it_is_back(
    venue: VenueUnderTest, own_redis: Callable[..., PrivateRedis]
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    told = Told(bus)
    try:
        async with account(server.url, venue.url):
            await told.both(lambda p, b: p.as_of_ms)
            server.kill()
            server.start()  # empty
            await told.both(lambda p, b: p.as_of_ms, within_s=15)
    finally:
        await bus.close()
