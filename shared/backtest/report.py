"""Statistics of signals: frequency, duration, forward returns and trades."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from shared.backtest.bootstrap import DAY_MS, Counts, block_count, block_difference, block_means
from shared.backtest.labels import RANKS, label_ranks
from shared.backtest.outcomes import (
    STOPPED,
    TARGET_HIT,
    Flags,
    Trades,
    forward_returns,
    starts,
    trades,
)
from shared.backtest.series import POINTS, Series
from shared.candles.admission import scale_breaks
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.signals import Label

LEVELS = (10, 15, 20, 25, 30, 35, 45)
ENTRY_LEVELS = (15, 25, 30, 35, 45)
LABELS: tuple[Label, ...] = ("watch", "candidate", "strong")
BASE_ENTRY_LEVELS = (75, 80, 85, 90)
BASELINE_BARS = 48
BASELINE = "every 4 h, no signal"
NAMES = {
    "ribbon": ("ribbon aligned", "ribbon aligns"),
    "squeeze": ("squeeze fired", "squeeze fires"),
    "divergence": ("divergence", "divergence appears"),
}
"""The names of each contribution's state and of its start."""
ALL = "all closes"

HOUR_MS = 3_600_000
HORIZONS = {"1 h": HOUR_MS, "4 h": 4 * HOUR_MS, "24 h": 24 * HOUR_MS}
BLOCK_DAYS = {"1 h": 1, "4 h": 1, "24 h": 3}
TRADE_BLOCK_DAYS = 3
"""Trades of up to 24 h overlap into the next day, so blocks have three days."""

NET_EDGES = (-29.0, -19.0, -14.0, -9.0, 9.0, 14.0, 19.0, 29.0)
"""Edges of the groups of the net bonus, which is 0 most of the time."""

Sides = {"long": 1, "short": -1}
BOTH = "both"
"""Long and short together, so that the market's own direction matters less."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Share of the time in a state, and how often it begins."""

    state: str
    share: float
    starts_per_coin_day: float


@dataclass(frozen=True, slots=True)
class Forward:
    """The mean forward return of all closes with a variable in a range."""

    variable: str
    horizon: str
    group: int
    lowest: float
    highest: float
    count: int
    mean_bps: float
    low_bps: float
    high_bps: float


@dataclass(frozen=True, slots=True)
class EntryRule:
    """Result of entering by one rule, in R per trade.

    `edge` is its net result minus that of entering the same side without a signal.
    """

    rule: str
    side: str
    count: int
    per_coin_day: float
    gross: float
    fees: float
    net: float
    low: float
    high: float
    win_share: float
    stopped_share: float
    target_share: float
    edge: float
    edge_low: float
    edge_high: float


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report. `blocks`: number of blocks of days that the intervals are drawn from."""

    coins: int
    closes: int
    first_ms: int
    last_ms: int
    blocks: Mapping[str, int]
    occupancy: Sequence[Occupancy]
    forward: Sequence[Forward]
    entries: Sequence[EntryRule]


@dataclass(frozen=True)
class ReportCoin:
    """A coin's signals and the 5m candles they came from."""

    series: Series
    candles: Candles

    @cached_property
    def breaks_ms(self) -> Times:
        """Open times of candles that begin a new price scale."""
        found = scale_breaks(self.candles, Timeframe.M5)
        return np.array([each.at_ms for each in found], dtype=np.int64)


def make_report(coins: Mapping[str, ReportCoin], rng: np.random.Generator) -> Report:
    """Return the report on all coins together.

    Args:
        rng: Draws the bootstrap; the same seed gives the same intervals.
    """
    all_series = [coin.series for coin in coins.values()]
    times = np.concatenate([series.times for series in all_series])
    return Report(
        coins=len(coins),
        closes=len(times),
        first_ms=int(times.min()),
        last_ms=int(times.max()),
        blocks={name: block_count(times, BLOCK_DAYS[name]) for name in HORIZONS},
        occupancy=_occupancy(all_series),
        forward=list(_forward(list(coins.values()), times, rng)),
        entries=_entries(list(coins.values()), rng),
    )


# How often.


def states() -> dict[str, Callable[[Series], Flags]]:
    """Return every state that is counted, by name."""
    found: dict[str, Callable[[Series], Flags]] = {
        "no bonus": lambda s: (s.columns["long"] == 0) & (s.columns["short"] == 0)
    }
    for side in Sides:
        for level in LEVELS:
            found[f"{side} bonus at least {level}"] = _reaches(side, level)
    for name in POINTS:
        for side in Sides:
            found[f"{NAMES[name][0]} {side}"] = _gives(name, side)
    for side in Sides:
        found |= {f"{side} label at least {label}": _labelled(side, label) for label in LABELS}
    return found


def _reaches(side: str, level: int) -> Callable[[Series], Flags]:
    return lambda series: series.columns[side] >= level


def _gives(name: str, side: str) -> Callable[[Series], Flags]:
    return lambda series: series.columns[name] == Sides[side]


def _labelled(side: str, label: Label) -> Callable[[Series], Flags]:
    return lambda series: label_ranks(series.columns[f"base_{side}"]) >= RANKS[label]


def _scores(side: str, level: int) -> Callable[[Series], Flags]:
    return lambda series: series.columns[f"base_{side}"] >= level


def _occupancy(all_series: Sequence[Series]) -> list[Occupancy]:
    closes = sum(map(len, all_series))
    coin_days = _coin_days(closes)
    found = []
    for name, state in states().items():
        flags = [state(series) for series in all_series]
        begun = sum(
            int(starts(h, series.times).sum()) for h, series in zip(flags, all_series, strict=True)
        )
        share = sum(int(h.sum()) for h in flags) / closes
        found.append(Occupancy(name, share, begun / coin_days))
    return found


