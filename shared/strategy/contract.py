"""What a strategy is given and what it gives. Pure.

A user's file imports from here, and from `shared.market`; docs/strategies.md shows how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import escaped, shortened
from shared.market import Candles, Floats, Timeframe, Times

if TYPE_CHECKING:
    import pydantic

M5 = Timeframe.M5
MOST_BARS = 1000
"""Of a timeframe: no more are kept live."""

MOST_REASON = 200
RANGES = {
    "long": (0.0, 100.0, "points, expected 0 to 100"),
    "short": (0.0, 100.0, "points, expected 0 to 100"),
    "stop": (1e-4, 0.5, "of the price, expected 0.0001 to 0.5"),
}
PRICES = ("open", "high", "low", "close", "volume")


class BadScores(ValueError):
    """What a strategy gave are no scores."""


@dataclass(frozen=True, slots=True, eq=False)
class CandleMatrix:
    """Closed candles of coins on one timeframe, aligned by time. A bar that is not there is NaN.

    Shapes: open_time_ms (bars,), the others (coins, bars).
    Units:  times in epoch ms; prices in quote currency; volume in base currency.
    """

    open_time_ms: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where there is a candle. Shapes: (coins, bars)."""
        found: npt.NDArray[np.bool_] = np.isfinite(self.close)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The closed candles of coins up to one time; column j of 5m is the same close for all coins.

    Attributes:
        coins: Their symbols, in the order of the rows.
        candles: By timeframe.
    """

    coins: tuple[str, ...]
    candles: Mapping[Timeframe, CandleMatrix]

    def __getitem__(self, timeframe: Timeframe) -> CandleMatrix:
        return self.candles[timeframe]

    @property
    def close_ms(self) -> Times:
        """When each 5m candle closed, epoch ms. Shapes: (bars,)."""
        return self.candles[M5].open_time_ms + M5.ms

    @property
    def shape(self) -> tuple[int, int]:
        """Coins, and 5m bars: the shape of scores."""
        return len(self.coins), len(self.candles[M5].open_time_ms)

    def on_5m(self, timeframe: Timeframe, values: Floats) -> Floats:
        """Return a value per candle of a longer timeframe at the 5m closes at which it was known.

        Shapes: values (coins, bars of the timeframe) -> (coins, 5m bars); NaN before the first.
        """
        closed_ms = self.candles[timeframe].open_time_ms + timeframe.ms
        places = np.searchsorted(closed_ms, self.close_ms, side="right") - 1
        carried = np.asarray(values, dtype=np.float64)[:, np.maximum(places, 0)]
        carried[:, places < 0] = np.nan
        return carried


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Points of both sides at each 5m close, 0..100; NaN where nothing can be said.

    Shapes: (coins, 5m bars).

    Attributes:
        stop: Distance of the stop for an entry then, as a share of the price, instead of what
            `trader.stop_atr` gives; NaN or left out: that.
        reasons: One per coin for its newest close, in words for people; may be left out.
    """

    long: Floats
    short: Floats
    stop: Floats | None = None
    reasons: tuple[str, ...] = ()


