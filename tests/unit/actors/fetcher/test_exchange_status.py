"""What is known of the exchange as a whole, and when it is asked for again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from actors.fetcher.exchange_status import (
    RULES_AGAIN_S,
    RULES_EVERY_S,
    RULES_FIRST_S,
    RULES_WATCH_S,
    ExchangeStatus,
)
from shared.candles.admission import Admitted
from shared.errors import ExchangeUnavailable, RateLimited, UnknownSymbol
from shared.market import Candles, Timeframe
from tests.support.manual_clock import ManualClock

SYMBOLS = [f"COIN{n:02}USDT" for n in range(29)]


@dataclass
class Listing:
    """An exchange that lists some coins and tells the time, or fails as it is told to."""

    clock: ManualClock
    listed: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, "TRADING"))
    failure: Exception | None = None
    calls: int = 0
    offset_ms: int = 0

    def now_ms(self) -> int:
        return self.clock.now_ms() + self.offset_ms

    async def sync_time(self) -> int:
        self.calls += 1
        if self.failure:
            raise self.failure
        return self.offset_ms

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        self.calls += 1
        if self.failure:
            raise self.failure
        if unknown := set(symbols) - set(self.listed):
            raise UnknownSymbol(str(unknown))
        return {symbol: self.listed[symbol] for symbol in symbols}

    async def klines(
        self, symbol: str, timeframe: Timeframe, *, limit: int, start_ms: int | None = None
    ) -> Admitted:
        return Admitted(Candles.empty())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def listing(clock: ManualClock) -> Listing:
    return Listing(clock)


@pytest.fixture
def watch(clock: ManualClock, listing: Listing) -> ExchangeStatus:
    return ExchangeStatus(
        listing, symbols=SYMBOLS, clock=clock, log=logging.getLogger("watch-trial")
    )


async def test_one_call_reads_the_statuses_of_all_coins(
    watch: ExchangeStatus, listing: Listing, clock: ManualClock
) -> None:
    await watch.read_rules()
    assert watch.statuses == dict.fromkeys(SYMBOLS, "TRADING")
    assert listing.calls == 1
    await clock.advance(RULES_EVERY_S - 1)
    assert not watch.are_rules_due()
    await clock.advance(1)
    assert watch.are_rules_due()


@pytest.mark.parametrize("gone", [SYMBOLS[:1], [SYMBOLS[7], SYMBOLS[20]], SYMBOLS])
async def test_coins_not_listed_are_found_though_one_of_them_fails_the_call(
    watch: ExchangeStatus, listing: Listing, gone: list[str]
) -> None:
    for symbol in gone:
        del listing.listed[symbol]
    await watch.read_rules()
    assert watch.statuses is not None
    assert set(SYMBOLS) - set(watch.statuses) == set(gone)
    assert listing.calls <= 1 + 2 * 5 * len(gone)


async def test_a_coin_out_of_order_is_looked_at_more_often(
    watch: ExchangeStatus, listing: Listing, clock: ManualClock
) -> None:
    listing.listed[SYMBOLS[3]] = "HALT"
    await watch.read_rules()
    await clock.advance(RULES_WATCH_S)
    assert watch.are_rules_due()


async def test_statuses_never_read_yet_are_asked_for_again_soon(
    watch: ExchangeStatus, listing: Listing, clock: ManualClock
) -> None:
    listing.failure = ExchangeUnavailable("no answer within 5 s")
    await watch.read_rules()
    await clock.advance(RULES_FIRST_S)
    assert watch.are_rules_due()
    listing.failure = None
    await watch.read_rules()
    await clock.advance(RULES_FIRST_S)
    assert not watch.are_rules_due()


async def test_soon_means_not_more_than_once_a_minute(
    watch: ExchangeStatus, clock: ManualClock
) -> None:
    await watch.read_rules()
    await clock.advance(RULES_AGAIN_S - 1)
    watch.read_rules_soon()
    assert not watch.are_rules_due()
    await clock.advance(1)
    assert watch.are_rules_due()


async def test_a_failed_reading_keeps_what_was_known_and_says_so(
    watch: ExchangeStatus, listing: Listing
) -> None:
    await watch.read_rules()
    listing.failure = ExchangeUnavailable("HTTP 503")
    await watch.read_rules()
    assert watch.statuses == dict.fromkeys(SYMBOLS, "TRADING")
    assert watch.troubles == {"rules": "not known: HTTP 503"}
    listing.failure = None
    await watch.read_rules()
    assert watch.troubles == {}


async def test_time_is_unknown_at_first_and_after_our_clock_has_jumped(
    watch: ExchangeStatus, clock: ManualClock
) -> None:
    assert watch.is_time_unknown()
    await watch.sync_time()
    assert not watch.is_time_unknown()
    await clock.advance(3600)
    assert not watch.is_time_unknown()
    clock.step_wall(-5_000)
    assert watch.is_time_unknown()
    await watch.sync_time()
    assert not watch.is_time_unknown()


async def test_many_doubts_at_once_are_one_question(
    watch: ExchangeStatus, listing: Listing, clock: ManualClock
) -> None:
    for _ in range(29):
        await watch.sync_time()
    assert listing.calls == 1
    await clock.advance(10)
    await watch.sync_time()
    assert listing.calls == 2


async def test_time_that_cannot_be_had_is_asked_for_again(
    watch: ExchangeStatus, listing: Listing
) -> None:
    listing.failure = ExchangeUnavailable("no answer")
    await watch.sync_time()
    assert watch.is_time_unknown()
    assert watch.troubles == {"time": "not known: no answer"}
    listing.failure = None
    await watch.sync_time()
    assert not watch.is_time_unknown()
    assert watch.troubles == {}


async def test_silence_lasts_as_long_as_the_longest_answer_says(
    watch: ExchangeStatus, listing: Listing, clock: ManualClock
) -> None:
    now_ms = clock.now_ms()
    listing.failure = RateLimited(now_ms + 60_000, status=418)
    await watch.sync_time()
    watch.forbid(RateLimited(now_ms + 20_000, status=429))
    assert watch.forbidden_until_ms() == now_ms + 60_000
    await clock.advance(59.9)
    assert watch.forbidden_until_ms()
    await clock.advance(0.1)
    assert watch.forbidden_until_ms() is None


async def test_a_clock_set_back_does_not_make_a_short_silence_a_long_one(
    watch: ExchangeStatus, clock: ManualClock
) -> None:
    await watch.sync_time()
    watch.forbid(RateLimited(clock.now_ms() + 60_000, status=418))
    clock.step_wall(-86_400_000)
    assert watch.is_time_unknown()
    assert watch.forbidden_until_ms() is None
