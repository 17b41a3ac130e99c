"""A journal that is lost, older or another's is noticed, and nothing is done twice for it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from actors.trader.assembly import Trading
from actors.trader.continuity import WITNESS
from actors.trader.journal_thread import JournalThread
from shared.bus import Bus
from shared.errors import VenueUnavailable
from shared.journal.journal import Journal
from shared.journal.rows import CommandRow
from shared.kill_switch import KillSwitch
from shared.messages.trading import TraderCommand, TraderVerb
from tests.support.execution import JumpingClock
from tests.support.manual_clock import ManualClock
from tests.support.trading import CYCLE, CYCLE_MS, NO_REDIS, MarketCandles, assemble
from tests.support.venue import VenueUnderTest, simulated_client, simulated_owner, venue_on

COINS = ("BTCUSDT", "SOLUSDT")


@dataclass
class Site:
    """A venue, and the state_dir of the traders that trade there one after another."""

    at: VenueUnderTest
    clock: ManualClock
    candles: MarketCandles
    state_dir: Path

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[Trading]:
        """Yield a trader that has loaded its journal, and not asked the venue yet."""
        clock = JumpingClock(self.clock)
        journal = JournalThread(Journal(self.state_dir / "trader.db", simulated_owner()))
        bus = Bus(NO_REDIS, name="trader", clock=clock)
        try:
            async with aiohttp.ClientSession() as session:
                trading = assemble(
                    simulated_client(self.at.url, session, clock), journal, bus, self.candles,
                    clock=clock, symbols=COINS, state_dir=self.state_dir,
                )  # fmt: skip
                await trading.load()
                yield trading
        finally:
            journal.close()
            await bus.close()

    @asynccontextmanager
    async def trader(self) -> AsyncIterator[Trading]:
        """Yield a trader as it is after its start: loaded, positions read and compared."""
        async with self.loaded() as trading:
            await trading.continuity.compare(await trading.execution.protect())
            await trading.commands.resume()
            yield trading

    async def trade(self) -> None:
        """Run a trader that enters two coins and ends."""
        async with self.trader() as trading:
            assert trading.gates.mode()[0] == "enabled"
            await trading.cycle.run(CYCLE)
        assert len(await self.orders()) == 2

    async def orders(self) -> list[dict[str, Any]]:
        books = await self.at.books()
        return [*books["over"], *books["orders"]]

    def lose(self, *names: str) -> None:
        for path in self.state_dir.iterdir():
            if path.name.startswith(names):
                path.unlink()

    def copy(self, into: str) -> None:
        target = self.state_dir.parent / into
        target.mkdir()
        for path in self.state_dir.glob("trader.db*"):
            shutil.copy(path, target)

    def restore(self, out_of: str) -> None:
        self.lose("trader.db")
        for path in (self.state_dir.parent / out_of).iterdir():
            shutil.copy(path, self.state_dir)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock = ManualClock(CYCLE + 3_000)
    market = Market(GeneratedPrices(("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"), 7))
    candles = MarketCandles(market, COINS, JumpingClock(clock))
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    async with venue_on(MarketPrices(market), clock, tmp_path) as at:
        yield Site(at, clock, candles, state_dir)


def command(verb: TraderVerb, name: str, at_ms: int) -> TraderCommand:
    return TraderCommand(id=name, command=verb, who="ada", at_ms=at_ms)


def lose_journal(site: Site) -> None:
    site.lose("trader.db")


def lose_both(site: Site) -> None:
    site.lose("trader.db", WITNESS)


def take_older(site: Site) -> None:
    site.restore("older")


def take_older_without_witness(site: Site) -> None:
    site.restore("older")
    site.lose(WITNESS)


def take_foreign(site: Site) -> None:
    site.lose("trader.db")
    foreign = Journal(site.state_dir / "trader.db", simulated_owner())
    foreign.close()


def spoil_witness(site: Site) -> None:
    site.lose("trader.db")
    (site.state_dir / WITNESS).write_bytes(b"{")


async def test_new_journal_with_an_empty_venue_starts_normally(site: Site) -> None:
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "enabled"
    assert not WITNESS.startswith("trader.db")
    assert (site.state_dir / WITNESS).exists()
    await site.trade()
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "enabled"
        assert {each.own.symbol for each in trading.execution.reconciled.ours} == set(COINS)  # type: ignore[union-attr]


async def test_ids_of_orders_name_the_journal_they_are_in(site: Site) -> None:
    await site.trade()
    journal = Journal(site.state_dir / "trader.db", simulated_owner())
    journal.close()
    assert all(
        order["client_id"].startswith(f"t{journal.identity}") for order in await site.orders()
    )


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lose_journal, "our orders are in journal"),
        (take_foreign, "our orders are in journal"),
        (take_older, "is older than our last order"),
        (lose_both, "which the venue has in"),
        (take_older_without_witness, "which the venue has in"),
        (spoil_witness, "which the venue has in"),
    ],
)
async def test_journal_without_orders_of_ours_locks_until_it_is_accepted(
    site: Site, lose: Callable[[Site], None], words: str
) -> None:
    async with site.trader():
        pass
    site.copy("older")
    await site.trade()
    lose(site)
    for _ in range(2):  # a restart does not forget it
        async with site.trader() as trading:
            assert trading.gates.mode()[0] == "locked"
            assert words in trading.gates.mode()[1]
            await site.clock.advance(5 * 60)
            report = await trading.cycle.run(CYCLE + CYCLE_MS)
            assert report.trouble == ""
            assert "locked" in trading.gates.objection()
    assert len(await site.orders()) == 2
    async with site.trader() as trading:
        await trading.gates.release(Released())  # type: ignore[arg-type]
        assert trading.gates.mode()[0] == "locked"
        assert "accepted, although" in await trading.continuity.accept()
        assert trading.gates.mode()[0] == "enabled"
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "enabled"
        assert len(trading.execution.reconciled.foreign) == 2  # type: ignore[union-attr]
        assert "nothing to accept" in await trading.continuity.accept()


class Released:
    """A Redis that has no flag."""

    async def delete(self, *_: object) -> None:
        pass


async def test_right_journal_put_back_needs_no_word(site: Site) -> None:
    await site.trade()
    site.copy("right")
    site.lose("trader.db")
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "locked"
    site.restore("right")
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "enabled"


@pytest.mark.parametrize("content", [None, b"", b"\xff{"])
async def test_witness_that_is_lost_is_made_again_where_the_venue_confirms_the_journal(
    site: Site, content: bytes | None
) -> None:
    await site.trade()
    known = (site.state_dir / WITNESS).read_bytes()
    site.lose(WITNESS)
    if content is not None:
        (site.state_dir / WITNESS).write_bytes(content)
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "enabled"
    assert known[:60] == (site.state_dir / WITNESS).read_bytes()[:60]  # identity and newest order


async def test_nothing_is_entered_while_the_venue_cannot_be_asked(site: Site) -> None:
    await site.trade()
    site.lose(WITNESS)
    await site.at.plan({"kind": "venue_5xx", "for_s": 600, "endpoint": "finished-position"})
    with pytest.raises(VenueUnavailable, match="finished-position"):
        async with site.trader():
            pass
    async with site.loaded() as trading:
        report = await trading.cycle.run(CYCLE + CYCLE_MS)
        assert report.trouble
        assert "being compared with the venue" in trading.gates.objection()


@pytest.mark.parametrize("lose", [lose_journal, lose_both, take_older, take_older_without_witness])
async def test_flatten_carried_out_before_is_not_carried_out_by_another_journal(
    site: Site, lose: Callable[[Site], None]
) -> None:
    async with site.trader():
        pass
    site.copy("older")
    await site.trade()
    flatten = command("flatten", "c1", site.clock.now_ms())
    async with site.trader() as trading:
        await trading.commands.carry_out(flatten)
        assert KillSwitch(site.state_dir).read() is not None
        await trading.gates.release(Released())  # type: ignore[arg-type]
    assert (await site.at.books())["positions"] == []
    lose(site)
    await site.clock.advance(10)
    async with site.trader() as trading:
        await trading.commands.carry_out(flatten)
        assert KillSwitch(site.state_dir).read() is None
        fresh = command("kill", "c2", site.clock.now_ms())
        await trading.commands.carry_out(fresh)
        assert KillSwitch(site.state_dir).read() is not None


async def test_command_begun_in_an_older_journal_is_not_resumed(site: Site) -> None:
    async with site.trader():
        pass
    journal = Journal(site.state_dir / "trader.db", simulated_owner())
    journal.begin_command(
        CommandRow(id="c1", command="flatten", symbol=None, who="ada", at_ms=site.clock.now_ms())
    )
    journal.close()
    site.copy("older")
    async with site.trader() as trading:  # resumed here, and once
        assert KillSwitch(site.state_dir).read() is not None
        await trading.gates.release(Released())  # type: ignore[arg-type]
    await site.trade()
    site.restore("older")
    async with site.trader() as trading:
        assert trading.gates.mode()[0] == "locked"
    assert KillSwitch(site.state_dir).read() is None
