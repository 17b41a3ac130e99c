"""The candles of a cycle: waited for, for so long and no longer, and only those of this mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.trader.candles import CycleCandles
from shared import schema
from shared.bus import Bus
from shared.errors import BusNotServing
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.market import Timeframe
from shared.messages.candles import Listing, Listings
from shared.trading.coin_state import coins_at_close
from shared.trading.entries import Rules, candidates
from tests.support.execution import START_MS, JumpingClock
from tests.support.manual_clock import ManualClock
from tests.support.market_data import SimulatedExchange, redenominated
from tests.support.private_redis import PrivateRedis
from tests.support.running_trader import put_candles
from tests.support.trading import CYCLE_MS, EAGER, LOG, NO_REDIS, MarketCandles

COINS = ("BTCUSDT", "SOLUSDT")
CYCLE = START_MS + 24 * CYCLE_MS  # 02:00, so that a 1h candle closes too
WAIT_S = 75


class HookedClock(JumpingClock):
    """A clock at which something happens once a time has come."""

    def __init__(
        self, manual: ManualClock, at_ms: int, hook: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(manual)
        self._at_ms = at_ms
        self._hook: Callable[[], Awaitable[None]] | None = hook

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self._hook is not None and self.now_ms() >= self._at_ms:
            hook, self._hook = self._hook, None
            await hook()


def market() -> MarketCandles:
    return MarketCandles(Market(GeneratedPrices(COINS, 7)), COINS, ManualClock())


class NotAsked:
    """A source of candles that must not be asked while Redis answers."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: Redis is there")


def over(bus: Bus, clock: JumpingClock) -> CycleCandles:
    nobody: Any = NotAsked()
    return CycleCandles(bus, nobody, COINS, source="sim", clock=clock, log=LOG)


def until() -> int:
    return CYCLE + WAIT_S * 1000


async def test_late_candle_is_waited_for(bus: Bus) -> None:
    await put_candles(bus, market(), COINS, CYCLE - 1000)
    manual = ManualClock(CYCLE + 3_000)

    async def come() -> None:
        await put_candles(bus, market(), COINS, CYCLE + 20_000)

    clock = HookedClock(manual, CYCLE + 20_000, come)
    candles = over(bus, clock)
    gathered = await candles.at_close(CYCLE, until())
    assert gathered.came_from == "redis"
    assert [coin.symbol for coin in gathered.coins] == list(COINS)
    assert 20_000 <= manual.now_ms() - CYCLE < 22_000


async def test_coin_whose_candle_does_not_come_is_left_out(bus: Bus) -> None:
    await put_candles(bus, market(), COINS[:1], CYCLE + 1000)
    await put_candles(bus, market(), COINS[1:], CYCLE - 1000)
    manual = ManualClock(CYCLE + 3_000)
    clock = JumpingClock(manual)
    candles = over(bus, clock)
    gathered = await candles.at_close(CYCLE, until())
    assert [coin.symbol for coin in gathered.coins] == ["BTCUSDT"]
    assert "has not come" in gathered.missing["SOLUSDT"]
    assert WAIT_S * 1000 <= manual.now_ms() - CYCLE < (WAIT_S + 2) * 1000


