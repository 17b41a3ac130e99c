"""The statistics of reports, on cases worked out by hand and on markets with known laws."""

from __future__ import annotations

import numpy as np
import pytest

from shared.backtest.bootstrap import DAY_MS, MIN_BLOCKS, block_difference, block_means
from shared.backtest.labels import label_ranks
from shared.backtest.outcomes import (
    HOLD_BARS,
    STOPPED,
    TARGET_HIT,
    TIMED_OUT,
    Trades,
    forward_returns,
    starts,
    trades,
)
from shared.backtest.report import ALL, BASELINE, BOTH, Report, ReportCoin, grouped, make_report
from shared.backtest.report_text import as_markdown
from shared.backtest.series import Series
from shared.market import Candles, Floats, Timeframe
from tests.support.candle_series import START_MS, walk

M5 = Timeframe.M5
NONE = np.zeros(1)


def seeded(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


# Intervals.


def test_means_are_exact_and_the_seed_decides_the_interval() -> None:
    times = np.arange(40, dtype=np.int64) * DAY_MS // 2
    groups = np.arange(40) % 2
    values = np.arange(40, dtype=np.float64)
    values[0] = np.nan
    found = block_means(values, groups, times, 3, seeded())
    assert found.counts.tolist() == [19, 20, 0]
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
    assert half_width == pytest.approx(1.96 * together.std() / np.sqrt(60), rel=0.15)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        rng = seeded(seed)
        days = np.repeat(np.arange(40, dtype=np.int64), 12)
        values = np.repeat(rng.normal(size=40), 12) + rng.normal(size=480)
        found = block_means(values, np.zeros_like(days), days * DAY_MS, 1, rng, draws=400)
        covered += bool(found.low[0] <= 0.0 <= found.high[0])
    assert 0.89 <= covered / 200 <= 0.99


def test_a_handful_of_days_has_a_mean_but_no_interval() -> None:
    days = np.arange(MIN_BLOCKS - 1, dtype=np.int64)
    found = block_means(np.ones(len(days)), np.zeros_like(days), days * DAY_MS, 1, seeded())
    assert found.mean[0] == 1.0 and np.isnan(found.low[0])


def test_what_the_market_did_to_both_cancels_in_a_difference() -> None:
    rng = seeded()
    days = np.repeat(np.arange(40, dtype=np.int64), 10)
    market = np.repeat(rng.normal(scale=5.0, size=40), 10)
    values, base = (market + shift + rng.normal(scale=0.1, size=400) for shift in (0.3, 0.0))
    difference, low, high = block_difference(values, days * DAY_MS, base, days * DAY_MS, rng)
    assert difference == pytest.approx(float(values.mean() - base.mean()))
    assert low < 0.3 < high and high - low < 0.1
    few = days < MIN_BLOCKS - 1
    short = block_difference(values[few], days[few] * DAY_MS, base, days * DAY_MS, rng)
    assert np.isfinite(short[0]) and np.isnan(short[1:]).all()


def test_groups_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="not below 0 nor to 1"):
        block_means(NONE, np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 1, seeded())


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


# What came after.


def test_a_state_starts_where_it_did_not_hold_five_minutes_before() -> None:
    times = np.array([0, 1, 2, 3, 7, 8], dtype=np.int64) * M5.ms
    held = np.array([True, False, True, True, True, True])
    assert starts(held, times).tolist() == [False, False, True, False, False, False]
    held = np.array([False, False, False, False, True, True])
    assert not starts(held, times).any(), "after a hole nobody knows"


def test_a_forward_return_is_read_at_its_very_time_or_not_at_all() -> None:
    times = np.array([0, 1, 2, 4], dtype=np.int64) * M5.ms
    found = forward_returns(np.array([100.0, 110.0, 99.0, 120.0]), times, 2 * M5.ms, NO_BREAK)
    assert found[[0, 2]].tolist() == pytest.approx([-0.01, 120 / 99 - 1])
    assert np.isnan(found[[1, 3]]).all()


NO_BREAK = np.array([], dtype=np.int64)


def calm(bars: int = 400, price: float = 100.0) -> Candles:
    times = START_MS + np.arange(bars, dtype=np.int64) * M5.ms
    return Candles.of(times, *(np.full(bars, price) for _ in range(5)))


def traded(candles: Candles, side: int = 1, entry: int = 10, atr: float = 2.0) -> Trades:
    return trades(candles, np.array([entry]), side, np.array([atr]), NO_BREAK)


