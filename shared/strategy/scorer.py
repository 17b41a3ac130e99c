"""Scores coins by whichever strategy is configured: the built-in one here, a file's in its process.

Scanner and trader each have one. Whatever a user's strategy does, an answer or an error comes
within its time; nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from shared import codec
from shared.backoff import backoff_s
from shared.clock import Clock
from shared.errors import NoCandles, PlatformError, count, shortened
from shared.indicators.scoring import base_scores_at
from shared.market import Timeframe
from shared.messages.trading import StrategyIdentity
from shared.strategy.contract import LoadedStrategy
from shared.strategy.live import (
    Asked,
    CloseScore,
    Prepared,
    close_scores,
    is_all_known,
    prepared,
    series_for,
)
from shared.strategy.process import (
    StrategyDied,
    StrategyFailed,
    StrategyProcess,
)
from shared.strategy.source import StrategySection
from shared.trading.strategy import BASE

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
PASS_LIMITS = 3
"""Time limits of single calls that all calls of one pass together may take."""

MOST_LOGGED = 2000
BUILT_IN_TIMEFRAMES: Sequence[Timeframe] = (Timeframe.M5, Timeframe.H1)
Result = CloseScore | Exception


class StrategyUnavailable(PlatformError):
    """The strategy's process cannot be asked now."""


class Scorer(Protocol):
    """Scores closes.

    Attributes:
        identity: Of the strategy; before a file's was loaded, its class and no version.
        trouble: What was wrong with the strategy in the last pass; "" if nothing was.
        cross_section: Whether the coins have to be scored together.
        timeframes: Whose candles it needs, those of the built-in strategy among them; all until a
            strategy was loaded.
    """

    identity: StrategyIdentity
    trouble: str
    cross_section: bool
    timeframes: Sequence[Timeframe]

    async def score(self, asked: Sequence[Asked], history: int) -> list[Result]:
        """Return the score or the error of each coin, in the order given.

        Args:
            history: Closed candles that count for the built-in strategy.
        """
        ...

    def close(self) -> None:
        """End what runs."""
        ...


class BaseScorer:
    """The built-in strategy."""

    identity = BASE
    trouble = ""
    cross_section = False
    timeframes = BUILT_IN_TIMEFRAMES

    async def score(self, asked: Sequence[Asked], history: int) -> list[Result]:
        """Return the base scores."""
        return list(base_scores_at(asked, history))

    def close(self) -> None:
        """Do nothing: nothing runs."""


def scorer_of(
    section: Mapping[str, Any] | None,
    *,
    owner: str,
    clock: Clock,
    rng: random.Random,
    log: logging.Logger,
) -> Scorer:
    """Return the scorer of an actor's section; None: the built-in strategy.

    Args:
        owner: The actor's name.
    """
    if section is None:
        return BaseScorer()
    strategy = codec.from_plain(StrategySection, section, "config: strategy")
    return FileScorer(strategy, owner=owner, clock=clock, rng=rng, log=log)


