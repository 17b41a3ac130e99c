"""Scores coins by whichever strategy is configured: the built-in one here, a file's in its process.

Scanner and trader each have one. Whatever a user's strategy does, an answer or an error comes
within its time; nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
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

    async def warm(self) -> None:
        """Load the strategy if that is due, so that no close waits for it; failures are logged."""
        ...

    async def score(
        self, asked: Sequence[Asked], history: int, within_s: float = math.inf
    ) -> list[Result]:
        """Return the score or the error of each coin, in the order given.

        Args:
            history: Closed candles that count for the built-in strategy.
            within_s: Seconds after which a score is worth nothing; a coin whose score might take
                longer is not asked for.
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

    async def warm(self) -> None:
        """Do nothing: nothing is loaded."""

    async def score(
        self, asked: Sequence[Asked], history: int, within_s: float = math.inf
    ) -> list[Result]:
        """Return the base scores."""
        return list(base_scores_at(asked, history))

    def close(self) -> None:
        """Do nothing: nothing runs."""


class Owner(Protocol):
    """What an actor that scores is started with."""

    @property
    def name(self) -> str: ...
    @property
    def section(self) -> Mapping[str, Any]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def rng(self) -> random.Random: ...
    @property
    def log(self) -> logging.Logger: ...


def scorer_of(owner: Owner, resources: contextlib.AsyncExitStack, symbols: Sequence[str]) -> Scorer:
    """Return the scorer of the strategy in an actor's section, the built-in one if there is none.

    Args:
        resources: Ends what runs when it is closed.
        symbols: All coins that are configured.
    """
    section = owner.section.get("strategy")
    if section is None:
        return BaseScorer()
    strategy = codec.from_plain(StrategySection, section, "config: strategy")
    scorer = FileScorer(
        strategy, symbols=symbols, owner=owner.name,
        clock=owner.clock, rng=owner.rng, log=owner.log,
    )  # fmt: skip
    resources.callback(scorer.close)
    return scorer


class FileScorer:
    """A user's strategy, in a process that is started again, with growing pauses, when it fails.

    A coin on which it died is asked for last, so that it keeps no other coin from its score.

    Args:
        symbols: The rows of every call, if it looks across coins; one without candles is unknown.
    """

    def __init__(
        self,
        section: StrategySection,
        *,
        symbols: Sequence[str],
        owner: str,
        clock: Clock,
        rng: random.Random,
        log: logging.Logger,
    ) -> None:
        self._section = section
        self._symbols = tuple(symbols)
        self._clock = clock
        self._rng = rng
        self._log = log
        self._process = StrategyProcess(section, owner=owner, now_s=time.monotonic)
        self._loaded: LoadedStrategy | None = None
        self._loading: asyncio.Future[LoadedStrategy] | None = None
        self._deaths = 0
        self._next_start_s = float("-inf")
        self._death = ""
        self._suspects: dict[str, None] = {}
        self._is_closed = False
        self.identity = section.file.identity()
        self.trouble = ""
        self.cross_section = False
        self.timeframes: Sequence[Timeframe] = tuple(Timeframe)

    async def warm(self) -> None:
        """Load the strategy if that is due, so that no close waits for it; failures are logged."""
        with contextlib.suppress(StrategyUnavailable, StrategyFailed, StrategyDied):
            await self._running(math.inf)

    async def score(
        self, asked: Sequence[Asked], history: int, within_s: float = math.inf
    ) -> list[Result]:
        """Ask the strategy for each coin, or for all coins of a close if it looks across coins.

        No call begins that might end after `within_s`.
        """
        last_s = self._clock.monotonic() + within_s - self._section.timeout_s
        try:
            loaded = await self._running(last_s)
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
            found = await self._call(chosen, loaded, faults, until_s=until_s, last_s=last_s)
            results |= dict(zip(places, found, strict=True))
        self._log_output()
        self._report(_in_words(faults))
        return [results[place] for place in range(len(asked))]

    def close(self) -> None:
        """End the process; a call under way ends with an error."""
        self._is_closed = True
        self._process.kill()

    async def _running(self, last_s: float) -> LoadedStrategy:
        """Return the loaded strategy, started again if its time has come.

        Args:
            last_s: The clock's time from when on nobody waits for it.

        Raises:
            StrategyUnavailable: Its time has not come, or it takes longer.
            StrategyFailed, StrategyDied: It cannot be loaded.
        """
        loading = self._loading
        if loading is None and self._process.pid is not None and self._loaded is not None:
            return self._loaded
        if loading is None:
            wait_s = self._next_start_s - self._clock.monotonic()
            if wait_s > 0 or self._is_closed:
                raise StrategyUnavailable(f"{self._death}; started again in {max(wait_s, 0):.0f} s")
            self._loading = loading = asyncio.ensure_future(self._load())
            loading.add_done_callback(lambda done: done.cancelled() or done.exception())
        left_s = last_s - self._clock.monotonic()
        await asyncio.wait([loading], timeout=max(0.0, left_s) if left_s < math.inf else None)
        if not loading.done():
            raise StrategyUnavailable("it is still being loaded, too late for this close")
        return loading.result()

    async def _load(self) -> LoadedStrategy:
        try:
            if self._is_closed:
                raise StrategyDied("it was closed")
            self._process.start()  # in no other thread: the process dies with its parent's
            self._loaded = loaded = await asyncio.to_thread(self._process.load)
        except (StrategyFailed, StrategyDied) as error:
            self._process.kill()
            self._note_death(f"it cannot be loaded: {error}")
            raise
        finally:
            self._loading = None
            self._log_output()
        self._death = ""
        self.cross_section = loaded.cross_section
        self.timeframes = tuple(
            t for t in Timeframe if t in BUILT_IN_TIMEFRAMES or t in loaded.timeframes
        )
        self.identity = self._section.file.identity(loaded.name, loaded.version)
        self._log.info("strategy %s %s loaded", self.identity.name, self.identity.version)
        return loaded

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
        *,
        until_s: float,
        last_s: float,
    ) -> Sequence[Result]:
        """Return the results of one call; what is wrong with the strategy goes into `faults`.

        Args:
            until_s: The system's time until which calls of this pass may begin.
            last_s: The clock's time from when on an answer may come too late.
        """
        if all(coin.fault for coin in coins):
            return close_scores(coins, None, None)
        name = "all coins" if loaded.cross_section else coins[0].symbol
        rows = self._symbols if loaded.cross_section else ()
        series = series_for(coins, loaded.timeframes, rows)
        try:
            if self._death:
                raise StrategyUnavailable(self._death)
            if time.monotonic() >= until_s:
                limit_s = PASS_LIMITS * self._section.timeout_s
                raise StrategyFailed(f"no time left: all calls together took {limit_s:g} s")
            if self._clock.monotonic() > last_s:
                raise StrategyFailed("not asked: its answer might come too late for this close")
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
        for coin, score in zip(coins, found, strict=True):
            row = series.coins.index(coin.symbol)
            if score.fault and not coin.fault and is_all_known(series, row):
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
