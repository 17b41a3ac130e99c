"""Candles of every coin from Binance to Redis.

Reads and writes `cache:candles:*`, writes `market:candles:{symbol}` (through `publisher.py`),
`market:assets`, `market:listings`, `market:ban_until` and `quarantine:fetch:{symbol}`. While Redis
is down, passes go on and candles are published on its return. A failed request is retried with the
next pass. Closes are streamed as well and published at once (`stream.py`); passes check and fill
them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

import aiohttp

from actors.base import Actor, Context
from actors.fetcher.binance_stream import stream_url
from actors.fetcher.circuit_breaker import CircuitBreaker
from actors.fetcher.coin import FetchedCoin
from actors.fetcher.exchange_status import TRADING, ExchangeStatus
from actors.fetcher.listing import NOT_LISTED
from actors.fetcher.publisher import CandlePublisher
from actors.fetcher.series import (
    FetchedSeries,
    break_text,
    gaps_text,
    harmless_text,
    trouble,
    unsaid,
    without_name,
)
from actors.fetcher.stream import CandleStream
from actors.fetcher.verification import Verification, changes_text
from shared import codec, schema
from shared.candles.admission import Admitted
from shared.candles.freshness import fetch_interval_s, refetch_after_s, seconds_to_pass
from shared.candles.store import (
    KEEP,
    SETTLE_MS,
    CandleStore,
    Change,
    OldAnswer,
    OverlapDiffers,
    WrongTime,
)
from shared.clock import ClockJump
from shared.config.sections import FetcherSection
from shared.errors import BusUnavailable, NoCandles, PlatformError, RateLimited, UnknownSymbol
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.exchanges.binance.refusals import is_of_address
from shared.http_client import open_session
from shared.market import Candles, Timeframe
from shared.messages.actors import Quarantine
from shared.messages.candles import Assets, Listing, Listings

AFTER_CLOSE_MS, JITTER_MS = 1_500, 300  # Binance has the new candle about a second after a close
LATE_TRIES, LATE_PAUSE_S = 4, 1.5
BAN_CHECK_S = 5.0  # the ban's key is rewritten this often, in case Redis lost it
CHANGE_SHOWN_MS = 3_600_000
ODDITY_EVERY_S = 60.0
OLD_ANSWERS = 3
QUARANTINED = "quarantined by the supervisor: a death was attributed to it"


class Fetcher(Actor):
    """Fetches missing candles, pass by pass, and publishes each coin and timeframe at once.

    Neither a coin nor a timeframe waits for another: each is requested and fails by itself.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.settings = codec.from_plain(FetcherSection, context.section["fetcher"], "config")
        symbols: list[str] = context.section["symbols"]
        self.coins = [
            FetchedCoin(text, {t: self._series(text, t) for t in Timeframe}) for text in symbols
        ]
        self.series = [series for coin in self.coins for series in coin]
        for number, series in enumerate(self.series):
            series.verification.phase = number / len(self.series)
        self.stores = [series.store for series in self.series]
        self._coins = {coin.symbol: coin for coin in self.coins}
        self.client: BinanceClient
        self.exchange: ExchangeStatus
        self.ban_file = BanFile(context.state_dir / "binance-ban")
        self.refetches = 0
        self._oddity_due_s = float("-inf")
        self.streamed: CandleStream | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._on_probation = context.probation
        # one at a time on probation, so that the coin named last is the one to blame
        self._slots = dict.fromkeys(Timeframe, asyncio.Semaphore(1))
        if not self._on_probation:
            self._slots = self._all_slots()
        self.publisher = CandlePublisher(
            self.stores, bus=self.bus, clock=self.clock, rng=context.rng, source=context.source
        )

    def _series(self, symbol: str, timeframe: Timeframe) -> FetchedSeries:
        store = CandleStore(symbol, timeframe)
        # not tried more often than if all went well
        pause_s = max(self.settings.circuit_s, fetch_interval_s(self.settings, timeframe))
        circuit = CircuitBreaker(self.settings.circuit_failures, pause_s)
        return FetchedSeries(store, circuit, Verification(store))

    def _all_slots(self) -> dict[Timeframe, asyncio.Semaphore]:
        return {t: asyncio.Semaphore(self.settings.concurrency) for t in Timeframe}

    async def setup(self) -> None:
        """Open the client, sync exchange time, restore the windows of the previous run."""
        session = await self.resources.enter_async_context(open_session())
        self.client = BinanceClient(
            session,
            base_url=self.context.section["binance"]["base_url"],
            clock=self.clock,
            ban=self.ban_file,
            timeout_s=self.settings.request_timeout_s,
            weight_share=self.context.section["binance"]["weight_share"],
            log=self.log,
        )
        self.exchange = ExchangeStatus(
            self.client,
            symbols=[coin.symbol for coin in self.coins],
            clock=self.clock,
            log=self.log,
        )
        await self.exchange.sync_time()
        try:
            restored = await self.publisher.restore(self.client.now_ms())
            self.log.info("%d of %d windows found on the bus", restored, len(self.stores))
        except BusUnavailable as error:
            self.log.info("starting without earlier windows: %s", error)
        self.background(self.publisher.watch(), "watch bus")
        self.background(self.publisher.send_unsent(), "send unsent")
        if self.settings.stream:
            self._start_stream(session)

    def _start_stream(self, session: aiohttp.ClientSession) -> None:
        binance = self.context.section["binance"]
        self.streamed = streamed = CandleStream(
            self.stores,
            publisher=self.publisher,
            client=self.client,
            clock=self.clock,
            log=self.log,
            on_missing=self._fetch_now,
            on_stats=lambda stats: self.detail.update(stream=stats),
        )
        url = binance.get("stream_url") or stream_url(binance["base_url"])
        self.background(streamed.connect(session, url, self.context.rng).run(), "streams")
        self.background(streamed.publish_closes(), "publish streamed closes")
        self.background(streamed.maintain(), "look after streams")

    async def teardown(self) -> None:
        """Cancel pending requests and close the client."""
        for job in self._jobs.values():
            job.cancel()
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)
        await super().teardown()

    async def step(self) -> float:
        """Make one pass over all coins; a hanging request does not delay the others."""
        self._reap()
        if self.exchange.is_time_unknown() and not self.exchange.forbidden_until_ms():
            await self.exchange.sync_time()
        if until_ms := self.exchange.forbidden_until_ms():
            left_s = (until_ms - self.clock.now_ms()) / 1000
            self.doing("silent: the exchange forbids requests")
            self.not_ready(f"the exchange forbids requests for another {left_s:.0f} s")
            await self._publish_status()
            return min(left_s, BAN_CHECK_S)
        started_s, started_ms = self.clock.monotonic(), self.client.now_ms()
        said = "".join(f"; {name}: {what}" for name, what in self._peculiar().items())
        self.doing(f"pass over {len(self.coins)} coins{said}")
        if self.exchange.is_sync_due():
            self._start_job("time", self.exchange.sync_time())
        if self.exchange.are_rules_due():
            self._start_job("rules", self._read_rules())
        self._fetch_anew([store for store in self.stores if self.publisher.is_of_later(store)])
        self._start_fetching(self.coins)
        if self._jobs:
            left_s = self._until_next_pass(started_s, started_ms)
            await asyncio.wait(self._jobs.values(), timeout=left_s)
        self._reap()
        if self._on_probation:
            self._on_probation = False
            self._slots = self._all_slots()
        self.detail["last_pass_at_ms"] = self.clock.now_ms()
        self.detail["last_pass_ms"] = round((self.clock.monotonic() - started_s) * 1000, 1)
        self._report_readiness()
        await self._publish_status()
        return self._until_next_pass(started_s, started_ms)

    def clock_jumped(self, jump: ClockJump) -> None:
        """Fetch and write everything anew: it is older than it says, or has expired."""
        self._fetch_anew(self.stores)
        self.wake()

    def _fetch_anew(self, stores: Sequence[CandleStore]) -> None:
        """Make windows due to be fetched, and written then, however young they are."""
        for store in stores:
            store.asked_ms = None
        self.publisher.write_anew(stores)

    def _start_fetching(self, coins: Iterable[FetchedCoin]) -> None:
        for coin in coins:
            if self.context.quarantined_coins.get(coin.symbol, 0) > self.clock.now_ms():
                for series in coin:
                    series.circuit.reason = QUARANTINED
                continue
            # of a coin that has no candles, one timeframe is enough to see whether it does now
            is_empty = coin.unlisted == NOT_LISTED or coin.is_announced()
            wanted = [coin.series[Timeframe.M5]] if is_empty else coin
            for series in wanted:
                is_idle = series.name not in self._jobs and self._is_due(series.store)
                if is_idle and series.circuit.allow(self.clock.monotonic()):
                    self._start_job(series.name, self._fetch_series(coin, series))

    def _fetch_now(self, symbols: set[str]) -> None:
        """Fetch coins whose streamed close is missing, without waiting for the next pass."""
        self._reap()
        if not self.exchange.forbidden_until_ms() and not self._on_probation:
            self._start_fetching(coin for coin in self.coins if coin.symbol in symbols)

    def _start_job(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self._jobs:
            work.close()
        else:
            self._jobs[name] = asyncio.create_task(work, name=name)

    def _reap(self) -> None:
        for name in [n for n, job in self._jobs.items() if job.done()]:
            self._jobs.pop(name).result()

    def _until_next_pass(self, started_s: float, started_ms: int) -> float:
        """Return seconds until the interval ends, a 5m candle closes, or long ones are due."""
        now_ms = self.client.now_ms()
        left_s = started_s + self.settings.interval_s - self.clock.monotonic()
        close_ms = Timeframe.M5.open_at(started_ms) + Timeframe.M5.ms + AFTER_CLOSE_MS
        close_ms += self.context.rng.randrange(JITTER_MS)
        due_ms = [
            store.asked_ms + round(self.settings.long_interval_s * 1000)
            for store in self.stores
            if store.timeframe is not Timeframe.M5 and store.asked_ms is not None
        ]
        ahead_ms = [at for at in due_ms if at > now_ms]  # the others failed: left to the next pass
        return seconds_to_pass(
            left_s,
            (close_ms - now_ms) / 1000,
            [(at - now_ms) / 1000 for at in ahead_ms],
            interval_s=self.settings.interval_s,
        )

    async def _fetch_series(self, coin: FetchedCoin, series: FetchedSeries) -> None:
        series.started_s = self.clock.monotonic()
        try:
            await self._fetch(series)
            for _ in range(LATE_TRIES):
                if not self._is_late(coin, series.store):
                    break
                await self.clock.sleep(LATE_PAUSE_S)
                await self._fetch(series)
        except RateLimited as error:
            series.circuit.release()
            self.exchange.forbid(error)
        except OldAnswer as error:
            await self._old_answer(coin, series, error)
        except (NoCandles, UnknownSymbol) as error:
            await self._settle_rules()  # they may just be being read
            if coin.is_announced():
                self._succeeded(coin, series)
            elif isinstance(error, UnknownSymbol):
                self._failed(coin, series, NOT_LISTED)
            elif self.exchange.statuses is None and not coin.has_candles():
                series.circuit.release()  # it may be announced
            else:
                self._failed(coin, series, str(error))
        except PlatformError as error:
            self._failed(coin, series, str(error))
        except Exception as error:  # one coin's error must not stop the others
            if not series.circuit.reason:
                self.log.exception("%s: unexpected error", series.name)
            self._failed(coin, series, f"unexpected {error!r}")
        else:
            self._succeeded(coin, series)
        self._report_readiness()

    def _is_due(self, store: CandleStore) -> bool:
        if store.timeframe is Timeframe.M5:
            return True
        every_ms = round(1000 * refetch_after_s(self._every_s(store)))
        return store.is_due(self.client.now_ms(), every_ms)

    def _every_s(self, store: CandleStore) -> float:
        return fetch_interval_s(self.settings, store.timeframe)

    def _is_late(self, coin: FetchedCoin, store: CandleStore) -> bool:
        now_ms = self.client.now_ms()
        just_closed = now_ms - store.timeframe.open_at(now_ms) < SETTLE_MS
        return just_closed and not coin.unlisted and store.is_behind(now_ms)

    async def _fetch(self, series: FetchedSeries) -> None:
        """Fetch what is missing: the newest rows, or all, if holes or differences may be in them.

        One request, and another one for a hole that the first answer shows.
        """
        store, every_s = series.store, self._every_s(series.store)
        now_ms = self.client.now_ms()
        has_holes = store.missing_from_ms(now_ms) is not None
        if has_holes or series.verification.is_due(now_ms):
            await self._publish(store, await self._fetch_whole(series, has_holes), every_s)
        else:
            limit = store.rows_needed(now_ms)
            await self._publish(store, await self._fetch_rows(series, limit), every_s)
        self._say_rows(series)
        # one left by a refused row waits for the next pass
        is_new = not has_holes and not store.refused
        from_ms = store.missing_from_ms(self.client.now_ms()) if is_new else None
        if from_ms is not None:
            await self._publish(store, await self._fetch_rows(series, KEEP, from_ms), every_s)

    async def _publish(self, store: CandleStore, change: Change, every_s: float) -> None:
        if self.streamed is not None:
            self.streamed.record_mismatches(store, change.corrected)
            change = self.streamed.without_streamed_forming(store, change)
        await self.publisher.publish(store, change, every_s)
        if store.timeframe is Timeframe.M5:
            await self.publisher.publish_followers(store)

    def _say_rows(self, series: FetchedSeries) -> None:
        if texts := unsaid(series):
            more = f"; and {len(texts) - 1} more" if len(texts) > 1 else ""
            self.log.warning("%s: %s%s", series.name, texts[-1], more)

    async def _fetch_rows(
        self, series: FetchedSeries, limit: int, from_ms: int | None = None
    ) -> Change:
        answer, times = await self._klines(series.store, limit, from_ms)
        try:
            return series.store.accept(answer, **times, from_ms=from_ms)
        except (OverlapDiffers, WrongTime) as oddity:
            return await self._fetch_again(series, oddity)

    async def _fetch_whole(self, series: FetchedSeries, has_holes: bool) -> Change:
        answer, times = await self._klines(series.store, KEEP, None)
        try:
            return self._accept_whole(series, answer, times, has_holes)
        except (OverlapDiffers, WrongTime) as oddity:
            return await self._fetch_again(series, oddity)

    def _accept_whole(
        self, series: FetchedSeries, answer: Admitted, times: dict[str, int], has_holes: bool
    ) -> Change:
        """Apply an answer with all rows: older candles are compared, holes looked for in it."""
        store = series.store
        rows, differing = series.verification.without_differences(answer.candles)
        answer = replace(answer, candles=rows)
        change = store.accept(answer, **times)
        if has_holes:
            first_ms = int(rows.open_time_ms[0])
            holes = store.accept(replace(answer, duplicates=0), **times, from_ms=first_ms)
            change = replace(
                change,
                absent=change.absent or holes.absent,
                appends=change.appends and holes.appends,
            )
        changed = series.verification.confirmed(differing, times["asked_ms"])
        if not len(changed):
            return change
        before, begins_ms = store.closed, store.begins_ms
        store.correct(changed)
        self._note_changes(series, before)
        return replace(
            change,
            closed=changed.merged(change.closed),
            begins=change.begins or store.begins_ms != begins_ms,
            appends=False,
        )

    async def _fetch_again(self, series: FetchedSeries, oddity: PlatformError) -> Change:
        """Fetch all rows; replace all candles if these do not fit either."""
        if isinstance(oddity, OldAnswer):
            raise oddity
        self.refetches += 1
        now_s = self.clock.monotonic()
        if now_s >= self._oddity_due_s:  # a node that is behind would fill the log
            self._oddity_due_s = now_s + ODDITY_EVERY_S
            self.log.warning("all its candles are fetched again: %s", oddity)
        await self.exchange.sync_time()
        answer, times = await self._klines(series.store, KEEP, None)
        try:
            return self._accept_whole(series, answer, times, has_holes=False)
        except OverlapDiffers:
            before = series.store.closed
            change = series.store.replace(answer, **times)
            self._note_changes(series, before)
            series.verification.confirmed(Candles.empty(), times["asked_ms"])
            return change

    def _note_changes(self, series: FetchedSeries, before: Candles) -> None:
        if text := changes_text(before, series.store.closed):
            series.changed, series.changed_at_ms = text, self.clock.now_ms()
            self.log.warning("%s: the exchange has changed %s", series.name, text)

    async def _klines(
        self, store: CandleStore, limit: int, from_ms: int | None
    ) -> tuple[Admitted, dict[str, int]]:
        async with self._slots[store.timeframe]:
            if self._on_probation:
                self.computing(store.symbol)
            asked_ms = self.client.now_ms()
            answer = await self.client.klines(
                store.symbol, store.timeframe, limit=limit, start_ms=from_ms
            )
        rows = len(answer.candles) + len(answer.refused) + answer.duplicates + len(answer.conflicts)
        if not rows:
            raise NoCandles(f"{store.symbol} {store.timeframe}: the exchange returned no candles")
        if from_ms is None and rows < limit and len(answer.candles):
            coin = self._coins[store.symbol]
            coin.begins_ms = max(coin.begins_ms or 0, int(answer.candles.open_time_ms[0]))
        return answer, {"asked_ms": asked_ms, "fetched_at_ms": self.clock.now_ms()}

    async def _old_answer(self, coin: FetchedCoin, series: FetchedSeries, error: OldAnswer) -> None:
        """Leave it to the next pass, which may reach another node; several in a row are a failure.

        Exchange time may have been set back: then it must be read.
        """
        series.old_answers += 1
        if series.old_answers > 1:
            await self.exchange.sync_time()
        if series.old_answers < OLD_ANSWERS:
            series.circuit.release()
        else:
            self._failed(coin, series, str(error))

    def _failed(self, coin: FetchedCoin, series: FetchedSeries, why: str) -> None:
        """Count a failure; log the reason once per coin, however many timeframes it fails."""
        now_s, reason = self.clock.monotonic(), without_name(why, series)
        unlisted = reason == NOT_LISTED
        if not series.logged and not any(other.logged == reason for other in coin):
            series.logged = reason
            self.log.warning("%s: %s", coin.symbol if unlisted else series.name, reason)
        if unlisted:
            for other in coin:
                other.circuit.reason = NOT_LISTED
            if coin.unlisted != NOT_LISTED:
                coin.unlisted = NOT_LISTED
                self.exchange.read_rules_soon()
        if not unlisted and not self._others_are_served(series):
            series.circuit.release(reason)  # the exchange's fault, not this coin's
            return
        if not series.circuit.failed(now_s, reason, at_once=unlisted):
            return
        if series.left_out_since_ms is None:
            series.left_out_since_ms = self.clock.now_ms()
            if series.logged or series.store.timeframe is Timeframe.M5:
                every_s = series.circuit.pause_s
                self.log.warning("%s: left out, tried every %g s", series.name, every_s)

    def _others_are_served(self, series: FetchedSeries) -> bool:
        """Return whether the exchange serves others; to 5m, only 5m of other coins say so."""
        recent_s = series.started_s - 1.5 * self.settings.interval_s
        is_5m = series.store.timeframe is Timeframe.M5
        return any(
            other.served_s > recent_s
            for other in self.series
            if other is not series and not (is_5m and other.store.timeframe is not Timeframe.M5)
        )

    def _succeeded(self, coin: FetchedCoin, series: FetchedSeries) -> None:
        if series.logged:
            self.log.info("%s: answers again", series.name)
        if coin.unlisted == NOT_LISTED:
            coin.unlisted = ""
        for other in coin:
            if other is not series and other.circuit.reason == NOT_LISTED:
                other.circuit.succeeded()  # left out with the coin, which is listed again
                other.store.asked_ms = None
        series.logged, series.left_out_since_ms, series.old_answers = "", None, 0
        series.circuit.succeeded()
        series.served_s = self.clock.monotonic()
        if series.store.timeframe is not Timeframe.M5 or coin.is_announced():
            return
        no_new_candle = series.store.is_behind(self.client.now_ms() - SETTLE_MS)
        if no_new_candle != bool(coin.unlisted):
            self.exchange.read_rules_soon()  # has it been halted, or has the halt ended?

    def _peculiar(self) -> dict[str, str]:
        """Return what `coinex status` says of coins and timeframes."""
        gaps = {name: f"gap: {why}" for name, why in self._bad_rows().items()}
        listings = {symbol: each.text for symbol, each in self._listings().items()}
        return self._breaks() | gaps | listings

    def _bad_rows(self) -> dict[str, str]:
        return {s.name: text for s in self.series if (text := gaps_text(s.store))}

    def _breaks(self) -> dict[str, str]:
        """Return whose price scale has changed; the log names each once."""
        now_ms, found = self.client.now_ms(), {}
        for coin in self.coins:
            m5 = coin.series[Timeframe.M5].store
            for series in coin:
                store = series.store
                is_own = store is m5 or store.begins_ms > m5.begins_ms  # it reaches back further
                if not is_own or not (text := break_text(store, now_ms)):
                    continue
                name = coin.symbol if store is m5 else series.name
                found[name] = text
                if series.said_break_ms != store.begins_ms:
                    series.said_break_ms = store.begins_ms
                    self.log.warning("%s: %s", name, text)
        return found

    async def _read_rules(self) -> None:
        await self.exchange.read_rules()
        if self.exchange.statuses is None:
            return
        for coin in self.coins:
            status = self.exchange.statuses.get(coin.symbol)
            coin.unlisted = NOT_LISTED if status is None else status
            if status == TRADING:
                coin.unlisted = ""

    async def _settle_rules(self) -> None:
        if reading := self._jobs.get("rules"):
            await asyncio.wait([reading])

    def _listings(self) -> dict[str, Listing]:
        now_ms, opens_ms = self.client.now_ms(), self.client.opens_ms
        found = ((c.symbol, c.listing(opens_ms.get(c.symbol), now_ms)) for c in self.coins)
        return {symbol: each for symbol, each in found if each is not None}

    def _report_readiness(self) -> None:
        settled = sum(s.is_settled or coin.is_announced() for coin in self.coins for s in coin)
        total = len(self.series)
        if settled == total:
            self.ready()
        else:
            self.not_ready(f"warming up: {settled} of {total} windows")

    async def _publish_status(self) -> None:
        now_s, now_ms = self.clock.monotonic(), self.clock.now_ms()
        until_ms = self.exchange.forbidden_until_ms()
        listings = self._listings()
        troubles = {coin.symbol: text for coin in self.coins if (text := trouble(coin))}
        self.detail |= {
            "coins": troubles,
            "listings": {symbol: each.text for symbol, each in listings.items()},
            "coins_ok": len(self.coins) - len(troubles),
            "open_circuits": [s.name for s in self.series if s.circuit.is_open],
            "used_weight": self.client.used_weight,
            "weight_limit": self.client.weight_limit,
            "offset_ms": self.client.offset_ms,
            "banned_until_ms": until_ms,
            "refetches": self.refetches,
            "bad_rows": self._bad_rows(),
            "harmless_rows": {
                s.name: text for s in self.series if (text := harmless_text(s.store))
            },
            "duplicate_rows": {s.name: n for s in self.series if (n := s.store.duplicates)},
            "scale_breaks": self._breaks(),
            "changed": {
                s.name: s.changed
                for s in self.series
                if s.changed and now_ms - s.changed_at_ms < CHANGE_SHOWN_MS
            },
            "gaps": {f"{s.symbol} {s.timeframe}": len(h) for s in self.stores if (h := s.holes())},
            "unsent_windows": len(self.publisher.unsent),
            "troubles": self.exchange.troubles,
        }
        batch = self.bus.batch()
        batch.put(schema.LISTINGS, Listings(coins=listings, at_ms=now_ms))
        if until_ms is not None and (ban := self.ban_file.read()) is not None:
            # one of our address outlives the request at its end: it may be refused again
            more_s = self.settings.request_timeout_s if is_of_address(ban.status) else 0.0
            batch.put(schema.BAN_UNTIL, ban, ttl_ms=until_ms - now_ms + round(1000 * more_s))
        elif until_ms is None:
            batch.delete(schema.BAN_UNTIL)
        if self.client.assets:
            batch.put(schema.ASSETS, Assets(pairs=self.client.assets, at_ms=now_ms))
        for coin in self.coins:
            m5 = coin.series[Timeframe.M5]
            if m5.circuit.open_until_s is not None:
                left_ms = round((m5.circuit.open_until_s - now_s) * 1000)
                quarantine = Quarantine(
                    symbol=coin.symbol,
                    stage="fetch",
                    reason=f"{Timeframe.M5}: {m5.circuit.reason}",
                    since_ms=m5.left_out_since_ms or now_ms,
                    until_ms=now_ms + left_ms,
                )
                # outlives the retry at its end, so that readers see no gap between pauses
                left_ms += round(
                    1000 * (self.settings.interval_s + self.settings.request_timeout_s)
                )
                batch.put(schema.QUARANTINE, quarantine, ttl_ms=left_ms, stage="fetch",
                          symbol=coin.symbol)  # fmt: skip
            else:  # each time: whatever stands there is not ours
                batch.delete(schema.QUARANTINE, stage="fetch", symbol=coin.symbol)
        with contextlib.suppress(BusUnavailable):  # rewritten with the next pass, or expires
            await batch.send()
            await self.publisher.find_missing()
