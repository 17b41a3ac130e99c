"""Requests to CoinEx: signed over the exact bytes sent, and rate-limited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from shared.clock import Clock
from shared.config.secrets import HOW_TO_SET_KEYS
from shared.decimals import whole_of
from shared.errors import ConfigError, VenueDenied, VenueRefused, VenueUnavailable, shortened
from shared.exchanges.coinex.limits import PER_S, LimitGroup
from shared.exchanges.coinex.replies import CoinExReply, Expired, TooMany, read_reply
from shared.exchanges.coinex.rows import Row, Unreadable
from shared.exchanges.venue_keys import VenueKeys
from shared.http_client import ReplyRefused, read_body, sent
from shared.token_bucket import TokenBucket

PREFIX = "/v2"
PAGE_SIZE = 100
MOST_PAGES = 200
MOST_READINGS = 4
type Query = Mapping[str, str | int]

_LONGEST_WHY = 200
NO_KEYS = 0  # error code where the venue was not asked


def signed_bytes(method: str, target: str, body: bytes, timestamp_ms: int) -> bytes:
    """Return the bytes to sign; `target` is path and query exactly as sent, from /v2 on."""
    return b"".join((method.encode(), target.encode(), body, str(timestamp_ms).encode()))


class CoinExWire:
    """Sends requests to CoinEx and parses the replies.

    Requests refused for their timestamp are sent once more, after reading the venue's clock;
    nothing else is retried here.

    Args:
        session: Used for all requests; not closed here.
        base_url: Scheme, host, port and /v2.
        clock: Our own time.
        keys: None: public calls only; all others raise VenueDenied.
        window_ms: How long after its timestamp a request is valid.
        timeout_s: For one request; connecting may take half of it.
        share: Of each limit of the account this client may use: processes that trade on one
            account share its limits.

    Raises:
        ConfigError: `base_url` is malformed.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        clock: Clock,
        keys: VenueKeys | None,
        window_ms: int = 5000,
        timeout_s: float = 10,
        share: float = 0.5,
        log: logging.Logger | None = None,
    ) -> None:
        base = base_url.rstrip("/")
        if not base.startswith(("http://", "https://")) or not base.endswith(PREFIX):
            raise ConfigError(
                [f"venue.base_url: expected http(s)://HOST{PREFIX}, found {base_url!r}"]
            )
        self.offset_ms = 0
        self._origin = base.removesuffix(PREFIX)
        self._session = session
        self._clock = clock
        self._keys = keys
        self.window_ms = window_ms
        self._timeout_s = timeout_s
        self._log = log or logging.getLogger(__name__)
        self._buckets = {group: TokenBucket(PER_S[group] * share) for group in LimitGroup}

    def now_ms(self) -> int:
        """Return venue time: our clock, corrected by the last `sync_time`."""
        return self._clock.now_ms() + self.offset_ms

    async def sync_time(self) -> int:
        """Read the venue's time, correct `now_ms` by it, and return it."""
        began_ms = self._clock.now_ms()
        reply = await self.get("time", {}, LimitGroup.PUBLIC)
        ended_ms = self._clock.now_ms()
        time_ms = reply.row().time_ms("timestamp")
        if time_ms == 0:
            raise Unreadable("time: data.timestamp: expected epoch ms, found 0")
        self.offset_ms = time_ms - (began_ms + ended_ms) // 2
        return time_ms

    async def get(self, endpoint: str, query: Query, group: LimitGroup) -> CoinExReply:
        """Send a GET request; signed in every group but PUBLIC.

        Raises:
            Unreadable: No answer, or not one of the API.
            VenueUnavailable, VenueDenied, VenueRefused: See `read_reply`.
        """
        text = urlencode(query, safe=",", quote_via=quote)
        target = f"{PREFIX}/{endpoint}" + (f"?{text}" if text else "")
        return await self._call_in_time(group, "GET", endpoint, target, b"")

    async def post(
        self, endpoint: str, body: Mapping[str, Any], group: LimitGroup, *, once: bool = False
    ) -> CoinExReply:
        """Send a signed POST request.

        Args:
            once: Never sent again, even if refused for its timestamp.

        Raises:
            Unreadable: It may have been carried out.
            VenueUnavailable, VenueDenied, VenueRefused: It was not.
        """
        target, raw = f"{PREFIX}/{endpoint}", orjson.dumps(body)
        return await self._call_in_time(group, "POST", endpoint, target, raw, again=not once)

    async def pages[T](
        self, endpoint: str, query: Query, group: LimitGroup, key: str, parse: Callable[[Row], T]
    ) -> list[T]:
        """Return the rows of every page, parsed, each `key` once.

        Args:
            parse: Called with a row as soon as its page is there: only the result is kept, for a
                page may be a megabyte.
        """
        entries, _ = await self._read_pages(endpoint, query, group, key, parse)
        return list(entries.values())

    async def steady_pages[T](
        self, endpoint: str, query: Query, group: LimitGroup, key: str, parse: Callable[[Row], T]
    ) -> list[T]:
        """As `pages`, for a list that may shrink while it is read.

        A removed entry shifts a later one onto a page already read: a list of more than one page
        is accepted when two consecutive reads have the same entries.
        """
        entries, pages = await self._read_pages(endpoint, query, group, key, parse)
        for _ in range(MOST_READINGS - 1):
            if pages == 1:
                return list(entries.values())
            again, pages = await self._read_pages(endpoint, query, group, key, parse)
            if again.keys() == entries.keys():
                return list(again.values())
            entries = again
        raise VenueUnavailable(
            f"{endpoint}: {MOST_READINGS} reads of its pages all differ; try again"
        )

    async def _read_pages[T](
        self, endpoint: str, query: Query, group: LimitGroup, key: str, parse: Callable[[Row], T]
    ) -> tuple[dict[int, T], int]:
        found: dict[int, T] = {}
        for page in range(1, MOST_PAGES + 1):
            reply = await self.get(endpoint, {**query, "page": page, "limit": PAGE_SIZE}, group)
            rows = reply.rows()
            if len(rows) > PAGE_SIZE:
                raise Unreadable(
                    f"{endpoint}: page {page} has {len(rows)} entries, asked for {PAGE_SIZE}"
                )
            fresh = {row.whole(key): parse(row) for row in rows}
            more, known = reply.has_next(), len(found)
            found |= fresh
            if not more:
                return found, page
            if len(found) == known:
                raise VenueUnavailable(
                    f"{endpoint}: page {page} announces another one but has nothing new"
                )
        raise VenueUnavailable(f"{endpoint}: no end after {MOST_PAGES} pages")

    async def _call_in_time(
        self,
        group: LimitGroup,
        method: str,
        endpoint: str,
        target: str,
        body: bytes,
        *,
        again: bool = True,
    ) -> CoinExReply:
        try:
            return await self._call(group, method, endpoint, target, body)
        except Expired as expired:
            if group is LimitGroup.PUBLIC:
                raise
            self._log.warning("%s; reading the venue's time", expired)
            if not again:
                await self._try_to_sync()
                raise
            await self.sync_time()
        return await self._call(group, method, endpoint, target, body)

    async def _try_to_sync(self) -> None:
        try:
            await self.sync_time()
        except (VenueUnavailable, VenueRefused) as error:
            self._log.warning("the venue's time is unknown: %s", error)

    async def _call(
        self, group: LimitGroup, method: str, endpoint: str, target: str, body: bytes
    ) -> CoinExReply:
        signed = group is not LimitGroup.PUBLIC
        if signed and self._keys is None:
            raise VenueDenied(
                NO_KEYS, f"{endpoint}: not asked, there are no keys; {HOW_TO_SET_KEYS}"
            )
        bucket = self._buckets[group]
        if (wait_s := bucket.take(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait_s)
        status, raw, headers = await self._send(method, endpoint, target, body, signed)
        left = whole_of(headers.get("X-RateLimit-Remaining", ""))
        if left is not None:
            bucket.report(left, self._clock.monotonic())
        try:
            return read_reply(endpoint, status, raw, self._keys.hide if self._keys else str)
        except TooMany:
            bucket.exhaust(self._clock.monotonic())
            raise

    async def _send(
        self, method: str, endpoint: str, target: str, body: bytes, signed: bool
    ) -> tuple[int, bytes, Mapping[str, str]]:
        # Faults are raised outside the except clauses: aiohttp's errors carry our headers.
        fault: VenueUnavailable
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                sent(
                    self._session,
                    method,
                    URL(self._origin + target, encoded=True),
                    data=body or None,
                    headers=self._headers(method, target, body, signed),
                    connect_s=self._timeout_s / 2,
                ) as response,
            ):
                return response.status, await read_body(response), response.headers
        except ReplyRefused as error:
            fault = Unreadable(f"{self._origin} {endpoint}: {error}")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            fault = VenueUnavailable(
                f"{self._origin} {endpoint}: not reached: {shortened(str(error), _LONGEST_WHY)}"
            )
        except TimeoutError:
            fault = Unreadable(f"{self._origin} {endpoint}: no answer in {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            why = shortened(f"{type(error).__name__}: {error}", _LONGEST_WHY)
            fault = Unreadable(f"{self._origin} {endpoint}: {why}")
        raise fault

    def _headers(self, method: str, target: str, body: bytes, signed: bool) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if body else {}
        if signed and self._keys is not None:
            now_ms = self.now_ms()
            headers |= {
                "X-COINEX-KEY": self._keys.access_id,
                "X-COINEX-SIGN": self._keys.sign(signed_bytes(method, target, body, now_ms)),
                "X-COINEX-TIMESTAMP": str(now_ms),
                "X-COINEX-WINDOWTIME": str(self.window_ms),
            }
        return headers
