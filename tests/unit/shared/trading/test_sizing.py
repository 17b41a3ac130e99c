"""From a candidate to an order: every gate and cap at its border."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from shared.config.sections import TraderSection
from shared.exchanges.venue import AccountBalance, OpenPosition
from shared.messages.trading import TradeSide
from shared.trading.exposure import Holding, exposure
from shared.trading.plan import EntryPlan, Refusal
from shared.trading.sizing import liquidation_distance, plan_entry
from tests.support.decisions import NOW_MS, candidate, changed, holding, levels, market

D = Decimal


def plan(
    side: TradeSide = "long",
    settings: dict[str, Any] | None = None,
    atr: str = "2",
    close: str = "100",
    **changes: dict[str, Any],
) -> EntryPlan | Refusal:
    return plan_entry(
        candidate(side, atr_1h=D(atr), close=D(close)),
        **changed(market(), **changes),
        settings=TraderSection(**(settings or {})),
        now_ms=NOW_MS,
    )


def planned(*args: Any, **options: Any) -> EntryPlan:
    found = plan(*args, **options)
    assert isinstance(found, EntryPlan), found
    return found


def refused(side: TradeSide = "long", **options: Any) -> str:
    found = plan(side, **options)
    assert isinstance(found, Refusal), found
    assert (found.symbol, found.side) == ("BTCUSDT", side)
    return found.why


def outcome(*args: Any, **options: Any) -> bool:
    return isinstance(plan(*args, **options), EntryPlan)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (None, "0.02"),  # 1 ATR
        ("0.031", "0.031"),
        ("0.0125", "0.0125"),
        ("0.0001", "0.0121"),  # 10 times the costs
    ],
)
def test_stop_of_the_strategy_takes_the_place_of_the_atr_and_not_of_the_costs(
    stop: str | None, expected: str
) -> None:
    found = plan_entry(
        candidate(stop=None if stop is None else D(stop)),
        **market(), settings=TraderSection(), now_ms=NOW_MS,
    )  # fmt: skip
    assert isinstance(found, EntryPlan)
    assert float(found.stop_fraction) == pytest.approx(float(expected), rel=0.02)
    assert float(found.target_fraction) == pytest.approx(2 * float(found.stop_fraction))


def test_a_plan_is_made_of_these_figures() -> None:
    assert planned() == EntryPlan(
        symbol="BTCUSDT",
        side="long",
        size=D("12.48"),  # 25 of risk / 2 % / 100.11 = 12.486
        limit_price=D("100.11"),  # 100.110010 down to the tick
        entry_price=D("100.01"),
        stop=D("98.01"),
        target=D("104.01"),
        base=86,
        bonus=0,
        stop_fraction=D("0.02"),
        target_fraction=D("0.04"),
        leverage=1,
        reason=(
            "base 86, leads by 60; costs 0.12 % (fees 0.1 %, spread 0.02 %, slippage 0 %) of a "
            "stop 2 % away (ATR 2 %); size by risk of 25"
        ),
    )


def test_a_short_is_the_mirror_of_a_long() -> None:
    found = planned("short")
    assert (found.limit_price, found.stop_fraction) == (D("99.90"), D("0.02"))  # 99.890010 up
    assert found.size == D("12.50")  # 25 / 2 % / 99.99, the price it may fill at


def test_a_bonus_stands_in_the_reason() -> None:
    found = plan_entry(
        candidate(bonus=10, total=96), **market(), settings=TraderSection(), now_ms=NOW_MS
    )
    assert isinstance(found, EntryPlan) and found.reason.startswith("base 86 + bonus 10 = 96, ")


def test_values_of_different_coins_are_a_bug() -> None:
    with pytest.raises(ValueError, match="expected one coin, found BTCUSDT, ETHUSDT"):
        plan(rule={"symbol": "ETHUSDT"})


# Gates.


def test_a_market_that_is_not_available_is_refused() -> None:
    assert refused(rule={"available": False}) == (
        "the venue says that this market cannot be traded now"
    )


@pytest.mark.parametrize(
    ("index", "fits"),
    [("100.5", True), ("100.5001", False), ("99.5", True), ("99.4999", False), ("0", False)],
)
def test_index_and_close_may_be_so_far_apart(index: str, fits: bool) -> None:
    prices = {"index": D(index), "mark": D(index)}
    book = {"asks": levels((str(D(index) + 1), "9")), "bids": levels((str(D(index) - 1), "9"))}
    if D(index) > 1:
        book = {"asks": levels((index, "900")), "bids": levels((str(D(index) - D("0.01")), "9"))}
    assert outcome(ticker=prices, book=book) == fits


def test_an_index_that_is_far_off_says_so() -> None:
    assert refused(ticker={"index": D("101"), "mark": D("101")}).startswith(
        "index 101 is 1 % from the candle's close 100, at most 0.5 % is allowed"
    )


@pytest.mark.parametrize(
    ("mark", "fits"), [("100.5", True), ("100.51", False), ("99.5", True), ("0", False)]
)
def test_mark_and_index_may_be_so_far_apart(mark: str, fits: bool) -> None:
    assert outcome(ticker={"mark": D(mark)}) == fits


def test_a_mark_that_is_far_off_says_so() -> None:
    assert refused(ticker={"mark": D("101")}) == (
        "mark 101 is 1 % from index 100, at most 0.5 % is allowed"
    )


def test_a_best_price_that_is_far_off_says_so() -> None:
    book = {"asks": levels(("101", "1000")), "bids": levels(("100.9", "1000"))}
    assert refused(book=book) == "best price 101 is 1 % from index 100, at most 0.5 % is allowed"


@pytest.mark.parametrize(("bid", "fits"), [("99.5", True), ("99.49", False)])
def test_a_short_is_judged_by_the_bid(bid: str, fits: bool) -> None:
    book = {"asks": levels(("99.51", "1000")), "bids": levels((bid, "1000"))}
    assert outcome("short", book=book) == fits


@pytest.mark.parametrize(("ask", "fits"), [("100.5", True), ("100.51", False)])
def test_best_price_and_index_may_be_so_far_apart(ask: str, fits: bool) -> None:
    book = {"asks": levels((ask, "1000")), "bids": levels(("100.4", "1000"))}
    assert outcome(book=book) == fits


@pytest.mark.parametrize(
    "book",
    [
        {"asks": ()},
        {"bids": ()},
        {"asks": levels(("99.99", "5"))},
        {"asks": levels(("99.98", "5"))},
        {"bids": levels(("0", "5"))},
    ],
)
def test_a_book_that_cannot_be_is_refused(book: dict[str, Any]) -> None:
    assert refused(book=book).startswith("the book ")


@pytest.mark.parametrize("which", ["latest", "next"])
@pytest.mark.parametrize(
    ("side", "rate", "in_ms", "fits"),
    [
        ("long", "0.0005", 1, True),
        ("long", "0.00050001", 1, False),
        ("long", "0.01", 600_001, True),
        ("long", "0.01", 600_000, False),
        ("long", "0.01", 0, False),
        ("long", "0.01", -1, True),
        ("long", "-0.01", 1, True),
        ("short", "-0.0005", 1, True),
        ("short", "-0.00050001", 1, False),
        ("short", "0.01", 1, True),
    ],
)
def test_nothing_is_entered_shortly_before_funding_that_costs(
    which: str, side: TradeSide, rate: str, in_ms: int, fits: bool
) -> None:
    funding = {f"{which}_rate": D(rate), f"{which}_ms": NOW_MS + in_ms}
    assert outcome(side, funding=funding) == fits


def test_funding_whose_time_is_not_told_counts_as_near() -> None:
    assert refused(funding={"next_rate": D("0.01"), "next_ms": None}) == (
        "funding will cost 1 %, and its time is unknown"
    )
    assert outcome(funding={"next_rate": D("0.0005"), "next_ms": None})


@pytest.mark.parametrize(("count", "fits"), [(2, True), (3, False), (4, False)])
def test_there_are_at_most_so_many_positions(count: int, fits: bool) -> None:
    sides: list[TradeSide] = ["long", "short", "short", "short"]
    held = tuple(holding(f"COIN{i}USDT", sides[i]) for i in range(count))
    assert outcome(account={"holdings": held}) == fits


@pytest.mark.parametrize(("count", "fits"), [(1, True), (2, False)])
def test_there_are_at_most_so_many_positions_on_one_side(count: int, fits: bool) -> None:
    held = tuple(holding(f"COIN{i}USDT", "long") for i in range(count))
    assert outcome("long", account={"holdings": held}) == fits
    assert outcome("short", account={"holdings": held})


def test_a_coin_that_is_held_is_refused() -> None:
    held = (holding("BTCUSDT", "short"),)
    assert refused(account={"holdings": held}).startswith("there is a position in this coin")


def test_every_reason_is_said() -> None:
    assert refused(rule={"available": False}, account={"equity": D(-5)}) == (
        "the venue says that this market cannot be traded now; equity is -5, expected more than 0"
    )


@pytest.mark.parametrize("equity", ["0", "-5"])
def test_without_equity_nothing_is_entered(equity: str) -> None:
    assert refused(account={"equity": D(equity)}) == f"equity is {equity}, expected more than 0"


def test_an_account_of_less_than_1_enters_as_well() -> None:
    smallest = {"min_size": D("0.0001"), "size_step": D("0.0001")}
    assert planned(account={"equity": D("0.5")}, rule=smallest).size == D("0.0006")


def test_a_coin_of_less_than_1_is_entered_as_well() -> None:
    hundredth = {
        "rule": {"tick": D("0.0001"), "size_step": D(1)},
        "book": {"asks": levels(("0.5001", "90000")), "bids": levels(("0.4999", "90000"))},
        "ticker": {"mark": D("0.5"), "index": D("0.5")},
    }
    found = planned(close="0.5", atr="0.01", settings={"max_slippage_bps": 4}, **hundredth)
    assert (found.limit_price, found.size) == (D("0.5003"), D(2498))


def test_prices_keep_all_their_digits() -> None:
    ask = D("100.0123456789012345678901234567890123")
    found = planned(
        rule={"tick": D("1E-34")},
        book={"asks": levels((str(ask), "1000"))},
        settings={"max_slippage_bps": 0},
    )
    assert found.limit_price == ask


# Stop and costs.


@pytest.mark.parametrize(
    ("atr", "stop"), [("1.1", "0.012"), ("1.2", "0.012"), ("1.3", "0.013"), ("9", "0.09")]
)
def test_the_stop_is_one_atr_or_ten_times_the_costs_away(atr: str, stop: str) -> None:
    assert planned(atr=atr).stop_fraction == D(stop)


def test_settings_of_the_stop_are_used() -> None:
    found = planned(settings={"stop_atr": 1.5, "target_r": 3.0})
    assert (found.stop_fraction, found.target_fraction) == (D("0.03"), D("0.09"))
    assert planned(atr="0.1", settings={"stop_costs": 20}).stop_fraction == D("0.024")


@pytest.mark.parametrize(("atr", "fits"), [("1.21", True), ("1.2", True), ("1.19", False)])
def test_costs_may_be_a_tenth_of_the_stop(atr: str, fits: bool) -> None:
    """Costs are 0.12 %; only a stop that costs have not widened can be too near for them."""
    assert outcome(atr=atr, settings={"stop_costs": 5}) == fits


def test_costs_that_are_too_high_say_so() -> None:
    assert refused(atr="1", settings={"stop_costs": 5}) == (
        "costs 0.12 % (fees 0.1 %, spread 0.02 %, slippage 0 %) exceed 10 % of a stop 1 % away "
        "(ATR 1 %): too little movement for what the trade costs"
    )


def test_both_settings_of_costs_bite_alone() -> None:
    assert not outcome(atr="1.2", settings={"cost_share_pct": 9.9, "stop_costs": 10})
    assert outcome(atr="1.2", settings={"cost_share_pct": 10, "stop_costs": 10})
    wider = {"cost_share_pct": 9.9, "stop_costs": 10.2}
    assert planned(atr="1.2", settings=wider).stop_fraction == D("0.01224")


def test_slippage_is_that_of_the_size_by_the_book() -> None:
    """Of 12.48 the second half is 0.08 beyond: 0.0413 % on average, more than what is sent."""
    asks = levels(("100.01", "6"), ("100.09", "100"))
    found = planned(book={"asks": asks})
    assert "slippage 0.042 %" in found.reason
    assert found.stop_fraction == D("0.02")
    widened = planned(book={"asks": asks}, atr="0.1")
    assert D("0.0160") < widened.stop_fraction < D("0.0180")


def test_slippage_adds_up_over_all_levels() -> None:
    """2 at 0.02 beyond and 5.48 at 0.08 of 12.48: 0.0383 % on average."""
    asks = levels(("100.01", "5"), ("100.03", "2"), ("100.09", "100"))
    assert "slippage 0.039 %" in planned(book={"asks": asks}).reason


def test_slippage_of_a_size_below_1_counts() -> None:
    asks = levels(("100.01", "0.01"), ("100.09", "100"))
    found = planned(book={"asks": asks}, account={"equity": D(400)})
    assert found.size == D("0.49") and "slippage 0.079 %" in found.reason


def test_slippage_is_bounded_by_the_limit() -> None:
    asks = levels(("100.01", "1"), ("100.5", "100"))
    assert "slippage 0.092 %" in planned(book={"asks": asks}).reason
    none_allowed = planned(book={"asks": asks}, settings={"max_slippage_bps": 0})
    assert none_allowed.limit_price == D("100.01")
    assert "slippage 0 %" in none_allowed.reason


@pytest.mark.parametrize(
    ("side", "bps", "limit"),
    [
        ("long", 10, "100.1"),
        ("long", 9.99, "100"),
        ("long", 1, "100"),
        ("short", 10, "99.9"),
        ("short", 9.99, "100"),
    ],
)
def test_the_limit_is_rounded_to_the_tick_inwards(side: TradeSide, bps: float, limit: str) -> None:
    both = {"bids": levels(("99.9", "900")), "asks": levels(("100", "900"))}
    if side == "short":
        both = {"bids": levels(("100", "900")), "asks": levels(("100.1", "900"))}
    found = planned(
        side, rule={"tick": D("0.1")}, book=both, settings={"max_slippage_bps": bps}, atr="4"
    )
    assert found.limit_price == D(limit)


@pytest.mark.parametrize(
    ("side", "atr", "fits"),
    [("long", "99", True), ("long", "100", False), ("short", "49", True), ("short", "50", False)],
)
def test_stop_and_target_leave_a_price_above_zero(side: TradeSide, atr: str, fits: bool) -> None:
    found = plan(side, atr=atr, settings={"liquidation_stops": 1})
    assert isinstance(found, EntryPlan) == fits
    assert fits or "leaves no price above 0" in str(found)


# Size.


def test_size_is_bounded_by_the_coins_limit() -> None:
    found = planned(settings={"risk_pct": 100})
    assert found.size == D("49.94")  # 5000 / 100.11 = 49.945
    assert found.reason.endswith("size by the limit of 5000 per coin")


def test_size_is_bounded_by_what_is_left_of_all_positions() -> None:
    held = (holding("ETHUSDT", "short", 9000), holding("XRPUSDT", "long", 5500))
    found = planned(settings={"risk_pct": 100}, account={"holdings": held})
    assert found.size == D("4.99")  # 500 / 100.11 = 4.9945
    assert found.reason.endswith("size by 500 left of all positions' limit")


@pytest.mark.parametrize(("notional", "fits"), [(14_998, True), (14_999, False), (20_000, False)])
def test_nothing_left_of_all_positions_is_no_entry(notional: int, fits: bool) -> None:
    """2 are enough for 0.01, 1 is not: the limit is 15 000."""
    held = (holding("ETHUSDT", "short", notional),)
    assert outcome(account={"holdings": held}) == fits


@pytest.mark.parametrize(("smallest", "fits"), [("12.47", True), ("12.48", True), ("12.49", False)])
def test_a_size_below_the_smallest_is_refused_never_rounded_up(smallest: str, fits: bool) -> None:
    assert outcome(rule={"min_size": D(smallest)}) == fits


def test_a_size_of_nothing_is_no_entry_even_where_no_smallest_is_set() -> None:
    assert refused(rule={"min_size": D(0), "size_step": D(13)}) == (
        "size 0 by risk of 25 is below the smallest of 0; it is never rounded up"
    )


@pytest.mark.parametrize(
    ("risk_pct", "held", "words"),
    [
        (0.25, (), "risk of 25.83"),
        (100, (), "the limit of 5166.66 per coin"),
        (100, (holding("X", "short", 14_999),), "500.99 left of all positions' limit"),
    ],
)
def test_what_bounds_the_size_is_said_in_cents(
    risk_pct: float, held: tuple[Holding, ...], words: str
) -> None:
    account = {"equity": D("10333.33"), "holdings": held}
    found = planned(account=account, settings={"risk_pct": risk_pct})
    assert found.reason.endswith(f"size by {words}")


def test_positions_beyond_their_limit_leave_nothing() -> None:
    held = (holding("ETHUSDT", "short", 20_000),)
    tiny = {"min_size": D("0.001"), "size_step": D("0.001")}
    assert "size 0.000 by -5000 left of all positions' limit" in refused(
        account={"holdings": held}, rule=tiny
    )


def test_a_size_that_is_too_small_says_so() -> None:
    assert refused(rule={"min_size": D(13), "size_step": D(1)}) == (
        "size 12 by risk of 25 is below the smallest of 13; it is never rounded up"
    )


@pytest.mark.parametrize(("step", "size"), [("5", "10"), ("0.001", "12.486"), ("12.48", "12.48")])
def test_size_is_rounded_down_to_the_step(step: str, size: str) -> None:
    assert planned(rule={"size_step": D(step)}).size == D(size)


@pytest.mark.parametrize(("offered", "fits"), [("0.01", True), ("0.009", False)])
def test_the_book_must_offer_the_smallest_size_within_the_limit(offered: str, fits: bool) -> None:
    asks = levels(("100.01", offered), ("101", "1000"))
    assert outcome(book={"asks": asks}) == fits


@pytest.mark.parametrize("side", ["long", "short"])
def test_a_limit_in_the_middle_of_the_book_is_offered_nothing(side: TradeSide) -> None:
    """Rounded inwards to a tick of 100, the limit is 100, between bid and ask."""
    assert refused(side, rule={"tick": D(100)}).startswith("the book offers 0 up to 1")


# Leverage.


@pytest.mark.parametrize(
    ("available", "leverage"),
    [
        ("1250.00", 1),  # 12.48 * 100.11 = 1249.3728, and a fee of 0.6247
        ("1249.9974864", 1),
        ("1249.9974863", 2),
        ("1249.99", 2),
        ("625.3111", 2),  # half of it, and the fee
        ("625.3110", 3),
        ("250.60", 5),
        ("250.49", 8),
        ("125.57", 10),
    ],
)
def test_leverage_is_the_smallest_that_fits_the_free_margin(available: str, leverage: int) -> None:
    assert planned(account={"available": D(available)}).leverage == leverage


def test_leverage_is_never_above_the_largest_allowed() -> None:
    why = refused(account={"available": D("125.019")})
    assert why == (
        "1249.37 do not fit into a free margin of 125.01 with a leverage of 1, 2, 3, 5, 8, 10 "
        "(at most 10 allowed)"
    )
    assert planned(account={"available": D(125)}, settings={"max_leverage": 15}).leverage == 15


def test_leverage_is_one_that_the_market_offers() -> None:
    found = planned(account={"available": D(400)}, rule={"leverages": (5, 20, 100)})
    assert found.leverage == 5
    assert "leverage of none" in refused(rule={"leverages": (20, 50)})


@pytest.mark.parametrize(("stops", "fits"), [(4.54, True), (4.55, False)])
def test_liquidation_is_so_many_stops_away(stops: float, fits: bool) -> None:
    """At 10 the distance is (0.1 - 0.01) / 0.99 = 9.0909 %, 4.5454 stops of 2 %."""
    found = plan(account={"available": D(126)}, settings={"liquidation_stops": stops})
    assert isinstance(found, EntryPlan) == fits
    assert fits or "at leverage 10, the smallest that fits, liquidation is 9.091 % away" in str(
        found
    )


@pytest.mark.parametrize(("stops", "fits"), [(30, True), (30.01, False)])
def test_liquidation_exactly_so_far_away_is_far_enough(stops: float, fits: bool) -> None:
    """(1 - 0.25) / 1.25 = 60 % are 30 stops of 2 %."""
    settings = {"liquidation_stops": stops}
    assert outcome("short", settings, rule={"leverages": (1, 4)}) == fits


def test_a_market_of_leverage_1_alone_proves_no_distance() -> None:
    assert "liquidation is 0 % away" in refused(rule={"leverages": (1,)})


@pytest.mark.parametrize(
    ("side", "leverage", "rate", "price"),
    [
        ("long", 10, "0.005", "90.4523"),
        ("short", 10, "0.005", "109.4527"),
        ("long", 2, "0.02", "51.0204"),
        ("long", 1, "0.01", "0"),
        ("short", 1, "0", "200"),
    ],
)
def test_liquidation_is_where_the_margin_left_is_the_maintenance_margin(
    side: TradeSide, leverage: int, rate: str, price: str
) -> None:
    sign = -1 if side == "long" else 1
    found = 100 * (1 + sign * liquidation_distance(side, leverage, D(rate)))
    assert round(found, 4) == D(price)
    left = D(100) / leverage - sign * (found - 100)
    assert abs(left - D(rate) * found) < D("1e-20")


@pytest.mark.parametrize(("leverage", "rate"), [(0, "0.01"), (1, "-0.1"), (1, "1")])
def test_a_liquidation_that_cannot_be_is_a_bug(leverage: int, rate: str) -> None:
    why = (
        rf"^leverage {leverage}, maintenance rate {rate}: expected at least 1, and 0 or more but "
        "less than 1$"
    )
    with pytest.raises(ValueError, match=why):
        liquidation_distance("long", leverage, D(rate))


@pytest.mark.parametrize(
    ("side", "value", "fits"),
    [
        ("long", "1248.12", True),  # 12.48 at the best price of 100.01
        ("long", "1248.13", False),
        ("short", "1248.75", True),  # 12.50 at the limit of 99.90
        ("short", "1249.80", False),  # 1249.875 at the best price of 99.99
    ],
)
def test_an_order_worth_less_than_the_venue_takes_is_none(
    side: TradeSide, value: str, fits: bool
) -> None:
    assert outcome(side, rule={"min_value": D(value)}) == fits


def test_an_order_worth_too_little_is_refused_in_words() -> None:
    assert refused(rule={"min_value": D(5000)}) == (
        "size 12.48 by risk of 25 is worth 1248.12, below the smallest value of 5000; it is never "
        "rounded up"
    )


# Exposure.


def open_position(**change: Any) -> OpenPosition:
    """Return a long position of 2 at 50."""
    found = OpenPosition(
        position_id="1", symbol="ETHUSDT", side="long", size=D(2), entry_price=D(50), leverage=2,
        margin_mode="isolated", margin=D(10), unrealized_pnl=D(0), realized_pnl=D(0),
        stop_loss=None, take_profit=None, liquidation_price=None, opened_ms=0, updated_ms=0,
    )  # fmt: skip
    return replace(found, **change)


def test_exposure_counts_every_position_at_the_mark() -> None:
    balance = AccountBalance(
        currency="USDT", available=D(70), frozen=D(1), margin=D(20), unrealized_pnl=D(9)
    )
    one = open_position(unrealized_pnl=D(8))
    other = replace(one, symbol="XRPUSDT", side="short")
    found = exposure(balance, [one, other], [holding("XRPUSDT"), holding("SOLUSDT")])
    assert (found.equity, found.available) == (D(100), D(70))
    assert found.holdings == (
        Holding(symbol="ETHUSDT", side="long", notional=D(108)),
        Holding(symbol="XRPUSDT", side="short", notional=D(92)),
        holding("SOLUSDT"),
    )
    assert found.gross_notional == 1200
    assert (found.count("long"), found.count("short")) == (2, 1)
    assert found.holds("SOLUSDT") and not found.holds("BTCUSDT")


def test_a_position_that_lost_more_than_it_was_worth_counts_as_nothing() -> None:
    balance = AccountBalance(
        currency="USDT", available=D(70), frozen=D(0), margin=D(0), unrealized_pnl=D(0)
    )
    lost = open_position(unrealized_pnl=D("-100.01"))
    almost = open_position(symbol="XRPUSDT", unrealized_pnl=D("-99.99"))
    found = exposure(balance, [lost, almost])
    assert [each.notional for each in found.holdings] == [0, D("0.01")]
