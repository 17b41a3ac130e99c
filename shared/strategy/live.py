"""From the candles of a close to a strategy's series, and from its points to a score. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from shared.clock import utc_text
from shared.errors import NoCandles
from shared.indicators.frames import check_own, judge, read
from shared.indicators.scoring import change_24h_pct, window_until
from shared.indicators.signals import CoinWindows
from shared.market import Candles, Timeframe
from shared.messages.signals import ScorePart, SideScore
from shared.messages.trading import TradeSide
from shared.strategy.contract import Scores, Series, series_at

M5 = Timeframe.M5
FLAT = 1e-9
"""Points that a sum of 75 may fall short of it by its last digit."""

Asked = tuple[CoinWindows, int]
"""A coin's windows, and the time to judge them at."""


class Scored(Protocol):
    """What an entry needs of a `BaseScore`, wherever it comes from."""

    @property
    def close(self) -> float: ...
    @property
    def closed_until_ms(self) -> int: ...
    @property
    def coverage(self) -> float: ...
    @property
    def fault(self) -> str: ...
    def score(self, side: TradeSide) -> int: ...


class CloseScore(Scored, Protocol):
    """The score of one coin at one close, of whichever strategy; see `BaseScore`."""

    @property
    def symbol(self) -> str: ...
    @property
    def change_24h_pct(self) -> float | None: ...
    def side(self, side: TradeSide) -> SideScore: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyScore:
    """The score that a user's strategy gave; `points` are NaN where it gave none.

    `stop`: the distance of the stop that it wants, as a share of the price.
    """

    symbol: str
    close: float
    closed_until_ms: int
    change_24h_pct: float | None
    points: Mapping[TradeSide, float]
    fault: str = ""
    reason: str = ""
    stop: float | None = None

    @property
    def coverage(self) -> float:
        """1 with both sides' points, else 0: a strategy has no components."""
        return 0.0 if self.fault else 1.0

    def score(self, side: TradeSide) -> int:
        """Return the points of one side, rounded down; 0 where there are none."""
        points = self.points[side]
        return math.floor(points + FLAT) if math.isfinite(points) else 0

    def side(self, side: TradeSide) -> SideScore:
        """Return the points of one side, with the strategy's reason."""
        if self.fault:
            return SideScore(score=0, parts=[])
        text = self.reason or "no reason given"
        part = ScorePart(name="strategy", points=self.points[side], max=100.0, text=text)
        return SideScore(score=self.score(side), parts=[part])


class Prepared(NamedTuple):
    """One coin as a strategy is to see it. `fault`: why it is not to be asked."""

    symbol: str
    candles: Mapping[Timeframe, Candles]
    closed_until_ms: int
    fault: str


def prepared(asked: Asked, bars: Mapping[Timeframe, int]) -> Prepared:
    """Return a coin's candles at its newest close, judged as for the built-in strategy.

    Args:
        bars: What the strategy asks for; so many are enough.

    Raises:
        NoCandles: No closed 5m candle.
        ValueError: A window of another coin or timeframe.
    """
    coin, now_ms = asked
    check_own(coin.symbol, coin.windows)
    m5 = coin.windows.get(M5)
    closed = Candles.empty() if m5 is None else m5.closed()
    if not len(closed):
        raise NoCandles(f"{coin.symbol} 5m: not one closed candle to compute from")
    until_ms, faults, candles = int(closed.open_time_ms[-1]) + M5.ms, [], {}
    for timeframe, count in bars.items():
        window = m5 if timeframe is M5 else window_until(coin.windows.get(timeframe), until_ms)
        reading = read(window, timeframe, count)
        frame = judge(window, timeframe, reading, now_ms, count, warm_bars=count)
        candles[timeframe] = window.closed() if window is not None else Candles.empty()
        due_ms = timeframe.open_at(until_ms)
        if frame.fault:
            faults.append(f"{timeframe} candles {frame.fault}")
        elif window is not None and window.closed_until_ms < due_ms:
            faults.append(f"{timeframe} candles not yet closed until {utc_text(due_ms)}")
    text = f"{'; '.join(faults)}: nothing scored" if faults else ""
    return Prepared(coin.symbol, candles, until_ms, text)


def series_for(
    coins: Sequence[Prepared], bars: Mapping[Timeframe, int], symbols: Sequence[str] = ()
) -> Series:
    """Return what one call is given: coins of one close, those at fault as unknown.

    Args:
        symbols: Coins that have a row whether they are among `coins` or not: unknown if not.
    """
    given: dict[str, Mapping[Timeframe, Candles]] = {symbol: {} for symbol in symbols}
    given |= {coin.symbol: {} if coin.fault else coin.candles for coin in coins}
    return series_at(given, bars, coins[0].closed_until_ms)


def close_scores(
    coins: Sequence[Prepared], series: Series | None, scores: Scores | None
) -> list[StrategyScore]:
    """Return the score of each coin by the newest column of a call; None: it was not asked.

    A number is due where no bar of the series is missing.
    """
    found = []
    rows = {} if series is None else {symbol: row for row, symbol in enumerate(series.coins)}
    for coin in coins:
        points: dict[TradeSide, float] = {"long": math.nan, "short": math.nan}
        fault, reason, stop = coin.fault, "", None
        if not fault and series is not None and scores is not None:
            row = rows[coin.symbol]
            points = {"long": float(scores.long[row, -1]), "short": float(scores.short[row, -1])}
            reason = scores.reasons[row] if scores.reasons else ""
            if scores.stop is not None and math.isfinite(scores.stop[row, -1]):
                stop = float(scores.stop[row, -1])
            if not all(map(math.isfinite, points.values())):
                fault = "the strategy gives no number" + (
                    "" if is_all_known(series, row) else ": bars are missing"
                )
        m5 = coin.candles[M5]
        found.append(
            StrategyScore(
                symbol=coin.symbol, close=float(m5.close[-1]),
                closed_until_ms=coin.closed_until_ms, change_24h_pct=change_24h_pct(m5),
                points=points, fault=fault, reason=reason, stop=stop,
            )
        )  # fmt: skip
    return found


def is_all_known(series: Series, row: int) -> bool:
    """Return whether a coin has all bars of a series, so that its strategy owes a number."""
    return all(bool(np.all(matrix.known[row])) for matrix in series.candles.values())
