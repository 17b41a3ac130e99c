"""The comparison of published numbers with a referee's: what counts, what does not, in words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from actors.auditor.differences import (
    COVER_S,
    TOLERANCE,
    Check,
    Numbers,
    checks,
    coins_per_turn,
    summary,
    suspects,
)
from shared.config.sections import AuditorSection, Config, IndicatorsSection
from shared.health.audit import audit_problems
from shared.indicators.ema_ribbon import PERIODS
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Candles, Timeframe
from shared.messages.signals import TaSignal
from shared.supervision.specs import child_specs, listeners
from tests.support.candle_series import START_MS, walk, window_at
from tests.support.kernels import by_name

NOW_MS = START_MS + 7_200 * 14_400_000 + 17_000
M5 = Timeframe.M5


def candles_of(timeframe: Timeframe, bars: int = 500) -> Candles:
    start_ms = timeframe.open_at(NOW_MS) - bars * timeframe.ms
    return walk(3, bars + 1, timeframe=timeframe, start_ms=start_ms)


def published(bars: int = 500) -> TaSignal:
    windows = {t: window_at(candles_of(t, bars), t, NOW_MS) for t in Timeframe}
    found = ta_signals([CoinWindows("BTCUSDT", windows)], IndicatorsSection(), NOW_MS)["BTCUSDT"]
    assert isinstance(found, TaSignal)
    return found


def agreeing(bars: int = 500) -> dict[Timeframe, Numbers]:
    """Return the numbers of a referee that agrees with the kernels to the bit."""
    seen = {}
    for timeframe in Timeframe:
        candles = candles_of(timeframe, bars)[:bars]
        last = {name: float(values[-1]) for name, values in by_name(candles).items()}
        seen[timeframe] = Numbers(
            bars=bars,
            close=float(candles.close[-1]),
            emas=[last[f"ema{period}"] for period in PERIODS],
            atr14=last["atr"],
            rsi=last["rsi"],
            rsi_doubt=0.0,
            rsi_range=5.0,
            stoch_k=last["k"],
            stoch_d=last["d"],
            bollinger_half=last["upper"] - last["mid"],
            keltner_half=last["keltner_half"],
            momentum=last["momentum"],
            outlier_bars=[],
        )
    return seen


def found_with(signal: TaSignal, **change: Any) -> dict[str, Check]:
    """Return the checks of the 5m numbers, some of the referee's changed."""
    seen = {M5: agreeing()[M5]._replace(**change)}
    return {check.field: check for check in checks(signal, seen)}


def beyond(found: dict[str, Check]) -> set[str]:
    return {name for name, check in found.items() if not check.holds}


FIELDS_5M = {
    *(f"ema{period}_5m" for period in PERIODS),
    "atr14_5m", "state_5m", "spread_5m", "rsi", "stoch_k", "stoch_d", "squeeze", "momentum",
    "outlier_bars",
}  # fmt: skip


def test_every_audited_number_agrees_with_a_referee_that_agrees() -> None:
    found = {check.field: check for check in checks(published(), agreeing())}
    emas_1h = {f"ema{period}_1h" for period in PERIODS}
    long = {f"{kind}_{t}" for kind in ("atr14", "state", "spread") for t in ("1h", "4h")}
    assert found.keys() == FIELDS_5M | emas_1h | long
    assert beyond(found) == set()
    assert max(check.difference for check in found.values()) < 1e-9


@pytest.mark.parametrize(
    ("number", "field", "off", "kind"),
    [
        ("atr14", "atr14_5m", "relative", "atr14"),
        ("rsi", "rsi", "points", "rsi"),
        ("stoch_k", "stoch_k", "points", "stoch_k"),
        ("stoch_d", "stoch_d", "points", "stoch_d"),
    ],
)
def test_a_difference_is_beyond_its_tolerance_from_just_above_it_on(
    number: str, field: str, off: str, kind: str
) -> None:
    tolerance, unit = TOLERANCE[kind]
    assert unit == off
    theirs = getattr(agreeing()[M5], number)
    for share, expected in ((0.9, True), (1.1, False)):
        step = share * tolerance * (theirs if off == "relative" else 1.0)
        found = found_with(published(), **{number: theirs + step})
        assert found[field].holds is expected
        assert found[field].difference == pytest.approx(share * tolerance, rel=1e-3)


