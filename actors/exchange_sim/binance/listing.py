"""What the exchange says of a coin that is not simply trading: its status, and which bars exist."""

from __future__ import annotations

from collections.abc import Collection

from actors.exchange_sim.binance.parameters import KlinesQuery
from actors.exchange_sim.faults import Concerning, InjectedFault
from actors.exchange_sim.market.bars import DAY_MS, TIME, Bars, aggregate, empty_bars
from actors.exchange_sim.market.market import Market
from shared.market import Timeframe

BROKEN_DAYS = 139.0
YOUNG_S = 1500.0


def status_of(symbol: str, market: Market, fault: Concerning, shown_ms: int) -> str:
    """Return a coin's status in exchangeInfo."""
    if fault("pre_trading"):
        return "PRE_TRADING"
    if fault("break"):
        return "BREAK"
    return "HALT" if market.is_halted(symbol, shown_ms) else "TRADING"


def listed_bars(
    market: Market,
    fault: Concerning,
    wanted: KlinesQuery,
    shown_ms: int,
    *,
    skew_ms: int = 0,
    absent: Collection[int] = (),
) -> Bars:
    """Return the bars a query asks for: none before trading begins, or since it ended.

    Args:
        shown_ms: The exchange's time.
        skew_ms: How far it is ahead of the simulator's own time, which faults follow.
        absent: Open times of bars to leave out.

    Raises:
        UnknownSymbol: No such coin.
    """
    if fault("pre_trading"):
        return empty_bars()
    start_ms, end_ms, limit = wanted.start_ms, wanted.end_ms, wanted.limit
    if ended := fault("break"):
        last_ms = _ended_ms(ended, skew_ms) - 1
        end_ms = last_ms if end_ms is None else min(end_ms, last_ms)
    if begun := fault("young"):
        return _since(market, begun, wanted, shown_ms, skew_ms)
    return market.bars(
        wanted.symbol,
        wanted.timeframe,
        shown_ms,
        start_ms=start_ms,
        end_ms=end_ms,
        limit=limit,
        absent=absent,
    )


def _ended_ms(ended: InjectedFault, skew_ms: int) -> int:
    days = ended.value(BROKEN_DAYS)
    return Timeframe.H4.open_at(ended.from_ms + skew_ms - round(days * DAY_MS))


def _since(
    market: Market, begun: InjectedFault, wanted: KlinesQuery, shown_ms: int, skew_ms: int
) -> Bars:
    """Return bars of a coin that was listed a while ago; the first longer ones are short."""
    listed_ms = Timeframe.M5.open_at(begun.from_ms + skew_ms - round(begun.value(YOUNG_S) * 1000))
    fives = market.bars(
        wanted.symbol,
        Timeframe.M5,
        shown_ms,
        start_ms=listed_ms,
        limit=(shown_ms - listed_ms) // Timeframe.M5.ms + 1,
    )
    bars = aggregate(fives, wanted.timeframe)
    inside = bars[TIME] <= (shown_ms if wanted.end_ms is None else wanted.end_ms)
    inside &= bars[TIME] >= (wanted.start_ms or 0)
    bars = bars[:, inside]
    return bars[:, : wanted.limit] if wanted.start_ms is not None else bars[:, -wanted.limit :]
