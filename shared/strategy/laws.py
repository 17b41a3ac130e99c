"""The laws a strategy must keep, tried on recorded candles. Pure: calls and seed are arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from shared.clock import utc_text
from shared.errors import PlatformError, count
from shared.market import Candles, Floats, Timeframe
from shared.strategy.contract import (
    RANGES,
    LoadedStrategy,
    Scores,
    Series,
    series_at,
    series_between,
)
from shared.strategy.live import FLAT, is_all_known

M5, H4 = Timeframe.M5, Timeframe.H4
COINS = 5
CUTS, LIVE_CALLS = 300, 400
"""Of each coin."""

SEGMENTS = 6
PHASES = H4.ms // M5.ms
ROOM = 6 * PHASES
"""5m bars of a segment beyond those the strategy asks for, in which it is cut."""

SAME = 1e-6
"""Points by which two computations of one score may differ."""

REPEATED, WARMED = 50, 100
LAST = (0, -1)

State = Literal["kept", "broken", "not run", "noted"]
Call = Callable[[Series], Scores]
Coins = Mapping[str, Mapping[Timeframe, Candles]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one law."""

    law: str
    state: State
    text: str


class Calls(NamedTuple):
    """How to ask a strategy.

    Attributes:
        score: In the process under test.
        again: In another, started anew.
        now_s: Returns seconds that never go backwards.
    """

    score: Call
    again: Call
    now_s: Callable[[], float]


class TooFew(PlatformError):
    """The candles are too few to try the laws on."""


