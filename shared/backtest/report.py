"""Statistics of signals: frequency, duration, forward returns and trades."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from shared.backtest.bootstrap import DAY_MS, Blocks, Counts
from shared.backtest.labels import RANKS, label_ranks
from shared.backtest.outcomes import (
    AFTER_HALT,
    AT_HALT,
    BEFORE_HALT,
    REFUSED,
    STOPPED,
    TARGET_HIT,
    UNFINISHED,
    Flags,
    Trades,
    forward_returns,
    hold_bars,
    starts,
    trades,
)
from shared.backtest.series import POINTS, Series
from shared.backtest.trader_rule import trader_enters
from shared.candles.admission import scale_breaks
from shared.config.sections import TraderSection
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.signals import Label
from shared.messages.trading import TradeSide

COUNTED = (
    "use_ta_signals", "entry_score", "base_floor", "margin", "bonus_cap",
    "stop_atr", "stop_costs", "cost_share_pct", "target_r", "max_hold_h",
)  # fmt: skip
"""The settings of section `trader` that count in a report."""

LEVELS = (10, 15, 20, 25, 30, 35, 45)
ENTRY_LEVELS = (15, 25, 30, 35, 45)
LABELS: tuple[Label, ...] = ("watch", "candidate", "strong")
BASE_ENTRY_LEVELS = (75, 80, 85, 90)
BASELINE_BARS = 48
BASELINE = "every 4 h, no signal"
TRADER_RULES = {False: "the trader: base", True: "the trader: base + bonus"}
"""The trader's rules by `use_ta_signals`."""
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
"""Of a block, for each day that a trade may last: trades overlap into the next days."""

NET_EDGES = (-29.0, -19.0, -14.0, -9.0, 9.0, 14.0, 19.0, 29.0)
"""Edges of the groups of the net bonus, which is 0 most of the time."""

Sides: Mapping[TradeSide, int] = {"long": 1, "short": -1}
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
    """The mean forward return of all closes with a variable in a range, in `blocks` blocks."""

    variable: str
    horizon: str
    group: int
    lowest: float
    highest: float
    count: int
    blocks: int
    mean_bps: float
    low_bps: float
    high_bps: float


@dataclass(frozen=True, slots=True)
class EntryRule:
    """Result of entering by one rule, in R per trade.

    Attributes:
        edge: Its net result minus that of entering the same side without a signal.
        blocks: Of days in which it entered.
        before_halt, after_halt, at_halt: Trades before whose time was over trading halted; they
            ended before it, ended after it, or are valued at the last close before it.
        refused: Entries that the trader would not send, because of their cost or distance.
        unfinished: Entries whose time is not over at the end of the recordings.
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
    blocks: int
    before_halt: int
    after_halt: int
    at_halt: int
    refused: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report.

    Attributes:
        settings: Those of section `trader` that it was made with.
        blocks: Number of blocks of days that the intervals of a horizon are drawn from.
        trade_blocks: The same for trades, in blocks of `trade_block_days`.
    """

    coins: int
    closes: int
    first_ms: int
    last_ms: int
    settings: Mapping[str, bool | int | float]
    blocks: Mapping[str, int]
    trade_blocks: int
    trade_block_days: int
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

    @cached_property
    def indices(self) -> Counts:
        """Which candle closes at each signal."""
        found: Counts = np.searchsorted(
            self.candles.open_time_ms, self.series.times - Timeframe.M5.ms
        )
        return found

    @cached_property
    def ranks(self) -> Mapping[str, Floats]:
        """The rank of each side's label."""
        return {side: label_ranks(self.series.columns[f"base_{side}"]) for side in Sides}


def make_report(
    coins: Mapping[str, ReportCoin],
    rng: np.random.Generator,
    settings: TraderSection = TraderSection(),  # noqa: B008  # frozen
) -> Report:
    """Return the report on all coins together.

    Args:
        rng: Draws the bootstrap; the same seed gives the same intervals.
        settings: Of these, `COUNTED` count.
    """
    listed = list(coins.values())
    times = np.concatenate([coin.series.times for coin in listed])
    hold_days = math.ceil(hold_bars(settings) * Timeframe.M5.ms / DAY_MS)
    trade_days = TRADE_BLOCK_DAYS * hold_days
    blocks = {days: Blocks(times, days, rng) for days in sorted({*BLOCK_DAYS.values(), trade_days})}
    return Report(
        coins=len(coins),
        closes=len(times),
        first_ms=int(times.min()),
        last_ms=int(times.max()),
        settings={name: getattr(settings, name) for name in COUNTED},
        blocks={name: len(blocks[days]) for name, days in BLOCK_DAYS.items()},
        trade_blocks=len(blocks[trade_days]),
        trade_block_days=trade_days,
        occupancy=_occupancy(listed),
        forward=list(_forward(listed, times, blocks)),
        entries=_entries(listed, blocks[trade_days], settings),
    )


# How often.


State = Callable[[ReportCoin], Flags]


