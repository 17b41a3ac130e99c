"""The auditor against a real redis-server and the real indicators actor: right, wrong, moving."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.auditor.actor import Auditor
from actors.auditor.differences import Check, checks
from actors.auditor.referee import PandasTa
from actors.base import Actor, Context
from actors.indicators.actor import Indicators
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.sections import IndicatorsSection
from shared.health.audit import audit_problems
from shared.health.verdict import Limits, RedisView, Snapshot, judge
from shared.indicators import ema_ribbon, rolling, signals
from shared.indicators.signals import CoinWindows, ta_signals
from shared.indicators.stoch_rsi import stoch_rsi
from shared.indicators.ttm_squeeze import ttm_squeeze
from shared.market import Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import AuditReport, TaSignal
from shared.supervision.status_pipe import StatusPipe
from tests.support.candle_series import START_MS, recorded, walk, window_at
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CLOCK = SystemClock()
M5 = Timeframe.M5
LOADING_S = 30.0  # pandas-ta, on a busy machine


class Market:
    """Writes candle windows as the fetcher does."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.now_ms = CLOCK.now_ms()
        self.windows = {(c, t): self._window(c, t) for c in COINS for t in Timeframe}

    def _window(self, coin: str, timeframe: Timeframe) -> CandleWindow:
        start_ms = timeframe.open_at(self.now_ms) - 1000 * timeframe.ms
        candles = walk(sum(coin.encode()), 1001, timeframe=timeframe, start_ms=start_ms)
        return window_at(candles, timeframe, self.now_ms, symbol=coin)

    async def show(self) -> None:
        for (coin, timeframe), window in self.windows.items():
            await self.bus.put(schema.CANDLES[timeframe], window, symbol=coin)

    async def fetch_again(self, change: Callable[[Candles], Candles] = lambda c: c) -> None:
        """Put new windows of the same candles, or of changed ones."""
        for key, window in self.windows.items():
            self.windows[key] = dataclasses.replace(
                window, candles=change(window.candles), fetched_at_ms=window.fetched_at_ms + 1
            )
        await self.show()


def revised(candles: Candles) -> Candles:
    """Return candles whose last closed one closed at its high after all."""
    close = candles.close.copy()
    close[-2] = candles.high[-2] if close[-2] != candles.high[-2] else candles.low[-2]
    return dataclasses.replace(candles, close=close)


@contextlib.asynccontextmanager
async def at_work(kind: type[Actor], name: str, url: str, section: Any) -> AsyncIterator[Actor]:
    """Run an actor for as long as the block lasts; it must end without an error."""
    log = logging.getLogger(name)
    bus = Bus(url, name=name, clock=CLOCK, log=log)
    context = Context(
        name=name, mode="demo", source="sim", state_dir=Path(), section=section, bus=bus,
        clock=CLOCK, log=log, rng=random.Random(1), status=StatusPipe(None), probation=False,
        quarantined_coins={},
    )  # fmt: skip
    actor = kind(context)
    work = asyncio.create_task(actor.run())
    try:
        yield actor
    finally:
        actor.stop()
        await asyncio.wait_for(work, LOADING_S)
        await bus.close()


def indicators(url: str, coins: Sequence[str] = COINS) -> Any:
    section = {
        "group": "test", "symbols": list(coins), "testing": {"poison_coin": None},
        "indicators": {"interval_s": 0.7},
    }  # fmt: skip
    return at_work(Indicators, "indicators-test", url, section)


def auditor(url: str, interval_s: float = 0.2, indicators_s: float = 0.7) -> Any:
    section = {
        "auditor": {"interval_s": interval_s}, "indicators": {"interval_s": indicators_s},
        "symbols": list(COINS),
    }  # fmt: skip
    return at_work(Auditor, "auditor", url, section)


async def report_where(
    bus: Bus, condition: Callable[[AuditReport], object], within_s: float = LOADING_S
) -> AuditReport:
    async def found() -> AuditReport | None:
        report = await bus.get(schema.AUDIT)
        return report if report is not None and condition(report) else None

    report: AuditReport = await eventually(found, within_s)
    return report


def accused(report: AuditReport) -> set[str]:
    return {name for name, field in report.fields.items() if field.coins_beyond}


