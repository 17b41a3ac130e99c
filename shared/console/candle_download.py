"""Fetches candles and funding rates into a store: what is there already is not asked for again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from shared.backoff import backoff_s
from shared.candles.admission import Admitted
from shared.candles.parquet import (
    FundingRates,
    read_funding,
    read_good_series,
    write_funding,
    write_series,
)
from shared.candles.store import ABSENT_MS, SETTLE_MS
from shared.candles.stored_series import (
    FUNDING,
    Range,
    StoredSeries,
    differences,
    joined,
    refuse_mixture,
    store_file,
)
from shared.clock import Clock, utc_text
from shared.errors import PlatformError, RateLimited, TransientError
from shared.exchanges.binance.client import BinanceClient
from shared.exchanges.binance.refusals import WHAT_TO_DO
from shared.market import CandleLength, Candles, StoredTimeframe
from shared.messages.candles import Source

PAGE = 1000  # candles or rates, the exchange's maximum per answer
PAGES_AT_ONCE = 4
ATTEMPTS = 8
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
LONGEST_BAN_S = 600.0  # a longer one ends the command
WRITE_EVERY_S = 1.0
WRITE_SHARE = 0.1  # of the time, at most, goes into writing what there is so far
SHARE_EVERY_S = 1.0


@dataclass(slots=True)
class Fetched:
    """What became of one coin's candles on one timeframe, or of its funding rates.

    Attributes:
        rows: Rows that the store did not have.
        absent: What the exchange does not have, of the time asked for.
        replaced: Candles of which the exchange now says something else.
        refused: Rows that were not admitted, and rows that were sent twice and differ.
        error: Why it is not complete; "" if it is.
    """

    symbol: str
    what: str
    rows: int = 0
    absent: list[Range] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    error: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "what": self.what,
            "rows": self.rows,
            "absent": [{"from_ms": since, "until_ms": until} for since, until in self.absent],
            "replaced": self.replaced,
            "refused": self.refused,
            "error": self.error,
        }


class Download:
    """Fetches pages of one exchange into one store, which nobody else writes.

    Every answered page is on disk soon after, within `WRITE_EVERY_S` or ten times the time that
    writing takes. The files do not depend on where it was interrupted.

    Args:
        spot: The client for candles.
        futures: The client for funding rates.
        source: Whose they are.
        again: Ask for what is there, too: what the exchange says now counts.
        share: Returns the share of the weight limit that may be used now.
        advanced: Called with each number of rows that need not be waited for any more.
        say: Called with what delays it, for people.

    Attributes:
        done: What became of each file, also of one that was interrupted.
    """

    def __init__(
        self,
        spot: BinanceClient,
        futures: BinanceClient,
        store: Path,
        *,
        source: Source,
        clock: Clock,
        rng: random.Random,
        share: Callable[[], float],
        again: bool = False,
        advanced: Callable[[int], None] = lambda rows: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._spot = spot
        self._futures = futures
        self._store = store
        self._source: Source = source
        self._clock = clock
        self._rng = rng
        self._again = again
        self._share = share
        self._share_asked_s = float("-inf")
        self._advanced = advanced
        self._say = say
        self.done: list[Fetched] = []

    async def begin(self, symbols: Sequence[str]) -> None:
        """Learn the exchange's time and its weight limit.

        Raises:
            PlatformError: It does not answer.
        """
        await self._answer(self._spot.sync_time)
        self._futures.offset_ms = self._spot.offset_ms
        try:
            await self._answer(lambda: self._spot.statuses(symbols[:1]))
        except PlatformError as error:
            if isinstance(error, TransientError):
                raise

    def closed_until_ms(self, timeframe: CandleLength) -> int:
        """Return until when candles are final."""
        return timeframe.open_at(self._spot.now_ms() - SETTLE_MS)

    async def candles(
        self, symbol: str, timeframe: StoredTimeframe, from_ms: int, until_ms: int
    ) -> Fetched:
        """Fetch the closed candles of one coin that open in `[from_ms, until_ms)`.

        Raises:
            RateLimited: The exchange has banned this address for long.
            OSError: The store cannot be written.
        """
        fetched = self._begun(symbol, str(timeframe))
        pages = _Pages(self._store, symbol, timeframe, self._source, self._clock)
        until_ms = min(until_ms, self.closed_until_ms(timeframe))
        try:
            pages.open()
            if self._again:
                pages.series = pages.series.without_absent(from_ms, until_ms)
                missing = [(from_ms, until_ms)] if from_ms < until_ms else []
            else:
                missing = pages.series.missing(from_ms, until_ms)
            left = sum(end - since for since, end in missing)
            self._advanced(max(0, until_ms - from_ms - left) // timeframe.ms)
            for since, end in missing:
                await self._fill(pages, since, end, fetched)
        except RateLimited:
            raise
        except PlatformError as error:
            fetched.error = str(error)
        finally:
            pages.write()
            fetched.rows, fetched.replaced = pages.added, pages.replaced
        fetched.absent = [
            (max(since, from_ms), min(until, until_ms))
            for since, until in pages.series.absent
            if since < until_ms and until > from_ms
        ]
        return fetched

    async def funding(self, symbol: str, from_ms: int, until_ms: int) -> Fetched:
        """Fetch a perpetual's funding rates in `[from_ms, until_ms)`.

        Raises:
            RateLimited, OSError: As `candles`.
        """
        fetched = self._begun(symbol, FUNDING)
        path = store_file(self._store, symbol, FUNDING)
        until_ms = min(until_ms, self._futures.now_ms() - SETTLE_MS)
        try:
            rates = read_funding(path, symbol) if path.exists() else FundingRates.empty(symbol)
            refuse_mixture(path, rates.source, self._source)
            before = len(rates.times)
            for since, end in rates.missing(from_ms, until_ms):
                start_ms = since
                while start_ms < end:
                    ask = partial(
                        self._futures.funding_rates,
                        symbol,
                        start_ms=start_ms,
                        end_ms=end - 1,
                        limit=PAGE,
                    )
                    rows = await self._answer(ask)
                    next_ms = int(rows[0][-1]) + 1 if len(rows[0]) == PAGE else end
                    rates = rates.merged(*rows, (start_ms, next_ms), self._source)
                    write_funding(path, rates)
                    fetched.rows = len(rates.times) - before
                    start_ms = next_ms
        except RateLimited:
            raise
        except PlatformError as error:
            fetched.error = str(error)
        self._advanced(1)
        return fetched

    def _begun(self, symbol: str, what: str) -> Fetched:
        self.done.append(Fetched(symbol, what))
        return self.done[-1]

    async def _fill(self, pages: _Pages, since_ms: int, until_ms: int, fetched: Fetched) -> None:
        """Fetch one range of which nothing is known, several pages at a time."""
        timeframe = pages.timeframe
        first_ms = await self._first_ms(pages, since_ms, until_ms)
        pages.add(Candles.empty(), since_ms, self._confirmed(first_ms))
        self._advanced((first_ms - since_ms) // timeframe.ms)
        starts = iter(range(first_ms, until_ms, PAGE * timeframe.ms))

        async def work() -> None:
            for start_ms in starts:
                end_ms = min(start_ms + PAGE * timeframe.ms, until_ms)
                await self._page(pages, start_ms, end_ms, fetched)
                self._advanced((end_ms - start_ms) // timeframe.ms)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(PAGES_AT_ONCE):
                    group.create_task(work())
        except BaseExceptionGroup as group_:
            raise group_.exceptions[0] from None

    async def _first_ms(self, pages: _Pages, since_ms: int, until_ms: int) -> int:
        """Return when a range's first candle opens, or its end: before a listing is nothing."""
        answer = await self._klines(pages, since_ms, None, limit=1)
        times = [
            *answer.candles.open_time_ms.tolist(),
            *(since_ms if row.open_time_ms is None else row.open_time_ms for row in answer.refused),
        ]
        known_ms = min(times, default=until_ms)
        return min(pages.timeframe.open_at(max(known_ms, since_ms)), until_ms)

    async def _page(self, pages: _Pages, start_ms: int, end_ms: int, fetched: Fetched) -> None:
        answers = [await self._klines(pages, start_ms, end_ms)]
        candles = answers[0].candles
        if len(candles) < (end_ms - start_ms) // pages.timeframe.ms:
            # asked again before it counts as a halt: one node of the exchange may lag behind
            answers.append(await self._klines(pages, start_ms, end_ms))
            candles = candles.merged(answers[1].candles)
        there = set(candles.open_time_ms.tolist())
        refused = [r for answer in answers for r in answer.refused if r.open_time_ms not in there]
        texts = [f"{pages.where} at {_when(r.open_time_ms)}: {r.why}" for r in refused]
        texts += [
            f"{pages.where} at {_when(conflict.open_time_ms)}: {conflict.why}"
            for answer in answers
            for conflict in answer.conflicts
        ]
        fetched.refused += dict.fromkeys(texts)
        doubtful = [r.open_time_ms for r in refused if r.open_time_ms is not None]
        known_until_ms = self._confirmed(end_ms)
        if len(doubtful) < len(refused):
            known_until_ms = start_ms  # a row without a time may be any
        pages.add(candles, start_ms, known_until_ms, doubtful)

    async def _klines(
        self, pages: _Pages, start_ms: int, end_ms: int | None, limit: int = PAGE
    ) -> Admitted:
        return await self._answer(
            lambda: self._spot.klines(
                pages.symbol,
                pages.timeframe,
                limit=limit,
                start_ms=start_ms,
                end_ms=None if end_ms is None else end_ms - 1,
            )
        )

    def _confirmed(self, until_ms: int) -> int:
        """Return until when a missing candle is a halt."""
        return min(until_ms, self._spot.now_ms() - ABSENT_MS)

    async def _answer[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, within the limits of the moment."""
        failures = 0
        while True:
            self._obey_share()
            try:
                return await ask()
            except RateLimited as error:
                failures += 1
                pause_s = (error.until_ms - self._clock.now_ms()) / 1000 + 1
                if failures >= ATTEMPTS or pause_s > LONGEST_BAN_S:
                    raise
                self._say(f"{with_advice(error)}; going on then")
            except TransientError as error:
                failures += 1
                if failures >= ATTEMPTS:
                    raise
                pause_s = backoff_s(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S, self._rng.random())
                self._say(f"{error}; trying again")
            await self._clock.sleep(pause_s)

    def _obey_share(self) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._share_asked_s >= SHARE_EVERY_S:
            self._share_asked_s = now_s
            share = self._share()
            for client in (self._spot, self._futures):
                client.limit_share(share)


class _Pages:
    """The file that pages are added to."""

    def __init__(
        self, store: Path, symbol: str, timeframe: StoredTimeframe, source: Source, clock: Clock
    ) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.where = f"{symbol} {timeframe}"
        self.series = StoredSeries.empty(symbol, timeframe)
        self.added = 0
        self.replaced: list[str] = []
        self._path = store_file(store, symbol, timeframe)
        self._source: Source = source
        self._clock = clock
        self._parts: list[Candles] = []
        self._absent: list[Range] = []
        self._written_s = clock.monotonic()
        self._pause_s = WRITE_EVERY_S

    def open(self) -> None:
        """Read what there is.

        Raises:
            BadCandle: The file cannot be read.
            SourceDiffers: Its candles are those of another exchange.
        """
        series = read_good_series(self._path, self.symbol, self.timeframe)
        refuse_mixture(self._path, series.source, self._source)
        self.series = series

    def add(
        self, candles: Candles, since_ms: int, known_until_ms: int, doubtful: Iterable[int] = ()
    ) -> None:
        """Take in a page: all there is until `known_until_ms`, but for the doubtful times."""
        self._parts.append(candles)
        self._absent += _without(since_ms, known_until_ms, sorted(doubtful), self.timeframe.ms)
        if self._clock.monotonic() - self._written_s >= self._pause_s:
            self.write()

    def write(self) -> None:
        """Write what has been added.

        Raises:
            OSError: Not writable, or the disk is full.
        """
        if not self._parts:
            return
        began_s = self._clock.monotonic()
        before = len(self.series.candles)
        found = joined(self._parts)
        self.replaced += [
            f"{self.where} {each}" for each in differences(self.series.candles, found)
        ]
        self.series = self.series.merged(found, absent=self._absent, source=self._source, wins=True)
        self.added += len(self.series.candles) - before
        self._parts.clear()
        self._absent.clear()
        if len(self.series.candles):  # without any there is nothing to read
            write_series(self._path, self.series)
        self._written_s = self._clock.monotonic()
        self._pause_s = max(WRITE_EVERY_S, (self._written_s - began_s) / WRITE_SHARE)


def with_advice(error: RateLimited) -> str:
    """Return what the exchange forbids, and what to do if it refuses our address."""
    advice = WHAT_TO_DO.get(error.status)
    return f"{error}: {advice}" if advice else str(error)


def _without(since_ms: int, until_ms: int, times: Sequence[int], step_ms: int) -> Iterator[Range]:
    """Yield a range without the candles that open at some times."""
    for time_ms in times:
        open_ms = time_ms - time_ms % step_ms
        if since_ms <= open_ms < until_ms:
            if since_ms < open_ms:
                yield since_ms, open_ms
            since_ms = open_ms + step_ms
    if since_ms < until_ms:
        yield since_ms, until_ms


def _when(open_time_ms: int | None) -> str:
    return "an unknown time" if open_time_ms is None else utc_text(open_time_ms)