def test_an_ema_off_by_a_tenthousandth_is_named_by_its_period() -> None:
    emas = list(agreeing()[M5].emas)
    emas[2] *= 1 + 1e-4
    found = found_with(published(), emas=emas)
    assert "ema21_5m" in beyond(found) <= {"ema21_5m", "state_5m", "spread_5m"}
    assert found["ema21_5m"].difference == pytest.approx(1e-4, rel=1e-3)


def test_momentum_is_compared_in_average_true_ranges() -> None:
    numbers = agreeing()[M5]
    off = numbers.momentum + 3e-6 * numbers.atr14
    found = found_with(published(), momentum=off)
    assert beyond(found) == {"momentum"}
    assert found["momentum"].difference == pytest.approx(3e-6, rel=1e-3)


def test_a_number_only_one_of_the_two_has_is_beyond_any_tolerance() -> None:
    found = found_with(published(), stoch_k=math.nan)
    assert beyond(found) == {"stoch_k"} and found["stoch_k"].expected == "none"
    assert math.isinf(found["stoch_k"].difference)

    signal = published()
    stoch = dataclasses.replace(signal.stoch_rsi_divergence, rsi=None)
    found = found_with(dataclasses.replace(signal, stoch_rsi_divergence=stoch))
    assert beyond(found) == {"rsi"} and found["rsi"].published == "none"


def test_a_number_neither_has_is_no_difference() -> None:
    signal = published(bars=60)
    assert signal.ema_ribbon.values[-1] is None
    found = {check.field: check for check in checks(signal, agreeing(bars=60))}
    assert beyond(found) == set()
    assert "ema55_5m" in found and not {"ema89_5m", "state_5m", "spread_5m"} & found.keys()


def test_a_squeeze_told_differently_counts_unless_the_bands_nearly_touch() -> None:
    numbers = agreeing()[M5]
    signal = published()
    assert signal.ttm_squeeze.squeeze is not None
    sign = -1 if signal.ttm_squeeze.squeeze else 1
    for room, expected in ((2e-8, {"squeeze"}), (0.5e-8, set())):
        half = numbers.bollinger_half + sign * room * numbers.close
        found = found_with(signal, keltner_half=half)
        assert beyond(found) == expected
        assert ("squeeze" in found) is bool(expected)


def test_an_outlier_only_one_of_the_two_names_counts_unless_a_bar_is_near_the_limit() -> None:
    found = found_with(published(), outlier_bars=[300_000])
    assert beyond(found) == {"outlier_bars"}
    assert (found["outlier_bars"].published, found["outlier_bars"].expected) == ("none", "300000")
    assert "outlier_bars" not in found_with(published(), outlier_bars=None)


def test_a_ribbon_told_differently_counts_unless_two_lines_nearly_touch() -> None:
    signal = published()
    close = agreeing()[M5].close
    stacked = [close * (1 + 1e-3 * (6 - i)) for i in range(6)]
    wrong = dataclasses.replace(
        signal, ema_ribbon=dataclasses.replace(signal.ema_ribbon, state_5m="bearish")
    )
    assert found_with(wrong, emas=stacked)["state_5m"].expected == "bullish"
    assert "state_5m" in beyond(found_with(wrong, emas=stacked))
    stacked[1] = stacked[0] * (1 - 0.5e-8)
    assert "state_5m" not in found_with(wrong, emas=stacked)


