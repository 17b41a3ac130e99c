"""Changed fills are another test: a digest of them forces their number up.

`tests/goldens/fills.json` has the digest of each number that ever was, of the trades and equities
of a made market under the settings and fill models it names. It was made by this test on
2026-12-01; it is no truth, but what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from shared import codec
from shared.backtest.results.hashes import history_digest
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.bar_prices import CoinBars
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.funding_rates import RecordedRates
from shared.backtest.simulation.trades import AccountHistory
from shared.config.sections import TraderSection
from shared.evidence.hashes import FILLS
from shared.market import Candles
from tests.support.drawn_numbers import numbers
from tests.support.made_scores import BAR_MS, BEGIN_MS, DAY_MS, scored
from tests.support.paths import ROOT

GOLDEN = json.loads((ROOT / "tests/goldens/fills.json").read_text(encoding="utf-8"))
SETTINGS = codec.from_plain(TraderSection, GOLDEN["settings"], "tests/goldens/fills.json")
MODELS = [
    codec.from_plain(FillModel, model, "tests/goldens/fills.json") for model in GOLDEN["models"]
]
CHANGED = (
    "a backtest fills otherwise than before: raise FILLS in shared/evidence/hashes.py by one, and "
    "add its digest to tests/goldens/fills.json; what is there stays. Stored results and evidence "
    "then know that they are of other fills. (If the rules have changed as well, RULES is raised, "
    "too.)"
)
DAYS, MINUTE_MS = 5, 60_000
BARS = 288 * DAYS
JUMP, HALT = 900, 700
"""Bars at which one coin jumps, and one goes on at another scale after a halt."""

EVENTS = {"BUSDT": (JUMP, JUMP - 2, "short"), "CUSDT": (HALT - 10, HALT - 12, "long")}
"""The first bar after it, the bar at whose close the coin is entered before, and the side."""


def walked(seed: int) -> Candles:
    """Return 1m candles on a grid of 1/64, with trends and quiet times."""
    drawn = numbers(seed)
    rows, close, trend, pace = [], 64 * 100, 0, 1
    for minute in range(5 * BARS):
        if minute % 60 == 0:
            trend, pace = next(drawn) % 5 - 2, 1 + next(drawn) % 3
        opened = max(4000, close + next(drawn) % 3 - 1)
        close = max(4000, opened + (trend if minute % 4 == 0 else 0) + pace * (next(drawn) % 7 - 3))
        high = max(opened, close) + pace * (next(drawn) % 4)
        low = min(opened, close) - pace * (next(drawn) % 4)
        rows.append((opened / 64, high / 64, low / 64, close / 64, 1.0 + next(drawn)))
    times = BEGIN_MS + MINUTE_MS * np.arange(len(rows), dtype=np.int64)
    open_, high, low, close, volume = np.array(rows).T
    return Candles.of(times, open_, high, low, close, volume)


def scaled(candles: Candles, first: int, factor: float) -> Candles:
    """Return candles whose prices are so many times as high from one of them on."""
    factors = np.where(np.arange(len(candles)) < first, 1.0, factor)
    prices = (candles.open, candles.high, candles.low, candles.close)
    open_, high, low, close = (price * factors for price in prices)
    return Candles.of(candles.open_time_ms, open_, high, low, close, candles.volume)


def fives(minutes: Candles) -> Candles:
    open_, high, low, close, volume = (
        getattr(minutes, name).reshape(-1, 5) for name in ("open", "high", "low", "close", "volume")
    )
    return Candles.of(
        minutes.open_time_ms[::5], open_[:, 0], high.max(axis=1), low.min(axis=1), close[:, -1],
        volume.sum(axis=1),
    )  # fmt: skip


@lru_cache(maxsize=1)
def market() -> dict[str, tuple[CoinScores, Candles, RecordedRates | None]]:
    """Return coins with scores, their 1m candles, and the funding rates of some."""
    found = {}
    for seed, symbol in enumerate(("AUSDT", "BUSDT", "CUSDT", "BTCUSDT"), 1):
        minutes = walked(seed)
        if symbol == "BUSDT":  # beyond the liquidation of a short, within one scale
            minutes = scaled(minutes, 5 * JUMP, 2.5)
        if symbol == "CUSDT":
            minutes = scaled(minutes, 5 * HALT, 1024.0)
        bars = fives(minutes)
        there = np.ones(BARS, dtype=np.bool_)
        there[HALT - 10 : HALT] = symbol != "CUSDT"
        bars = bars[there]
        columns: dict[str, Any] = {name: np.zeros(len(bars)) for name in ("long", "short")}
        drawn = numbers(100 + seed)
        for side in ("long", "short"):
            points = [next(drawn) for _ in range(len(bars))]
            columns[f"base_{side}"] = [90 if n < 16 else n % 60 for n in points]
            columns[side] = [n % 46 for n in points]
        # just before the jump and the halt, one coin each is open
        event, entered, side = EVENTS.get(symbol, (0, 0, "long"))
        for name in ("base_long", "base_short"):
            columns[name][max(0, event - 60) : event] = [0] * min(60, event)
        columns[f"base_{side}"][entered] = 95 * (event > 0)
        # of one the stop is as far away as fits, by rates of maintenance that its size exceeds
        atr = bars.close * (0.483 if symbol == "BTCUSDT" else 0.005)
        coin = scored(symbol, bars, columns=columns | {"atr_1h": atr})
        # some are missing, and some do not agree
        some = np.arange(len(minutes)) % 97 != 0
        minutes.high[::203] += 1 / 64
        found[symbol] = coin, minutes[some], recorded(seed) if seed % 2 else None
    return found


def recorded(seed: int) -> RecordedRates:
    """Return rates of every four hours in the middle of the time, a moment late."""
    times = BEGIN_MS + DAY_MS + 4 * 3_600_000 * np.arange(18, dtype=np.int64) + 3
    rates = np.array([(n - 500) / 1e6 for n, _ in zip(numbers(seed), times, strict=False)])
    return RecordedRates(times, rates, ((BEGIN_MS + DAY_MS, BEGIN_MS + 4 * DAY_MS),))


def run(model: FillModel, settings: TraderSection = SETTINGS) -> AccountHistory:
    coins = []
    for coin, minutes, rates in market().values():
        bars = CoinBars.of(
            coin.bars.candles,
            minutes if model.detail == "1m" else None,
            rates if model.funding == "recorded" else None,
        )
        coins.append(replace(coin, bars=bars))
    span_ms = BEGIN_MS + 2 * BAR_MS, BEGIN_MS + (BARS - 1) * BAR_MS
    return run_account(coins, settings, model, *span_ms)


def digest(histories: Sequence[AccountHistory]) -> str:
    return hashlib.sha256("\n".join(map(history_digest, histories)).encode()).hexdigest()


@pytest.fixture(scope="module")
def histories() -> list[AccountHistory]:
    return [run(model) for model in MODELS]


def test_fills_are_those_of_this_number(histories: list[AccountHistory]) -> None:
    digests: dict[str, Any] = GOLDEN["digests"]
    assert digests.get(str(FILLS)) == digest(histories), CHANGED
    assert sorted(map(int, digests)) == list(range(1, FILLS + 1)), CHANGED
    assert len(set(digests.values())) == FILLS, CHANGED


def test_the_made_market_calls_for_every_kind_of_exit(histories: list[AccountHistory]) -> None:
    for history in histories:
        assert {trade.how for trade in history.trades} == {
            "stop", "target", "liquidation", "time", "protection", "rescaled", "end",
        }  # fmt: skip
        assert history.locked
    assert len({history_digest(history) for history in histories}) == len(MODELS)
    assert {model.funding for model in MODELS} == {"recorded", "made", "none"}
    assert {model.detail for model in MODELS} == {"5m", "1m"}


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("shared.exchanges.sim.matching.TAKER_FEE", Decimal("0.000501")),
        ("shared.exchanges.sim.book._GROWTH", Decimal("0.26")),
        ("shared.exchanges.sim.rules._LEAST_NOTIONAL", 50.0),
        ("shared.exchanges.sim.funding.usual_funding_rate", lambda market, at_ms: Decimal(0)),
        ("shared.backtest.simulation.bar_prices.THIRD_MS", 100_001),
    ],
)
def test_digest_sees_a_small_change(
    constant: str, value: Any, histories: list[AccountHistory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constant, value)
    assert digest([run(model) for model in MODELS]) != digest(histories)
