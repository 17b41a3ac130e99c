"""Whose position it is, by journal and venue; and the id of a decision."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from actors.trader.positions import client_id_of, compare, differs
from shared.exchanges.venue import OpenPosition
from shared.journal.rows import OwnPosition

D = Decimal


def own(**changes: Any) -> OwnPosition:
    given: dict[str, Any] = {
        "own_id": 1, "symbol": "BTCUSDT", "side": "long", "venue": "tiny", "environment": "live",
        "currency": "USDT", "venue_id": "5", "opened_ms": 0, "why": "", "plan": None,
        "stop_fraction": D("0.01"), "target_fraction": D("0.02"), "stop": None, "target": None,
        "unprotected_ms": None, "closing": "", "closing_by": None, "adopted_size": D(2),
        "adopted_price": D(100), "adopted_pnl": D(0), "ordered_in": D(0), "ordered_out": D(0),
        "fills": (), "funding": D(0),
    }  # fmt: skip
    return OwnPosition(**given | changes)


def position(**changes: Any) -> OpenPosition:
    given: dict[str, Any] = {
        "position_id": "5", "symbol": "BTCUSDT", "side": "long", "size": D(2),
        "entry_price": D(100), "leverage": 3, "margin_mode": "isolated", "margin": D(60),
        "unrealized_pnl": D(0), "realized_pnl": D(0), "stop_loss": None, "take_profit": None,
        "liquidation_price": None, "opened_ms": 0, "updated_ms": 0,
    }  # fmt: skip
    return OpenPosition(**given | changes)


@pytest.mark.parametrize(
    "at_venue",
    [position(), position(size=D(1)), position(entry_price=D(99))],
    ids=["same", "smaller", "another price"],
)
def test_position_as_large_as_the_journal_says_or_smaller_is_ours(at_venue: OpenPosition) -> None:
    reconciled = compare([own()], [at_venue])
    assert [matched.at_venue for matched in reconciled.ours] == [at_venue]
    assert (reconciled.foreign, reconciled.ending) == ((), ())


@pytest.mark.parametrize(
    ("at_venue", "why"),
    [
        (position(size=D("2.0001")), "larger than ours"),
        (position(side="short"), "ours is long"),
        (position(position_id="6"), "opened after ours had ended"),
    ],
)
def test_position_that_differs_is_foreign_as_a_whole(at_venue: OpenPosition, why: str) -> None:
    reconciled = compare([own()], [at_venue])
    assert reconciled.ours == ()
    assert why in reconciled.foreign[0].why
    assert [each.own_id for each in reconciled.ending] == [1]


def test_position_nobody_journalled_is_foreign() -> None:
    reconciled = compare([own()], [position(), position(symbol="ETHUSDT")])
    assert [each.at_venue.symbol for each in reconciled.foreign] == ["ETHUSDT"]
    assert reconciled.matched("BTCUSDT") is not None
    assert reconciled.matched("ETHUSDT") is None
    assert reconciled.at_venue("ETHUSDT") is not None


def test_position_of_ours_that_has_no_size_left_is_not_taken_for_a_new_one() -> None:
    spent = own(adopted_size=D(0), ordered_in=D(1), ordered_out=D(1))
    reconciled = compare([spent], [position(size=D(1))])
    assert reconciled.ours == ()
    assert reconciled.foreign[0].why == "not in our journal"


@pytest.mark.parametrize(
    ("known", "at_venue", "expected"),
    [
        (own(), position(), False),
        (own(), position(size=D(1)), True),
        (own(), position(side="short"), True),
        (own(), None, True),
        (own(venue_id=None), position(), True),
        (own(ordered_in=D(1)), position(size=D(3)), True),
        (own(venue_id=None), position(position_id=None), False),
        (own(venue_id=None), position(position_id=None, size=D(1)), True),
        (own(venue_id=None), position(position_id=None, entry_price=D("100.001")), True),
        (own(venue_id=None), position(position_id=None, entry_price=D("100.00001")), False),
        (own(adopted_size=D(0), ordered_in=D(2)), position(position_id=None), True),
    ],
)
def test_fills_are_asked_for_where_something_is_not_explained(
    known: OwnPosition, at_venue: OpenPosition | None, expected: bool
) -> None:
    assert differs(known, at_venue) is expected


def test_same_decision_has_the_same_id_and_every_other_another() -> None:
    ids = [
        client_id_of("0a1b2c3d", 1, "BTCUSDT", "long", "entry"),
        client_id_of("0a1b2c3d", 2, "BTCUSDT", "long", "entry"),
        client_id_of("0a1b2c3d", 1, "ETHUSDT", "long", "entry"),
        client_id_of("0a1b2c3d", 1, "BTCUSDT", "short", "entry"),
        client_id_of("0a1b2c3d", 1, "BTCUSDT", "long", "close 0"),
    ]
    assert len(set(ids)) == len(ids)
    assert ids[0] == client_id_of("0a1b2c3d", 1, "BTCUSDT", "long", "entry")
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,32}", each) for each in ids)
