"""Which settings `--param` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shared.backtest.sweep.grid import MOST_SETTINGS, grid
from shared.config.sections import Config, TraderSection
from shared.errors import ConfigError
from shared.strategy.contract import LoadedStrategy

CONFIG = Config(groups={"majors": ["BTCUSDT"]})


def values(param: str) -> list[object]:
    (axis,) = grid([param], CONFIG).axes
    return list(axis.values)


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        ("trader.entry_score=80:95:5", [80, 85, 90, 95]),
        ("trader.entry_score=80:94:5", [80, 85, 90]),
        ("trader.stop_atr=0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("trader.stop_atr=1:1:1", [1]),
        ("trader.entry_score=95, 80", [95, 80]),
        ("trader.use_ta_signals=true,false", [True, False]),
    ],
)
def test_a_range_has_its_last_value_and_a_list_its_order(
    param: str, expected: list[object]
) -> None:
    assert values(param) == expected


def test_every_combination_is_a_setting_and_the_rest_stays_as_configured() -> None:
    found = grid(["trader.entry_score=85,90", "trader.margin=10,15,20"], CONFIG)
    assert [tuple(s.parameters.values()) for s in found.settings] == [
        (85, 10), (85, 15), (85, 20), (90, 10), (90, 15), (90, 20),
    ]  # fmt: skip
    last = found.settings[-1]
    assert (last.trader.entry_score, last.trader.margin) == (90, 20)
    assert last.trader.stop_atr == TraderSection().stop_atr
    assert list(last.parameters) == ["trader.entry_score", "trader.margin"]


def test_no_param_is_the_configuration_as_it_is() -> None:
    (only,) = grid([], CONFIG).settings
    assert (only.parameters, only.trader) == ({}, CONFIG.trader)


def test_what_the_rules_forbid_is_left_out_in_words() -> None:
    found = grid(["trader.entry_score=60:90:10"], CONFIG)  # base_floor is 75
    assert [s.trader.entry_score for s in found.settings] == [80, 90]
    assert [why.partition(": found")[0] for why in found.left_out] == [
        "trader.entry_score=60: trader.base_floor",
        "trader.entry_score=70: trader.base_floor",
    ]
    with pytest.raises(
        ConfigError, match=r"--param trader\.entry_score=60: trader\.base_floor: found"
    ):
        grid(["trader.entry_score=60,70"], CONFIG)


def test_draws_are_distinct_combinations_of_the_grid_and_follow_the_seed() -> None:
    params = ["trader.entry_score=80:95:1", "trader.margin=0:30:1"]
    everything = [s.parameters for s in grid(params, CONFIG).settings]
    one, again, other = (
        [s.parameters for s in grid(params, CONFIG, draw=40, seed=seed).settings]
        for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len(one) == 40
    places = [everything.index(each) for each in one]
    assert places == sorted(set(places))
    assert [s.parameters for s in grid(params, CONFIG, draw=10**6).settings] == everything


def test_a_grid_larger_than_any_machine_word_is_drawn_from() -> None:
    names = (
        "stop_atr", "target_r", "stop_costs", "max_hold_h", "max_slippage_bps", "delay_s",
        "funding_min", "cooldown_min",
    )  # fmt: skip
    params = [f"trader.{name}=1:20:0.05" for name in names]
    found = grid(params, CONFIG, draw=3).settings
    assert 381 ** len(names) > 2**63
    assert len({tuple(s.parameters.values()) for s in found}) == 3


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as found:
        grid(
            [
                "trader.entry_score=95,170,180",
                "trader.entry_scor=1",
                "trader.margin=5,5",
                "trader.stop_atr=3:1:1",
                "trader.target_r=1:a:1",
                "trader.delay_s=1,,2",
                "trader.warn_pct=50",
                "redis.url=x",
                "nonsense",
                "trader.margin=1",
            ],
            CONFIG,
        )
    beginnings = [
        "--param trader.entry_score: found 170, expected a whole number from 0 to 100",
        "--param trader.entry_score: found 180",
        "--param trader.entry_scor: unknown key; did you mean trader.entry_score?",
        "--param trader.margin: found 5 twice",
        "--param trader.stop_atr: found 3:1:1, expected a first value that is not above",
        "--param trader.target_r: found '1:a:1', expected first:last:step",
        "--param trader.delay_s: found nothing, expected a number from 0 to 60",
        "--param trader.warn_pct: it changes nothing in a backtest",
        "--param redis.url: found a key that no backtest depends on",
        "--param: found 'nonsense', expected key.path=first:last:step",
    ]
    assert len(found.value.faults) == len(beginnings)
    for fault, beginning in zip(found.value.faults, beginnings, strict=True):
        assert fault.startswith(beginning), fault


def test_a_key_named_twice_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"trader\.margin: given twice"):
        grid(["trader.margin=1", "trader.margin=2"], CONFIG)


def test_too_many_settings_are_refused_unless_some_are_drawn() -> None:
    params = ["trader.stop_atr=1:2:0.001", "trader.margin=0:30:1"]
    with pytest.raises(
        ConfigError, match=f"found 31031 settings, expected at most {MOST_SETTINGS}"
    ):
        grid(params, CONFIG)
    assert len(grid(params, CONFIG, draw=7).settings) == 7
    with pytest.raises(ConfigError, match="found 990000001 values"):
        grid(["trader.stop_atr=1:100:0.0000001"], CONFIG)


class Takes:
    """A strategy whose two parameters may not be equal."""

    loaded = LoadedStrategy(
        name="x", version="1", timeframes={}, cross_section=False,
        parameters={"fast": {"type": "integer", "minimum": 1, "default": 2},
                    "slow": {"type": "integer", "minimum": 1, "default": 3}},
    )  # fmt: skip

    def refusal(self, parameters: Mapping[str, Any]) -> str:
        return "fast is slow" if parameters["fast"] == parameters["slow"] else ""


def test_parameters_of_a_users_strategy_have_its_names_bounds_and_rules() -> None:
    config = Config(groups={"majors": ["BTCUSDT"]}, strategy="mine.py:X")
    found = grid(["strategy_parameters.fast=2:4:1"], config, strategy=Takes())
    assert [each.strategy_parameters for each in found.settings] == [
        {"fast": 2, "slow": 3}, {"fast": 4, "slow": 3},
    ]  # fmt: skip
    assert found.left_out == ("strategy_parameters.fast=3: fast is slow",)
    params = ["strategy_parameters.fast=0,1.5", "strategy_parameters.fats=1"]
    with pytest.raises(ConfigError) as caught:
        grid(params, config, strategy=Takes())
    assert len(caught.value.faults) == 3
    assert "fast: found 0, expected at least 1" in caught.value.faults[0]
    assert "fast: found 1.5, expected a whole number" in caught.value.faults[1]
    assert "did you mean fast" in caught.value.faults[2]
