"""What one setting's account does in one part of the time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.backtest.series import Series
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.sweep.engines import LocalExecutor
from shared.backtest.sweep.folds import Fold, Part, TimePlan
from shared.backtest.sweep.grid import grid
from shared.backtest.sweep.prepared import prepare, prepared
from shared.backtest.sweep.run import Question, run_sweep
from shared.backtest.sweep.settings_run import random_daily, run_setting
from shared.backtest.sweep.stored import PartResult
from shared.backtest.whole_series.signal_series import signal_series
from shared.config.sections import Config, IndicatorsSection, TraderSection
from shared.market import Timeframe
from tests.support.made_scores import BEGIN_MS, DAY_MS, random_coins
from tests.support.recordings import generated

SETTINGS = TraderSection(cooldown_min=0)
MODEL = FillModel(release="daily")
DAYS = 8


@pytest.fixture(scope="module")
def coins() -> list[CoinScores]:
    return random_coins(3, ("AAAUSDT", "BBBUSDT"), DAYS * 288 + 10, often=0.05)


def part(first: int, end: int, entries: int | None = None) -> Part:
    days = (first, end, end if entries is None else entries)
    return Part(*(BEGIN_MS + day * DAY_MS for day in days))


def test_a_part_is_what_the_account_does_that_begins_flat_there(coins: list[CoinScores]) -> None:
    found = run_setting(coins, SETTINGS, MODEL, part(2, 6))
    history = run_account(coins, SETTINGS, MODEL, BEGIN_MS + 2 * DAY_MS, BEGIN_MS + 6 * DAY_MS)
    assert len(found.results_r) == len(history.trades) > 10
    assert sorted(found.results_r) == sorted(trade.r for trade in history.trades)
    assert np.all(np.diff(found.entered_ms) >= 0)
    assert len(found.daily) == 4
    earned = MODEL.start_quote + float(sum(trade.pnl for trade in history.trades))
    assert MODEL.start_quote * np.prod(1 + found.daily) == pytest.approx(earned, rel=1e-3)


def test_nothing_is_entered_in_the_embargo_and_the_time_before_is_the_same(
    coins: list[CoinScores],
) -> None:
    whole, cut = (run_setting(coins, SETTINGS, MODEL, part(0, 6, end)) for end in (6, 5))
    until = BEGIN_MS + 5 * DAY_MS
    assert whole.entered_ms.max() > until
    assert cut.entered_ms.max() < until + 10_000
    before = whole.entered_ms < until
    assert np.array_equal(whole.entered_ms[before], cut.entered_ms)
    assert np.array_equal(whole.results_r[before], cut.results_r)
    assert np.array_equal(whole.daily[:5], cut.daily[:5])


def test_what_comes_after_a_part_changes_nothing_of_it(coins: list[CoinScores]) -> None:
    end = 5 * 288
    shorter = [
        CoinScores.of(coin.symbol, _cut(coin, end), coin.bars.candles[:end]) for coin in coins
    ]
    one, other = (run_setting(each, SETTINGS, MODEL, part(1, 4)) for each in (coins, shorter))
    assert one.digest == other.digest


def _cut(coin: CoinScores, end: int) -> Series:
    columns = {name: column[:end] for name, column in coin.series.columns.items()}
    return Series(coin.series.times[:end], columns)


def test_entries_at_random_have_a_return_for_each_day(coins: list[CoinScores]) -> None:
    daily = random_daily(coins, SETTINGS, MODEL, part(0, 6, 5))
    assert daily.shape == (6,)
    assert np.isfinite(daily).all()
    assert np.ptp(daily) > 0


def test_what_is_prepared_is_read_to_the_bit_and_ends_where_it_should(tmp_path: Path) -> None:
    recording = generated("BTCUSDT", 3000)
    m5 = recording.candles[Timeframe.M5]
    from_ms, to_ms = int(m5.open_time_ms[1000]), int(m5.open_time_ms[2000])
    directory = tmp_path / "prepared"
    prepare(directory, [recording], IndicatorsSection(), from_ms, to_ms)
    (coin,) = prepared(directory)
    assert coin.symbol == "BTCUSDT"
    assert coin.bars.candles.same_as(m5[1000 - 288 : 2000])
    assert int(coin.series.times[-1]) == to_ms
    whole = signal_series(recording, IndicatorsSection())
    for name, column in coin.series.columns.items():
        expected = whole.columns[name][1000 - 288 : 2000]
        assert np.allclose(column, expected, rtol=1e-9, atol=0, equal_nan=True), name
    assert [path.name for path in tmp_path.iterdir()] == ["prepared"]


def test_each_fold_takes_the_setting_that_was_best_on_the_days_before(tmp_path: Path) -> None:
    recording = generated("BTCUSDT", 23 * 288)
    begin = int(recording.candles[Timeframe.M5].open_time_ms[0]) // DAY_MS * DAY_MS + 9 * DAY_MS

    def days(first: int, end: int, embargo: int = 0) -> Part:
        return Part(*(begin + day * DAY_MS for day in (first, end, end - embargo)))

    folds = tuple(Fold(days(0, n, 1), days(n, n + 3)) for n in (6, 9))
    plan = TimePlan(days(0, 12), folds, None)
    prepare(tmp_path / "p", [recording], IndicatorsSection(), begin, plan.selection.to_ms)
    config = Config(groups={"majors": ["BTCUSDT"]}, trader=TraderSection(base_floor=0, margin=0))
    settings = grid(["trader.entry_score=50:70:5"], config).settings
    question = Question(settings, plan, MODEL, "return", IndicatorsSection(), "data")
    seen: list[tuple[int, int]] = []
    found = run_sweep(
        question, tmp_path / "p", tmp_path / "s", LocalExecutor(1), lambda *at: seen.append(at)
    )
    assert seen == [(n, 7) for n in range(1, 8)]
    coins = prepared(tmp_path / "p")

    def earned(trader: TraderSection, training: Part) -> float:
        until = replace(training, to_ms=training.entries_until_ms)
        result = run_setting(coins, trader, MODEL, until)
        return float(np.prod(1 + result.daily)) if len(result.results_r) else -1.0

    for result in found.folds:
        assert result.chosen is not None
        worths = [earned(each.trader, result.fold.training) for each in settings]
        assert result.chosen == int(np.argmax(worths))
        own = run_setting(coins, settings[result.chosen].trader, MODEL, result.fold.test)
        assert isinstance(result.test, PartResult)
        assert result.test.digest == own.digest
    assert len(list((tmp_path / "s").iterdir())) == len(settings) + len(folds)
    again = run_sweep(
        replace(question, settings=settings[::-1]), tmp_path / "p", tmp_path / "s",
        LocalExecutor(1), lambda *at: None,
    )  # fmt: skip
    assert [r.digest for r in again.selection] == [r.digest for r in found.selection][::-1]