@pytest.fixture
async def market(bus: Bus) -> Market:
    market = Market(bus)
    await market.show()
    return market


async def test_what_the_kernels_publish_agrees_on_every_coin(
    bus: Bus, redis_url: str, market: Market
) -> None:
    async with indicators(redis_url), auditor(redis_url) as actor:
        report = await report_where(bus, lambda r: r.coins == len(COINS))
        assert accused(report) == set()
        assert report.referee == "pandas-ta 0.4.71b0" and report.skipped == {}
        assert {"ema8_5m", "ema89_1h", "atr14_4h", "rsi", "momentum"} <= report.fields.keys()
        assert {"stoch_k", "stoch_d", "squeeze", "state_5m", "spread_4h"} <= report.fields.keys()
        for field in report.fields.values():
            assert field.difference is not None and field.difference <= field.tolerance
        await eventually(lambda: actor.detail["coins_compared"] == len(COINS))
        assert actor.detail["suspects"] == [] == actor.detail["beyond_tolerance"]


def wrong_alpha(x: Floats, periods: Sequence[int]) -> Floats:
    weights = [2.0 / (period + 1) * (1 + 1e-4) for period in periods]
    return rolling._smooth(x, periods, weights)


def wrong_squeeze(*rows: Floats, **options: Any) -> Any:
    found = ttm_squeeze(*rows, **options)
    return found._replace(on=~found.on, momentum=found.momentum * (1 + 1e-4))


def wrong_stoch(close: Floats) -> Any:
    found = stoch_rsi(close)
    return found._replace(k=found.k * (1 - 1e-4), rsi=found.rsi * (1 - 1e-4))


def wrong_atr(high: Floats, low: Floats, close: Floats) -> Floats:
    return rolling.atr(high, low, close) * (1 + 1e-4)


WRONG: dict[str, tuple[Any, str, Any, set[str]]] = {
    "EMA weight": (ema_ribbon, "ema", wrong_alpha, {"ema8_5m", "ema89_5m", "ema34_1h"}),
    "squeeze": (signals, "ttm_squeeze", wrong_squeeze, {"squeeze", "momentum"}),
    "Stoch RSI": (signals, "stoch_rsi", wrong_stoch, {"rsi", "stoch_k"}),
    "ATR": (signals, "atr", wrong_atr, {"atr14_5m", "atr14_1h", "atr14_4h", "spread_5m"}),
}


@pytest.mark.parametrize("kernel", WRONG)
async def test_a_kernel_wrong_by_a_tenthousandth_is_a_problem_and_its_mending_ends_it(
    bus: Bus, redis_url: str, market: Market, kernel: str
) -> None:
    home, name, wrong, fields = WRONG[kernel]
    async with indicators(redis_url), auditor(redis_url):
        clean = await report_where(bus, lambda r: r.coins == len(COINS))
        assert verdict_on(clean) == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(home, name, wrong)
            report = await report_where(bus, lambda r: fields <= accused(r), 5)
            others = accused(report) - fields
            assert not any(name.startswith(("rsi", "atr")) for name in others)
            problems = verdict_on(report)
            assert problems and all(problem.startswith("audit: ") for problem in problems)
            assert any("allowed" in problem or "pandas-ta" in problem for problem in problems)
        healed = await report_where(bus, lambda r: not accused(r), 10)
        assert healed.coins == len(COINS)


def verdict_on(report: AuditReport) -> list[str]:
    """Return what health makes of a report: its problems about the audit."""
    now_ms = CLOCK.now_ms()
    seen = Snapshot(
        mode="demo", since_ms=now_ms, symbols=COINS, actors=("auditor",),
        redis=RedisView(status="up", since_ms=now_ms, reason="", round_trip_ms=0.2), audit=report,
    )  # fmt: skip
    problems = [p for p in judge(seen, now_ms, Limits()).problems if p.startswith("audit")]
    assert problems == [str(problem) for problem in audit_problems(report)]
    return problems


