"""The statistics of reports, on cases worked out by hand and on markets with known laws."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.backtest.bootstrap import (
    COVERAGE_PCT,
    DAY_MS,
    MIN_BLOCKS,
    Blocks,
    Means,
    coverage_pct,
    student_t,
)
from shared.backtest.labels import RANKS, label_ranks
from shared.backtest.report import (
    ALL,
    BASELINE,
    BOTH,
    COUNTED,
    TRADER_RULES,
    EntryRule,
    Report,
    ReportCoin,
    grouped,
    make_report,
)
from shared.backtest.report_text import as_markdown
from shared.backtest.series import Series
from shared.config.sections import TraderSection
from shared.indicators.scoring import next_label
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.signals import Label
from tests.support import made_trades
from tests.support.candle_series import START_MS

M5 = Timeframe.M5
NO_BREAK = np.array([], dtype=np.int64)


def seeded(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


# Intervals.


def block_means(
    values: Floats, groups: Times, times: Times, count: int, rng: np.random.Generator
) -> Means:
    blocks = Blocks(times, 1, rng)
    return blocks.means(values, groups, blocks.at(times), count)


def test_means_are_exact_and_the_seed_decides_the_interval() -> None:
    times = np.arange(40, dtype=np.int64) * DAY_MS // 2
    groups = np.arange(40) % 2
    values = np.arange(40, dtype=np.float64)
    values[0] = np.nan
    found = block_means(values, groups, times, 3, seeded())
    assert found.counts.tolist() == [19, 20, 0] and found.blocks.tolist() == [19, 20, 0]
    assert found.mean[:2].tolist() == [np.arange(2, 40, 2).mean(), np.arange(1, 40, 2).mean()]
    assert (found.low[:2] < found.mean[:2]).all() and (found.mean[:2] < found.high[:2]).all()
    assert np.isnan([found.mean[2], found.low[2], found.high[2]]).all()
    again, other = (block_means(values, groups, times, 3, seeded(s)) for s in (1, 2))
    assert np.array_equal(again.low, found.low, equal_nan=True)
    assert not np.array_equal(other.low, found.low, equal_nan=True)


def test_what_moves_together_within_a_day_counts_once() -> None:
    rng = seeded()
    days = np.repeat(np.arange(60, dtype=np.int64), 288)
    together = np.repeat(rng.normal(size=60), 288)
    found = block_means(together, np.zeros_like(days), days * DAY_MS, 1, rng)
    half_width = float(found.high[0] - found.low[0]) / 2
    # As if there were 60 values, not 17 280.
    assert half_width == pytest.approx(2.0 * together.std() / np.sqrt(60), rel=0.1)


@pytest.mark.parametrize("blocks", [10, 40])
def test_an_interval_holds_the_truth_as_often_as_a_report_says(blocks: int) -> None:
    found = made_trades.intervals(blocks, 3, 500, seeded(), draws=500)
    assert made_trades.coverage_pct(found) == pytest.approx(COVERAGE_PCT[blocks], abs=3.0)


def test_the_coverage_said_is_that_of_no_more_blocks_than_there_are() -> None:
    assert [coverage_pct(n) for n in (3, 10, 19)] == [COVERAGE_PCT[10]] * 3
    assert [coverage_pct(n) for n in (20, 39, 40, 999)] == [
        COVERAGE_PCT[n] for n in (20, 20, 40, 40)
    ]


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(9, 2.262157), (10, 2.228139), (19, 2.093024), (120, 1.979930)]
)
def test_quantiles_of_student_are_those_of_tables(freedom: int, quantile: float) -> None:
    assert student_t(0.975, freedom) == pytest.approx(quantile, abs=2e-5)


def test_a_handful_of_days_has_a_mean_but_no_interval() -> None:
    days = np.arange(MIN_BLOCKS - 1, dtype=np.int64)
    found = block_means(np.ones(len(days)), np.zeros_like(days), days * DAY_MS, 1, seeded())
    assert found.mean[0] == 1.0 and np.isnan(found.low[0])


def test_what_the_market_did_to_both_cancels_in_a_difference() -> None:
    rng = seeded()
    days = np.repeat(np.arange(40, dtype=np.int64), 10)
    market = np.repeat(rng.normal(scale=5.0, size=40), 10)
    values, base = (market + shift + rng.normal(scale=0.1, size=400) for shift in (0.3, 0.0))
    blocks = Blocks(days * DAY_MS, 1, rng)
    at = blocks.at(days * DAY_MS)
    difference, low, high = blocks.difference(values, at, base, at)
    assert difference == pytest.approx(float(values.mean() - base.mean()))
    assert low < 0.3 < high and high - low < 0.1
    few = days < MIN_BLOCKS - 1
    short = blocks.difference(values[few], at[few], base, at)
    assert np.isfinite(short[0]) and np.isnan(short[1:]).all()


def test_groups_out_of_range_are_refused() -> None:
    one = np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match="not below 0 nor to 1"):
        Blocks(one, 1, seeded()).means(np.zeros(1), one + 1, one, 1)


def test_tenths_hold_a_tenth_each_and_ties_stay_together() -> None:
    groups, count = grouped(np.append(seeded().normal(size=1000), np.nan))
    assert count == 10 and groups[-1] == -1
    assert np.bincount(groups[:-1]).tolist() == [100] * 10
    groups, count = grouped(np.array([0.0] * 80 + [5.0] * 20))
    assert count == 2 and np.bincount(groups).tolist() == [80, 20]
    groups, count = grouped(np.array([-45.0, -10.0, 0.0, 10.0]), (-9.0, 9.0))
    assert groups.tolist() == [0, 0, 1, 2]


def test_labels_hold_on_as_the_scanner_lets_them() -> None:
    scores = [59, 60, 86, 70, np.nan, 70, 69, 65, 64, 74, 75, 0]
    assert label_ranks(np.array(scores, dtype=np.float64)).tolist() == [
        0, 1, 3, 3, 0, 3, 2, 2, 1, 1, 2, 0,
    ]  # fmt: skip


def test_labels_are_those_of_the_scanner_close_by_close() -> None:
    scores = seeded().integers(55, 95, 4000).astype(np.float64)
    scores[seeded(2).random(4000) < 0.1] = np.nan
    label: Label = "none"
    expected = []
    for score in scores.tolist():
        if math.isfinite(score):
            label = next_label(label, int(score))
        expected.append(RANKS[label] if math.isfinite(score) else 0)
    assert label_ranks(scores).tolist() == expected and set(expected) == {0, 1, 2, 3}


# The whole of it.


def market(seed: int, bars: int, foresight: bool) -> ReportCoin:
    """Return a random walk whose long squeeze bonus is chance, or knows the next 24 h."""
    rng = seeded(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, bars)))
    open_ = np.append(100.0, close[:-1])
    times = START_MS + np.arange(bars, dtype=np.int64) * M5.ms
    candles = Candles.of(
        times, open_, np.maximum(open_, close), np.minimum(open_, close), close, np.ones(bars)
    )
    rises = np.append(close[12:] > close[:-12] * 1.004, np.zeros(12, dtype=np.bool_))
    chance = rng.random(bars) < 0.1
    side: Floats = (rises if foresight else chance).astype(np.float64)
    columns = {
        "close": close, "atr_1h": close * 0.004, "long": 15.0 * side, "short": np.zeros(bars),
        "spread_5m": rng.random(bars), "stacked_5m": np.zeros(bars), "momentum": side,
        "stoch_k": rng.random(bars), "rsi": np.full(bars, np.nan), "ribbon": np.zeros(bars),
        "squeeze": side, "divergence": np.zeros(bars), "base_long": 90.0 * side,
        "base_short": np.full(bars, 59.0),
    }  # fmt: skip
    return ReportCoin(Series(times + M5.ms, columns), candles)


BY_ATR = TraderSection(stop_costs=1, cost_share_pct=100)
"""Stops at 1 ATR."""


def reported(*, foresight: bool) -> Report:
    coins = {f"COIN{seed}": market(seed, 40 * 288, foresight) for seed in range(3)}
    return make_report(coins, seeded(), BY_ATR)


def entries_of(report: Report) -> dict[tuple[str, str], EntryRule]:
    return {(e.rule, e.side): e for e in report.entries}


def test_a_report_finds_foresight_and_finds_none_in_chance() -> None:
    lucky, knowing = reported(foresight=False), reported(foresight=True)

    def net(report: Report, rule: str, side: str = "long") -> tuple[float, float, float]:
        found = entries_of(report)[rule, side]
        return found.low, found.gross, found.net

    low, gross, after_fees = net(knowing, "squeeze fires")
    assert low > 0.1 and gross > after_fees
    low, gross, after_fees = net(lucky, "squeeze fires")
    assert low < 0 and abs(gross) < 0.15  # nothing can be won from a random walk
    assert after_fees == pytest.approx(gross - 0.25, abs=0.01)  # 2 * 0.05 % / 0.4 %
    assert (
        "above zero after fees the trader: base, long; the trader: base + bonus, long; squeeze"
        in as_markdown(knowing)
    )
    assert "above zero after fees none; better than no signal none" in as_markdown(lucky)
    both = net(lucky, BASELINE, BOTH)
    assert abs(both[1]) < 0.1

    ahead = {f.group: f for f in knowing.forward
             if (f.variable, f.horizon) == ("net bonus", "1 h")}  # fmt: skip
    assert [f.lowest for f in ahead.values()] == [0.0, 15.0]
    assert ahead[2].low_bps > 40 and ahead[1].high_bps < 0


def test_a_report_counts_what_it_was_given() -> None:
    coin = market(1, 20 * 288, False)
    report = make_report({"COIN1": coin}, seeded(), BY_ATR)
    held = coin.series.columns["squeeze"] > 0
    by_name = {o.state: o for o in report.occupancy}
    assert by_name["squeeze fired long"].share == pytest.approx(held.mean())
    begun = int((held[1:] & ~held[:-1]).sum())
    assert by_name["squeeze fired long"].starts_per_coin_day == pytest.approx(begun / 20)
    assert by_name["long bonus at least 15"].share == by_name["squeeze fired long"].share
    assert by_name["long bonus at least 20"].share == 0.0
    for label in ("watch", "candidate", "strong"):
        found = by_name[f"long label at least {label}"]
        assert found.share == by_name["squeeze fired long"].share
        assert found.starts_per_coin_day == by_name["squeeze fired long"].starts_per_coin_day
        assert by_name[f"short label at least {label}"].share == 0.0
    rules = {key: e.count for key, e in entries_of(report).items()}
    assert rules["label strong begins", "long"] == rules["squeeze fires", "long"] > 0
    assert rules["base reaches 90", "long"] == rules["squeeze fires", "long"]
    assert rules["base reaches 75", "short"] == 0
    assert by_name["no bonus"].share == pytest.approx(1 - held.mean())
    every = [f for f in report.forward if f.variable == ALL]
    assert [f.count for f in every] == [20 * 288 - bars for bars in (12, 48, 288)]
    # from the middle of one day to the middle of another
    assert report.blocks == {"1 h": 21, "4 h": 21, "24 h": 8}
    assert not any(f.variable == "RSI" for f in report.forward)  # it was never known


def varied(seed: int = 1, days: int = 12) -> ReportCoin:
    """Return a coin of which every counted setting decides something."""
    coin, rng = market(seed, days * 288, False), seeded(seed)
    count = len(coin.series)
    columns = coin.series.columns
    for side in ("long", "short"):
        columns[f"base_{side}"] = rng.integers(50, 100, count).astype(np.float64)
        columns[side] = rng.choice([0.0, 10.0, 25.0, 45.0], count)
    columns["atr_1h"] = columns["close"] * rng.uniform(0.004, 0.02, count)
    return coin


CHANGES: dict[str, Any] = {
    "use_ta_signals": True, "entry_score": 80, "base_floor": 60, "margin": 40, "bonus_cap": 12,
    "stop_atr": 1.3, "stop_costs": 12, "cost_share_pct": 6.0, "target_r": 1.5, "max_hold_h": 3.0,
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_every_setting_that_counts_changes_the_results(name: str) -> None:
    coins = {"COIN1": varied()}
    before, after = (
        make_report(coins, seeded(), s)
        for s in (TraderSection(), replace(TraderSection(), **{name: CHANGES[name]}))
    )
    assert {**before.settings, name: CHANGES[name]} == after.settings
    assert as_markdown(before) != as_markdown(after)
    # what is chosen by use_ta_signals has its row in both
    assert (repr(before.entries) != repr(after.entries)) == (name != "use_ta_signals")


def test_the_text_says_by_which_rule_the_trader_enters() -> None:
    coins = {"COIN1": varied()}
    for chosen, rule in TRADER_RULES.items():
        settings = TraderSection(use_ta_signals=chosen, stop_costs=20, target_r=3, max_hold_h=6)
        text = as_markdown(make_report(coins, seeded(), settings))
        assert f"As `use_ta_signals` is {str(chosen).lower()}, it enters by `{rule}`." in text
        assert "at least 2 % away; target 3 R; out after 6 h" in text


def test_halts_are_counted_and_what_is_refused_or_unfinished_is_said() -> None:
    coin, other = varied(1), varied(2)
    there = np.ones(len(coin.series), dtype=np.bool_)
    there[1000:1100] = there[3000:] = False
    columns = {name: column[there] for name, column in coin.series.columns.items()}
    halted = ReportCoin(Series(coin.series.times[there], columns), coin.candles[there])
    settings = TraderSection(stop_costs=1, cost_share_pct=20)
    found = entries_of(make_report({"A": halted, "B": other}, seeded(), settings))
    every = found[BASELINE, BOTH]
    assert min(every.before_halt, every.after_halt, every.at_halt) > 0
    # costs of 0.1 % are more than 20 % of a stop below 0.5 %
    assert every.refused > 0 and every.unfinished > 0
    due = sum(int(np.sum(c.series.times // M5.ms % 48 == 0)) for c in (halted, other))
    assert every.count + every.refused + every.unfinished == 2 * due
    text = as_markdown(make_report({"A": halted, "B": other}, seeded(), settings))
    assert f"{every.before_halt} / {every.after_halt} / {every.at_halt}" in text
    assert f"{BASELINE}, both: {every.refused}" in text
    assert f"whatever became of them; {every.unfinished} of" in text


def test_too_few_blocks_give_no_interval_and_say_how_much_is_missing() -> None:
    short = make_report({"COIN1": varied(days=12)}, seeded())
    assert short.trade_blocks == 5
    text = as_markdown(short)
    assert "24 h: no intervals: 5 of at least 10 blocks of 3 days; it takes 15 more days" in text
    assert "Trades: no intervals: 5 of at least 10 blocks of 3 days" in text
    assert "1 h: 13 blocks of 1 day; 95 % intervals from so many hold the true mean" in text
    assert f" in about {COVERAGE_PCT[10]} % of cases" in text
    assert all(math.isnan(e.low) for e in short.entries)

    coin = varied(days=40)
    coin.series.columns["base_long"][: 30 * 288] = 50.0
    whole = make_report({"COIN1": coin}, seeded())
    seldom = entries_of(whole)["base reaches 90", "long"]
    assert whole.trade_blocks == 14 and seldom.blocks == 4 and math.isnan(seldom.low)
    # 10 of 35 blocks
    assert "base reaches 90, long (in 4 of 14 blocks: about 63 more days)" in as_markdown(whole)
