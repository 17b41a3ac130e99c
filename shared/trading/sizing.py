"""From a candidate to an order: price checks, costs, stop, size, leverage. Pure.

Costs are shares of the book's mid price, for the round trip: fees 2 · taker, the spread once, and
the order's slippage beyond the best price by the book, at most `max_slippage_bps`, which the limit
price enforces.

Two settings use them. `stop_costs` widens the stop: its distance is max(`stop_atr` · ATR14 of 1h,
`stop_costs` · cost); a distance that the strategy gives takes the place of the first.
`cost_share_pct` refuses: cost may be at most that share of the distance. A stop widened by costs
always passes the second while `stop_costs` · `cost_share_pct` is at least 100, as by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from shared.clock import utc_text
from shared.config.sections import TraderSection
from shared.exchanges.venue import BookLevel, Funding, MarketRule, OrderBook, Ticker
from shared.messages.trading import TradeSide
from shared.trading.amounts import EXACT, ceiled, exact, floored, share, shown, shown_pct
from shared.trading.breakers import deviation
from shared.trading.exits import levels
from shared.trading.exposure import Exposure
from shared.trading.plan import Candidate, EntryPlan, Refusal

FRACTION_STEP = Decimal("0.00000001")
"""Stop distances are rounded up to this, so that every product with them is exact."""

_MIN_MS = 60_000


def plan_entry(
    candidate: Candidate,
    *,
    rule: MarketRule,
    book: OrderBook,
    ticker: Ticker,
    funding: Funding,
    account: Exposure,
    settings: TraderSection,
    now_ms: int,
) -> EntryPlan | Refusal:
    """Return the entry to send for a candidate, or why there is none.

    Args:
        account: Current, read again after each fill.
        now_ms: Venue time.

    Raises:
        ValueError: The arguments are of different coins.
    """
    symbols = {candidate.symbol, rule.symbol, book.symbol, ticker.symbol, funding.symbol}
    if len(symbols) > 1:
        raise ValueError(f"expected one coin, found {', '.join(sorted(symbols))}")
    with localcontext(EXACT):
        faults = [
            *no_room(candidate, rule, account, settings),
            *_prices(candidate, book, ticker, settings),
            *_funding(candidate.side, funding, settings, now_ms),
        ]
        if not faults:
            planned = _plan(candidate, rule, book, account, settings)
            if isinstance(planned, EntryPlan):
                return planned
            faults = [planned]
    return Refusal(symbol=candidate.symbol, side=candidate.side, why="; ".join(faults))


def liquidation_distance(side: TradeSide, leverage: int, maintenance_rate: Decimal) -> Decimal:
    """Return the distance from entry to liquidation as a share of the entry price; isolated margin.

    Units: `maintenance_rate` is the share of a position's value that must remain as its margin.
    Raises: ValueError: leverage below 1, or the rate not within 0..1.
    Source: margin + PnL = rate · value at that price. With a margin of entry / leverage this is
        entry (1 - 1/leverage) / (1 - rate) for longs and entry (1 + 1/leverage) / (1 + rate) for
        shorts, as venues document for linear contracts (docs/venues/coinex.md#liquidation). Fees
        and funding taken from the margin are not included.
    """
    if leverage < 1 or not 0 <= maintenance_rate < 1:
        raise ValueError(
            f"leverage {leverage}, maintenance rate {maintenance_rate}: expected at least 1, and "
            "0 or more but less than 1"
        )
    room = EXACT.subtract(EXACT.divide(Decimal(1), Decimal(leverage)), maintenance_rate)
    sign = -1 if side == "long" else 1
    return EXACT.divide(room, EXACT.add(Decimal(1), sign * maintenance_rate))


class _Costs(NamedTuple):
    """Shares of the mid price."""

    fees: Decimal
    spread: Decimal
    slippage: Decimal

    @property
    def total(self) -> Decimal:
        return self.fees + self.spread + self.slippage

    def text(self) -> str:
        return (
            f"{shown_pct(self.total)} (fees {shown_pct(self.fees)}, spread "
            f"{shown_pct(self.spread)}, slippage {shown_pct(self.slippage)})"
        )


class _Quote(NamedTuple):
    """The side of the book an entry trades with; `worst`: its highest fill price, for notionals."""

    side: TradeSide
    levels: Sequence[BookLevel]
    best: Decimal
    mid: Decimal
    spread: Decimal
    limit: Decimal
    worst: Decimal


def no_room(
    candidate: Candidate, rule: MarketRule, account: Exposure, settings: TraderSection
) -> Iterator[str]:
    """Yield why there is no entry at any price."""
    if not rule.available:
        yield "the venue says that this market cannot be traded now"
    if not account.equity > 0:
        yield f"equity is {account.equity}, expected more than 0"
    if account.holds(candidate.symbol):
        yield "there is a position in this coin, or an entry under way"
    yield from no_place(candidate.side, account, settings)


def no_place(side: TradeSide, account: Exposure, settings: TraderSection) -> Iterator[str]:
    """Yield why no coin can be entered on a side, whichever it is: all places are taken."""
    if len(account.holdings) >= settings.max_positions:
        yield f"{len(account.holdings)} positions, at most {settings.max_positions} are allowed"
    same = account.count(side)
    if same >= settings.max_same_side:
        yield f"{same} positions {side}, at most {settings.max_same_side} are allowed"


def _prices(
    candidate: Candidate, book: OrderBook, ticker: Ticker, settings: TraderSection
) -> Iterator[str]:
    """Yield what is implausible about the venue's prices, by themselves and against the candle."""
    if not book.bids or not book.asks:
        yield f"the book has {len(book.bids)} bids and {len(book.asks)} asks, expected both"
        return
    bid, ask = book.bids[0].price, book.asks[0].price
    if not 0 < bid < ask:
        yield f"the book is crossed or empty: bid {bid}, ask {ask}"
        return
    entered_at = ask if candidate.side == "long" else bid
    limit = share(settings.index_deviation_pct)
    for what, price, reference_name, reference in (
        ("index", ticker.index, "the candle's close", candidate.close),
        ("mark", ticker.mark, "index", ticker.index),
        ("best price", entered_at, "index", ticker.index),
    ):
        apart = deviation(price, reference)
        if apart is None:
            yield f"{what} {price} beside {reference_name} {reference}: expected prices above 0"
        elif apart > limit:
            yield (
                f"{what} {price} is {shown_pct(apart)} from {reference_name} {reference}, at most "
                f"{shown_pct(limit)} is allowed"
            )


def _funding(
    side: TradeSide, funding: Funding, settings: TraderSection, now_ms: int
) -> Iterator[str]:
    """Yield whether a funding against us is near; one without a known time counts as near."""
    limit = share(settings.funding_limit_pct)
    window_ms = exact(settings.funding_min) * _MIN_MS
    sign = 1 if side == "long" else -1
    # by venue, the latest funding is the last one paid or the one due next
    for rate, due_ms in (
        (funding.latest_rate, funding.latest_ms),
        (funding.next_rate, funding.next_ms),
    ):
        pays = sign * rate
        if pays > limit and due_ms is not None and 0 <= due_ms - now_ms <= window_ms:
            yield (
                f"funding at {utc_text(due_ms)} will cost {shown_pct(pays)}, at most "
                f"{shown_pct(limit)} is allowed within {settings.funding_min:g} min before it"
            )
    if sign * funding.next_rate > limit and funding.next_ms is None:
        yield f"funding will cost {shown_pct(sign * funding.next_rate)}, and its time is unknown"


def _plan(
    candidate: Candidate,
    rule: MarketRule,
    book: OrderBook,
    account: Exposure,
    settings: TraderSection,
) -> EntryPlan | str:
    """Return the plan, or why costs, size or margin allow none."""
    quote = _quote(candidate.side, book, rule.tick, settings)
    moved = candidate.atr_1h / candidate.close
    costs = _Costs(2 * rule.taker_fee, quote.spread, Decimal(0))
    stop = _stop(candidate, moved, costs, settings)
    # Slippage of a size not yet reduced by it: never less than that of the size sent.
    first, _ = _size(stop, quote, rule, account, settings)
    costs = costs._replace(slippage=_slippage(quote, first))
    stop = _stop(candidate, moved, costs, settings)
    target = exact(settings.target_r) * stop
    size, bound = _size(stop, quote, rule, account, settings)

    own = "" if candidate.stop is None else f", the strategy's {shown_pct(candidate.stop)}"
    stop_text = f"a stop {shown_pct(stop)} away (ATR {shown_pct(moved)}{own})"
    if costs.total > share(settings.cost_share_pct) * stop:
        return (
            f"costs {costs.text()} exceed {settings.cost_share_pct:g} % of {stop_text}: too little "
            "movement for what the trade costs"
        )
    if (stop if candidate.side == "long" else target) >= 1:
        return f"{stop_text} leaves no price above 0 for stop and target"
    if size < rule.min_size or not size > 0:
        return (
            f"size {size} by {bound} is below the smallest of {rule.min_size}; it is never "
            "rounded up"
        )
    # a limit at the worse price for it: what is filled at a better one counts as less
    value = size * min(quote.best, quote.limit)
    if rule.min_value is not None and value < rule.min_value:
        return (
            f"size {size} by {bound} is worth {shown(value, 2)}, below the smallest value of "
            f"{rule.min_value}; it is never rounded up"
        )
    offered = sum((level.size for level in _within(quote)), Decimal(0))
    if offered < rule.min_size:
        return (
            f"the book offers {offered} up to {quote.limit}, less than the smallest position of "
            f"{rule.min_size}"
        )
    leverage = _leverage(
        candidate.side, size * quote.worst, stop, rule=rule, account=account, settings=settings
    )
    if isinstance(leverage, str):
        return leverage
    bonus = f" + bonus {candidate.bonus} = {candidate.total}" if candidate.bonus else ""
    try:
        triggers = levels(candidate.side, quote.best, stop, target, rule.tick)
    except ValueError as error:
        return str(error)
    return EntryPlan(
        symbol=candidate.symbol,
        side=candidate.side,
        size=size,
        limit_price=quote.limit,
        entry_price=quote.best,
        stop=triggers.stop,
        target=triggers.target,
        base=candidate.base,
        bonus=candidate.bonus,
        stop_fraction=stop,
        target_fraction=target,
        leverage=leverage,
        reason=(
            f"base {candidate.base}{bonus}, leads by {candidate.lead}; costs {costs.text()} of "
            f"{stop_text}; size by {bound}"
        ),
    )


def _quote(side: TradeSide, book: OrderBook, tick: Decimal, settings: TraderSection) -> _Quote:
    bid, ask = book.bids[0].price, book.asks[0].price
    mid = (bid + ask) / 2
    slip = exact(settings.max_slippage_bps).scaleb(-4)
    if side == "long":
        levels, best = book.asks, ask
        limit = floored(best * (1 + slip), tick)
    else:
        levels, best = book.bids, bid
        limit = ceiled(best * (1 - slip), tick)
    return _Quote(side, levels, best, mid, (ask - bid) / mid, limit, max(best, limit))


def _within(quote: _Quote) -> Iterator[BookLevel]:
    """Yield the levels within the limit price."""
    for level in quote.levels:
        if level.price > quote.limit if quote.side == "long" else level.price < quote.limit:
            return
        yield level


def _slippage(quote: _Quote, size: Decimal) -> Decimal:
    """Return the average slippage of a size beyond the best price, as a share of mid.

    What the book lacks counts at the limit price.
    """
    if not size > 0:
        return Decimal(0)
    left, beyond = size, Decimal(0)
    for level in _within(quote):
        taken = min(left, level.size)
        beyond += taken * abs(level.price - quote.best)
        left -= taken
    beyond += left * abs(quote.limit - quote.best)
    return beyond / size / quote.mid


def _stop(candidate: Candidate, moved: Decimal, costs: _Costs, settings: TraderSection) -> Decimal:
    """Return the stop's distance; `moved`: ATR14 of 1h, both as shares of the price."""
    by_score = candidate.stop
    if by_score is None:
        by_score = exact(settings.stop_atr) * moved
    by_costs = exact(settings.stop_costs) * costs.total
    return ceiled(max(by_score, by_costs), FRACTION_STEP)


def _size(
    stop: Decimal, quote: _Quote, rule: MarketRule, account: Exposure, settings: TraderSection
) -> tuple[Decimal, str]:
    """Return the largest allowed size in whole steps, and what limits it."""
    equity = account.equity
    risk = equity * share(settings.risk_pct)
    coin = equity * exact(settings.max_notional)
    gross = equity * exact(settings.max_gross_notional) - account.gross_notional
    largest, bound = min(
        (risk / (stop * quote.worst), f"risk of {shown(risk, 2)}"),
        (coin / quote.worst, f"the limit of {shown(coin, 2)} per coin"),
        (max(gross, Decimal(0)) / quote.worst, f"{shown(gross, 2)} left of all positions' limit"),
    )
    return floored(largest, rule.size_step), bound


def _leverage(
    side: TradeSide,
    notional: Decimal,
    stop: Decimal,
    *,
    rule: MarketRule,
    account: Exposure,
    settings: TraderSection,
) -> int | str:
    """Return the smallest leverage whose margin is available, or why there is none.

    The smallest also has the farthest liquidation price. The maintenance rate is not among a
    market's rules; the initial margin rate at the market's highest leverage is an upper bound.
    """
    usable = sorted(x for x in rule.leverages if 1 <= x <= settings.max_leverage)
    # margin and entry fee are both taken from the available money
    fitting = (x for x in usable if notional * (1 + rule.taker_fee * x) <= account.available * x)
    leverage = next(fitting, None)
    if leverage is None:
        return (
            f"{shown(notional, 2)} do not fit into a free margin of "
            f"{shown(account.available, 2)} with a leverage of "
            f"{', '.join(map(str, usable)) or 'none'} (at most {settings.max_leverage} allowed)"
        )
    rate = Decimal(1) / max(rule.leverages)
    apart = liquidation_distance(side, leverage, rate) if rate < 1 else Decimal(0)
    wanted = exact(settings.liquidation_stops) * stop
    if apart < wanted:
        return (
            f"at leverage {leverage}, the smallest that fits, liquidation is {shown_pct(apart)} "
            f"away, expected {settings.liquidation_stops:g} stops, {shown_pct(wanted)}"
        )
    return leverage
