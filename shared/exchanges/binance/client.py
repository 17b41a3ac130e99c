"""The client of Binance spot market data over REST."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from shared.candles.admission import Admitted
from shared.clock import LATEST_MS, Clock
from shared.decimals import whole_of
from shared.errors import (
    BadCandle,
    ExchangeUnavailable,
    RateLimited,
    UnknownSymbol,
    shortened,
)
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.funding_rows import FundingRows, parse_funding
from shared.exchanges.binance.kline_rows import parse_klines
from shared.exchanges.binance.refusals import WHAT_TO_DO, is_of_address, next_pause_ms
from shared.exchanges.binance.weight import WeightBudget
from shared.exchanges.excerpts import excerpt, excerpt_of
from shared.http_client import (
    LARGEST_LISTING,
    LARGEST_REPLY,
    ReplyRefused,
    document_of,
    read_body,
    sent,
)
from shared.market import CandleLength
from shared.messages.candles import Ban

SPOT, USD_M = "api/v3", "fapi/v1"
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
DEFAULT_PAUSE_S = {429: 60, 418: 120}
LONGEST_PAUSE_MS = 259_200_000
CLOCK_STEP_MS = 60_000
HEED_S = 60.0  # a websocket refused this soon after an answer says nothing of requests
FUNDING_WEIGHT = 30  # 500 requests in 5 minutes, counted as if they were 6000 in one
MOST_AT_ONCE = 64
LONGEST_NAME = 50
TOO_MANY_REQUESTS, INVALID_SYMBOL = -1003, -1121
_LONGEST_WHY = 200
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})\b")


class BinanceClient:
    """Requests candles from Binance, within its limits and not at all while banned.

    No call is retried here. A request that would exceed the share of the weight limit waits for
    the next clock minute. A 429 or 418 is written to the ban file and ends every call of this
    client at once, in flight or queued. So does a 403 or 451, which refuses our address: for a
    pause that doubles until an answer comes, and then one request at a time.

    Args:
        session: Used for all requests; not closed here.
        base_url: Scheme, host and port, such as https://data-api.binance.vision.
        clock: Our own time.
        ban: Read before every request; other processes may write it, too.
        timeout_s: For one request, connecting included.
        weight_share: Share of the exchange's weight limit this client may use.
        api: Path of the REST API: spot's, or `USD_M` for perpetuals.

    Attributes:
        assets: Symbol -> base and quote asset of the coins that `statuses` has read.
        opens_ms: Symbol -> when trading begins, of coins of which `statuses` has read that.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        clock: Clock,
        ban: BanFile,
        timeout_s: float = 10,
        weight_share: float = 0.5,
        api: str = SPOT,
        log: logging.Logger | None = None,
    ) -> None:
        self.offset_ms = 0
        self.assets: dict[str, tuple[str, str]] = {}
        self.opens_ms: dict[str, int] = {}
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._host = urlsplit(base_url).netloc
        self._api = api
        self._clock = clock
        self._ban_file = ban
        self._last_ban: Ban | None = None
        self._timeout_s = timeout_s
        self._budget = WeightBudget(weight_share)
        self._on_the_wire: set[asyncio.Timeout] = set()
        self._slots = asyncio.Semaphore(_connections(session))
        self._alone = asyncio.Lock()
        self._answered_s = float("-inf")
        self._log = log or logging.getLogger(__name__)

    @property
    def used_weight(self) -> int:
        return self._budget.used(self.now_ms())

    @property
    def weight_limit(self) -> int:
        """Return the weight allowed per clock minute: 6000 until `statuses` was called."""
        return self._budget.limit

    def limit_share(self, share: float) -> None:
        """Use another share of the weight limit from now on."""
        self._budget.share = share

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.offset_ms

    def forbidden_until_ms(self) -> int | None:
        """Return the end of a current ban, in our own time; None without one."""
        ban = self._ban()
        return ban.until_ms if ban is not None and ban.until_ms > self._clock.now_ms() else None

    def awaits_answer(self) -> bool:
        """Return whether our address was refused, and nothing has been answered since."""
        return self._refusal() is not None

    def heed(self, status: int, retry_after: str) -> None:
        """Obey a refused websocket: a 429 or 418, a 403 or 451 unless requests are answered."""
        answered_s = self._clock.monotonic() - self._answered_s
        if not is_of_address(status) or answered_s > HEED_S:
            self._silence(status, retry_after, b"")

    async def sync_time(self) -> int:
        """Read the exchange's time and return the new `offset_ms`.

        Raises:
            RateLimited, ExchangeUnavailable: See the class.
        """
        began_ms = self._clock.now_ms()
        body = await self._get("time", {}, weight=1)
        ended_ms = self._clock.now_ms()
        time_ms = body.get("serverTime") if isinstance(body, dict) else None
        if type(time_ms) is not int or not 0 < time_ms < LATEST_MS:
            raise _unreadable("time", "no `serverTime` in epoch ms", body)
        self.offset_ms = time_ms - (began_ms + ended_ms) // 2
        return self.offset_ms

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Return symbol -> status; adopt the weight limit and the coins' assets.

        Raises:
            UnknownSymbol: One of them is not listed; the exchange does not name it.
            RateLimited, ExchangeUnavailable: See the class.
        """
        query = {"symbols": orjson.dumps(list(symbols)).decode()}
        body = await self._get(
            "exchangeInfo", query, weight=20, most=LARGEST_LISTING, about=", ".join(symbols)
        )
        try:
            limit = next(
                entry["limit"]
                for entry in body["rateLimits"]
                if (entry["rateLimitType"], entry["interval"], entry["intervalNum"])
                == ("REQUEST_WEIGHT", "MINUTE", 1)
            )
            statuses: dict[str, str] = {e["symbol"]: e["status"] for e in body["symbols"]}
            if type(limit) is not int or limit <= 0:
                raise ValueError(f"weight limit {limit!r}")
            if not all(_is_name(text) for status in statuses.items() for text in status):
                raise ValueError("symbol and status are short texts")
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise _unreadable(
                "exchangeInfo", f"not as documented ({shortened(repr(error))})", body
            ) from None
        self._budget.limit = limit
        for entry in body["symbols"]:
            base, quote = entry.get("baseAsset"), entry.get("quoteAsset")
            if _is_name(base) and _is_name(quote):
                self.assets[entry["symbol"]] = (base, quote)
            opens_ms = entry.get("onboardDate")  # documented of futures only
            if type(opens_ms) is int and 0 < opens_ms < LATEST_MS:
                self.opens_ms[entry["symbol"]] = opens_ms
        return statuses

    async def klines(
        self,
        symbol: str,
        timeframe: CandleLength,
        *,
        limit: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> Admitted:
        """Return the newest candles, or from `start_ms` the oldest; the last may be open.

        Args:
            limit: 1 to 1000; a new coin has fewer.
            end_ms: The latest open time.

        Raises:
            UnknownSymbol: The coin is not listed.
            WrongUnit: Its times are not in ms.
            BadCandle: It has more rows than asked for, or older ones.
            RateLimited, ExchangeUnavailable: See the class.
        """
        query = {"symbol": symbol, "interval": str(timeframe), "limit": str(limit)}
        if start_ms is not None:
            query["startTime"] = str(start_ms)
        if end_ms is not None:
            query["endTime"] = str(end_ms)
        body = await self._get("klines", query, weight=2, about=symbol)
        if type(body) is not list:
            raise _unreadable("klines", "expected a list", body)
        admitted = parse_klines(body, symbol, timeframe)
        times = admitted.candles.open_time_ms
        if len(times) > limit:
            raise BadCandle(f"{symbol} {timeframe}: {len(times)} candles, asked for {limit}")
        if start_ms is not None and len(times) and times[0] < start_ms:
            raise BadCandle(
                f"{symbol} {timeframe} at {times[0]}: before {start_ms}, the start asked for"
            )
        return admitted

    async def funding_rates(
        self, symbol: str, *, start_ms: int, end_ms: int, limit: int
    ) -> FundingRows:
        """Return the oldest funding rates of a perpetual between two times, both included.

        The client's API must be `USD_M`.

        Args:
            limit: 1 to 1000.

        Raises:
            UnknownSymbol: There is no such perpetual.
            BadCandle: A row is impossible; names coin and time.
            RateLimited, ExchangeUnavailable: See the class.
        """
        query = {"symbol": symbol, "startTime": str(start_ms), "endTime": str(end_ms),
                 "limit": str(limit)}  # fmt: skip
        body = await self._get("fundingRate", query, weight=FUNDING_WEIGHT, about=symbol)
        if type(body) is not list:
            raise _unreadable("fundingRate", "expected a list", body)
        if len(body) > limit:
            raise BadCandle(f"{symbol} funding: {len(body)} rows, asked for {limit}")
        return parse_funding(body, symbol, start_ms, end_ms)

    async def _get(
        self,
        endpoint: str,
        query: Mapping[str, str],
        *,
        weight: int,
        most: int = LARGEST_REPLY,
        about: str = "",
    ) -> Any:
        probing = self._alone if self.awaits_answer() else contextlib.nullcontext()
        async with self._slots, probing:
            self._refuse_while_banned()
            while (wait_s := self._budget.take(weight, self.now_ms())) > 0:
                await self._clock.sleep(wait_s)
                self._refuse_while_banned()
            status, body = await self._in_time(endpoint, query, most)
        return self._document(endpoint, status, body, about)

    async def _in_time(
        self, endpoint: str, query: Mapping[str, str], most: int
    ) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                self._on_the_wire.add(deadline)
                try:
                    return await self._exchange(endpoint, query, most, deadline)
                finally:
                    self._on_the_wire.discard(deadline)
        except TimeoutError:
            self._refuse_while_banned()  # then the refusal of another call cut this one short
            raise ExchangeUnavailable(
                f"{self._base_url} {endpoint}: no answer within {self._timeout_s:g} s"
            ) from None
        except ReplyRefused as error:
            self._refuse_while_banned()
            raise ExchangeUnavailable(f"{self._base_url} {endpoint}: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            self._refuse_while_banned()  # then only the body of the refusal was lost
            why = shortened(f"{type(error).__name__}: {error}", _LONGEST_WHY)
            raise ExchangeUnavailable(f"{self._base_url} {endpoint}: {why}") from error

    async def _exchange(
        self, endpoint: str, query: Mapping[str, str], most: int, deadline: asyncio.Timeout
    ) -> tuple[int, bytes]:
        sent_ms = self.now_ms()
        url = f"{self._base_url}/{self._api}/{endpoint}"
        async with sent(self._session, "GET", url, params=query) as response:
            used = whole_of(response.headers.get(WEIGHT_HEADER, ""))
            if used is not None:
                self._budget.report(used, sent_ms, self.now_ms())
            if _is_refusal(response.status):
                # At once: no other call may send while this body is still being read.
                self._on_the_wire.discard(deadline)
                retry_after = response.headers.get("Retry-After", "")
                self._silence(response.status, retry_after, b"")
                body = await read_body(response, most)
                self._silence(response.status, retry_after, body)
                return response.status, body
            if response.status == 200:
                self._record_answer()
            return response.status, await read_body(response, most)

    def _document(self, endpoint: str, status: int, body: bytes, about: str) -> Any:
        if is_of_address(status):
            self._refuse_while_banned()
        try:
            document = document_of(body)
        except ReplyRefused as error:
            raise ExchangeUnavailable(f"{self._base_url} {endpoint}: {error}") from None
        code = document.get("code") if isinstance(document, dict) else None
        if status in DEFAULT_PAUSE_S or code == TOO_MANY_REQUESTS:
            if status not in DEFAULT_PAUSE_S:
                self._silence(429, "", body)
            self._refuse_while_banned()
        if status == 200 and document is not None:
            return document
        if code == INVALID_SYMBOL:
            raise UnknownSymbol(f"{about}: Binance does not list it (-1121, {endpoint})")
        what = _meaning(status, code is not None)
        raise ExchangeUnavailable(
            f"{self._base_url} {endpoint}: HTTP {status}, {what}: {excerpt(body)}"
        )

    def _silence(self, status: int, retry_after: str, body: bytes) -> None:
        """Record what a refusal forbids, and cancel requests in flight."""
        now_ms, refusal, known_ban = self._clock.now_ms(), self._refusal(), self._ban()
        ban = Ban(until_ms=now_ms, status=status, at_ms=now_ms)
        if is_of_address(status):
            # one refused while a pause lasts was sent before it began
            last_ms = 0 if refusal is None else refusal.until_ms - refusal.at_ms
            pause_ms = 0 if self._is_paused(refusal) else next_pause_ms(last_ms)
            ban = replace(ban, until_ms=now_ms + pause_ms, host=self._host)
        else:
            seconds = whole_of(retry_after.strip())
            pause_s = DEFAULT_PAUSE_S[status] if seconds is None else max(1, seconds)
            until_ms = now_ms + pause_s * 1000
            if stated := _BANNED_UNTIL.search(body):
                until_ms = max(until_ms, int(stated[1]) - self.offset_ms)
            ban = replace(ban, until_ms=min(until_ms, now_ms + LONGEST_PAUSE_MS))
        if ban.until_ms > max(now_ms, 0 if known_ban is None else known_ban.until_ms):
            self._remember(ban)
            self._log_ban(ban, is_new=refusal is None)
        soon = asyncio.get_running_loop().time()
        for deadline in self._on_the_wire:
            if not deadline.expired():
                deadline.reschedule(soon)

    def _remember(self, ban: Ban) -> None:
        self._last_ban = ban
        try:
            self._ban_file.write(ban)
        except OSError as error:
            self._log.error("ban not written, only this process obeys it: %s", error)

    def _log_ban(self, ban: Ban, *, is_new: bool) -> None:
        pause_s = (ban.until_ms - ban.at_ms) / 1000
        text = f"{RateLimited(ban.until_ms, status=ban.status)}, {pause_s:.0f} s from now"
        if not is_of_address(ban.status):
            self._log.warning("%s", text)
        elif is_new:
            self._log.warning("%s: %s", text, WHAT_TO_DO[ban.status])
        else:
            self._log.info("still refused: %s", text)

    def _record_answer(self) -> None:
        """Record that the exchange answers our address (again): the next pause is the first."""
        self._answered_s = self._clock.monotonic()
        refusal = self._refusal()
        if refusal is not None and not self._is_paused(refusal):
            now_ms = self._clock.now_ms()
            self._log.info("the exchange answers this address again")
            self._remember(replace(refusal, until_ms=now_ms, at_ms=now_ms))

    def _refusal(self) -> Ban | None:
        """Return the newest refusal of our address, unless it was answered since."""
        refusals = [ban for ban in self._bans() if is_of_address(ban.status)]
        newest = max(refusals, key=lambda known: known.at_ms, default=None)
        return newest if newest is not None and newest.until_ms > newest.at_ms else None

    def _is_paused(self, ban: Ban | None) -> bool:
        return ban is not None and ban.until_ms > self._clock.now_ms()

    def _bans(self) -> list[Ban]:
        bans = (self._ban_file.read(), self._last_ban)
        return [ban for ban in bans if ban is not None and ban.host in ("", self._host)]

    def _ban(self) -> Ban | None:
        """Return the longest ban known, over or not."""
        bans = self._bans()
        if not bans:
            return None
        ban = max(bans, key=lambda known: known.until_ms)
        now_ms = self._clock.now_ms()
        length_ms = min(ban.until_ms - ban.at_ms, LONGEST_PAUSE_MS)
        if ban.at_ms > now_ms + CLOCK_STEP_MS:
            # Our clock was set back: a ban of two minutes must not become one of a year.
            self._remember(replace(ban, until_ms=now_ms + length_ms, at_ms=now_ms))
            return self._last_ban
        return replace(ban, until_ms=ban.at_ms + length_ms)

    def _refuse_while_banned(self) -> None:
        ban = self._ban()
        if ban is not None and self._clock.now_ms() < ban.until_ms:
            raise RateLimited(ban.until_ms, status=ban.status)


def _connections(session: aiohttp.ClientSession) -> int:
    # A call queued inside aiohttp is sent as soon as a 418's connection is free again, before the
    # 418 is seen here. So calls queue here instead.
    connector = session.connector
    limits = (connector.limit, connector.limit_per_host) if connector is not None else ()
    return min((limit for limit in limits if limit > 0), default=MOST_AT_ONCE)


def _is_name(text: Any) -> bool:
    return type(text) is str and 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _is_refusal(status: int) -> bool:
    return status in DEFAULT_PAUSE_S or is_of_address(status)


def _meaning(status: int, has_code: bool) -> str:
    if status == 200:
        return "the body is no JSON"
    if status >= 500:
        return "the exchange has a fault"
    if 300 <= status < 400:
        return "a redirect, which is never followed"
    return "the request was refused" if has_code else "not as documented"


def _unreadable(endpoint: str, why: str, body: Any) -> ExchangeUnavailable:
    return ExchangeUnavailable(f"{endpoint}: {why}: {excerpt_of(body)}")
