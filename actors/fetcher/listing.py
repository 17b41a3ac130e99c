"""How a coin is listed, from its status and its candles, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.clock import minute_text, span, utc_text
from shared.indicators.frames import WARM_BARS
from shared.market import Timeframe
from shared.messages.candles import Listing

NOT_LISTED = "not listed at the exchange"
PRE_TRADING = "PRE_TRADING"

DEAD_AFTER_MS = 7 * 86_400_000
"""Longer without a candle, a coin is dead, not halted: a swap of tokens takes two or three days."""


def listing(
    unlisted: str,
    *,
    opens_ms: int | None,
    begins_ms: int | None,
    ends_ms: int | None,
    silent_ms: int,
    closed: Mapping[Timeframe, int],
    now_ms: int,
) -> Listing | None:
    """Return how a coin is listed; None if it simply trades, as far as is known.

    Args:
        unlisted: NOT_LISTED, or its status if that is not TRADING; else "".
        opens_ms: When trading begins, if the exchange says so.
        begins_ms: When its first candle opened, if the exchange has fewer than it was asked for.
        ends_ms: When its newest candle closed, or will close; None without any.
        silent_ms: How long that was ago when the newest candle was last asked for; 0 if not yet.
        closed: Closed candles of each timeframe that has been fetched.
        now_ms: Exchange time.
    """
    if unlisted == NOT_LISTED:
        last = "" if ends_ms is None else f", last candle {_day(ends_ms)}"
        return Listing(state="delisted", text=f"delisted: {NOT_LISTED}{last}", since_ms=ends_ms)
    if ends_ms is None:
        if unlisted != PRE_TRADING:
            return _halted(unlisted, None) if unlisted else None
        begins = "has not begun" if opens_ms is None else f"begins {_minute(opens_ms)}"
        text = f"announced: trading {begins} ({PRE_TRADING})"
        return Listing(state="announced", text=text, since_ms=None)
    if silent_ms > DEAD_AFTER_MS:
        why = f"status {unlisted}" if unlisted else "no candle since"
        return Listing(state="dead", text=f"dead since {_day(ends_ms)}: {why}", since_ms=ends_ms)
    if unlisted not in ("", PRE_TRADING):  # with candles, that status is out of date
        return _halted(unlisted, None if ends_ms > now_ms else ends_ms)
    return _young(begins_ms, closed, now_ms)


def _halted(status: str, ends_ms: int | None) -> Listing:
    since = "" if ends_ms is None else f" since {_minute(ends_ms)}"
    return Listing(state="halted", text=f"halted{since}: status {status}", since_ms=ends_ms)


def _young(begins_ms: int | None, closed: Mapping[Timeframe, int], now_ms: int) -> Listing | None:
    scored = (Timeframe.M5, Timeframe.H1)
    if begins_ms is None or len(closed) < len(Timeframe):
        return None
    if all(closed[timeframe] >= WARM_BARS for timeframe in scored):
        return None
    missing = [timeframe for timeframe in Timeframe if not closed[timeframe]]
    if missing:
        lacks = f"no closed {missing[0]} candle yet"
    else:
        short = next(timeframe for timeframe in scored if closed[timeframe] < WARM_BARS)
        lacks = f"{closed[short]} of {WARM_BARS} closed {short} candles"
    text = f"young: listed {span((now_ms - begins_ms) / 1000)} ago, {lacks}"
    return Listing(state="young", text=text, since_ms=begins_ms)


def _day(time_ms: int) -> str:
    return utc_text(time_ms)[:10]


def _minute(time_ms: int) -> str:
    return f"{minute_text(time_ms)} UTC"
