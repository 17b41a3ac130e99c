"""The simulated account, number by number; against recordings where there are any."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from shared.exchanges.sim.account import SimAccount, SimFill, SimPosition
from shared.exchanges.venue import OrderSide
from shared.messages.trading import TradeSide

NOW = 1_735_000_000_000


def account(deposit: str = "10000") -> SimAccount:
    opened = SimAccount()
    opened.transfer(D(deposit), NOW)
    return opened


def fill(held: SimAccount, side: OrderSide, price: str, amount: str, **more: Any) -> list[SimFill]:
    given: dict[str, Any] = {
        "role": "taker", "fee_rate": D("0.0005"), "order_id": 1, "at_ms": NOW, "how": "market",
    }  # fmt: skip
    return held.fill("BTCUSDT", side, D(price), D(amount), **(given | more))


def held_position(side: TradeSide, size: str, cost: str, margin: str) -> SimPosition:
    return SimPosition(
        position_id=1, market="BTCUSDT", side=side, leverage=3, created_ms=NOW, updated_ms=NOW,
        size=D(size), cost=D(cost), margin=D(margin),
    )  # fmt: skip


def test_recorded_isolated_position_has_the_recorded_prices_of_ruin() -> None:
    position = held_position("long", "0.0001", "6.104784", "3.034928")
    assert position.bankruptcy_price() == D("30698.56")
    liquidation = position.liquidation_price(D("0.005"))
    assert liquidation is not None
    assert liquidation.quantize(D("1e-12")) == D("30852.824120603015")


def test_documented_short_position_has_the_documented_prices_of_ruin() -> None:
    position = held_position("short", "0.001", "30.72135", "0.614427")
    assert position.bankruptcy_price() == D("31335.777")
    liquidation = position.liquidation_price(D("0.005"))
    assert liquidation is not None
    assert liquidation.quantize(D("1e-14")) == D("31179.87761194029851")


def test_opening_costs_the_fee_and_sets_margin_aside() -> None:
    held = account()
    (deal,) = fill(held, "buy", "62336.8", "0.0001")
    position = held.positions["BTCUSDT"]
    assert deal.fee == D("0.00311684")
    assert position.realized == D("-0.00311684")  # as recorded
    assert position.margin == D("2.077893333334")  # rounded up: never less than asked for
    assert held.wallet == D("10000") - deal.fee


def test_closing_in_parts_realizes_the_whole_to_the_last_digit() -> None:
    held = account()
    fill(held, "buy", "100.01", "0.3")
    fill(held, "buy", "100.07", "0.4")
    for _ in range(7):
        fill(held, "sell", "101", "0.1", fee_rate=D(0))
    assert not held.positions
    assert held.totals["pnl"] == 7 * D("10.1") - D("30.003") - D("40.028")
    assert held.margin == 0
    (ended,) = held.ended
    assert ended.position.entry_price.quantize(D("1e-9")) == D("100.044285714")


def test_order_larger_than_the_opposite_position_turns_it_round() -> None:
    held = account()
    fill(held, "buy", "100", "1")
    closed, opened = fill(held, "sell", "110", "3")
    assert (closed.amount, opened.amount) == (D(1), D(2))
    assert closed.position_id != opened.position_id
    position = held.positions["BTCUSDT"]
    assert (position.side, position.size, position.entry_price) == ("short", D(2), D(110))
    assert held.totals["pnl"] == 10
    assert [ended.how for ended in held.ended] == ["market"]


@pytest.mark.parametrize(("side", "expected"), [("buy", "-0.1"), ("sell", "0.1")])
def test_positive_funding_is_paid_by_longs(side: OrderSide, expected: str) -> None:
    held = account()
    fill(held, side, "1000", "1")
    assert held.fund("BTCUSDT", D("0.0001"), D("1000"), NOW) == D(expected)
    assert held.totals["funding"] == D(expected)


def test_funding_beyond_what_is_available_eats_the_margin() -> None:
    held = account("100")
    held.leverages["BTCUSDT"] = 10
    fill(held, "buy", "990", "1", fee_rate=D(0))
    assert held.wallet - held.margin == 1
    held.fund("BTCUSDT", D("0.003"), D("1000"), NOW)
    assert held.wallet - held.margin == 0
    assert held.positions["BTCUSDT"].margin == 97


def test_liquidation_takes_the_margin_and_nothing_else() -> None:
    held = account()
    held.leverages["BTCUSDT"] = 10
    fill(held, "buy", "100", "10", fee_rate=D(0))
    held.liquidate("BTCUSDT", D("91"), D("0.01"), 7, NOW)
    assert held.wallet == 9900
    assert (held.totals["pnl"], held.totals["liquidation"]) == (D(-90), D(-10))
    assert held.ended[-1].how == "liquidation"


@pytest.mark.parametrize(("side", "mark"), [("buy", "50"), ("sell", "150")])
def test_gap_beyond_ruin_costs_no_more_than_the_margin(side: OrderSide, mark: str) -> None:
    held = account()
    held.leverages["BTCUSDT"] = 10
    fill(held, side, "100", "10", fee_rate=D(0))
    held.liquidate("BTCUSDT", D(mark), D("0.01"), 7, NOW)
    assert held.wallet == 9900
    assert held.totals["liquidation"] == 0


def test_what_is_kept_is_bounded_and_the_totals_are_not() -> None:
    held = account()
    for _ in range(1500):
        fill(held, "buy", "100", "1")
        fill(held, "sell", "100", "1")
    assert len(held.deals) == len(held.ledger) == 2000
    assert held.totals["fee"] == -3000 * D("0.05")
    assert held.wallet == sum(held.totals.values())