def states() -> dict[str, State]:
    """Return every state that is counted, by name."""
    found: dict[str, State] = {
        "no bonus": lambda c: (c.series.columns["long"] == 0) & (c.series.columns["short"] == 0)
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


def _reaches(column: str, level: int) -> State:
    return lambda coin: coin.series.columns[column] >= level


def _gives(name: str, side: TradeSide) -> State:
    return lambda coin: coin.series.columns[name] == Sides[side]


def _labelled(side: TradeSide, label: Label) -> State:
    return lambda coin: coin.ranks[side] >= RANKS[label]


def _occupancy(coins: Sequence[ReportCoin]) -> list[Occupancy]:
    closes = sum(len(coin.series) for coin in coins)
    coin_days = _coin_days(closes)
    found = []
    for name, state in states().items():
        lasting = begun = 0
        for coin in coins:
            flags = state(coin)
            lasting += int(np.count_nonzero(flags))
            begun += int(np.count_nonzero(starts(flags, coin.series.times)))
        found.append(Occupancy(name, lasting / closes, begun / coin_days))
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
    coins: Sequence[ReportCoin], times: Times, blocks: Mapping[int, Blocks]
) -> Iterator[Forward]:
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
    block = {days: blocks[days].at(times) for days in set(BLOCK_DAYS.values())}
    everything = np.zeros(len(times))
    for variable, values in {ALL: everything, **_variables([c.series for c in coins])}.items():
        groups, count = grouped(values, NET_EDGES if variable == "net bonus" else None)
        known = groups >= 0
        ranges = [_range(values[groups == group]) for group in range(count)]
        groups = groups[known]
        places = {days: at[known] for days, at in block.items()}
        for horizon, returns in after.items():
            days = BLOCK_DAYS[horizon]
            means = blocks[days].means(returns[known], groups, places[days], count)
            for group, (lowest, highest) in enumerate(ranges):
                yield Forward(
                    variable, horizon, group + 1, lowest, highest,
                    int(means.counts[group]), int(means.blocks[group]),
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
    occurs = np.bincount(raw[known], minlength=len(edges) + 1) > 0
    dense = np.cumsum(occurs) - 1
    return np.where(known, dense[np.where(known, raw, 0)], -1), int(np.count_nonzero(occurs))


def _range(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


# What trading it would have brought.


def _entries(
    coins: Sequence[ReportCoin], blocks: Blocks, settings: TraderSection
) -> list[EntryRule]:
    coin_days = _coin_days(sum(len(coin.series) for coin in coins))
    end_ms = max(int(coin.candles.open_time_ms[-1]) for coin in coins) + Timeframe.M5.ms
    made: dict[tuple[str, str], list[Trades]] = {}
    for coin in coins:
        trader = {
            name: trader_enters(
                coin.series,
                coin.candles.volume[coin.indices],
                replace(settings, use_ta_signals=with_bonus),
            )
            for with_bonus, name in TRADER_RULES.items()
        }
        for side in Sides:
            enters = {rule: flags(coin) for rule, flags in _rules(side).items()}
            enters |= {name: flags[side] for name, flags in trader.items()}
            for rule, found in _traded(coin, enters, side, settings, end_ms).items():
                made.setdefault((rule, side), []).append(found)
    joined = {key: _joined(parts) for key, parts in made.items()}
    for rule in dict.fromkeys(rule for rule, _ in made):
        joined[rule, BOTH] = _joined([joined[rule, side] for side in Sides])
    order = [BASELINE, *TRADER_RULES.values()]
    rules = [*order, *(rule for rule in _rules("long") if rule not in order)]
    return [
        _entry(
            rule,
            side,
            joined[rule, side],
            joined[BASELINE, side],
            coin_days=coin_days,
            blocks=blocks,
        )
        for side in (*Sides, BOTH)
        for rule in rules
    ]


def _rules(side: TradeSide) -> dict[str, State]:
    """Return where each rule enters one side, the trader's own aside."""
    return {
        BASELINE: _now_and_then,
        **{NAMES[name][1]: _begins(_gives(name, side)) for name in POINTS},
        **{f"bonus reaches {at}": _begins(_reaches(side, at)) for at in ENTRY_LEVELS},
        **{f"label {at} begins": _begins(_labelled(side, at)) for at in LABELS[1:]},
        **{f"base reaches {at}": _begins(_reaches(f"base_{side}", at)) for at in BASE_ENTRY_LEVELS},
    }


def _now_and_then(coin: ReportCoin) -> Flags:
    every: Flags = coin.series.times // Timeframe.M5.ms % BASELINE_BARS == 0
    return every


def _begins(state: State) -> State:
    return lambda coin: starts(state(coin), coin.series.times)


def _traded(
    coin: ReportCoin,
    enters: Mapping[str, Flags],
    side: TradeSide,
    settings: TraderSection,
    end_ms: int,
) -> dict[str, Trades]:
    """Return the trades of each rule; what several rules enter is traded once."""
    entered = np.flatnonzero(np.any(list(enters.values()), axis=0))
    found = trades(
        coin.candles, coin.indices[entered], Sides[side],
        coin.series.columns["atr_1h"][entered], coin.breaks_ms,
        settings=settings, end_ms=end_ms,
    )  # fmt: skip
    return {rule: found.only(flags[entered]) for rule, flags in enters.items()}


def _joined(made: Sequence[Trades]) -> Trades:
    return Trades(*(np.concatenate(columns) for columns in zip(*made, strict=True)))


def _entry(
    rule: str, side: str, entered: Trades, base: Trades, *, coin_days: float, blocks: Blocks
) -> EntryRule:
    made, base = (each.only(each.ending >= 0) for each in (entered, base))
    count = len(made.entered_ms)
    block, none = blocks.at(made.entered_ms), np.zeros(count, dtype=np.int64)
    means = blocks.means(made.net, none, block, 1)
    edge = blocks.difference(made.net, block, base.net, blocks.at(base.entered_ms))

    def mean(values: Floats | Flags) -> float:
        return float(values.mean()) if count else float("nan")

    def number(flags: Flags) -> int:
        return int(np.count_nonzero(flags))

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
        blocks=int(means.blocks[0]),
        before_halt=number(made.halt == BEFORE_HALT),
        after_halt=number(made.halt == AFTER_HALT),
        at_halt=number(made.halt == AT_HALT),
        refused=number(entered.ending == REFUSED),
        unfinished=number(entered.ending == UNFINISHED),
    )