async def test_coin_that_does_not_trade_is_not_waited_for_and_never_taken(bus: Bus) -> None:
    await put_candles(bus, market(), COINS, CYCLE + 1000)
    halted = Listing(state="halted", text="halted since 12:05: status HALT", since_ms=CYCLE)
    young = Listing(state="young", text="young: listed 2 d ago", since_ms=CYCLE)
    listings = Listings(coins={COINS[0]: young, COINS[1]: halted}, at_ms=CYCLE)
    await bus.put(schema.LISTINGS, listings)
    manual = ManualClock(CYCLE + 3_000)
    gathered = await over(bus, JumpingClock(manual)).at_close(CYCLE, until())
    assert COINS[0] in [coin.symbol for coin in gathered.coins]
    assert COINS[1] not in [coin.symbol for coin in gathered.coins]
    assert gathered.missing == {COINS[1]: halted.text}
    all_halted = Listings(coins=dict.fromkeys(COINS, halted), at_ms=CYCLE)
    await bus.put(schema.LISTINGS, all_halted)
    gathered = await over(bus, JumpingClock(manual)).at_close(CYCLE, until())
    assert (gathered.coins, gathered.came_from) == ((), "none")
    assert gathered.missing == dict.fromkeys(COINS, halted.text)
    assert manual.now_ms() == CYCLE + 3_000
    await bus.delete(schema.LISTINGS)


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("begins_ms", [0, CYCLE - 60_000], ids=["young", "new price scale"])
async def test_coin_too_young_for_a_closed_1h_candle_delays_no_other(
    bus: Bus, begins_ms: int, is_listed: bool
) -> None:
    await put_candles(bus, market(), COINS, CYCLE + 1000)
    window = market().window(COINS[1], Timeframe.H1, CYCLE + 1000)
    newest = window.candles.tail(0 if begins_ms else 1)
    window = dataclasses.replace(window, candles=newest, closed_until_ms=0, begins_ms=begins_ms)
    await bus.put(schema.CANDLES[Timeframe.H1], window, symbol=COINS[1])
    young = Listing(state="young", text="young: no closed 1h candle yet", since_ms=CYCLE)
    coins = {COINS[1]: young} if is_listed else {}
    await bus.put(schema.LISTINGS, Listings(coins=coins, at_ms=CYCLE))
    manual = ManualClock(CYCLE + 3_000)
    gathered = await over(bus, JumpingClock(manual)).at_close(CYCLE, until())
    assert [coin.symbol for coin in gathered.coins] == [COINS[0]]
    assert "no closed 1h candle yet" in gathered.missing[COINS[1]]
    assert gathered.missing[COINS[1]].startswith("young: ") == is_listed
    assert manual.now_ms() == CYCLE + 3_000
    await bus.delete(schema.LISTINGS)


async def test_on_the_hour_the_1h_candle_is_waited_for_too(bus: Bus) -> None:
    await put_candles(bus, market(), COINS, CYCLE + 1000)
    for symbol in COINS:
        late = market().window(symbol, Timeframe.H1, CYCLE - 1000)
        await bus.put(schema.CANDLES[Timeframe.H1], late, symbol=symbol)
    clock = JumpingClock(ManualClock(CYCLE + 3_000))
    candles = over(bus, clock)
    gathered = await candles.at_close(CYCLE, until())
    assert gathered.coins == ()
    assert gathered.came_from == "none"
    assert "1h" in gathered.missing["BTCUSDT"]


async def test_4h_candle_is_waited_for_only_where_the_strategy_needs_it(bus: Bus) -> None:
    four = Timeframe.H4
    close_ms = four.open_at(CYCLE) + four.ms
    await put_candles(bus, market(), COINS, close_ms + 1000)
    manual = ManualClock(close_ms + 3_000)
    candles = over(bus, JumpingClock(manual))
    gathered = await candles.at_close(close_ms, close_ms + WAIT_S * 1000)
    assert [coin.symbol for coin in gathered.coins] == list(COINS)
    assert manual.now_ms() == close_ms + 3_000
    candles.timeframes = tuple(Timeframe)
    window = market().window(COINS[0], four, close_ms + 1000)
    await bus.put(schema.CANDLES[four], window, symbol=COINS[0])
    gathered = await candles.at_close(close_ms, close_ms + WAIT_S * 1000)
    assert [(coin.symbol, list(coin.windows)) for coin in gathered.coins] == [
        (COINS[0], list(Timeframe))
    ]
    assert gathered.missing == {COINS[1]: "no 4h candles"}


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000], ids=["suspended", "set back"])
async def test_candles_fetched_before_a_jump_of_the_clock_are_waited_for_anew(
    bus: Bus, by_ms: int
) -> None:
    for symbol in COINS:
        for timeframe, window in market().coin(symbol, CYCLE + 1000).windows.items():
            assert window is not None
            before = dataclasses.replace(window, fetched_at_ms=window.fetched_at_ms - by_ms)
            await bus.put(schema.CANDLES[timeframe], before, symbol=symbol)
    manual = ManualClock(CYCLE + 3_000)

    async def fetched_anew() -> None:
        await put_candles(bus, market(), COINS[:1], manual.now_ms())

    candles = over(bus, HookedClock(manual, CYCLE + 20_000, fetched_anew))
    candles.distrust(CYCLE + 2_000)
    gathered = await candles.at_close(CYCLE, until())
    assert [coin.symbol for coin in gathered.coins] == ["BTCUSDT"]
    assert "before the clock jumped" in gathered.missing["SOLUSDT"]


async def test_clock_set_back_while_waiting_makes_no_longer_wait(bus: Bus) -> None:
    manual = ManualClock(CYCLE + 3_000)
    began_s = manual.monotonic()

    async def set_back() -> None:
        manual.step_wall(-3_600_000)

    candles = over(bus, HookedClock(manual, CYCLE + 20_000, set_back))
    await candles.at_close(CYCLE, until())
    assert manual.monotonic() - began_s <= WAIT_S + 1


