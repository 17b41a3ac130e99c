"""The trader where evidence is required: what it enters, what it says, what it goes on doing."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared import codec
from shared.bus import Bus
from shared.config.sections import TraderSection
from shared.messages.trading import StrategyIdentity, TraderStatus
from shared.strategy.records import effective_parameters
from shared.trading.strategy import BASE
from tests.support.evidence import evidence
from tests.support.fast_clock import FastClock
from tests.support.running_trader import RunningTrader, ask, exchanges_on, put_candles, status
from tests.support.strategies import TRIAL, record, section, written
from tests.support.trading import CYCLE, EAGER, MarketCandles, trader_on
from tests.support.venue import VenueUnderTest, remove_trigger
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "SOLUSDT")
STRICT = dataclasses.replace(EAGER, evidence="require")
OTHER_FILE = dataclasses.replace(evidence().strategy, hash="0" * 64)


async def entered(directory: Path, settings: TraderSection) -> tuple[list[str], str]:
    """Run one cycle that calls for entries; return what was entered, and the trader's reason."""
    async with trader_on(directory, COINS, CYCLE + 3_000, settings=settings) as trader:
        await trader.trading.cycle.run(CYCLE)
        coins = [position["market"] for position in (await trader.at.books())["positions"]]
        return coins, trader.trading.gates.mode()[1]


def with_record(directory: Path, **change: Any) -> TraderSection:
    path = directory / "evidence.json"
    path.write_bytes(codec.encode(dataclasses.replace(evidence(STRICT), **change)))
    return dataclasses.replace(STRICT, evidence_file=str(path))


