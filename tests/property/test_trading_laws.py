"""Laws of the trader's decisions, whatever the market, the account and the signals are."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from shared.config.sections import TraderSection
from shared.exchanges.venue import BookLevel, Funding, MarketRule, OrderBook, Ticker
from shared.messages.signals import TaSignal
from shared.messages.trading import TradeSide
from shared.trading.breakers import DAY_MS, Ledger, closed, observed, released
from shared.trading.coin_state import CoinAtClose
from shared.trading.entries import candidates
from shared.trading.exits import levels
from shared.trading.exposure import Exposure, Holding
from shared.trading.plan import Candidate, EntryPlan
from shared.trading.sizing import liquidation_distance, plan_entry
from tests.support.decisions import CLOSE_MS, M5_MS, NOW_MS, bonus, candidate, coin, rules, score
from tests.support.message_strategies import messages

LAWFUL = settings(max_examples=150, deadline=None, derandomize=True)
SIDES: tuple[TradeSide, ...] = ("long", "short")
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
OTHER: dict[TradeSide, TradeSide] = {"long": "short", "short": "long"}
D = Decimal


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, places=places, allow_nan=False, allow_infinity=False)


# Entries.

LEADING = st.tuples(st.integers(70, 100), st.integers(0, 70))
POINTS = st.one_of(LEADING, LEADING.map(lambda p: p[::-1]), st.tuples(*[st.integers(0, 100)] * 2))
TRUE_BONUS = st.integers(0, 45)
BONUS = st.one_of(*[TRUE_BONUS] * 5, st.sampled_from([-1, 46, 1.5, "x", None, True]))


@st.composite
def coins(draw: st.DrawFn, symbol: str) -> CoinAtClose:
    """Return coins that are sometimes stale, without volume or from elsewhere."""
    now, before = draw(POINTS), draw(POINTS)
    found = coin(now, before, symbol)
    flaw = draw(st.sampled_from([*[""] * 12, "volume", "stale", "foreign", "error", "before"]))
    changes: dict[str, dict[str, Any]] = {
        "": {},
        "volume": {"volume": 0.0},
        "stale": {"now": score(now[0], now[1], CLOSE_MS - M5_MS)},
        "foreign": {"sources": frozenset({"binance"})},
        "error": {"now": ValueError("broken")},
        "before": {"before": ValueError("broken")},
    }
    return replace(found, **changes[flaw])


@st.composite
def signals(draw: st.DrawFn, close_ms: int) -> dict[str, Any]:
    """Return a signal of every kind for some coins: true ones, stale ones, nonsense."""
    found: dict[str, Any] = {}
    for symbol in draw(st.sets(st.sampled_from(SYMBOLS))):
        own = bonus(draw(BONUS), draw(BONUS), close_ms, symbol)
        other = draw(
            st.sampled_from([*[own] * 8, ValueError("not JSON"), None, 7, replace(own, symbol="X")])
        )
        stale = draw(st.sampled_from([*[0] * 8, M5_MS, -1]))
        if isinstance(other, TaSignal):
            other = replace(other, closed_until_ms=close_ms + stale)
        found[symbol] = other
    return found


COINS = st.tuples(*(coins(symbol) for symbol in SYMBOLS)).map(list)
NOW_SIGNALS, BEFORE_SIGNALS = signals(CLOSE_MS), signals(CLOSE_MS - M5_MS)


@given(COINS, NOW_SIGNALS, BEFORE_SIGNALS)
@LAWFUL
def test_without_use_ta_signals_nothing_hangs_on_signals(
    found: list[CoinAtClose], now: Any, before: Any
) -> None:
    plain = candidates(found, {}, rules())
    event(f"{len(plain[0])} candidates")
    assert candidates(found, now, rules(), signals_before=before) == plain


@given(COINS, st.dictionaries(st.sampled_from(SYMBOLS), messages(TaSignal)))
@LAWFUL
def test_signals_that_claim_anything_change_nothing_without_use_ta_signals_and_never_raise(
    found: list[CoinAtClose], now: dict[str, TaSignal]
) -> None:
    assert candidates(found, now, rules()) == candidates(found, {}, rules())
    candidates(found, now, rules(use_ta_signals=True), signals_before=now)


PAIR = st.tuples(TRUE_BONUS, TRUE_BONUS)


@given(POINTS, POINTS, PAIR, PAIR)
@settings(LAWFUL, max_examples=400)
def test_with_signals_of_both_candles_the_formulas_decide(
    now: tuple[int, int],
    before: tuple[int, int],
    bonus_now: tuple[int, int],
    bonus_before: tuple[int, int],
) -> None:
    chosen, _ = candidates(
        [coin(now, before)],
        {"BTCUSDT": bonus(*bonus_now)},
        rules(use_ta_signals=True),
        signals_before={"BTCUSDT": bonus(*bonus_before, close_ms=CLOSE_MS - M5_MS)},
    )
    expected = {}
    for place, side in enumerate(SIDES):
        base, earlier, other = now[place], before[place], 1 - place
        total = base + min(bonus_now[place], 30) if base >= 75 else base
        was = earlier + min(bonus_before[place], 30) if earlier >= 75 else earlier
        lead = total - (now[other] + min(bonus_now[other], 30))
        crosses = earlier < 85 <= base or was < 85 <= total
        if total >= 85 and crosses and lead >= 15:
            expected[side] = (base, total - base, total, lead)
    event(f"{len(expected)} of bonus {[bool(e[1]) for e in expected.values()]}")
    assert {c.side: (c.base, c.bonus, c.total, c.lead) for c in chosen} == expected


@given(COINS, NOW_SIGNALS, BEFORE_SIGNALS, st.randoms(use_true_random=False), st.booleans())
@LAWFUL
def test_ranking_does_not_hang_on_the_order_of_coins(
    found: list[CoinAtClose], now: Any, before: Any, luck: random.Random, use: bool
) -> None:
    decided = candidates(found, now, rules(use_ta_signals=use), signals_before=before)
    ranks = [(-each.total, -each.base, each.symbol, each.side) for each in decided[0]]
    assert ranks == sorted(ranks)
    shuffled = luck.sample(found, len(found))
    assert candidates(shuffled, now, rules(use_ta_signals=use), signals_before=before) == decided


def swapped(found: CoinAtClose) -> CoinAtClose:
    def turned(each: Any) -> Any:
        if isinstance(each, Exception):
            return each
        return replace(each, _points={side: each._points[OTHER[side]] for side in SIDES})

    return replace(found, now=turned(found.now), before=turned(found.before))


def turned_bonuses(found: dict[str, Any]) -> dict[str, Any]:
    turned = dict(found)
    for symbol, each in found.items():
        if isinstance(each, TaSignal):
            given_points = each.composite_score_adjustment
            points = replace(
                given_points,
                long_bonus=given_points.short_bonus,
                short_bonus=given_points.long_bonus,
            )
            turned[symbol] = replace(each, composite_score_adjustment=points)
    return turned


@given(COINS, NOW_SIGNALS, BEFORE_SIGNALS, st.booleans())
@LAWFUL
def test_a_mirrored_market_swaps_long_and_short(
    found: list[CoinAtClose], now: Any, before: Any, use: bool
) -> None:
    given_rules = rules(use_ta_signals=use)
    plain, _ = candidates(found, now, given_rules, signals_before=before)
    mirrored, _ = candidates(
        [swapped(each) for each in found],
        turned_bonuses(now),
        given_rules,
        signals_before=turned_bonuses(before),
    )
    expected = [replace(each, side=OTHER[each.side]) for each in plain]
    key = lambda each: (each.symbol, each.side)
    assert sorted(mirrored, key=key) == sorted(expected, key=key)


# Sizes.


@st.composite
def entries(draw: st.DrawFn) -> tuple[Candidate, dict[str, Any], TraderSection]:
    """Return markets around a price on a grid, from cheap to dear, thin to deep."""
    tick = draw(st.sampled_from([D("0.01"), D("0.0001"), D("0.5"), D(1)]))
    middle = draw(st.integers(5_000, 100_000))
    half = draw(st.integers(1, 3))
    sizes = decimals("0.001", "500", 3)

    def side(sign: int) -> tuple[BookLevel, ...]:
        ticks = [half, *sorted(draw(st.sets(st.integers(half + 1, half + 60), max_size=5)))]
        return tuple(BookLevel(price=(middle + sign * t) * tick, size=draw(sizes)) for t in ticks)

    price = middle * tick
    equity = (price * draw(decimals("0.1", "100", 3))).quantize(D("0.0001"))
    shares_held = draw(st.lists(decimals("0", "0.9", 3), max_size=2))
    holdings = tuple(
        Holding(symbol=symbol, side=draw(st.sampled_from(SIDES)), notional=equity * occupied)
        for symbol, occupied in zip(SYMBOLS, shares_held, strict=False)
    )
    given_values = {
        "rule": MarketRule(
            symbol="BTCUSDT",
            min_size=draw(st.sampled_from([D("0.0001"), D("0.001"), D("0.02")])),
            size_step=draw(st.sampled_from([D("0.0001"), D("0.003"), D("0.02")])),
            min_value=draw(st.sampled_from([None, D(5)])),
            tick=tick,
            maker_fee=D(0),
            taker_fee=draw(decimals("0", "0.001", 5)),
            leverages=(1, 2, 3, 5, 8, 10, 15, 20, 50),
            available=True,
        ),
        "book": OrderBook(symbol="BTCUSDT", bids=side(-1), asks=side(1), updated_ms=None),
        "ticker": Ticker(symbol="BTCUSDT", last=price, mark=price, index=price),
        "funding": Funding(
            symbol="BTCUSDT", latest_rate=D(0), latest_ms=None, next_rate=D(0), next_ms=None
        ),
        "account": Exposure(
            equity=equity,
            available=equity * draw(decimals("0", "1", 3)),
            holdings=holdings,
        ),
    }
    section = TraderSection(
        risk_pct=draw(st.sampled_from([0.25, 0.1, 3.3, 50.0])),
        max_notional=draw(st.sampled_from([0.5, 0.07, 3.0])),
        max_gross_notional=draw(st.sampled_from([1.5, 0.2, 5.0])),
        max_slippage_bps=draw(st.sampled_from([0.0, 10.0, 33.3])),
        stop_costs=draw(st.sampled_from([4.0, 10.0, 11.5])),
        cost_share_pct=draw(st.sampled_from([10.0, 25.0])),
        max_same_side=3,
    )
    atr = price * draw(decimals("0.0005", "0.1", 5))
    chosen = candidate(draw(st.sampled_from(SIDES)), close=price, atr_1h=atr)
    return chosen, given_values, section


@given(entries())
@settings(LAWFUL, max_examples=400)
def test_a_plan_breaks_no_cap_and_no_rule(
    found: tuple[Candidate, dict[str, Any], TraderSection],
) -> None:
    chosen, values, section = found
    plan = plan_entry(chosen, **values, settings=section, now_ms=NOW_MS)
    event("planned" if isinstance(plan, EntryPlan) else "refused")
    if not isinstance(plan, EntryPlan):
        return
    rule, account, book = values["rule"], values["account"], values["book"]
    size, limit = Fraction(plan.size), Fraction(plan.limit_price)
    best = Fraction((book.asks if plan.side == "long" else book.bids)[0].price)
    slip = Fraction(str(section.max_slippage_bps)) / 10_000
    low, high = (best, best * (1 + slip)) if plan.side == "long" else (best * (1 - slip), best)
    assert low <= limit <= high and limit % Fraction(rule.tick) == 0

    equity, notional = Fraction(account.equity), size * max(best, limit)
    stop = Fraction(plan.stop_fraction)
    assert notional * stop <= equity * Fraction(str(section.risk_pct)) / 100
    assert notional <= equity * Fraction(str(section.max_notional))
    gross = notional + Fraction(account.gross_notional)
    assert gross <= equity * Fraction(str(section.max_gross_notional))
    assert size % Fraction(rule.size_step) == 0 and size >= Fraction(rule.min_size)
    if rule.min_value is not None:
        worst_value = size * Fraction(min(plan.limit_price, plan.entry_price))
        assert worst_value >= Fraction(rule.min_value)
    # one step more would break one of the three
    more = (size + Fraction(rule.size_step)) * max(best, limit)
    assert (
        more * stop > equity * Fraction(str(section.risk_pct)) / 100
        or more > equity * Fraction(str(section.max_notional))
        or more + Fraction(account.gross_notional)
        > equity * Fraction(str(section.max_gross_notional))
    )

    assert stop >= Fraction(chosen.atr_1h) / Fraction(chosen.close)
    assert Fraction(plan.target_fraction) == 2 * stop
    assert plan.leverage in rule.leverages and plan.leverage <= section.max_leverage
    assert notional * (Fraction(1, plan.leverage) + Fraction(rule.taker_fee)) <= account.available
    apart = liquidation_distance(plan.side, plan.leverage, D(1) / 50)
    assert apart >= 2 * plan.stop_fraction


@given(entries())
@LAWFUL
def test_stops_and_leads_are_mirrored_in_a_mirrored_book(
    found: tuple[Candidate, dict[str, Any], TraderSection],
) -> None:
    chosen, values, section = found
    deep = {
        name: tuple(replace(level, size=D(10**9)) for level in getattr(values["book"], name)[:1])
        for name in ("bids", "asks")
    }
    values = {**values, "book": replace(values["book"], **deep)}
    plan = plan_entry(chosen, **values, settings=section, now_ms=NOW_MS)
    turned = replace(chosen, side=OTHER[chosen.side])
    holdings = tuple(replace(h, side=OTHER[h.side]) for h in values["account"].holdings)
    values = {**values, "account": replace(values["account"], holdings=holdings)}
    mirrored = plan_entry(turned, **values, settings=section, now_ms=NOW_MS)
    if not isinstance(plan, EntryPlan) or not isinstance(mirrored, EntryPlan):
        return
    assert plan.stop_fraction == mirrored.stop_fraction
    assert plan.target_fraction == mirrored.target_fraction
    step = values["rule"].size_step
    assert abs(plan.size - mirrored.size) <= step + plan.size * D("0.02")


# Exits.


@given(
    st.sampled_from(SIDES),
    decimals("0.0001", "100000", 7),
    decimals("0.00000001", "0.999", 8),
    decimals("0.00000001", "0.999", 8),
    st.sampled_from([D("0.0001"), D("0.01"), D("0.5"), D(3), D("0.00000001")]),
)
@LAWFUL
def test_the_stop_loses_the_target_wins_and_both_are_whole_ticks(
    side: TradeSide, entry: Decimal, stop: Decimal, target: Decimal, tick: Decimal
) -> None:
    entry += tick
    found = levels(side, entry, stop, target, tick)
    sign = 1 if side == "long" else -1
    assert sign * (entry - found.stop) > 0 and sign * (found.target - entry) > 0
    for price, fraction in ((found.stop, stop), (found.target, target)):
        assert price > 0 and Fraction(price) % Fraction(tick) == 0
        apart, wanted = Fraction(abs(price - entry)), Fraction(entry) * Fraction(fraction)
        assert apart <= max(wanted, Fraction(tick)) and apart > wanted - Fraction(tick)


# Breakers.

LOOKS = st.lists(st.tuples(decimals("-0.03", "0.03", 4), st.integers(0, DAY_MS // 3)), max_size=20)
LIMITS = TraderSection(daily_loss_pct=2, drawdown_pct=4, max_losses=3)


def run(looks: list[tuple[Decimal, int]], paid: dict[int, Decimal]) -> tuple[Ledger, list[int]]:
    """Return the ledger after gains and losses in shares of equity, and latches after each."""
    equity, now_ms = D(1000), 19_675 * DAY_MS
    ledger = observed(None, equity, D(0), LIMITS, now_ms)
    counts = []
    for place, (moved, later_ms) in enumerate(looks):
        if place in paid:
            factor = paid[place]
            ledger = observed(ledger, equity * factor, equity * (factor - 1), LIMITS, now_ms)
            equity *= factor
        now_ms += later_ms
        equity *= 1 + moved
        ledger = observed(ledger, equity, D(0), LIMITS, now_ms)
        counts.append(len(ledger.latches))
    return ledger, counts


def shares(ledger: Ledger) -> list[Decimal]:
    return [round(base / ledger.equity, 9) for base in (ledger.day_equity, ledger.peak)]


@given(LOOKS, st.dictionaries(st.integers(0, 19), decimals("0.1", "10", 3), max_size=4))
@LAWFUL
def test_money_paid_in_or_out_changes_no_breaker(
    looks: list[tuple[Decimal, int]], paid: dict[int, Decimal]
) -> None:
    """Gains and losses are in shares of what is there, so breakers must not see the money."""
    plain, plain_counts = run(looks, {})
    other, other_counts = run(looks, paid)
    event(f"{len(plain.latches)} latched")
    # a loss that is the limit to the last digit may fall on either side once it was scaled
    assume(all(abs(share - D("1.02040816")) > D("1e-6") for share in shares(plain)))
    assert other_counts == plain_counts
    assert [latch.breaker for latch in other.latches] == [each.breaker for each in plain.latches]
    assert shares(other) == shares(plain)


@given(LOOKS, decimals("0", "0.1", 4))
@LAWFUL
def test_breakers_never_open_by_themselves_and_a_larger_loss_closes_no_fewer(
    looks: list[tuple[Decimal, int]], more: Decimal
) -> None:
    ledger, counts = run(looks, {})
    assert counts == sorted(counts)
    now_ms = (ledger.day + 1) * DAY_MS - 1
    less_lost = observed(ledger, ledger.equity * (1 - more / 2), D(0), LIMITS, now_ms)
    more_lost = observed(ledger, ledger.equity * (1 - more), D(0), LIMITS, now_ms)
    names = [{latch.breaker for latch in each.latches} for each in (less_lost, more_lost)]
    assert {latch.breaker for latch in ledger.latches} <= names[0] <= names[1]
    assert released(more_lost).latches == ()


@given(st.lists(st.sampled_from([D(-1), D(0), D(1)]), max_size=15))
@LAWFUL
def test_losses_in_a_row_latch_exactly_where_so_many_follow_each_other(
    trades: list[Decimal],
) -> None:
    ledger = observed(None, D(1000), D(0), LIMITS, NOW_MS)
    row = longest = 0
    for pnl in trades:
        ledger = closed(ledger, pnl, LIMITS, NOW_MS)
        row = row + 1 if pnl < 0 else 0 if pnl > 0 else row
        longest = max(longest, row)
        assert ledger.is_latched("losses in a row") == (longest >= 3)
