"""Money is neither made nor lost at the simulated venue, whatever happens there."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import codec
from shared.exchanges.sim.account import SIGN, SimAccount
from shared.exchanges.sim.errors import SimRefused
from shared.exchanges.sim.save_file import VenueState, fresh_state
from shared.exchanges.sim.venue import SimVenue
from tests.support.venue import ScriptedPrices

NOW = 1_735_689_600_000
MARKETS = {"BTCUSDT": "78000", "ETHUSDT": "2900"}
Action = Callable[[SimVenue, ScriptedPrices], None]


def at(price: str, move: float, tick: str = "0.01") -> D:
    return (D(price) * D(repr(1 + move))).quantize(D(tick))


@st.composite
def actions(draw: st.DrawFn) -> Action:
    market = draw(st.sampled_from(sorted(MARKETS)))
    side = draw(st.sampled_from(["buy", "sell"]))
    size = D(draw(st.integers(1, 9000))) / (10_000 if market == "BTCUSDT" else 200)
    price = at(MARKETS[market], draw(st.floats(-0.12, 0.12)))
    kind = draw(st.sampled_from(["limit", "market", "ioc", "fok", "maker_only"]))
    leverage = draw(st.sampled_from([1, 3, 10, 50, 100]))
    hours = draw(st.sampled_from([0.01, 1, 9]))

    def trade(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.place(market, side, kind, size, None if kind == "market" else price)  # type: ignore[arg-type]

    def close(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.close(market, "market", None, None)

    def close_part(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.close(market, "limit", size, price)

    def protect(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.set_trigger(market, "stop", "mark", price, None)

    def aim(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.set_trigger(market, "target", "mark", price, size)

    def lever(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.set_leverage(market, leverage)

    def margin(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.move_margin(market, price - D(MARKETS[market]))

    def cancel(venue: SimVenue, _prices: ScriptedPrices) -> None:
        if venue.state.orders.pending:
            order = venue.state.orders.pending[0]
            venue.cancel(order.market, order.order_id)

    def transfer(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.transfer((price - D(MARKETS[market])) / 7)

    def rate(venue: SimVenue, _prices: ScriptedPrices) -> None:
        venue.set_funding_rate(market, (price / D(MARKETS[market]) - 1) / 30)

    def go(venue: SimVenue, prices: ScriptedPrices) -> None:
        until_ms = venue.now_ms + int(hours * 3_600_000)
        prices.go(market, until_ms, str(price))
        venue.advance(until_ms)

    def jump(venue: SimVenue, prices: ScriptedPrices) -> None:
        until_ms = venue.now_ms + int(hours * 3_600_000)
        prices.jump(market, until_ms, str(price))
        venue.advance(until_ms)

    def stand_still(venue: SimVenue, prices: ScriptedPrices) -> None:
        until_ms = venue.now_ms + int(hours * 3_600_000)
        prices.go(market, until_ms, str(price))
        venue.skip(until_ms)

    return draw(
        st.sampled_from(
            [trade, trade, trade, close, close_part, protect, aim, lever, margin, cancel, transfer,
             rate, go, go, jump, stand_still]
        )
    )  # fmt: skip


def replayed(account: SimAccount) -> D:
    """Return equity at cost from deals and ledger alone, by other means than the account's."""
    cash, sizes = D(0), {market: D(0) for market in MARKETS}
    for deal in account.deals:
        sign = 1 if deal.side == "buy" else -1
        cash -= sign * deal.price * deal.amount + deal.fee
        sizes[deal.market] += sign * deal.amount
    for entry in account.ledger:
        if entry.kind in ("transfer", "funding", "liquidation"):
            cash += entry.amount
    for market, size in sizes.items():
        held = account.positions.get(market)
        assert size == (SIGN[held.side] * held.size if held else 0)
    return cash + sum((SIGN[p.side] * p.cost for p in account.positions.values()), D(0))