def test_rsi_is_not_compared_before_the_other_seed_has_died_away() -> None:
    oscillator = {"rsi", "stoch_k", "stoch_d"}
    for bars, expected in ((300, set()), (301, oscillator)):
        names = {check.field for check in checks(published(bars), agreeing(bars))}
        assert names & oscillator == expected


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        ({"rsi_doubt": 2e-6}, {"rsi", "stoch_k", "stoch_d"}),
        ({"rsi_doubt": math.nan}, {"rsi", "stoch_k", "stoch_d"}),
        ({"rsi_doubt": 1e-8, "rsi_range": 1.0}, {"stoch_k", "stoch_d"}),
        ({"rsi_range": 1e-5}, {"stoch_k", "stoch_d"}),
        ({"rsi_range": math.nan}, {"stoch_k", "stoch_d"}),
        ({"atr14": 0.0}, {"atr14_5m", "spread_5m", "momentum"}),
    ],
)
def test_what_magnifies_noise_is_not_compared(change: dict[str, float], left_out: set[str]) -> None:
    found = found_with(published(), stoch_k=1.0, stoch_d=1.0, rsi=1.0, momentum=1e9, **change)
    assert FIELDS_5M - found.keys() == left_out


def test_each_coin_has_its_turn_within_ten_minutes() -> None:
    assert coins_per_turn(29, 60) == 3
    for coins in (1, 2, 9, 10, 11, 29, 300):
        for interval_s in (0.5, 7, 60, 61, 250, 480):
            turns = math.ceil(coins / coins_per_turn(coins, interval_s))
            assert turns * interval_s <= COVER_S or turns == 1


def test_without_the_setting_there_is_no_auditor() -> None:
    config = Config(groups={"majors": ["BTCUSDT"]})
    off = dataclasses.replace(config, auditor=AuditorSection(enabled=False))
    for each, expected in ((config, True), (off, False)):
        ports = {name: port for name, (_, port) in listeners(each).items()}
        specs = {spec.name: spec for spec in child_specs(each, ports)}
        assert ("auditor" in specs) is expected
        assert ("auditor" in specs["health"].section["actors"]) is expected


# The report


def check(difference: float, field: str = "rsi", **change: Any) -> Check:
    made = Check(field, difference, 2e-6, "points", published="50.1", expected="50")
    return made._replace(**change)


def report_of(looks: dict[str, list[Check]]) -> Any:
    return summary(looks, referee="pandas-ta 1", skipped={"XUSDT": "no signal"}, at_ms=NOW_MS)


def test_report_keeps_the_coin_that_differs_most_and_all_that_are_beyond() -> None:
    report = report_of({"AUSDT": [check(1e-9)], "BUSDT": [check(0.1)], "CUSDT": [check(3e-6)]})
    field = report.fields["rsi"]
    assert (field.coin, field.difference, field.tolerance) == ("BUSDT", 0.1, 2e-6)
    assert field.coins_beyond == ["BUSDT", "CUSDT"] == suspects(report)
    assert (report.coins, report.skipped) == (3, {"XUSDT": "no signal"})


def test_problem_names_coin_field_difference_and_tolerance() -> None:
    report = report_of({"BUSDT": [check(0.1)], "CUSDT": [check(3e-6)]})
    assert [str(problem) for problem in audit_problems(report)] == [
        "audit: BUSDT: rsi is 50.1, pandas-ta 1 says 50: 1.0e-01 points off, 2e-06 allowed; "
        "2 coins in all"
    ]


def test_a_number_that_is_missing_travels_as_null_and_is_worded_without_a_difference() -> None:
    report = report_of({"BUSDT": [check(math.inf, expected="none")]})
    assert report.fields["rsi"].difference is None
    assert [str(problem) for problem in audit_problems(report)] == [
        "audit: BUSDT: rsi is 50.1, pandas-ta 1 says none"
    ]


def test_many_fields_are_named_in_one_line_after_the_worst() -> None:
    found = [check(10.0**-i, f"field{i}") for i in range(6)]
    lines = [str(problem) for problem in audit_problems(report_of({"BUSDT": found}))]
    assert [line.split()[2] for line in lines[:3]] == ["field0", "field1", "field2"]
    assert lines[3:] == ["audit: 3 more fields are beyond their tolerance: field3, field4, field5"]


def test_all_within_is_no_problem() -> None:
    report = report_of({"BUSDT": [check(2e-6)], "CUSDT": [check(0.0)]})
    assert list(audit_problems(report)) == [] == suspects(report)


def test_the_made_candles_have_an_oscillator_to_compare() -> None:
    stoch = published().stoch_rsi_divergence
    assert stoch.stoch_k is not None and np.isfinite(stoch.stoch_k)