async def test_evidence_of_just_this_lets_it_enter(tmp_path: Path) -> None:
    coins, _ = await entered(tmp_path, with_record(tmp_path))
    assert coins == list(COINS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings_hash": "1" * 64}, "it is of other settings"),
        ({"strategy": OTHER_FILE}, f"it is of the strategy base {BASE.version} (000000000000)"),
        ({"openings": 4}, "its hold-out was opened 4 times, so its bound must hold at 98.75 %"),
        ({"use_ta_signals": True}, "it is of use_ta_signals: true"),
        ({"taker_fee": Decimal("0.0004")}, "it assumed a taker fee of 0.04 %"),
        ({"verdict": "undecided"}, "its verdict is undecided"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_evidence_of_anything_else_does_not(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    coins, why = await entered(tmp_path, with_record(tmp_path, **change))
    assert coins == []
    assert "no new entries; open positions are still managed (no evidence of these" in why
    assert words in why


# Through the actor


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[VenueUnderTest]:
    async with exchanges_on(COINS, FastClock(CYCLE + 3_000, 8), tmp_path) as venue:
        yield venue


async def said(bus: Bus, ready: Callable[[TraderStatus], bool]) -> tuple[TraderStatus, Any]:
    """Return the first status that is as wanted, and its evidence."""

    async def found() -> TraderStatus | None:
        told = await status(bus)
        return told if told is not None and ready(told) else None

    told: TraderStatus = await eventually(found, within_s=30)
    assert told.evidence is not None
    return told, told.evidence


async def test_live_trader_enters_once_there_is_evidence_and_not_before(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    market = venue.wire.venue.feed._market  # type: ignore[attr-defined]
    candles = MarketCandles(market, COINS, venue.clock)
    await put_candles(bus, candles, COINS, CYCLE)
    path = tmp_path / "evidence.json"
    # nothing is said about evidence: with real money it is required
    settings = dataclasses.replace(EAGER, wait_s=75, evidence_file=str(path))
    assert settings.evidence is None
    async with RunningTrader(
        venue, redis_url, tmp_path, COINS, settings=settings, mode="live"
    ) as running:
        await eventually(running.is_ready, within_s=30)
        assert (await ask(bus, "enable", venue.clock)).mode == "reducing"
        why = (
            "no new entries; open positions are still managed (no evidence of these settings: "
            f"{path} does not exist: `coinex evidence record` writes one, and "
            "trader.evidence_file names it)"
        )
        _, found = await said(bus, lambda told: (told.cycle_ms, told.reason) == (CYCLE, why))
        assert (found.demand, found.fits) == ("require", False)
        assert (await venue.books())["positions"] == []
    path.write_bytes(codec.encode(evidence(settings)))
    async with RunningTrader(
        venue, redis_url, tmp_path, COINS, settings=settings, mode="live"
    ) as running:
        told, found = await said(bus, lambda told: bool(told.evidence and told.evidence.fits))
        assert (told.mode, found.demand) == ("enabled", "require")
        assert found.text.startswith(f"base {BASE.version} (")


async def test_what_is_open_is_managed_and_closed_without_evidence(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    market = venue.wire.venue.feed._market  # type: ignore[attr-defined]
    await put_candles(bus, MarketCandles(market, COINS, venue.clock), COINS, CYCLE)

    async def stops() -> list[int]:
        return sorted(len(p["stops"]) for p in (await venue.books())["positions"])

    async def has(number: int) -> bool:
        return await stops() == [1] * number

    reason = "my own risk"
    settings = dataclasses.replace(STRICT, wait_s=75, accept_without_evidence=reason)
    async with RunningTrader(venue, redis_url, tmp_path, COINS, settings=settings):
        await eventually(lambda: has(2), within_s=30)
        told, found = await said(bus, lambda told: len(told.ours) == 2)
        assert (told.mode, found.accepted, found.fits) == ("enabled", reason, False)
    await remove_trigger(venue.url, "BTCUSDT", "stop")
    assert await stops() == [0, 1]
    settings = dataclasses.replace(STRICT, wait_s=75)
    async with RunningTrader(venue, redis_url, tmp_path, COINS, settings=settings):
        await eventually(lambda: has(2), within_s=30)
        told, _ = await said(bus, lambda told: told.mode == "reducing" and len(told.ours) == 2)
        assert "no evidence of these settings" in told.reason
        reply = await ask(bus, "close", venue.clock, "BTCUSDT")
        assert reply.outcome == "done"
        await eventually(lambda: has(1), within_s=30)


async def test_evidence_of_a_file_is_none_of_a_changed_one(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "trial.py", TRIAL)
    record(tmp_path, file, bars=7)
    identity = StrategyIdentity(name="trial", version="3", hash=file.digest, class_name="Trial")
    parameters = effective_parameters(dataclasses.asdict(section(file, bars=7)), tmp_path)
    assert parameters == {"bars": 7, "badly": ""}  # one given, one by default
    tested = evidence(dataclasses.replace(STRICT, wait_s=75), parameters, strategy=identity)
    (tmp_path / "evidence.json").write_bytes(codec.encode(tested))
    path = str(tmp_path / "evidence.json")
    settings = dataclasses.replace(STRICT, evidence_file=path, wait_s=75)
    changed = written(tmp_path / "trial.py", TRIAL + "\n# as it was\n")
    record(tmp_path, changed, bars=7)
    for source, fits in ((file, True), (changed, False)):
        trader = RunningTrader(
            venue, redis_url, tmp_path, COINS, settings=settings, strategy=section(source, bars=7)
        )
        async with trader:
            expected = ("enabled" if fits else "reducing", fits)

            def is_compared(told: TraderStatus, expected: object = expected) -> bool:
                return (told.mode, told.evidence and told.evidence.fits) == expected

            _, found = await said(bus, is_compared)
            assert fits or f"it is of the strategy trial 3 ({file.digest[:12]})" in found.text


async def test_evidence_fits_once_a_check_has_noted_the_defaults(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "trial.py", TRIAL)
    identity = StrategyIdentity(name="trial", version="3", hash=file.digest, class_name="Trial")
    path = tmp_path / "evidence.json"
    settings = dataclasses.replace(STRICT, evidence_file=str(path), wait_s=75)
    tested = evidence(settings, {"bars": 7, "badly": ""}, strategy=identity)
    path.write_bytes(codec.encode(tested))
    trader = RunningTrader(
        venue, redis_url, tmp_path, COINS, settings=settings, strategy=section(file, bars=7)
    )
    async with trader:
        await said(bus, lambda told: "has not passed its check" in told.reason)
        record(tmp_path, file, bars=7)  # while the trader runs
        _, found = await said(bus, lambda told: told.mode == "enabled")
        assert found.fits, found.text
