"""Breakers bite at their limit and not before, stay latched, and know transfers from losses."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from shared.config.sections import TraderSection
from shared.errors import BadMessage
from shared.messages.trading import TraderLimit, TradeSide
from shared.trading.breakers import (
    DAY_MS,
    HOUR_MS,
    Latch,
    Ledger,
    closed,
    deviation,
    limits,
    objections,
    observed,
    released,
)
from shared.trading.exposure import Exposure
from tests.support.decisions import holding

D = Decimal
DAY = 19_675
NOON_MS = DAY * DAY_MS + DAY_MS // 2
NOTHING = Exposure(equity=D(1000), available=D(1000))


def looked(*looks: tuple[Any, ...], ledger: Ledger | None = None, **settings: Any) -> Ledger:
    """Return the ledger after looks of (equity[, transferred[, ms later than noon]])."""
    for look in looks:
        equity, transferred, later_ms = [*look, 0, 0][:3]
        ledger = observed(
            ledger, D(equity), D(transferred), TraderSection(**settings), NOON_MS + later_ms
        )
    assert ledger is not None
    return ledger


def latched(ledger: Ledger) -> list[str]:
    return [latch.breaker for latch in ledger.latches]


def limit(ledger: Ledger, name: str, now_ms: int = NOON_MS, **settings: Any) -> TraderLimit:
    found = limits(ledger, NOTHING, TraderSection(**settings), now_ms)
    return next(each for each in found if each.name == name)


# Daily loss.


@pytest.mark.parametrize(
    ("equity", "state", "expected"),
    [
        ("1000", "ok", []),
        ("984.01", "ok", []),
        ("984", "warned", []),
        ("980.01", "warned", []),
        ("980", "latched", ["daily loss"]),
        ("979.99", "latched", ["daily loss"]),
    ],
)
def test_daily_loss_bites_at_its_limit(equity: str, state: str, expected: list[str]) -> None:
    found = looked((1000,), (equity,))
    assert latched(found) == expected
    assert limit(found, "daily loss").state == state


def test_daily_loss_of_several_steps_bites_at_its_limit() -> None:
    assert latched(looked((1000,), (993,), (987,), (980,))) == ["daily loss"]


def test_what_is_used_is_never_shown_larger_than_it_is() -> None:
    found = limit(looked((1000,), ("980.0001",)), "daily loss")
    assert (found.used, found.limit, found.unit) == ("1.9999", "2", "%")


def test_daily_loss_is_counted_from_the_first_look_of_the_utc_day() -> None:
    tomorrow_ms = DAY_MS // 2
    ledger = looked((1000,), (990,), (985, 0, tomorrow_ms - 1))
    assert limit(ledger, "daily loss").used == "1.5"
    ledger = looked((981, 0, tomorrow_ms), ledger=ledger)
    assert (ledger.day, ledger.day_equity, ledger.day_pnl) == (DAY + 1, D(981), D(0))
    assert limit(ledger, "daily loss").used == "0"
    assert limit(ledger, "drawdown").used == "1.9"
    assert latched(looked(("961.38", 0, tomorrow_ms), ledger=ledger)) == ["daily loss"]


def test_a_clock_that_goes_back_begins_no_day() -> None:
    found = looked((1000,), (990, 0, -DAY_MS))
    assert (found.day, found.day_equity) == (DAY, D(1000))


def test_a_daily_loss_stays_latched_over_the_next_day_and_over_gains() -> None:
    found = looked((1000,), (980,), (1100, 0, DAY_MS), (1200, 0, 2 * DAY_MS))
    assert latched(found) == ["daily loss"]
    assert limit(found, "daily loss").state == "latched"


def test_what_the_day_brought_is_told() -> None:
    assert looked((1000,), (1010,), (1505, 495), (1500, -5)).day_pnl == 10


# Drawdown.


@pytest.mark.parametrize(
    ("equity", "expected"), [("1104.01", []), ("1104", ["drawdown"]), ("1", ["drawdown"])]
)
def test_drawdown_is_counted_from_the_peak(equity: str, expected: list[str]) -> None:
    found = looked((1000,), (1200, 0, 1), (equity, 0, DAY_MS))
    assert latched(found) == expected


@pytest.mark.parametrize(
    ("equity", "state"), [("936.01", "ok"), ("936", "warned"), ("920.01", "warned")]
)
def test_drawdown_warns_before(equity: str, state: str) -> None:
    found = looked((1000,), (equity, 0, DAY_MS))
    assert limit(found, "drawdown").state == state


def test_an_account_of_less_than_1_has_breakers_too() -> None:
    found = looked(("0.5",), ("0.49",))
    assert latched(found) == ["daily loss"]
    assert found.latches[0].why == "daily loss of 2 % reached the limit of 2"


def test_settings_of_breakers_are_used() -> None:
    settings: dict[str, Any] = {"daily_loss_pct": 50, "drawdown_pct": 60, "warn_pct": 50}
    assert latched(looked((1000,), (501,), **settings)) == []
    assert limit(looked((1000,), (750,), **settings), "daily loss", **settings).state == "warned"
    assert latched(looked((1000,), (500,), **settings)) == ["daily loss"]
    assert latched(looked((1000,), (400,), **settings)) == ["daily loss", "drawdown"]


# Transfers.


@pytest.mark.parametrize("transferred", [-900, -20, 20, 9000])
def test_a_transfer_is_neither_gain_nor_loss(transferred: int) -> None:
    before = looked((1000,), (1100,), (1089,))
    after = looked((1089 + transferred, transferred), ledger=before)
    assert latched(after) == []
    assert after.day_pnl == before.day_pnl
    for name in ("daily loss", "drawdown"):
        assert D(limit(after, name).used) == pytest.approx(
            D(limit(before, name).used), abs=D("0.0001")
        )


def test_a_loss_counts_beside_a_transfer_and_shares_are_of_what_is_there_since() -> None:
    assert latched(looked((1000,), (1480, 500))) == ["daily loss"]
    assert latched(looked((1000,), (1481, 500))) == []
    assert latched(looked((1000,), (100, -900), ("98.01",))) == []
    assert latched(looked((1000,), (100, -900), (98,))) == ["daily loss"]
    assert latched(looked((1000,), (10_000, 9000), (9801,))) == []
    assert latched(looked((1000,), (10_000, 9000), (9800,))) == ["daily loss"]


@pytest.mark.parametrize("factor", [D("0.0005"), D(1)])
def test_a_small_account_is_scaled_by_a_transfer_as_a_large_one(factor: D) -> None:
    found = looked((1000 * factor,), (995 * factor,), (1990 * factor, 995 * factor))
    assert (found.day_equity, found.peak) == (2000 * factor, 2000 * factor)
    found = looked((995 * factor, -995 * factor), ledger=found)
    assert (found.day_equity, found.peak) == (1000 * factor, 1000 * factor)


def test_what_a_transfer_scales_loses_no_digit() -> None:
    found = looked(
        ("3",), ("1000000000000000000000000000000.1", "999999999999999999999999999997.1")
    )
    assert found.equity == found.peak == D("1000000000000000000000000000000.1")


def test_everything_paid_out_counts_from_there() -> None:
    found = looked((1000,), (990,), (0, -990))
    assert (found.day_equity, found.peak, found.equity) == (D(0), D(0), D(0))


def test_everything_paid_out_and_in_again_counts_from_there() -> None:
    found = looked((1000,), (990,), (0, -990), (500, 500))
    assert (found.day_equity, found.peak, latched(found)) == (D(500), D(500), [])
    assert latched(looked((490,), ledger=found)) == ["daily loss"]


def test_an_account_that_is_lost_latches_and_money_does_not_release_it() -> None:
    found = looked((1000,), (-5,), (995, 1000))
    assert latched(found) == ["daily loss", "drawdown"]
    assert (found.day_equity, found.peak) == (D(995), D(995))


# Losses in a row.


@pytest.mark.parametrize(
    ("trades", "losses"),
    [([-1] * 4, 4), ([-1] * 5, 5), ([-1, -1, 1, -1], 1), ([-1, 0, -1], 2), ([1], 0)],
)
def test_losses_in_a_row_bite_at_their_limit(trades: list[int], losses: int) -> None:
    ledger = looked((1000,))
    for pnl in trades:
        ledger = closed(ledger, D(pnl), TraderSection(), NOON_MS)
    assert ledger.losses == losses
    assert latched(ledger) == (["losses in a row"] if losses >= 5 else [])
    assert all(latch.at_ms == NOON_MS for latch in ledger.latches)
    assert limit(ledger, "losses in a row").used == str(losses)


def test_a_win_does_not_release() -> None:
    ledger = closed(looked((1000,)), D(-1), TraderSection(max_losses=1), NOON_MS)
    ledger = closed(ledger, D(5), TraderSection(max_losses=1), NOON_MS)
    assert (ledger.losses, latched(ledger)) == (0, ["losses in a row"])


def test_a_pause_after_losses_ends_by_itself_and_counts_anew() -> None:
    settings, end_ms = TraderSection(max_losses=2, loss_pause_h=6), NOON_MS + 6 * HOUR_MS
    ledger = looked((1000,))
    for _ in range(3):
        ledger = closed(ledger, D(-1), settings, NOON_MS)
    pause = (
        "losses in a row of 2 trades reached the limit of 2 at 2023-11-14T12:00:00Z, entries are "
    )
    assert objections(ledger, settings, NOON_MS) == [pause + "paused until 2023-11-14T18:00:00Z"]
    won = limits(closed(ledger, D(5), settings, NOON_MS), NOTHING, settings, NOON_MS)
    (row,) = (each for each in won if each.name == "losses in a row")
    assert (row.state, row.used) == ("reached", "2")  # it is paused all the same
    assert observed(ledger, D(1000), D(0), settings, end_ms - 1) == ledger
    after = observed(ledger, D(1000), D(0), settings, end_ms)
    assert (after.latches, after.losses) == ((), 0)
    assert (after.day_equity, after.peak) == (ledger.day_equity, ledger.peak)


def test_a_pause_ends_no_other_breaker() -> None:
    ledger = looked((1000,), (980,))
    for _ in range(5):
        ledger = closed(ledger, D(-1), TraderSection(), NOON_MS)
    assert latched(ledger) == ["daily loss", "losses in a row"]
    after = observed(ledger, D(980), D(0), TraderSection(), NOON_MS + 24 * HOUR_MS)
    assert latched(after) == ["daily loss"]


def test_without_a_pause_losses_in_a_row_hold_until_released() -> None:
    settings = TraderSection(max_losses=1, loss_pause_h=0)
    ledger = closed(looked((1000,)), D(-1), settings, NOON_MS)
    later = observed(ledger, D(1000), D(0), settings, NOON_MS + 1000 * HOUR_MS)
    assert latched(later) == ["losses in a row"]
    assert limit(later, "losses in a row").state == "latched"
    assert objections(later, settings, NOON_MS)[0].endswith(": release it")


@pytest.mark.parametrize(("hours", "now_h", "state"), [
    (24, 6, "reached"), (24, 24, None), (6, 5.9, "reached"), (6, 6, None), (48, 24, "reached"),
    (0, 24, "latched"),
])  # fmt: skip
def test_a_pause_that_has_begun_lasts_as_long_as_the_settings_say_now(
    hours: float, now_h: float, state: str | None
) -> None:
    begun = closed(looked((1000,)), D(-1), TraderSection(max_losses=1), NOON_MS)
    now_ms = NOON_MS + round(now_h * HOUR_MS)
    changed = TraderSection(max_losses=1, loss_pause_h=hours)
    after = observed(begun, D(1000), D(0), changed, now_ms)
    assert latched(after) == ([] if state is None else ["losses in a row"])
    assert [latch.until_ms for latch in after.latches] == (
        [] if state is None else [NOON_MS + round(hours * HOUR_MS) if hours else None]
    )
    (row,) = (e for e in limits(after, NOTHING, changed, now_ms) if e.name == "losses in a row")
    assert row.state == (state or "ok")


def test_what_is_to_be_released_is_no_pause_by_another_setting() -> None:
    held = closed(
        looked((1000,)), D(-1), TraderSection(max_losses=1, loss_pause_h=0), NOON_MS
    )  # fmt: skip
    later = observed(held, D(1000), D(0), TraderSection(max_losses=1), NOON_MS + 99 * HOUR_MS)
    assert latched(later) == ["losses in a row"]


# Orders per hour.


def ordered(ledger: Ledger, *at_ms: int) -> Ledger:
    """Return the ledger with orders sent at these times."""
    return replace(ledger, orders_ms=at_ms)


@pytest.mark.parametrize(("count", "may"), [(29, True), (30, False), (31, False)])
def test_orders_of_an_hour_are_limited(count: int, may: bool) -> None:
    ledger = ordered(looked((1000,)), *range(NOON_MS, NOON_MS + count))
    assert (objections(ledger, TraderSection(), NOON_MS + count) == []) == may
    state = limit(ledger, "orders per hour", NOON_MS + count).state
    assert state == ("warned" if may else "reached")
    assert latched(ledger) == []


@pytest.mark.parametrize(("later_ms", "count"), [(3_599_999, 1), (3_600_000, 0)])
def test_orders_are_forgotten_after_an_hour(later_ms: int, count: int) -> None:
    ledger = ordered(looked((1000,)), NOON_MS)
    assert limit(ledger, "orders per hour", NOON_MS + later_ms).used == str(count)


def test_too_many_orders_say_so() -> None:
    ledger = ordered(looked((1000,)), NOON_MS)
    assert objections(ledger, TraderSection(max_orders_per_hour=1), NOON_MS) == [
        "1 orders within the last hour, at most 1 are allowed: wait"
    ]


@pytest.mark.parametrize(("count", "state"), [(23, "ok"), (24, "warned"), (70, "warned")])
def test_refused_orders_are_a_limit_of_their_own_that_only_warns(count: int, state: str) -> None:
    ledger = replace(looked((1000,)), refused_ms=tuple(range(NOON_MS, NOON_MS + count)))
    found = limit(ledger, "refusals per hour", NOON_MS + count)
    assert (found.used, found.state) == (str(count), state)
    assert limit(ledger, "orders per hour", NOON_MS + count).used == "0"
    assert objections(ledger, TraderSection(), NOON_MS + count) == []


def test_a_ledger_written_before_refusals_were_counted_is_read() -> None:
    raw = looked((1000,)).encode().replace(b',"refused_ms":[]', b"")
    assert Ledger.decode(raw, "journal").refused_ms == ()


# Latches.


def test_a_latch_tells_when_and_why_and_what_to_do() -> None:
    ledger = looked((1000,), (980,))
    assert ledger.latches == (
        Latch(
            breaker="daily loss",
            at_ms=NOON_MS,
            why="daily loss of 2 % reached the limit of 2",
        ),
    )
    assert objections(ledger, TraderSection(), NOON_MS) == [
        "daily loss of 2 % reached the limit of 2 at 2023-11-14T12:00:00Z: release it"
    ]


def test_a_breaker_is_latched_once() -> None:
    ledger = looked((1000,), (980,), (970,), (1000,), (960,))
    assert latched(ledger) == ["daily loss"]


def test_after_a_release_what_was_latched_counts_anew() -> None:
    bad = looked((1000,), (915,))
    for _ in range(5):
        bad = closed(bad, D(-17), TraderSection(), NOON_MS)
    assert latched(bad) == ["daily loss", "drawdown", "losses in a row"]
    free = released(bad)
    assert latched(free) == [] and objections(free, TraderSection(), NOON_MS) == []
    assert (free.day_equity, free.peak, free.losses, free.day_pnl) == (D(915), D(915), 0, D(-85))
    assert latched(looked(("896.71",), ledger=free)) == []
    assert latched(looked(("896.70",), ledger=free)) == ["daily loss"]


def test_a_release_forgets_nothing_that_was_not_latched() -> None:
    warned = looked((1000,), (981,))
    assert released(warned) == warned
    free = released(looked((1000,), (980,)))
    assert (free.day_equity, free.peak) == (D(980), D(1000))


# What is shown, and kept.


def test_every_limit_is_shown_with_its_distance() -> None:
    account = Exposure(
        equity=D(1000),
        available=D(0),
        holdings=(holding("AAAUSDT"), holding("BBBUSDT"), holding("CCCUSDT", "short", 250)),
    )
    found = limits(looked((1000,), (995,)), account, TraderSection(), NOON_MS)
    assert [(e.name, e.used, e.limit, e.unit, e.state, e.is_room) for e in found] == [
        ("daily loss", "0.5", "2", "%", "ok", False),
        ("drawdown", "0.5", "8", "%", "ok", False),
        ("losses in a row", "0", "5", "trades", "ok", False),
        ("orders per hour", "0", "30", "orders", "ok", False),
        ("refusals per hour", "0", "30", "orders", "ok", False),
        ("positions", "3", "3", "positions", "reached", True),
        ("positions on one side", "2", "2", "positions", "reached", True),
        ("gross notional", "2.25", "1.5", "equities", "reached", True),
    ]


@pytest.mark.parametrize("side", ["long", "short"])
def test_positions_on_one_side_are_those_of_the_fuller_side(side: TradeSide) -> None:
    account = replace(NOTHING, holdings=(holding("AAAUSDT", side), holding("BBBUSDT", side)))
    found = limits(looked((1000,)), account, TraderSection(), NOON_MS)
    assert next(e.used for e in found if e.name == "positions on one side") == "2"


def test_gross_notional_of_a_small_account_is_a_share_of_its_equity() -> None:
    account = Exposure(equity=D("0.5"), available=D(0), holdings=(holding("AAAUSDT", "long", 2),))
    assert limits(looked((1000,)), account, TraderSection(), NOON_MS)[-1].used == "4"


def test_gross_notional_is_cut_from_its_exact_quotient() -> None:
    whole = 10**30
    account = Exposure(
        equity=D(whole), available=D(0), holdings=(holding("AAAUSDT", "long", whole - 1),)
    )
    assert limits(looked((1000,)), account, TraderSection(), NOON_MS)[-1].used == "0.9999"


def test_without_equity_limits_can_still_be_shown() -> None:
    account = replace(NOTHING, equity=D(0))
    found = limits(looked((0,)), account, TraderSection(), NOON_MS)
    assert {each.used for each in found} == {"0"}
    assert latched(looked((0,), (0,), (-1,))) == []


def test_a_ledger_survives_as_bytes() -> None:
    ledger = ordered(looked((1000,), ("980.000000000000000000001", "-0.1"), (970,)), NOON_MS)
    ledger = replace(ledger, losses=3, refused_ms=(NOON_MS - 1,))
    assert ledger.latches and ledger.day_pnl
    assert Ledger.decode(ledger.encode(), "journal") == ledger


@pytest.mark.parametrize("field", ["day_equity", "peak", "equity", "day_pnl"])
@pytest.mark.parametrize("value", ["", "ten", "NaN", "Infinity"])
def test_a_ledger_that_is_none_is_refused(value: str, field: str) -> None:
    written = json.loads(looked((1000,)).encode())
    why = rf"^journal: {field}: expected a decimal number, found '{value}'"
    with pytest.raises(BadMessage, match=why):
        Ledger.decode(json.dumps({**written, field: value}), "journal")
    with pytest.raises(BadMessage, match=r"^journal: .*missing"):
        Ledger.decode(b"{}", "journal")


@pytest.mark.parametrize(
    ("price", "reference", "apart"),
    [("101", "100", "0.01"), ("99", "100", "0.01"), ("1", "1", "0"), ("0", "1", None),
     ("1", "0", None)],
)  # fmt: skip
def test_deviation_is_a_share_of_the_reference(
    price: str, reference: str, apart: str | None
) -> None:
    assert deviation(D(price), D(reference)) == (None if apart is None else D(apart))
