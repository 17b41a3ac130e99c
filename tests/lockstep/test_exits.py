"""The trader as it is on a made-up market: everything that ends a position, and when it acts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.config.sections import FaultEntry
from shared.market import Timeframe
from tests.lockstep.by_candles import contradictions
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.lockstep.world import Outcome, World

pytestmark = pytest.mark.xdist_group("one run of all exits")

MINUTE_MS = 60_000
RECORDINGS = made_market(ETHUSDT=(BEGIN_MS + 70 * MINUTE_MS, 2.5))
REFUSED = FaultEntry(
    kind="venue_refuse", after_s=52 * 60, for_s=60, endpoint="set-position-stop-loss"
)

BEGUN: list[int | None] = []
"""The close that was decided on, 1 ms after it was to be."""


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Seventy-six minutes in which people at the venue and the venue itself interfere."""
    world = World(
        RECORDINGS, SETTINGS, BEGIN_MS, BEGIN_MS + 76 * MINUTE_MS, faults=[REFUSED]
    )  # fmt: skip
    for minute, act in (
        (30, lambda there: there.bus.command("close", "SOLUSDT")),
        (50, lambda there: there.venue.close("SOLUSDT", "market", None, None)),
        (52, lambda there: there.venue.cancel_triggers("BTCUSDT", "stop", None)),
    ):
        world.at(BEGIN_MS + minute * MINUTE_MS, act)
    delay_ms = round(1000 * SETTINGS.delay_s)
    for close_ms in range(BEGIN_MS + 5 * MINUTE_MS, BEGIN_MS + 76 * MINUTE_MS, 5 * MINUTE_MS):
        world.at(close_ms + delay_ms + 1, lambda there: BEGUN.append(there.trader._begun_ms))
    return world.run()


def test_positions_end_in_every_way_a_trader_knows(outcome: Outcome) -> None:
    ended = {trade.ended_by for trade in outcome.trades}
    assert ended == {
        "stop", "target", "liquidation", "time", "command", "protection", "outside"
    }  # fmt: skip


def test_stops_and_targets_are_those_of_the_candles(outcome: Outcome) -> None:
    candles = {symbol: each.candles[Timeframe.M5] for symbol, each in RECORDINGS.items()}
    assert contradictions(outcome.trades, candles) == []


def test_money_of_venue_and_journal_agrees(outcome: Outcome) -> None:
    trades = [*outcome.trades, *outcome.still_open]
    booked = sum((trade.pnl for trade in outcome.trades if trade.pnl is not None), Decimal(0))
    booked += sum((each.price_pnl - each.fees for each in outcome.still_open), Decimal(0))
    filled = {fill.order_id for trade in trades for fill in trade.fills}
    assert abs(outcome.wallet - 10_000 - booked) < Decimal("1e-6")
    assert filled == {str(order.order_id) for order in outcome.orders if order.filled}


def test_cycle_begins_at_its_time(outcome: Outcome) -> None:
    assert len(outcome.equity) == 16
    assert [row.cycle_ms for row in outcome.equity[1:]] == BEGUN


def test_planned_act_that_fails_fails_the_run() -> None:
    world = World(RECORDINGS, SETTINGS, BEGIN_MS, BEGIN_MS + MINUTE_MS)
    world.at(BEGIN_MS + 1_000, lambda there: there.venue.close("SOLUSDT", "market", None, None))
    with pytest.raises(Exception, match="no position in SOLUSDT"):
        world.run()