class Laws:
    """Tries the laws on candles of a few coins.

    Args:
        coins: Their candles, gaps confirmed.
        coins_live: How many are scored at a close on the platform.
        limit_s: What one answer may take there.
    """

    def __init__(
        self,
        strategy: LoadedStrategy,
        calls: Calls,
        coins: Coins,
        rng: np.random.Generator,
        *,
        coins_live: int,
        limit_s: float,
    ) -> None:
        self._strategy = strategy
        self._calls = calls
        self._bars = strategy.timeframes
        self._coins = dict(coins)
        self._rng = rng
        self._coins_live, self._limit_s = coins_live, limit_s
        self._took_s: list[float] = []
        least = self._bars[M5] + ROOM + 1
        short = [s for s, each in coins.items() if len(each[M5]) < least]
        if short or not coins:
            raise TooFew(
                f"{', '.join(short) or 'no coin'}: fewer than {least} candles of 5m; fetch more"
            )

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what became of each law, in turn; the others are not run once it cannot answer."""
        tries: tuple[tuple[str, Callable[[], tuple[State, str]]], ...] = (
            ("answers", self._answers),
            ("truncation", self._truncation),
            ("live call", self._live),
            ("determinism", self._determinism),
            ("permutation", self._permutation),
            ("warm-up", self._warm_up),
            ("speed", self._speed),
        )
        is_able = True
        for law, attempt in tries:
            if not is_able:
                yield Outcome(law, "not run", "it gives no scores")
                continue
            try:
                yield Outcome(law, *attempt())
            except PlatformError as error:
                is_able = law != "answers"
                yield Outcome(law, "broken", str(error))

    # Each law

    def _answers(self) -> tuple[State, str]:
        """One call at the end of each coin's candles gives numbers."""
        for symbol in self._coins:
            last_ms = int(self._coins[symbol][M5].open_time_ms[-1]) + M5.ms
            series = series_at(self._seen_with(symbol), self._bars, last_ms)
            scores = self._timed(series)
            if is_all_known(series, 0) and not _is_number(scores, 0, -1):
                return "broken", f"{symbol} at {utc_text(last_ms)}: NaN where a number belongs"
        return "kept", f"numbers from 0 to 100 for {count(len(self._coins), 'coin')}"

    def _truncation(self) -> tuple[State, str]:
        """What comes later changes no score: the law against lookahead."""
        tried, halts, phases = 0, 0, set[int]()
        for symbol in self._coins:
            for since_ms, until_ms, is_halt in self._segments(symbol):
                halts += is_halt
                first = self._first(since_ms)
                whole = series_between(self._seen_with(symbol), first, until_ms)
                scores = self._timed(whole)
                begins_ms = int(self._coins[symbol][M5].open_time_ms[0])
                least = 0 if since_ms == begins_ms else self._bars[M5]
                for at in self._cuts(whole, least):
                    close_ms = int(whole.close_ms[at])
                    cut = series_between(self._seen_with(symbol), first, close_ms)
                    alone = self._timed(cut)
                    tried += 1
                    phases.add(close_ms % H4.ms)
                    if found := _difference(scores, (0, at), alone, LAST, whole=False):
                        return "broken", (
                            f"{symbol} at {utc_text(close_ms)}: {found} once later candles are "
                            "there: the score looks ahead"
                        )
        halted = f"{count(halts, 'halt')} among them" if halts else "no halt in these candles"
        return "kept", f"{count(tried, 'cut')} at {len(phases)} of {PHASES} phases of 4h; {halted}"

    def _live(self) -> tuple[State, str]:
        """One call over a whole series gives what live calls give; if not, that is noted."""
        tried, apart, worst = 0, 0, ""
        for symbol in self._coins:
            segments = list(self._segments(symbol))
            for since_ms, until_ms, _ in segments:
                first = self._first(since_ms)
                whole = series_between(self._seen_with(symbol), first, until_ms)
                scores = self._timed(whole)
                usable = np.arange(min(self._bars[M5], len(whole.close_ms) - 1), whole.shape[1])
                for at in self._rng.choice(usable, -(-LIVE_CALLS // len(segments))):
                    close_ms = int(whole.close_ms[at])
                    series = series_at(self._seen_with(symbol), self._bars, close_ms)
                    live = self._timed(series)
                    where = f"{symbol} at {utc_text(close_ms)}"
                    if is_all_known(series, 0) and not _is_number(live, 0, -1):
                        return "broken", f"{where}: NaN where a number belongs"
                    tried += 1
                    if found := _difference(scores, (0, int(at)), live, LAST):
                        apart, worst = apart + 1, worst or f"{where}: {found} of the live call"
        if apart:
            return "noted", (
                f"{apart} of {count(tried, 'close')} differ ({worst}): whatever tests it on the "
                "past must call it close by close, which is slower"
            )
        return "kept", f"{count(tried, 'close')} equal one call over the whole"

    def _determinism(self) -> tuple[State, str]:
        """The same candles give the same bits, also in another process."""
        for symbol, close_ms in self._closes(REPEATED):
            series = series_at(self._seen_with(symbol), self._bars, close_ms)
            first = self._timed(series)
            others = {"again": self._timed(series), "in another process": self._calls.again(series)}
            for where, other in others.items():
                if not _same_bits(first, other):
                    return "broken", f"{symbol} at {utc_text(close_ms)}: another score {where}"
        return "kept", f"{count(REPEATED, 'call')} repeated, also in another process"

    def _permutation(self) -> tuple[State, str]:
        """The order of coins changes nothing, and without `cross_section` no coin sees another."""
        if len(self._coins) < 2:
            return "not run", "the candles are of one coin"
        close_ms = min(int(each[M5].open_time_ms[-1]) + M5.ms for each in self._coins.values())
        symbols = list(self._coins)
        together = self._timed(series_at(self._coins, self._bars, close_ms))
        turned = {symbol: self._coins[symbol] for symbol in reversed(symbols)}
        backwards = self._timed(series_at(turned, self._bars, close_ms))
        for row, symbol in enumerate(symbols):
            if found := _difference(together, (row, -1), backwards, (len(symbols) - 1 - row, -1)):
                return "broken", f"{symbol}: {found} in another order of coins"
            if self._strategy.cross_section:
                continue
            alone = self._timed(series_at(self._seen_with(symbol), self._bars, close_ms))
            if found := _difference(together, (row, -1), alone, LAST):
                return "broken", (
                    f"{symbol}: {found} alone: it looks at other coins, so say cross_section = True"
                )
        return "kept", f"{count(len(symbols), 'coin')} in any order"

    def _warm_up(self) -> tuple[State, str]:
        """How much more history would change."""
        doubled = {timeframe: 2 * bars for timeframe, bars in self._bars.items()}
        most = 0.0
        for symbol, close_ms in self._closes(WARMED):
            usual, more = (
                self._timed(series_at(self._seen_with(symbol), bars, close_ms))
                for bars in (self._bars, doubled)
            )
            for one, other in ((usual.long, more.long), (usual.short, more.short)):
                apart = abs(float(one[0, -1] - other[0, -1]))
                most = max(most, apart) if np.isfinite(apart) else most
        return "noted", f"with twice the bars a score moves by at most {most:.3g} points"

    def _speed(self) -> tuple[State, str]:
        """All coins of the platform are scored within the limit of one answer."""
        for symbol, close_ms in self._closes(REPEATED):
            self._timed(series_at(self._seen_with(symbol), self._bars, close_ms))
        usual_s = float(np.median(self._took_s[-REPEATED:]))
        calls = 1 if self._strategy.cross_section else self._coins_live
        text = f"{1000 * usual_s:.2g} ms a call, {calls * usual_s:.2g} s for all coins of a close"
        if calls * usual_s > self._limit_s:
            return "broken", f"{text}, expected at most {self._limit_s:g} s (strategy_timeout_s)"
        return "kept", text

    # Their parts

    def _timed(self, series: Series) -> Scores:
        began_s = self._calls.now_s()
        scores = self._calls.score(series)
        self._took_s.append(self._calls.now_s() - began_s)
        return scores

    def _seen_with(self, symbol: str) -> Coins:
        """Return the coins of one call, the first the one that is looked at."""
        seen = {symbol: self._coins[symbol]}
        return {**seen, **self._coins} if self._strategy.cross_section else seen

    def _segments(self, symbol: str) -> Iterator[tuple[int, int, bool]]:
        """Yield spans of time to look at: the beginning, around the longest halts, and others."""
        candles = self._coins[symbol][M5]
        first_ms, end_ms = int(candles.open_time_ms[0]), int(candles.open_time_ms[-1]) + M5.ms
        length_ms = (self._bars[M5] + ROOM) * M5.ms
        begins = [(first_ms, False)]
        halts = sorted(candles.gaps(M5), key=lambda gap: gap[0] - gap[1])[: SEGMENTS // 2 - 1]
        begins += [(since_ms - length_ms // 2, True) for since_ms, _ in halts]
        latest_ms = max(first_ms, end_ms - length_ms)
        while len(begins) < SEGMENTS:
            bars = int(self._rng.integers(0, (latest_ms - first_ms) // M5.ms + 1))
            begins.append((first_ms + bars * M5.ms, False))
        for begin_ms, is_halt in begins:
            since_ms = min(max(begin_ms, first_ms), latest_ms)
            yield since_ms, since_ms + length_ms, is_halt

    def _first(self, since_ms: int) -> dict[Timeframe, int]:
        """Return where each timeframe begins: the longer ones early enough to be known."""
        return {
            t: t.open_at(since_ms) - (0 if t is M5 else bars * t.ms)
            for t, bars in self._bars.items()
        }

    def _cuts(self, whole: Series, least: int) -> Sequence[int]:
        """Return columns to cut at, every phase of 4h among them."""
        last = whole.shape[1] - 1  # something has to come after it
        each = -(-CUTS // SEGMENTS)
        columns = np.arange(least, last)
        phases = (whole.close_ms[least:last] % H4.ms) // M5.ms
        chosen = [int(self._rng.choice(columns[phases == phase])) for phase in range(PHASES)]
        more = self._rng.choice(columns, max(0, each - len(chosen)))
        return [*chosen, *more.tolist()]

    def _closes(self, number: int) -> Iterator[tuple[str, int]]:
        """Yield coins and closes at random, with bars enough before each."""
        symbols = list(self._coins)
        for turn in range(number):
            symbol = symbols[turn % len(symbols)]
            times = self._coins[symbol][M5].open_time_ms
            at = int(self._rng.integers(min(2 * self._bars[M5], len(times) - 1), len(times)))
            yield symbol, int(times[at]) + M5.ms


def _is_number(scores: Scores, row: int, at: int) -> bool:
    return bool(np.isfinite(scores.long[row, at]) and np.isfinite(scores.short[row, at]))


Place = tuple[int, int]  # row and column


def _difference(
    one: Scores, at: Place, other: Scores, other_at: Place, *, whole: bool = True
) -> str:
    """Return how two scores of one coin and close differ, in words, or ""; `whole`: as points."""
    for name in RANGES:
        left: Floats | None = getattr(one, name)
        right: Floats | None = getattr(other, name)
        if left is None or right is None:
            if left is not right:
                return f"{name} only once"
            continue
        a, b = float(left[at]), float(right[other_at])
        if np.isnan(a) and np.isnan(b):
            continue
        is_whole_apart = (
            whole
            and name != "stop"
            and np.floor(a + FLAT) != np.floor(b + FLAT)
            and abs(a - b) > FLAT
        )
        if not abs(a - b) <= SAME or is_whole_apart:
            return f"{name} {a:.6g} instead of {b:.6g}"
    return ""


def _same_bits(one: Scores, other: Scores) -> bool:
    pairs = ((getattr(one, name), getattr(other, name)) for name in RANGES)
    return all(
        (a is None and b is None)
        or (a is not None and b is not None and a.tobytes() == b.tobytes())
        for a, b in pairs
    )