class FileScorer:
    """A user's strategy, in a process that is started again, with growing pauses, when it fails.

    A coin on which it died is asked for last, so that it keeps no other coin from its score.
    """

    def __init__(
        self,
        section: StrategySection,
        *,
        owner: str,
        clock: Clock,
        rng: random.Random,
        log: logging.Logger,
    ) -> None:
        self._section = section
        self._clock = clock
        self._rng = rng
        self._log = log
        self._process = StrategyProcess(section, owner=owner, now_s=time.monotonic)
        self._loaded: LoadedStrategy | None = None
        self._deaths = 0
        self._next_start_s = float("-inf")
        self._death = ""
        self._suspects: dict[str, None] = {}
        self._is_closed = False
        self.identity = StrategyIdentity(
            name=section.file.class_name, version="", hash=section.file.digest
        )
        self.trouble = ""
        self.cross_section = False
        self.timeframes: Sequence[Timeframe] = tuple(Timeframe)

    async def score(self, asked: Sequence[Asked], history: int) -> list[Result]:
        """Ask the strategy for each coin, or for all coins of a close if it looks across coins."""
        try:
            loaded = await self._running()
        except PlatformError as error:
            self._report(str(error))
            return [error] * len(asked)
        results: dict[int, Result] = {}
        coins: dict[int, Prepared] = {}
        for place, each in enumerate(asked):
            try:
                coins[place] = prepared(each, loaded.timeframes)
            except (NoCandles, ValueError) as error:
                results[place] = error
        faults: dict[str, str] = {}
        until_s = time.monotonic() + PASS_LIMITS * self._section.timeout_s
        for places in self._calls(coins, loaded):
            chosen = [coins[place] for place in places]
            found = await self._call(chosen, loaded, faults, until_s)
            results |= dict(zip(places, found, strict=True))
        self._log_output()
        self._report(_in_words(faults))
        return [results[place] for place in range(len(asked))]

    def close(self) -> None:
        """End the process; a call under way ends with an error."""
        self._is_closed = True
        self._process.kill()

    async def _running(self) -> LoadedStrategy:
        """Return the loaded strategy, started again if its time has come.

        Raises:
            StrategyUnavailable: Its time has not come.
            StrategyFailed, StrategyDied: It cannot be loaded.
        """
        if self._process.pid is not None and self._loaded is not None:
            return self._loaded
        wait_s = self._next_start_s - self._clock.monotonic()
        if wait_s > 0 or self._is_closed:
            raise StrategyUnavailable(f"{self._death}; started again in {max(wait_s, 0):.0f} s")
        try:
            self._process.start()  # in no other thread: the process dies with its parent's
            self._loaded = await asyncio.to_thread(self._process.load)
        except (StrategyFailed, StrategyDied) as error:
            self._process.kill()
            self._note_death(f"it cannot be loaded: {error}")
            raise
        finally:
            self._log_output()
        self._death = ""
        self.cross_section = self._loaded.cross_section
        self.timeframes = tuple(
            t for t in Timeframe if t in BUILT_IN_TIMEFRAMES or t in self._loaded.timeframes
        )
        self.identity = StrategyIdentity(
            name=self._loaded.name, version=self._loaded.version, hash=self._section.file.digest
        )
        self._log.info("strategy %s %s loaded", self.identity.name, self.identity.version)
        return self._loaded

    def _calls(
        self, coins: Mapping[int, Prepared], loaded: LoadedStrategy
    ) -> Iterator[tuple[int, ...]]:
        """Yield the places of the coins of each call."""
        if loaded.cross_section:
            order = sorted(coins, key=lambda place: coins[place].closed_until_ms)
            grouped = itertools.groupby(order, key=lambda place: coins[place].closed_until_ms)
            yield from (tuple(sorted(places)) for _, places in grouped)
        else:
            ranks = {symbol: rank for rank, symbol in enumerate(self._suspects, 1)}
            order = sorted(coins, key=lambda place: ranks.get(coins[place].symbol, 0))
            yield from ((place,) for place in order)

    async def _call(
        self,
        coins: Sequence[Prepared],
        loaded: LoadedStrategy,
        faults: dict[str, str],
        until_s: float,
    ) -> Sequence[Result]:
        """Return the results of one call; what is wrong with the strategy goes into `faults`."""
        if all(coin.fault for coin in coins):
            return close_scores(coins, None, None)
        name = coins[0].symbol if len(coins) == 1 else "all coins"
        series = series_for(coins, loaded.timeframes)
        try:
            if self._death:
                raise StrategyUnavailable(self._death)
            if time.monotonic() >= until_s:
                limit_s = PASS_LIMITS * self._section.timeout_s
                raise StrategyFailed(f"no time left: all calls together took {limit_s:g} s")
            scores = await asyncio.to_thread(self._process.score, series)
        except StrategyDied as error:
            self._suspects.pop(name, None)
            self._suspects[name] = None
            self._note_death(f"{name}: {error}")
            faults[name] = str(error)
            return [error] * len(coins)
        except StrategyFailed as error:
            faults[name] = str(error)
            return [error] * len(coins)
        except StrategyUnavailable as error:
            return [error] * len(coins)
        self._deaths = 0
        if self._process.remarks:
            faults[name] = "; ".join(self._process.remarks)
        found = close_scores(coins, series, scores)
        for row, score in enumerate(found):
            if score.fault and not coins[row].fault and is_all_known(series, row):
                faults[score.symbol] = "it gives NaN where a number belongs"
        return found

    def _note_death(self, why: str) -> None:
        if self._is_closed:
            return
        self._death = why
        self._deaths += 1
        pause_s = backoff_s(self._deaths, FIRST_PAUSE_S, LONGEST_PAUSE_S, self._rng.random())
        self._next_start_s = self._clock.monotonic() + pause_s
        self._log.error("strategy %s: %s", self._section.file.label, why)

    def _report(self, trouble: str) -> None:
        label = self._section.file.label
        text = f"strategy {label}: {trouble}" if trouble else ""
        if text and not self.trouble and not self._death:  # which is logged already
            self._log.warning("%s", text)
        elif self.trouble and not text:
            self._log.info("strategy %s: well again", label)
        self.trouble = text

    def _log_output(self) -> None:
        printed, self._process.printed = self._process.printed, ""
        if printed:
            self._log.info("strategy printed: %s", shortened(printed, MOST_LOGGED))


def _in_words(faults: Mapping[str, str]) -> str:
    if not faults:
        return ""
    symbol, why = next(iter(faults.items()))
    more = len(faults) - 1
    return f"{symbol}: {why}" + (f", and {count(more, 'other coin')}" if more else "")
