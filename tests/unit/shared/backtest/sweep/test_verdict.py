"""The verdict on a sweep: each condition of an edge, and what is too little to tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.backtest.bootstrap import DAY_MS, MIN_BLOCKS
from shared.backtest.statistics.lower_bound import BLOCK_DAYS
from shared.backtest.statistics.sharpe import sharpe
from shared.backtest.sweep.verdict import MIN_TRADES, Verdict, judge
from shared.market import Floats, Times

DAYS, SETTINGS, BEST = 100, 20, 7


def chosen_on(edge: float, *, days: int = DAYS, seed: int = 1) -> Floats:
    """Return returns by day and setting; that of `BEST` has a Sharpe ratio of `edge`."""
    daily = np.random.default_rng(seed).normal(size=(days, SETTINGS))
    daily -= daily.mean(axis=0)
    daily[:, BEST] += edge * daily[:, BEST].std()
    return daily * 1e-3


def out_of_sample(mean: float, *, days: int = 60, per_day: int = 5) -> tuple[Floats, Times]:
    """Return results with this mean, and their times."""
    results = np.random.default_rng(2).normal(size=days * per_day)
    results += mean - results.mean()
    return results, np.arange(days).repeat(per_day) * DAY_MS


def verdict(
    daily: Floats,
    tested: tuple[Floats, Times],
    tries: int = SETTINGS,
    random_entries: Floats | None = None,
) -> Verdict:
    rng = np.random.default_rng(3)
    return judge(daily, *tested, tries, rng, random_entries=random_entries, draws=200)


def test_edge_is_one_that_passes_everything() -> None:
    found = verdict(chosen_on(0.6), out_of_sample(0.4))
    assert (found.outcome, found.reasons) == ("edge", ())
    assert (found.tries, found.never_traded) == (SETTINGS, 0)
    assert found.selection is not None and found.selection.spa_p_random is None
    out = found.out_of_sample
    assert (out.trades, out.blocks) == (300, 20)
    assert out.mean_r == pytest.approx(0.4)
    assert 0.0 < out.low_r < 0.4 < out.high_r
    assert found.sentence == (
        f"the chosen one earned 0.400 ({out.low_r:.3f} to {out.high_r:.3f}) R per trade "
        "out of sample"
    )


def test_noise_fails_by_every_figure() -> None:
    found = verdict(chosen_on(0.0), out_of_sample(0.0))
    assert found.outcome == "no_edge"
    assert found.sentence == "no setting can be told from no signal (20 tries)"
    begun = [reason.split()[0] for reason in found.reasons]
    assert begun == ["the", "probability", "p-value", "mean"]


def test_what_loses_out_of_sample_has_no_edge() -> None:
    found = verdict(chosen_on(0.6), out_of_sample(0.05))
    assert found.outcome == "no_edge" and len(found.reasons) == 1
    assert found.reasons[0].startswith("mean out of sample between -0.0")


def test_tries_of_earlier_sweeps_count() -> None:
    daily, tested = chosen_on(0.4), out_of_sample(0.4)
    assert verdict(daily, tested).outcome == "edge"
    found = verdict(daily, tested, tries=1_000_000)
    assert found.outcome == "no_edge" and found.tries == 1_000_000
    assert found.reasons[0].startswith("the best Sharpe ratio is more than luck with probability 0")


def test_settings_that_never_traded_are_left_out_and_counted() -> None:
    daily = chosen_on(0.6)
    with_idle = np.hstack([np.zeros((DAYS, 4)), daily])
    found = verdict(with_idle, out_of_sample(0.4), tries=24)
    assert found.never_traded == 4
    assert found.selection == verdict(daily, out_of_sample(0.4), tries=24).selection


def test_nothing_that_traded_is_too_little() -> None:
    found = verdict(np.zeros((DAYS, 3)), (np.zeros(0), np.zeros(0, dtype=np.int64)), tries=3)
    assert found.outcome == "undecided" and found.selection is None
    assert found.reasons[0] == "no setting ever traded"
    assert found.sentence.startswith("too little to tell (3 tries): no setting ever traded; ")


def test_one_setting_cannot_be_overfitted_and_one_try_needs_no_luck() -> None:
    found = verdict(chosen_on(0.4)[:, BEST : BEST + 1], out_of_sample(0.4), tries=1)
    assert found.outcome == "edge"
    assert found.selection is not None and found.selection.pbo is None
    lost = verdict(chosen_on(0.0)[:, :1], out_of_sample(0.0), tries=1)
    assert lost.sentence.endswith("(1 try)")


def test_too_few_trades_out_of_sample_are_too_little_however_good() -> None:
    results, times = out_of_sample(2.0)
    few = np.arange(MIN_TRADES - 1) * 3
    found = verdict(chosen_on(0.6), (results[few], times[few]))
    assert found.outcome == "undecided"
    assert found.reasons == ("99 trades out of sample, 100 are needed",)
    enough = np.arange(MIN_TRADES) * 3
    assert verdict(chosen_on(0.6), (results[enough], times[enough])).outcome == "edge"


def test_copies_of_the_best_of_noise_are_no_edge() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        results = rng.normal(0.0, 1.3, (96, 4, 1000))
        daily = 0.0025 * results.sum(axis=1)
        best = int(sharpe(daily).argmax())
        copies = daily[:, [best]] - 1e-6 * np.arange(10)
        late = results[30:, :, best].ravel()
        entered_ms = np.repeat(np.arange(30, 96) * DAY_MS, 4)
        found = judge(copies, late, entered_ms, 1010, rng, draws=300)
        assert found.outcome == "no_edge"
        assert found.reasons[0].startswith("the best Sharpe ratio is more than luck")


def test_too_few_blocks_say_how_many_days_are_missing() -> None:
    days = (MIN_BLOCKS - 3) * BLOCK_DAYS
    found = verdict(chosen_on(0.6), out_of_sample(2.0, days=days))
    assert found.outcome == "undecided" and np.isnan(found.out_of_sample.low_r)
    assert found.reasons == (
        "trades out of sample in 7 blocks of 3 days, 10 are needed: at least 9 more days",
    )
    assert verdict(chosen_on(0.6), out_of_sample(2.0, days=days + 9)).outcome == "edge"


def test_too_few_days_to_choose_on_are_too_little() -> None:
    found = verdict(chosen_on(2.0, days=29), out_of_sample(0.4))
    assert (found.outcome, found.selection) == ("undecided", None)
    assert found.reasons == ("29 days to choose on, 30 are needed",)
    assert verdict(chosen_on(2.0, days=30), out_of_sample(0.4)).outcome == "edge"


def test_random_entries_are_shown_and_do_not_decide() -> None:
    daily = chosen_on(0.6)
    found = verdict(daily, out_of_sample(0.4), random_entries=daily[:, BEST] * 1.01)
    assert found.outcome == "edge" and found.selection is not None
    selection = replace(found.selection, spa_p_random=None)
    assert replace(found, selection=selection) == verdict(daily, out_of_sample(0.4))
    assert found.selection.spa_p_random is not None and found.selection.spa_p_random > 0.5
    easy = verdict(daily, out_of_sample(0.4), random_entries=np.full(DAYS, -1e-3))
    assert easy.selection is not None and easy.selection.spa_p_random == 0.0
    with pytest.raises(ValueError, match=r"random entries of \(99,\): expected \(100,\)"):
        verdict(daily, out_of_sample(0.4), random_entries=np.zeros(DAYS - 1))


@pytest.mark.parametrize(
    ("daily", "tested", "tries", "fault"),
    [
        (np.full((40, 2), np.nan), out_of_sample(0.0), 2, "expected finite numbers"),
        (np.zeros(40), out_of_sample(0.0), 2, "expected finite numbers"),
        (np.zeros((40, 2)), (np.full(1, np.inf), np.zeros(1, dtype=np.int64)), 2, "finite results"),
        (np.zeros((40, 2)), (np.zeros(2), np.zeros(1, dtype=np.int64)), 2, "2 results with 1 time"),
        (np.zeros((40, 2)), out_of_sample(0.0), 1, "1 tries for 2 settings"),
    ],
)
def test_what_does_not_fit_is_refused(
    daily: Floats, tested: tuple[Floats, Times], tries: int, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        verdict(daily, tested, tries)