def _coin_days(closes: int) -> float:
    return closes * Timeframe.M5.ms / DAY_MS


# What the price did afterwards.


def _variables(all_series: Sequence[Series]) -> dict[str, Floats]:
    def column(name: str) -> Floats:
        return np.concatenate([series.columns[name] for series in all_series])

    return {
        "net bonus": column("long") - column("short"),
        "net base score": column("base_long") - column("base_short"),
        "spread 5m": column("spread_5m"),
        "signed spread 5m": column("spread_5m") * column("stacked_5m"),
        "momentum": column("momentum"),
        "%K": column("stoch_k"),
        "RSI": column("rsi"),
    }


def _forward(
    coins: Sequence[ReportCoin], times: Counts, rng: np.random.Generator
) -> Iterator[Forward]:
    all_series = [coin.series for coin in coins]
    after = {
        horizon: 1e4
        * np.concatenate(
            [
                forward_returns(c.series.columns["close"], c.series.times, ms, c.breaks_ms)
                for c in coins
            ]
        )
        for horizon, ms in HORIZONS.items()
    }
    everything = np.zeros(len(times))
    for variable, values in {ALL: everything, **_variables(all_series)}.items():
        groups, count = grouped(values, NET_EDGES if variable == "net bonus" else None)
        known = groups >= 0
        ranges = [_range(values[groups == group]) for group in range(count)]
        for horizon, returns in after.items():
            means = block_means(
                returns[known], groups[known], times[known], count, rng,
                block_days=BLOCK_DAYS[horizon],
            )  # fmt: skip
            for group, (lowest, highest) in enumerate(ranges):
                yield Forward(
                    variable, horizon, group + 1, lowest, highest, int(means.counts[group]),
                    float(means.mean[group]), float(means.low[group]), float(means.high[group]),
                )  # fmt: skip


def grouped(values: Floats, edges: Sequence[float] | None = None) -> tuple[Counts, int]:
    """Return the group of each value, -1 for NaN, and how many groups there are.

    Without `edges` groups are tenths of all values; equal values stay together, so there may be
    fewer. Empty groups do not exist.

    Shapes: values (n,) -> (n,).
    """
    known = np.isfinite(values)
    if edges is None:
        edges = np.unique(np.quantile(values[known], np.arange(1, 10) / 10)) if known.any() else []
    raw = np.searchsorted(np.asarray(edges), values, side="left")
    kept, dense = np.unique(raw[known], return_inverse=True)
    groups = np.full(len(values), -1, dtype=np.int64)
    groups[known] = dense
    return groups, len(kept)


def _range(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


# What trading it would have brought.


def _entries(coins: Sequence[ReportCoin], rng: np.random.Generator) -> list[EntryRule]:
    coin_days = _coin_days(sum(len(coin.series) for coin in coins))
    made: dict[tuple[str, str], Trades] = {}
    for side in Sides:
        rules: dict[str, Callable[[Series], Flags]] = {BASELINE: _now_and_then}
        rules |= {NAMES[name][1]: _begins(_gives(name, side)) for name in POINTS}
        rules |= {f"bonus reaches {at}": _begins(_reaches(side, at)) for at in ENTRY_LEVELS}
        rules |= {f"label {at} begins": _begins(_labelled(side, at)) for at in LABELS[1:]}
        rules |= {f"base reaches {at}": _begins(_scores(side, at)) for at in BASE_ENTRY_LEVELS}
        for rule, enters in rules.items():
            made[rule, side] = _joined([_traded(c, enters(c.series), side) for c in coins])
    for rule in dict.fromkeys(rule for rule, _ in made):
        made[rule, BOTH] = _joined([made[rule, side] for side in Sides])
    return [
        _entry(rule, side, found, made[BASELINE, side], coin_days=coin_days, rng=rng)
        for (rule, side), found in made.items()
    ]


def _now_and_then(series: Series) -> Flags:
    every: Flags = series.times // Timeframe.M5.ms % BASELINE_BARS == 0
    return every


def _begins(state: Callable[[Series], Flags]) -> Callable[[Series], Flags]:
    return lambda series: starts(state(series), series.times)


def _traded(coin: ReportCoin, enters: Flags, side: str) -> Trades:
    indices = np.searchsorted(
        coin.candles.open_time_ms, coin.series.times[enters] - Timeframe.M5.ms
    )
    atr = coin.series.columns["atr_1h"][enters]
    return trades(coin.candles, indices, Sides[side], atr, coin.breaks_ms)


def _joined(made: Sequence[Trades]) -> Trades:
    return Trades(*(np.concatenate(columns) for columns in zip(*made, strict=True)))


def _entry(
    rule: str, side: str, made: Trades, base: Trades, *, coin_days: float, rng: np.random.Generator
) -> EntryRule:
    count = len(made.entered_ms)
    means = block_means(
        made.net, np.zeros(count, dtype=np.int64), made.entered_ms, 1, rng,
        block_days=TRADE_BLOCK_DAYS,
    )  # fmt: skip
    edge = block_difference(
        made.net, made.entered_ms, base.net, base.entered_ms, rng, block_days=TRADE_BLOCK_DAYS
    )

    def mean(values: Floats | Flags) -> float:
        return float(values.mean()) if count else float("nan")

    return EntryRule(
        rule=rule,
        side=side,
        count=count,
        per_coin_day=count / coin_days,
        gross=mean(made.gross),
        fees=mean(made.fees),
        net=float(means.mean[0]),
        low=float(means.low[0]),
        high=float(means.high[0]),
        win_share=mean(made.net > 0),
        stopped_share=mean(made.ending == STOPPED),
        target_share=mean(made.ending == TARGET_HIT),
        edge=edge[0],
        edge_low=edge[1],
        edge_high=edge[2],
    )