async def test_candles_fetched_again_all_the_time_hide_no_wrong_kernel(
    bus: Bus, redis_url: str, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keep_fetching() -> None:
        while True:
            await market.fetch_again()
            await asyncio.sleep(0.02)

    monkeypatch.setattr(ema_ribbon, "ema", wrong_alpha)
    fetching = asyncio.create_task(keep_fetching())
    try:
        async with indicators(redis_url), auditor(redis_url, interval_s=3):
            report = await report_where(bus, accused)
            assert "ema89_5m" in accused(report)
    finally:
        fetching.cancel()


async def test_candles_that_changed_after_the_signal_raise_no_false_alarm(
    bus: Bus, redis_url: str, market: Market
) -> None:
    async with indicators(redis_url):
        await eventually(lambda: all_published(bus))
    await market.fetch_again(revised)  # and nobody there to compute from them
    async with auditor(redis_url) as actor:
        doubt = "its candles may have changed since the signal"
        await eventually(lambda: actor.detail["skipped"] == dict.fromkeys(COINS, doubt), LOADING_S)
        assert await bus.get(schema.AUDIT) is None
        async with indicators(redis_url):
            report = await report_where(bus, lambda r: r.coins == len(COINS))
            assert accused(report) == set()


async def all_published(bus: Bus) -> bool:
    found = await bus.get_many(schema.TA_LATEST, [{"symbol": coin} for coin in COINS])
    return all(found)


async def test_a_window_that_moved_on_still_tells_what_the_signal_was_made_of(
    bus: Bus, redis_url: str, market: Market
) -> None:
    async with indicators(redis_url):
        await eventually(lambda: all_published(bus))
    for (coin, timeframe), window in market.windows.items():
        last = window.candles.tail(1)
        later = Candles.of(
            last.open_time_ms + timeframe.ms,
            *(np.asarray(getattr(last, c)) for c in ("open", "high", "low", "close", "volume")),
        )
        moved = dataclasses.replace(
            window,
            candles=window.candles.merged(later),
            closed_until_ms=window.closed_until_ms + timeframe.ms,
            fetched_at_ms=window.fetched_at_ms + 1,
        )
        await bus.put(schema.CANDLES[timeframe], moved, symbol=coin)
    async with auditor(redis_url):
        report = await report_where(bus, lambda r: r.coins == len(COINS))
        assert accused(report) == set()


async def test_a_coin_without_signal_or_candles_is_skipped_with_the_reason(
    bus: Bus, redis_url: str, market: Market
) -> None:
    async with indicators(redis_url, COINS[:2]):
        await eventually(lambda: bus.get(schema.TA_LATEST, symbol=COINS[1]))
    await bus.delete(schema.TA_LATEST, symbol=COINS[2])
    await bus.delete(schema.CANDLES[M5], symbol=COINS[1])
    async with auditor(redis_url):
        report = await report_where(bus, lambda r: len(r.skipped) == 2)
        assert report.coins == 1
        assert report.skipped == {
            COINS[1]: "no candles that are those of the signal",
            COINS[2]: "no signal",
        }


async def test_the_next_life_looks_first_at_the_coins_last_found_wrong(
    bus: Bus, redis_url: str, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ema_ribbon, "ema", wrong_alpha)
    async with indicators(redis_url):
        async with auditor(redis_url):
            await report_where(bus, lambda r: "SOLUSDT" in r.fields["ema8_5m"].coins_beyond)
        before = await bus.get(schema.AUDIT)
        assert before is not None
        # its only turn for a long while: one coin is due, and it is not SOLUSDT
        async with auditor(redis_url, interval_s=100):
            report = await report_where(bus, lambda r: r.at_ms > before.at_ms)
            assert "SOLUSDT" in report.fields["ema8_5m"].coins_beyond


@pytest.fixture(scope="module")
def referee() -> PandasTa:
    return PandasTa()


def beyond(
    referee: PandasTa, candles: Mapping[Timeframe, Candles], now_ms: int, history: int = 500
) -> tuple[set[str], list[Check]]:
    """Return which fields of a signal were compared, and the checks beyond their tolerance."""
    settings = IndicatorsSection(history=history)
    windows = {t: window_at(candles[t], t, now_ms) for t in Timeframe}
    signal = ta_signals([CoinWindows("BTCUSDT", windows)], settings, now_ms)["BTCUSDT"]
    assert isinstance(signal, TaSignal)
    used = {t: windows[t].closed().tail(history) for t in Timeframe}
    seen = {t: referee.numbers(used[t], settings.squeeze) for t in Timeframe}
    found = list(checks(signal, seen))
    return {check.field for check in found}, [check for check in found if not check.holds]


def test_recorded_candles_of_every_coin_raise_no_alarm(data_dir: Path, referee: PandasTa) -> None:
    coins = sorted(p.name.split("-")[0] for p in (data_dir / "candles").glob("*-5m.csv.gz"))
    assert len(coins) >= 29
    for i, coin in enumerate(coins):
        candles = {t: recorded(data_dir, coin, t) for t in Timeframe}
        now_ms = int(candles[M5].open_time_ms[20_000 + 400 * i]) + 17_000
        fields, wrong = beyond(referee, candles, now_ms)
        assert wrong == [], coin
        assert {"rsi", "stoch_k", "stoch_d", "momentum", "squeeze", "state_5m"} <= fields, coin


def rested(bars: int) -> Callable[[Candles], Candles]:
    """Return what lets a market stand still for its last bars."""

    def change(candles: Candles) -> Candles:
        columns = {c: getattr(candles, c).copy() for c in ("open", "high", "low", "close")}
        for column in columns.values():
            column[-bars:] = candles.close[-bars - 1]
        return dataclasses.replace(candles, **columns)

    return change


def repriced(factor: float, bars: int = 1001) -> Callable[[Candles], Candles]:
    """Return what multiplies the prices of the last bars."""

    def change(candles: Candles) -> Candles:
        factors = np.ones(len(candles))
        factors[-bars:] = factor
        prices = {c: getattr(candles, c) * factors for c in ("open", "high", "low", "close")}
        return dataclasses.replace(candles, **prices)

    return change


ODD: dict[str, Callable[[Candles], Candles]] = {
    **{f"still for {bars}": rested(bars) for bars in (3, 14, 17, 30, 100, 300, 480, 499, 900)},
    "costs a thousandth of a cent": repriced(1e-8),
    "costs a thousandth of a cent, and rests": lambda c: rested(4)(repriced(1e-9)(c)),
    "tenfold 30 bars ago": repriced(10.0, 30),
    "a hundredth 15 bars ago": repriced(0.01, 15),
}


@pytest.mark.parametrize("history", [300, 301, 310, 500, 1000])
@pytest.mark.parametrize("odd", ODD)
def test_odd_markets_raise_no_alarm(referee: PandasTa, odd: str, history: int) -> None:
    now_ms = START_MS + 7_200 * Timeframe.H4.ms + 17_000
    candles = {}
    for timeframe in Timeframe:
        start_ms = timeframe.open_at(now_ms) - 1000 * timeframe.ms
        made = walk(5, 1000, timeframe=timeframe, start_ms=start_ms)
        candles[timeframe] = ODD[odd](made)
    fields, wrong = beyond(referee, candles, now_ms, history)
    assert wrong == []
    assert {"ema8_5m", "ema89_1h"} <= fields


async def test_it_is_ready_before_there_is_anything_to_look_at(redis_url: str) -> None:
    async with auditor(redis_url) as actor:
        await eventually(lambda: actor._state == "ready")
        assert actor.detail["referee"] is None


def test_wicks_and_wrong_closes_raise_no_alarm_and_are_named_alike(referee: PandasTa) -> None:
    m5 = walk(5, 900, volatility=0.25)
    high, low, close = m5.high.copy(), m5.low.copy(), m5.close.copy()
    low[800], high[809] = close[800] / 3000, 30 * close[809]
    low[815] = close[815] = close[815] / 2
    m5 = dataclasses.replace(m5, high=high, low=low, close=close)
    settings = IndicatorsSection()
    for bar in range(798, 860, 3):
        now_ms = int(m5.open_time_ms[bar]) + M5.ms
        window = window_at(m5, M5, now_ms)
        signal = ta_signals([CoinWindows("BTCUSDT", {M5: window})], settings, now_ms)["BTCUSDT"]
        assert isinstance(signal, TaSignal)
        assert bool(signal.ttm_squeeze.outlier_bars) == (800 <= bar < 855)
        used = window.closed().tail(settings.history)
        found = list(checks(signal, {M5: referee.numbers(used, settings.squeeze)}))
        assert [check for check in found if not check.holds] == []
        assert "outlier_bars" in {check.field for check in found}