@pytest.mark.parametrize(
    ("bar", "change", "gross", "ending"),
    [
        (20, {"low": 98.0}, -1.0, STOPPED),
        (20, {"high": 104.0}, 2.0, TARGET_HIT),
        (20, {"low": 97.9, "high": 105.0}, -1.0, STOPPED),
        (20, {"open": 95.0, "low": 94.0}, -2.5, STOPPED),
        (20, {"open": 106.0, "high": 107.0}, 2.0, TARGET_HIT),
        (10, {"low": 90.0, "high": 110.0}, 0.0, TIMED_OUT),  # the bar of the entry is over
        (10 + HOLD_BARS, {"low": 98.0}, -1.0, STOPPED),
        (10 + HOLD_BARS, {"close": 101.0, "high": 101.0}, 0.5, TIMED_OUT),
        (11 + HOLD_BARS, {"low": 90.0}, 0.0, TIMED_OUT),
    ],
)
def test_a_long_trade_ends_where_it_must(
    bar: int, change: dict[str, float], gross: float, ending: int
) -> None:
    candles = calm()
    for column, price in change.items():
        getattr(candles, column)[bar] = price
    found = traded(candles)
    assert found.gross.tolist() == [gross] and found.ending.tolist() == [ending]
    left = 100.0 + 2.0 * gross
    assert found.fees.tolist() == pytest.approx([0.0005 * (100.0 + left) / 2.0])
    assert found.net[0] == found.gross[0] - found.fees[0]
    assert found.entered_ms.tolist() == [START_MS + 11 * M5.ms]


def test_a_short_is_a_long_upside_down() -> None:
    candles = walk(5, 3000, price=4096.0)
    mirrored = Candles.of(
        candles.open_time_ms, 8192.0 - candles.open, 8192.0 - candles.low, 8192.0 - candles.high,
        8192.0 - candles.close, candles.volume,
    )  # fmt: skip
    entries, atr = np.arange(100, 2500, 7), np.full(343, 12.0)
    long, short = (
        trades(candles, entries, 1, atr, NO_BREAK),
        trades(mirrored, entries, -1, atr, NO_BREAK),
    )
    assert np.array_equal(long.gross, short.gross)
    assert np.array_equal(long.ending, short.ending)
    assert set(long.ending.tolist()) == {STOPPED, TARGET_HIT}


def test_a_trade_whose_day_is_not_recorded_is_left_out() -> None:
    candles = calm()
    assert len(traded(candles, entry=400 - HOLD_BARS).net) == 0
    assert len(traded(candles, entry=399 - HOLD_BARS).net) == 1
    there = np.ones(400, dtype=np.bool_)
    there[50] = False
    assert len(traded(candles[there]).net) == 0
    assert len(traded(candles, atr=float("nan")).net) == 0
    assert len(traded(candles, atr=0.0).net) == 0


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


def reported(*, foresight: bool) -> Report:
    coins = {f"COIN{seed}": market(seed, 40 * 288, foresight) for seed in range(3)}
    return make_report(coins, seeded())


def test_a_report_finds_foresight_and_finds_none_in_chance() -> None:
    lucky, knowing = reported(foresight=False), reported(foresight=True)

    def net(report: Report, rule: str, side: str = "long") -> tuple[float, float, float]:
        (found,) = (e for e in report.entries if (e.rule, e.side) == (rule, side))
        return found.low, found.gross, found.net

    low, gross, after_fees = net(knowing, "squeeze fires")
    assert low > 0.1 and gross > after_fees
    low, gross, after_fees = net(lucky, "squeeze fires")
    assert low < 0 and abs(gross) < 0.15  # nothing can be won from a random walk
    assert after_fees == pytest.approx(gross - 0.25, abs=0.01)  # 2 * 0.05 % / 0.4 %
    assert "above zero after fees squeeze fires, long; bonus reaches" in as_markdown(knowing)
    assert "above zero after fees none; better than no signal none" in as_markdown(lucky)
    both = net(lucky, BASELINE, BOTH)
    assert abs(both[1]) < 0.1

    ahead = {f.group: f for f in knowing.forward
             if (f.variable, f.horizon) == ("net bonus", "1 h")}  # fmt: skip
    assert [f.lowest for f in ahead.values()] == [0.0, 15.0]
    assert ahead[2].low_bps > 40 and ahead[1].high_bps < 0


def test_a_report_counts_what_it_was_given() -> None:
    coin = market(1, 20 * 288, False)
    report = make_report({"COIN1": coin}, seeded())
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
    rules = {(e.rule, e.side): e.count for e in report.entries}
    assert rules["label strong begins", "long"] == rules["squeeze fires", "long"] > 0
    assert rules["base reaches 90", "long"] == rules["squeeze fires", "long"]
    assert rules["base reaches 75", "short"] == 0
    assert by_name["no bonus"].share == pytest.approx(1 - held.mean())
    every = [f for f in report.forward if f.variable == ALL]
    assert [f.count for f in every] == [20 * 288 - bars for bars in (12, 48, 288)]
    # from the middle of one day to the middle of another
    assert report.blocks == {"1 h": 21, "4 h": 21, "24 h": 8}
    assert not any(f.variable == "RSI" for f in report.forward)  # it was never known
