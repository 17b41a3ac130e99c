"""How a coin is listed, from its status and its candles: the state and its words."""

from __future__ import annotations

from typing import Any

import pytest

from actors.fetcher.listing import DEAD_AFTER_MS, NOT_LISTED, PRE_TRADING, listing
from shared.market import Timeframe

M5, H1, H4 = Timeframe
NOW = 1_700_000_100_000  # 2023-11-14 22:15 UTC
MINUTE, DAY = 60_000, 86_400_000
FULL = dict.fromkeys(Timeframe, 999)


def said(unlisted: str = "", **facts: Any) -> tuple[str, str] | None:
    """Return state and words of a coin that has traded for long, but for the given facts."""
    known: dict[str, Any] = {
        "opens_ms": None, "begins_ms": None, "ends_ms": NOW + 4 * MINUTE, "silent_ms": 0,
        "closed": FULL, "now_ms": NOW,
    }  # fmt: skip
    found = listing(unlisted, **known | facts)
    return None if found is None else (found.state, found.text)


def ended(ago_ms: int) -> dict[str, Any]:
    return {"ends_ms": NOW - ago_ms, "silent_ms": ago_ms}


def test_coin_that_trades_is_not_named() -> None:
    assert said() is None
    assert said(ends_ms=None) is None  # nothing fetched yet
    assert said(begins_ms=NOW - 20 * DAY) is None


def test_announced_coin_has_a_status_and_no_candle() -> None:
    nothing: dict[str, Any] = {"ends_ms": None, "closed": {}}
    words = "announced: trading has not begun (PRE_TRADING)"
    assert said(PRE_TRADING, **nothing) == ("announced", words)
    words = "announced: trading begins 2023-11-15 22:15 UTC (PRE_TRADING)"
    assert said(PRE_TRADING, **nothing, opens_ms=NOW + DAY) == ("announced", words)
    assert said(PRE_TRADING) is None  # its candles are newer than that status


@pytest.mark.parametrize(
    ("minutes", "closed", "words"),
    [
        (1, (0, 0, 0), "listed 60 s ago, no closed 5m candle yet"),
        (25, (5, 0, 0), "listed 25 min ago, no closed 1h candle yet"),
        (130, (26, 2, 0), "listed 2 h ago, no closed 4h candle yet"),
        (600, (120, 10, 2), "listed 10 h ago, 120 of 300 closed 5m candles"),
        (7 * 1440, (999, 167, 42), "listed 7 d ago, 167 of 300 closed 1h candles"),
    ],
)
def test_young_coin_says_since_when_and_what_it_lacks(
    minutes: int, closed: tuple[int, int, int], words: str
) -> None:
    facts: dict[str, Any] = {
        "begins_ms": NOW - minutes * MINUTE,
        "closed": dict(zip(Timeframe, closed, strict=True)),
    }
    assert said(**facts) == ("young", f"young: {words}")
    assert said(**facts | {"begins_ms": None}) is None  # an answer was short for another reason
    assert said(**facts | {"closed": {M5: closed[0]}}) is None  # the rest is not fetched yet


@pytest.mark.parametrize("status", ["HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY", "AUCTION_MATCH"])
def test_halted_coin_says_since_when_and_its_status(status: str) -> None:
    words = f"halted since 2023-11-14 22:10 UTC: status {status}"
    assert said(status, **ended(5 * MINUTE)) == ("halted", words)
    assert said(status, ends_ms=None) == ("halted", f"halted: status {status}")
    assert said(status, ends_ms=NOW + 2 * MINUTE) == ("halted", f"halted: status {status}")


def test_coin_without_candles_for_long_is_dead_whatever_its_status_says() -> None:
    assert said("BREAK", **ended(139 * DAY)) == ("dead", "dead since 2023-06-28: status BREAK")
    assert said("", **ended(139 * DAY)) == ("dead", "dead since 2023-06-28: no candle since")
    assert said("BREAK", **ended(DEAD_AFTER_MS)) != said("BREAK", **ended(DEAD_AFTER_MS + 1))


def test_candles_not_asked_for_lately_make_no_coin_dead() -> None:
    """As after a week of a suspended machine, or a restart."""
    assert said(ends_ms=NOW - 139 * DAY, silent_ms=0) is None


def test_delisted_coin_says_its_last_candle_if_there_was_one() -> None:
    words = "delisted: not listed at the exchange"
    assert said(NOT_LISTED, ends_ms=None) == ("delisted", words)
    assert said(NOT_LISTED, **ended(3 * DAY)) == ("delisted", f"{words}, last candle 2023-11-11")


def test_since_is_when_it_was_listed_or_when_its_last_candle_closed() -> None:
    facts: dict[str, Any] = {"opens_ms": None, "closed": dict.fromkeys(Timeframe, 1), "now_ms": NOW}
    young = listing("", begins_ms=NOW - 9, ends_ms=NOW, silent_ms=0, **facts)
    dead = listing("BREAK", begins_ms=None, **ended(9 * DAY), **facts)
    assert young is not None
    assert dead is not None
    assert (young.since_ms, dead.since_ms) == (NOW - 9, NOW - 9 * DAY)