async def test_candles_of_another_source_are_refused(bus: Bus) -> None:
    for symbol in COINS:
        for timeframe, window in market().coin(symbol, CYCLE + 1000).windows.items():
            assert window is not None
            real = dataclasses.replace(window, source="binance")
            await bus.put(schema.CANDLES[timeframe], real, symbol=symbol)
    clock = JumpingClock(ManualClock(CYCLE + 3_000))
    candles = over(bus, clock)
    gathered = await candles.at_close(CYCLE, until())
    coins = coins_at_close(gathered.coins, 500, CYCLE)
    found, refused = candidates(coins, {}, Rules(EAGER, CYCLE, CYCLE, "sim"))
    assert found == []
    assert all("candles come from binance" in each.why for each in refused)


async def test_redis_that_refuses_writes_is_as_good_as_none(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    """What the replica holds would be old by now: nobody can write there."""
    server = own_redis()
    clock = JumpingClock(ManualClock(CYCLE + 3_000))
    bus = Bus(server.url, name="trader", clock=clock)
    await put_candles(bus, market(), COINS, CYCLE - 1000)
    server.run("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(BusNotServing, match="READONLY"):
        await put_candles(bus, market(), COINS, CYCLE + 3_000)
    async with SimulatedExchange(COINS, clock) as exchange, aiohttp.ClientSession() as session:
        binance = BinanceClient(
            session, base_url=exchange.url, clock=clock, ban=BanFile(tmp_path / "ban")
        )
        candles = CycleCandles(bus, binance, COINS, source="sim", clock=clock, log=LOG)
        gathered = await candles.at_close(CYCLE, until())
    assert gathered.came_from == "binance" and len(gathered.coins) == len(COINS)
    await bus.close()


@pytest.mark.parametrize("coin", COINS)
async def test_binance_gives_the_candles_that_redis_would(
    bus: Bus, tmp_path: Path, coin: str
) -> None:
    manual = ManualClock(CYCLE + 3_000)
    clock = JumpingClock(manual)
    await put_candles(bus, market(), COINS, CYCLE + 3_000)
    away = Bus(NO_REDIS, name="away", clock=clock)
    async with SimulatedExchange(COINS, clock) as exchange, aiohttp.ClientSession() as session:
        binance = BinanceClient(
            session, base_url=exchange.url, clock=clock, ban=BanFile(tmp_path / "ban")
        )
        found = []
        for each in (bus, away):
            candles = CycleCandles(each, binance, COINS, source="sim", clock=clock, log=LOG)
            gathered = await candles.at_close(CYCLE, until())
            found.append({one.symbol: one.windows for one in gathered.coins}[coin])
    for timeframe in (Timeframe.M5, Timeframe.H1):
        ours, theirs = (windows[timeframe] for windows in found)
        assert ours is not None
        assert theirs is not None
        assert ours.closed().tail(500).same_as(theirs.closed().tail(500))
    await away.close()


async def test_a_break_of_the_price_scale_lets_no_entry_through_until_warm(tmp_path: Path) -> None:
    clock = JumpingClock(ManualClock(CYCLE + 3_000))
    away = Bus(NO_REDIS, name="away", clock=clock)
    hour = Timeframe.H1.ms
    break_ms = CYCLE - 26 * hour - hour // 2  # 5m candles are warm again, those of 1h are not
    async with SimulatedExchange(COINS, clock) as exchange, aiohttp.ClientSession() as session:
        exchange.rewrite = redenominated(COINS[0], halt_ms=CYCLE - 32 * hour, break_ms=break_ms)
        binance = BinanceClient(
            session, base_url=exchange.url, clock=clock, ban=BanFile(tmp_path / "ban")
        )
        candles = CycleCandles(away, binance, COINS, source="sim", clock=clock, log=LOG)
        gathered = await candles.at_close(CYCLE, until())
    await away.close()
    broken = coins_at_close(gathered.coins, 500, CYCLE)[0]
    h1 = gathered.coins[0].windows[Timeframe.H1]
    assert h1 is not None and h1.closed().open_time_ms[0] == break_ms + hour // 2
    assert not isinstance(broken.now, Exception)
    assert "1h candles not warm (26 of 300 bars since the price scale changed)" in broken.now.fault
    closes = h1.closed().close
    assert broken.atr_1h is not None and broken.atr_1h < closes.mean() / 10