def check(venue: SimVenue) -> None:
    account = venue.account
    assert account.wallet == sum(account.totals.values())
    assert account.wallet == replayed(account)
    assert venue.state.orders.frozen >= 0
    for held in account.positions.values():
        assert held.size > 0
        assert held.cost > 0
        assert held.margin >= 0
        assert venue.closable(held) >= 0
    marks = venue.marks()
    deals = sum(
        ((-1 if d.side == "buy" else 1) * d.price * d.amount - d.fee for d in account.deals), D(0)
    )
    worth = sum((SIGN[p.side] * p.size * marks[m] for m, p in account.positions.items()), D(0))
    booked = sum(
        (account.totals.get(k, D(0)) for k in ("transfer", "funding", "liquidation")), D(0)
    )
    assert account.wallet + account.unrealized(marks) == booked + deals + worth


@settings(max_examples=150)
@given(st.lists(actions(), min_size=1, max_size=40))
def test_equity_is_deposits_fills_fees_funding_and_liquidations_to_the_last_digit(
    story: list[Action],
) -> None:
    prices = ScriptedPrices(NOW, MARKETS)
    venue = SimVenue(prices, fresh_state(NOW))
    for act in story:
        before = codec.encode(venue.state)
        try:
            act(venue, prices)
        except SimRefused:
            assert codec.encode(venue.state) == before, "what is declined changes nothing"
        check(venue)


@settings(max_examples=60)
@given(st.lists(actions(), min_size=1, max_size=25), st.integers(0, 24))
def test_venue_read_back_from_its_file_goes_on_as_if_never_stopped(
    story: list[Action], stopped: int
) -> None:
    ends = []
    for stops in (False, True):
        prices = ScriptedPrices(NOW, MARKETS)
        venue = SimVenue(prices, fresh_state(NOW))
        for number, act in enumerate(story):
            if stops and number == stopped:
                raw = codec.encode(venue.state)
                venue = SimVenue(prices, codec.decode(VenueState, raw, "file"))
            try:
                act(venue, prices)
            except SimRefused:
                continue
            # so that the book has nothing to remember that no file does
            prices.jump("BTCUSDT", venue.now_ms + 5000, str(venue.mark("BTCUSDT")))
            venue.advance(venue.now_ms + 5000)
        ends.append(codec.encode(venue.state))
    assert ends[0] == ends[1]


@settings(max_examples=60)
@given(
    st.lists(st.floats(-0.05, 0.05), min_size=1, max_size=12),
    st.lists(st.integers(200_000, 3_600_000), min_size=1, max_size=6),
)
def test_how_often_one_looks_changes_nothing(moves: list[float], looks: list[int]) -> None:
    ends = []
    for seen in (False, True):
        prices = ScriptedPrices(NOW, MARKETS)
        venue = SimVenue(prices, fresh_state(NOW))
        venue.set_leverage("BTCUSDT", 20)
        venue.place("BTCUSDT", "buy", "market", D("0.1"), None)
        venue.set_trigger("BTCUSDT", "stop", "mark", D("77000"), D("0.03"))
        venue.set_trigger("BTCUSDT", "target", "mark", D("79000"), D("0.02"))
        venue.place("BTCUSDT", "buy", "limit", D("0.02"), D("76500"))
        for number, move in enumerate(moves, 1):
            prices.go("BTCUSDT", NOW + number * 3_600_000, str(at("78000", move)))
        end_ms = NOW + len(moves) * 3_600_000
        look_ms = NOW
        while seen and look_ms < end_ms:
            look_ms += looks[look_ms % len(looks)]
            venue.advance(min(look_ms, end_ms))
        venue.advance(end_ms)
        ends.append(venue)
    once, often = (venue.account for venue in ends)
    assert [(d.price, d.amount) for d in once.deals] == [(d.price, d.amount) for d in often.deals]
    assert once.totals == often.totals


def test_declined_withdrawal_is_a_refusal() -> None:
    venue = SimVenue(ScriptedPrices(NOW, MARKETS), fresh_state(NOW))
    with pytest.raises(SimRefused):
        venue.transfer(D(-10_001))