class Strategy(Protocol):
    """One class of a user's file, made without arguments.

    Attributes:
        timeframes: How many bars count on each, 5m always among them: the score at a close is
            that of exactly the last so many.
        cross_section: Whether a coin's row may depend on the other coins'. If not, it is called
            with one coin at a time.
        Parameters: Defaults and bounds of `strategy_parameters`.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    timeframes: ClassVar[Mapping[Timeframe, int]]
    cross_section: ClassVar[bool]
    Parameters: type[pydantic.BaseModel]

    def score(self, series: Series, parameters: Any) -> Scores:
        """Return the points of every coin at every 5m close; the newest column decides."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStrategy:
    """What a strategy says of itself."""

    name: str
    version: str
    timeframes: dict[Timeframe, int]
    cross_section: bool
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def effective(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return its parameters, defaults filled in."""
        defaults = {name: of["default"] for name, of in self.parameters.items() if "default" in of}
        return {**defaults, **given}


def checked_timeframes(asked: Any) -> dict[Timeframe, int]:
    """Return the bars a strategy asks for.

    Raises:
        ValueError: They cannot be given.
    """
    named = {str(each): bars for each, bars in dict(asked).items()}
    unknown = sorted(set(named) - set(Timeframe))
    if unknown or M5 not in named:
        raise ValueError(
            f"timeframes: found {', '.join(named) or 'nothing'}, expected 5m, and 1h or 4h if "
            "needed, such as {Timeframe.M5: 96, Timeframe.H1: 48}"
        )
    for timeframe, bars in named.items():
        if type(bars) is not int or not 1 <= bars <= MOST_BARS:
            raise ValueError(
                f"timeframes: found {bars!r} bars of {timeframe}, expected a whole number from 1 "
                f"to {MOST_BARS}"
            )
    return {timeframe: named[timeframe] for timeframe in Timeframe if timeframe in named}


def checked_scores(given: Any, shape: tuple[int, int]) -> Scores:
    """Return what a strategy gave as float64 arrays of the right shape.

    Raises:
        BadScores: It is something else, or points are beyond 0 to 100.
    """
    if not isinstance(given, Scores):
        raise BadScores(
            f"score() gave {type(given).__name__}, expected Scores(long=..., short=...)"
        )
    columns = []
    for name, (least, most, words) in RANGES.items():
        if name == "stop" and given.stop is None:
            continue
        try:
            values = np.ascontiguousarray(getattr(given, name), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise BadScores(f"{name}: no array of numbers ({error})") from None
        if values.shape != shape:
            raise BadScores(
                f"{name}: found the shape {values.shape}, expected {shape}: coins and 5m bars"
            )
        if beyond := values[(values < least) | (values > most)].tolist():
            raise BadScores(f"{name}: found {beyond[0]:g} {words}, or NaN")
        columns.append(values)
    reasons = tuple(escaped(str(each))[:MOST_REASON] for each in given.reasons)
    if reasons and len(reasons) != shape[0]:
        raise BadScores(f"reasons: found {len(reasons)}, expected one per coin, {shape[0]}")
    long, short, *stops = columns
    return Scores(long, short, stops[0] if stops else None, reasons)


def label_of(text: Any, what: str) -> str:
    """Return a strategy's name or version.

    Raises:
        ValueError: It is no text.
    """
    if not isinstance(text, str) or not text:
        raise ValueError(f"{what}: found {text!r:.60}, expected a text such as '1'")
    return shortened(text)


def series_between(
    coins: Mapping[str, Mapping[Timeframe, Candles]],
    since_ms: Mapping[Timeframe, int],
    until_ms: int,
) -> Series:
    """Return the candles of coins that had closed at a time, on one grid of times.

    Args:
        since_ms: Open time of the first bar on each timeframe.
        until_ms: A close of 5m candles; what closed later is not there.
    """
    matrices = {}
    for timeframe, first_ms in since_ms.items():
        times = np.arange(first_ms, timeframe.open_at(until_ms), timeframe.ms, dtype=np.int64)
        columns = {name: np.full((len(coins), len(times)), np.nan) for name in PRICES}
        for row, of_coin in enumerate(coins.values()):
            candles = of_coin.get(timeframe, Candles.empty()).since(first_ms)
            places = (candles.open_time_ms - first_ms) // timeframe.ms
            places = places[: int(np.searchsorted(places, len(times)))]
            for name, column in columns.items():
                column[row, places] = getattr(candles, name)[: len(places)]
        matrices[timeframe] = CandleMatrix(times, **columns)
    return Series(tuple(coins), matrices)


def series_at(
    coins: Mapping[str, Mapping[Timeframe, Candles]],
    bars: Mapping[Timeframe, int],
    close_ms: int,
) -> Series:
    """Return the last `bars` bars of each timeframe as of a close: what a live call is given."""
    since_ms = {t: t.open_at(close_ms) - count * t.ms for t, count in bars.items()}
    return series_between(coins, since_ms, close_ms)
