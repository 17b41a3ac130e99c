"""Candles of every coin from Binance to Redis.

Reads and writes `cache:candles:*`, writes `market:candles:{symbol}` (through `publisher.py`),
`market:ban_until` and `quarantine:fetch:{symbol}`. While Redis is down, passes go on and candles
are published on its return. A failed request is retried with the next pass. Closes are streamed
as well and published at once (`stream.py`); passes check and fill them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from actors.base import Actor, Context
from actors.fetcher.binance_stream import stream_url
from actors.fetcher.circuit_breaker import CircuitBreaker
from actors.fetcher.exchange_status import TRADING, ExchangeStatus
from actors.fetcher.publisher import CandlePublisher
from actors.fetcher.stream import CandleStream
from shared import codec, schema
from shared.candles.admission import Admitted
from shared.candles.freshness import fetch_interval_s, refetch_after_s, seconds_to_pass
from shared.candles.store import KEEP, SETTLE_MS, CandleStore, Change, OverlapDiffers, WrongTime
from shared.clock import ClockJump
from shared.config.sections import FetcherSection
from shared.errors import BusUnavailable, PlatformError, RateLimited, UnknownSymbol
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.http_client import open_session
from shared.market import Timeframe
from shared.messages.actors import Quarantine

AFTER_CLOSE_MS, JITTER_MS = 1_500, 300  # Binance has the new candle about a second after a close
LATE_TRIES, LATE_PAUSE_S = 4, 1.5
BAN_CHECK_S = 5.0  # the ban's key is rewritten this often, in case Redis lost it
NOT_LISTED = "not listed at the exchange"


@dataclass(slots=True)
class FetchedCoin:
    """One coin: candles per timeframe, circuit, and status in exchangeInfo."""

    symbol: str
    stores: dict[Timeframe, CandleStore]
    circuit: CircuitBreaker
    unlisted: str = ""
    started_s: float = 0.0
    served_s: float = float("-inf")
    left_out_since_ms: int | None = None

    def windows_settled(self) -> int:
        """Return how many windows are fetched; all of them while the coin fails."""
        fetched = sum(s.fetched_at_ms is not None for s in self.stores.values())
        return len(self.stores) if self.circuit.reason else fetched


class Fetcher(Actor):
    """Fetches missing candles of all coins, pass by pass, and publishes each coin at once."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.settings = codec.from_plain(FetcherSection, context.section["fetcher"], "config")
        self.coins = [
            FetchedCoin(
                symbol=text,
                stores={t: CandleStore(text, t) for t in Timeframe},
                circuit=CircuitBreaker(self.settings.circuit_failures, self.settings.circuit_s),
            )
            for text in context.section["symbols"]
        ]
        self.client: BinanceClient
        self.exchange: ExchangeStatus
        self.ban_file = BanFile(context.state_dir / "binance-ban")
        self.refetches = 0
        self.streamed: CandleStream | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._on_probation = context.probation
        # one at a time on probation, so that the coin named last is the one to blame
        self._slots = asyncio.Semaphore(1 if self._on_probation else self.settings.concurrency)
        self.stores = [store for coin in self.coins for store in coin.stores.values()]
        self.publisher = CandlePublisher(
            self.stores, bus=self.bus, clock=self.clock, rng=context.rng, source=context.source
        )

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
        self.doing(f"pass over {len(self.coins)} coins")
        if self.exchange.is_sync_due():
            self._start_job("time", self.exchange.sync_time())
        if self.exchange.are_rules_due():
            self._start_job("rules", self._read_rules())
        self._start_fetching(self.coins)
        if self._jobs:
            left_s = self._until_next_pass(started_s, started_ms)
            await asyncio.wait(self._jobs.values(), timeout=left_s)
        self._reap()
        if self._on_probation:
            self._on_probation = False
            self._slots = asyncio.Semaphore(self.settings.concurrency)
        self.detail["last_pass_at_ms"] = self.clock.now_ms()
        self.detail["last_pass_ms"] = round((self.clock.monotonic() - started_s) * 1000, 1)
        self._report_readiness()
        await self._publish_status()
        return self._until_next_pass(started_s, started_ms)

    def clock_jumped(self, jump: ClockJump) -> None:
        """Fetch and write everything anew: it is older than it says, or has expired."""
        for store in self.stores:
            store.asked_ms = None
        self.publisher.write_all()
        self.wake()

    def _start_fetching(self, coins: Iterable[FetchedCoin]) -> None:
        for coin in coins:
            if coin.symbol in self._jobs:
                continue
            if self.context.quarantined_coins.get(coin.symbol, 0) > self.clock.now_ms():
                coin.circuit.reason = "quarantined by the supervisor: a death was attributed to it"
            elif coin.circuit.allow(self.clock.monotonic()):
                self._start_job(coin.symbol, self._fetch_coin(coin))

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

    async def _fetch_coin(self, coin: FetchedCoin) -> None:
        coin.started_s = self.clock.monotonic()
        try:
            waiting = [store for store in coin.stores.values() if self._is_due(store)]
            for attempt in range(LATE_TRIES + 1):
                if attempt:
                    await self.clock.sleep(LATE_PAUSE_S)
                for store in waiting:
                    await self._fetch(store)
                waiting = [s for s in waiting if self._is_late(coin, s)]
                if not waiting:
                    break
        except RateLimited as error:
            coin.circuit.release()
            self.exchange.forbid(error)
        except UnknownSymbol:
            self._failed(coin, NOT_LISTED)
        except PlatformError as error:
            self._failed(coin, str(error))
        except Exception as error:  # one coin's error must not stop the others
            if not coin.circuit.reason:
                self.log.exception("%s: unexpected error", coin.symbol)
            self._failed(coin, f"unexpected {error!r}")
        else:
            self._succeeded(coin)
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

    async def _fetch(self, store: CandleStore) -> None:
        every_s = self._every_s(store)
        await self._publish(store, await self._fetch_rows(store), every_s)
        from_ms = store.missing_from_ms(self.client.now_ms())
        if from_ms is not None:
            await self._publish(store, await self._fetch_rows(store, from_ms), every_s)

    async def _publish(self, store: CandleStore, change: Change, every_s: float) -> None:
        if self.streamed is not None:
            self.streamed.record_mismatches(store, change.corrected)
            change = self.streamed.without_streamed_forming(store, change)
        await self.publisher.publish(store, change, every_s)

    async def _fetch_rows(self, store: CandleStore, from_ms: int | None = None) -> Change:
        limit = KEEP if from_ms is not None else store.rows_needed(self.client.now_ms())
        answer, times = await self._klines(store, limit, from_ms)
        try:
            return store.accept(answer, **times, from_ms=from_ms)
        except (OverlapDiffers, WrongTime) as oddity:
            self.refetches += 1
            self.log.warning("all its candles are fetched again: %s", oddity)
            await self.exchange.sync_time()
        answer, times = await self._klines(store, KEEP, None)
        return store.replace(answer, **times)

    async def _klines(
        self, store: CandleStore, limit: int, from_ms: int | None
    ) -> tuple[Admitted, dict[str, int]]:
        async with self._slots:
            if self._on_probation:
                self.computing(store.symbol)
            asked_ms = self.client.now_ms()
            answer = await self.client.klines(
                store.symbol, store.timeframe, limit=limit, start_ms=from_ms
            )
        return answer, {"asked_ms": asked_ms, "fetched_at_ms": self.clock.now_ms()}

    def _failed(self, coin: FetchedCoin, reason: str) -> None:
        now_s = self.clock.monotonic()
        recent_s = coin.started_s - 1.5 * self.settings.interval_s
        if not coin.circuit.reason:
            self.log.warning("%s: %s", coin.symbol, reason)
        unlisted = reason == NOT_LISTED
        if unlisted and coin.unlisted != NOT_LISTED:
            coin.unlisted = NOT_LISTED
            self.exchange.read_rules_soon()
        if not unlisted and not any(c.served_s > recent_s for c in self.coins if c is not coin):
            coin.circuit.release(reason)  # no coin succeeds: not this coin's fault
            return
        if coin.circuit.failed(now_s, reason, at_once=unlisted) and coin.left_out_since_ms is None:
            coin.left_out_since_ms = self.clock.now_ms()
            self.log.warning("%s: left out, tried every %g s", coin.symbol, self.settings.circuit_s)

    def _succeeded(self, coin: FetchedCoin) -> None:
        if coin.circuit.reason:
            self.log.info("%s: answers again", coin.symbol)
        if coin.unlisted == NOT_LISTED:
            coin.unlisted = ""
        coin.circuit.succeeded()
        coin.served_s = self.clock.monotonic()
        no_new_candle = coin.stores[Timeframe.M5].is_behind(self.client.now_ms() - SETTLE_MS)
        if no_new_candle != bool(coin.unlisted):
            self.exchange.read_rules_soon()  # has it been halted, or has the halt ended?

    async def _read_rules(self) -> None:
        await self.exchange.read_rules()
        if self.exchange.statuses is None:
            return
        for coin in self.coins:
            status = self.exchange.statuses.get(coin.symbol)
            coin.unlisted = NOT_LISTED if status is None else f"status {status}"
            if status == TRADING:
                coin.unlisted = ""

    def _report_readiness(self) -> None:
        settled = sum(coin.windows_settled() for coin in self.coins)
        total = len(self.coins) * len(Timeframe)
        if settled == total:
            self.ready()
        else:
            self.not_ready(f"warming up: {settled} of {total} windows")

    async def _publish_status(self) -> None:
        now_s, now_ms = self.clock.monotonic(), self.clock.now_ms()
        until_ms = self.exchange.forbidden_until_ms()
        self.detail |= {
            "coins": {c.symbol: _trouble(c.circuit) for c in self.coins if c.circuit.reason},
            "delisted": {c.symbol: c.unlisted for c in self.coins if c.unlisted},
            "coins_ok": sum(not c.circuit.reason for c in self.coins),
            "open_circuits": [c.symbol for c in self.coins if c.circuit.is_open],
            "used_weight": self.client.used_weight,
            "weight_limit": self.client.weight_limit,
            "offset_ms": self.client.offset_ms,
            "banned_until_ms": until_ms,
            "refetches": self.refetches,
            "gaps": {f"{s.symbol} {s.timeframe}": len(h) for s in self.stores if (h := s.holes())},
            "unsent_windows": len(self.publisher.unsent),
            "troubles": self.exchange.troubles,
        }
        batch = self.bus.batch()
        if until_ms is not None and (ban := self.ban_file.read()) is not None:
            batch.put(schema.BAN_UNTIL, ban, ttl_ms=until_ms - now_ms)
        elif until_ms is None:
            batch.delete(schema.BAN_UNTIL)
        for coin in self.coins:
            if coin.circuit.open_until_s is not None:
                left_ms = round((coin.circuit.open_until_s - now_s) * 1000)
                quarantine = Quarantine(
                    symbol=coin.symbol,
                    stage="fetch",
                    reason=coin.circuit.reason,
                    since_ms=coin.left_out_since_ms or now_ms,
                    until_ms=now_ms + left_ms,
                )
                # outlives the retry at its end, so that readers see no gap between pauses
                left_ms += round(
                    1000 * (self.settings.interval_s + self.settings.request_timeout_s)
                )
                batch.put(schema.QUARANTINE, quarantine, ttl_ms=left_ms, stage="fetch",
                          symbol=coin.symbol)  # fmt: skip
            else:  # each time: whatever stands there is not ours
                coin.left_out_since_ms = None
                batch.delete(schema.QUARANTINE, stage="fetch", symbol=coin.symbol)
        with contextlib.suppress(BusUnavailable):  # rewritten with the next pass, or expires
            await batch.send()
            await self.publisher.find_missing()


def _trouble(circuit: CircuitBreaker) -> str:
    count = f" ({circuit.failures} in a row)" if circuit.failures > 1 else ""
    return circuit.reason + count
