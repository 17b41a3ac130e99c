"""The journal: what is written stays, once, together with its events; in doubt it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from actors.trader.journal_thread import JournalThread
from shared.errors import JournalUnavailable, PermanentError
from shared.exchanges.venue import Fill, OpenPosition, PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import (
    OPEN_STATES,
    CommandRow,
    EndedBy,
    EquityRow,
    Intent,
    JournalFill,
    JournalOwner,
    OwnPosition,
    Plan,
)
from shared.messages.trading import TradeEvent
from tests.support.venue import simulated_owner

D = Decimal
NOW = 1_700_000_000_000
ROW = EquityRow(
    cycle_ms=NOW, at_ms=NOW + 5, equity=D("10000.10"), available=D("1"), pnl=D("-3.20"),
    fees=D("0.1"),
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "trader.db", simulated_owner())
    yield journal
    journal.close()


def event(kind: str, text: str = "") -> TradeEvent:
    return TradeEvent(event_id=0, at_ms=NOW, kind=kind, text=text or kind)


def entry(client_id: str = "e1", symbol: str = "BTCUSDT") -> Intent:
    return Intent(
        client_id=client_id, symbol=symbol, side="long", purpose="entry", order_side="buy",
        kind="ioc", size=D("0.5"), price=D("100.10"), cycle_ms=NOW, sent_ms=NOW, why="score 90",
        stop_fraction=D("0.01"), target_fraction=D("0.02"), leverage=3,
    )  # fmt: skip


def close(own_id: int, client_id: str = "c1") -> Intent:
    return dataclasses.replace(
        entry(client_id), purpose="close", order_side="sell", kind="market", size=None, price=None,
        own_id=own_id, stop_fraction=None, target_fraction=None, leverage=None,
    )  # fmt: skip


def order(client_id: str, order_id: int, filled: str, side: str = "buy") -> PlacedOrder:
    return PlacedOrder(
        order_id=f"{order_id}", client_id=client_id, symbol="BTCUSDT",
        side="buy" if side == "buy" else "sell", kind="ioc", size=D("0.5"), price=D("100.10"),
        filled_size=D(filled), filled_value=D(filled) * 100, fee=D("0.01"), fee_currency="USDT",
        state="accepted", created_ms=NOW, updated_ms=NOW,
    )  # fmt: skip


def fill(fill_id: int, order_id: int, size: str, price: str, side: str = "buy") -> Fill:
    return Fill(
        fill_id=f"{fill_id}", order_id=f"{order_id}", position_id="9", symbol="BTCUSDT",
        side="buy" if side == "buy" else "sell", price=D(price), size=D(size), role="taker",
        fee=D("0.0125"), fee_currency="USDT", at_ms=NOW + fill_id,
    )  # fmt: skip


def opened(journal: Journal) -> int:
    journal.intend(entry(), event("order"))
    journal.take(order("e1", 1, "0.3"))
    own_id = journal.own_of_entry("e1")
    assert own_id is not None
    return own_id


def test_intent_is_read_back_as_it_was_written(journal: Journal) -> None:
    journal.intend(entry())
    assert journal.intent("e1") == entry()
    assert journal.open_intents() == [entry()]


def test_client_id_is_never_used_twice(journal: Journal) -> None:
    journal.intend(entry())
    with pytest.raises(ValueError, match="e1"):
        journal.intend(entry(), event("order"))
    assert journal.last_event_id() == 0


def test_written_intent_survives_without_closing_the_journal(tmp_path: Path) -> None:
    first = Journal(tmp_path / "trader.db", simulated_owner())
    first.intend(entry(), event("order"))
    second = Journal(tmp_path / "trader.db", simulated_owner())
    assert second.open_intents() == [entry()]
    second.close()
    first.close()


def test_order_that_filled_opens_a_position_and_one_that_did_not_opens_none(
    journal: Journal,
) -> None:
    journal.intend(entry("e0", "ETHUSDT"))
    journal.take(dataclasses.replace(order("e0", 7, "0"), symbol="ETHUSDT"))
    own_id = opened(journal)
    (own,) = journal.own_positions()
    assert (own.own_id, own.symbol, own.size, own.is_complete) == (
        own_id,
        "BTCUSDT",
        D("0.3"),
        False,
    )
    assert journal.open_intents() == []


def test_fill_counts_once_however_often_it_is_seen(journal: Journal) -> None:
    own_id = opened(journal)
    fills = [JournalFill(fill=fill(n, 1, "0.15", "100.02"), own_id=own_id, client_id="e1")
             for n in (1, 2)]  # fmt: skip
    assert journal.add_fills(fills, NOW) == 2
    assert journal.add_fills(fills, NOW) == 0
    (own,) = journal.own_positions()
    assert (own.size, own.is_complete, own.entry_price) == (D("0.30"), True, D("100.02"))
    assert [e.kind for e in journal.events()] == ["order", "fill", "fill"]


def test_older_picture_of_an_order_changes_nothing(journal: Journal) -> None:
    opened(journal)
    journal.take(order("e1", 1, "0.1"), event("order"))
    assert journal.own_positions()[0].size == D("0.3")
    assert [e.kind for e in journal.events()] == ["order"]


def test_result_of_a_position_is_exact(journal: Journal) -> None:
    own_id = opened(journal)
    journal.add_fills(
        [JournalFill(fill=fill(1, 1, "0.3", "100"), own_id=own_id, client_id="e1")], NOW
    )
    journal.intend(close(own_id))
    journal.take(order("c1", 2, "0.3", "sell"))
    (own,) = journal.own_positions()
    assert (own.size, own.is_complete) == (D(0), False)
    sold = [("0.1", "101"), ("0.2", "99.5")]
    journal.add_fills(
        [
            JournalFill(fill=fill(10 + n, 2, size, price, "sell"), own_id=own_id, client_id="c1")
            for n, (size, price) in enumerate(sold)
        ],
        NOW,
    )
    journal.add_funding(own_id, D("-0.001"), NOW, event("funding"))
    (own,) = journal.own_positions()
    assert (own.is_complete, own.price_pnl, own.fees) == (True, D("0.00"), D("0.0375"))
    pnl = own.price_pnl - own.fees + own.funding
    journal.end_position(own_id, closed_ms=NOW + 9, pnl=pnl, by="command", how="closed",
                         events=[event("closed")])  # fmt: skip
    assert journal.own_positions() == []
    (ended,) = journal.closed(10)
    assert (ended.pnl, ended.ended_by, ended.how) == (D("-0.0385"), "command", "closed")
    assert journal.closed_pnl() == D("-0.0385")
    assert journal.last_losses(NOW) == {("BTCUSDT", "long"): NOW + 9}
    assert journal.last_losses(NOW + 10) == {}
    assert [own.own_id for own in journal.unjudged()] == [own_id]
    journal.judge([own_id], {"losses": 1}, event("breaker"))
    assert (journal.unjudged(), journal.note("ledger")) == ([], {"losses": 1})


def end(journal: Journal, own_id: int, by: EndedBy, pnl: str = "0") -> OwnPosition:
    journal.end_position(own_id, closed_ms=NOW + 99, pnl=D(pnl), by=by, how="", events=[])
    return journal.closed(1)[0]


def planned(side: str = "long") -> Intent:
    sign = 1 if side == "long" else -1
    plan = Plan(
        strategy="trend", strategy_version="3", strategy_hash="c0ffee", base=90, bonus=-5,
        entry_price=D(100), stop=D(100) - sign, target=D(100) + 2 * sign, risk=D("0.5"),
    )  # fmt: skip
    if side == "long":
        return dataclasses.replace(entry(), plan=plan)
    return dataclasses.replace(entry(), plan=plan, side="short", order_side="sell")


def filled(
    journal: Journal, intent: Intent, entries: dict[str, str], exits: dict[str, str],
    by: EndedBy,
) -> OwnPosition:  # fmt: skip
    """Return a position with a stop and a target that was filled by prices and sizes, and ended."""
    ways = ("buy", "sell") if intent.side == "long" else ("sell", "buy")
    journal.intend(intent)
    size = sum(map(D, entries.values()), D(0))
    journal.take(order("e1", 1, str(size), ways[0]))
    (own,) = journal.own_positions()
    fills = [fill(n, 1, s, p, ways[0]) for n, (p, s) in enumerate(entries.items())]
    fills += [fill(50 + n, 77, s, p, ways[1]) for n, (p, s) in enumerate(exits.items())]
    journal.add_fills([JournalFill(fill=f, own_id=own.own_id, client_id=None) for f in fills], NOW)
    sign = 1 if intent.side == "long" else -1
    journal.set_triggers(own.own_id, D(100) - sign, D(100) + 2 * sign)
    return end(journal, own.own_id, by, "-0.6")


def test_plan_is_read_back_with_the_position_it_opened(journal: Journal) -> None:
    journal.intend(planned(), event("order"))
    assert journal.intent("e1") == entry()
    journal.take(order("e1", 1, "0.3"))
    assert [own.plan for own in journal.own_positions()] == [planned().plan]
    (own,) = journal.own_positions()
    end(journal, own.own_id, "stop")
    assert [own.plan for own in journal.closed(10)] == [planned().plan]


def test_plan_is_never_written_without_its_intent(journal: Journal) -> None:
    journal.intend(entry())
    with pytest.raises(ValueError, match="e1"):
        journal.intend(planned())
    journal.take(order("e1", 1, "0.3"))
    assert [own.plan for own in journal.own_positions()] == [None]


def test_stop_and_target_of_a_position_are_those_seen_last(journal: Journal) -> None:
    own_id = opened(journal)
    assert [(own.stop, own.target) for own in journal.own_positions()] == [(None, None)]
    journal.set_triggers(own_id, D("99.5"), D("102"), event("stop"))
    journal.set_triggers(own_id, D("100.5"), None)
    assert [(own.stop, own.target) for own in journal.own_positions()] == [(D("100.5"), None)]


def test_why_a_position_is_to_be_closed_has_a_term(journal: Journal) -> None:
    own_id = opened(journal)
    journal.set_closing(own_id, "time stop: held for 12 h", "time")
    (own,) = journal.own_positions()
    assert (own.closing, own.closing_by) == ("time stop: held for 12 h", "time")


def test_r_is_the_share_of_what_the_filled_part_risked(journal: Journal) -> None:
    own = filled(journal, planned(), {"100": "0.1", "101": "0.2"}, {"98": "0.3"}, "stop")
    # 30.2 entered, of which the stop is 1 % away
    assert own.risk == D("0.302")
    assert own.r == D("-0.6") / D("0.302")


def test_open_position_has_no_r_yet(journal: Journal) -> None:
    opened(journal)
    (own,) = journal.own_positions()
    assert (own.r, own.risk) == (None, D(0))


def test_position_that_risked_nothing_known_has_no_r(journal: Journal) -> None:
    own_id = opened(journal)
    assert end(journal, own_id, "outside", "1").r is None


@pytest.mark.parametrize(
    ("by", "exits", "beyond"),
    [
        ("stop", {"98.5": "0.1", "99": "0.2"}, "0.05"),
        ("target", {"102.5": "0.3"}, "-0.15"),
        ("command", {"98": "0.3"}, "0"),
    ],
)
def test_slippage_of_a_long_is_what_entry_and_exit_cost_beyond_the_plan(
    journal: Journal, by: EndedBy, exits: dict[str, str], beyond: str
) -> None:
    own = filled(journal, planned(), {"100.1": "0.1", "100.2": "0.2"}, exits, by)
    assert own.slippage == D("0.05") + D(beyond)


@pytest.mark.parametrize(
    ("by", "exits", "beyond"),
    [
        ("stop", {"101.5": "0.1", "101": "0.2"}, "0.05"),
        ("target", {"97.5": "0.3"}, "-0.15"),
        ("liquidation", {"104": "0.3"}, "0"),
    ],
)
def test_slippage_of_a_short_is_what_entry_and_exit_cost_beyond_the_plan(
    journal: Journal, by: EndedBy, exits: dict[str, str], beyond: str
) -> None:
    own = filled(journal, planned("short"), {"99.9": "0.1", "99.8": "0.2"}, exits, by)
    assert own.slippage == D("0.05") + D(beyond)


def test_slippage_without_a_plan_is_that_of_the_trigger_alone(journal: Journal) -> None:
    own = filled(journal, entry(), {"100.1": "0.3"}, {"98": "0.3"}, "stop")
    assert own.slippage == D("0.3")


def test_slippage_of_a_trigger_leaves_out_what_had_left_before(journal: Journal) -> None:
    journal.intend(planned())
    journal.take(order("e1", 1, "0.3"))
    (own,) = journal.own_positions()
    fills = [fill(1, 1, "0.3", "100"), fill(2, 7, "0.2", "101", "sell"),
             fill(3, 8, "0.1", "98.8", "sell")]  # fmt: skip
    journal.add_fills([JournalFill(fill=f, own_id=own.own_id, client_id=None) for f in fills], NOW)
    journal.set_triggers(own.own_id, D(99), D(102))
    assert end(journal, own.own_id, "stop").slippage == D("0.02")


def test_fee_in_another_currency_is_named_and_counts_in_no_pnl(journal: Journal) -> None:
    own_id = opened(journal)
    bought = fill(1, 1, "0.3", "100")
    fills = [bought, dataclasses.replace(bought, fill_id="2", fee=D("0.4"), fee_currency="BNB"),
             dataclasses.replace(bought, fill_id="3", fee=D(0), fee_currency="")]  # fmt: skip
    journal.add_fills([JournalFill(fill=f, own_id=own_id, client_id="e1") for f in fills], NOW)
    (own,) = journal.own_positions()
    assert own.fees == D("0.0125") == journal.fees_since(NOW)
    counted, named, without = journal.events()[-3:]
    assert (counted.fee_quote, named.fee_quote, without.fee_quote) == ("0.0125", None, "0")
    assert "fee 0.4 BNB, which no P&L here counts" in named.text


def test_equal_ids_in_two_markets_are_two_orders_and_two_fills(journal: Journal) -> None:
    coins = {"e1": "BTCUSDT", "e2": "ETHUSDT"}
    for client_id, symbol in coins.items():
        journal.intend(entry(client_id, symbol))
        journal.take(dataclasses.replace(order(client_id, 1, "0.3"), symbol=symbol))
        own_id = journal.own_of_entry(client_id)
        assert own_id is not None
        bought = dataclasses.replace(fill(1, 1, "0.3", "100"), symbol=symbol)
        by_hand = dataclasses.replace(fill(2, 2, "0.1", "101", "sell"), symbol=symbol)
        fills = [JournalFill(fill=bought, own_id=own_id, client_id=client_id),
                 JournalFill(fill=by_hand, own_id=own_id, client_id=None)]  # fmt: skip
        assert journal.add_fills(fills, NOW) == 2
    assert [journal.order_client(symbol, "1") for symbol in coins.values()] == ["e1", "e2"]
    assert journal.order_client("SOLUSDT", "1") is None
    # an order of ours in one market is none of ours in the other
    journal.intend(close(1))
    journal.take(order("c1", 2, "0.1", "sell"))
    assert [own.size for own in journal.own_positions()] == [D("0.2"), D("0.2")]
    assert [len(own.fills) for own in journal.own_positions()] == [2, 2]


def test_fill_the_venue_made_by_itself_takes_from_the_position(journal: Journal) -> None:
    own_id = opened(journal)
    stop = fill(5, 77, "0.1", "98", "sell")
    journal.add_fills([JournalFill(fill=stop, own_id=own_id, client_id=None)], NOW)
    (own,) = journal.own_positions()
    assert own.size == D("0.2")
    assert "by the venue" in journal.events()[-1].text


def test_second_open_position_in_a_coin_is_impossible(journal: Journal) -> None:
    opened(journal)
    journal.intend(entry("e2"))
    journal.take(order("e2", 2, "0.3"))
    assert len(journal.own_positions()) == 1


def test_open_positions_are_read_again_only_after_a_change(journal: Journal) -> None:
    own_id = opened(journal)
    (before,) = journal.own_positions()
    journal.set_note("alive", 1)
    assert journal.own_positions()[0] is before
    journal.set_triggers(own_id, D("99"), D("102"))
    assert journal.own_positions()[0].stop == D("99")
    end(journal, own_id, "stop")
    assert journal.own_positions() == []


def test_open_positions_are_read_again_after_a_change_of_another_process(
    journal: Journal,
) -> None:
    own_id = opened(journal)
    reader = Journal.read_only(journal.path)
    assert reader.own_positions()[0].stop is None
    journal.set_triggers(own_id, D("99"), D("102"))
    assert reader.own_positions()[0].stop == D("99")
    reader.close()


def test_open_position_that_was_rolled_back_is_none(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.writing():
        opened(journal)
        assert len(journal.own_positions()) == 1
        raise ZeroDivisionError
    assert journal.own_positions() == []
    opened(journal)
    assert len(journal.own_positions()) == 1


def test_adopted_position_is_ours_at_the_size_it_has(journal: Journal) -> None:
    position = OpenPosition(
        position_id="4", symbol="BTCUSDT", side="short", size=D("0.7"), entry_price=D("90"),
        leverage=3, margin_mode="isolated", margin=D("21"), unrealized_pnl=D(0),
        realized_pnl=D("-0.03"), stop_loss=None, take_profit=None, liquidation_price=None,
        opened_ms=NOW, updated_ms=NOW,
    )  # fmt: skip
    opened(journal)
    journal.adopt(position, stop_fraction=D("0.01"), target_fraction=D("0.02"), at_ms=NOW,
                  events=[event("adopted")])  # fmt: skip
    (own,) = journal.own_positions()
    assert (own.side, own.size, own.entry_price, own.venue_id) == ("short", D("0.7"), D("90"), "4")
    assert (own.unprotected_ms, own.adopted_pnl, own.price_pnl) == (NOW, D("-0.03"), D(0))
    assert own.plan is None
    (before,) = journal.closed(10)
    assert (before.ended_by, before.how) == ("outside", "adopted anew")


def test_events_rise_without_a_hole_also_past_a_change_that_failed(journal: Journal) -> None:
    journal.add_events(event("a"))
    journal.intend(entry(), event("b"))
    with pytest.raises(sqlite3.IntegrityError):
        journal.add_funding(999, D(1), NOW, event("lost"))
    journal.add_events(event("c"))
    assert [(e.event_id, e.kind) for e in journal.events()] == [(1, "a"), (2, "b"), (3, "c")]
    assert [e.kind for e in journal.events(after_id=1, limit=1)] == ["b"]
    assert [e.kind for e in journal.newest_events(2)] == ["c", "b"]
    assert journal.last_event_id() == 3


def test_command_is_taken_up_once(journal: Journal) -> None:
    asked = CommandRow(id="x", command="close", symbol="BTCUSDT", who="ada", at_ms=NOW)
    assert journal.begin_command(asked).outcome is None
    assert journal.begun_commands() == [asked]
    journal.end_command(dataclasses.replace(asked, outcome="done", text="closed"), event("command"))
    assert journal.begin_command(asked).text == "closed"
    assert journal.begun_commands() == []


def test_equity_and_notes_are_read_back(journal: Journal) -> None:
    journal.add_equity(ROW)
    journal.add_equity(ROW)
    assert journal.equity() == [ROW]
    assert journal.note("mode") is None
    journal.set_note("mode", {"choice": "reducing"})
    assert journal.note("mode") == {"choice": "reducing"}


def test_open_orders_are_found_without_looking_at_all_there_ever_were(tmp_path: Path) -> None:
    path = tmp_path / "trader.db"
    Journal(path, simulated_owner()).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        asked = f"SELECT * FROM intents WHERE state IN {OPEN_STATES!r} ORDER BY rowid"
        plan = database.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall()
    assert "USING INDEX unsettled" in str(plan)


def test_orders_of_the_last_hour_are_listed(journal: Journal) -> None:
    own_id = opened(journal)
    journal.intend(close(own_id))
    assert journal.sent_since(NOW - 1) == (NOW, NOW)
    assert journal.sent_since(NOW) == ()


def test_reader_sees_what_the_trader_writes_and_writes_nothing(
    journal: Journal, tmp_path: Path
) -> None:
    reader = Journal.read_only(tmp_path / "trader.db")
    journal.add_events(event("a"))
    assert [e.kind for e in reader.events()] == ["a"]
    with pytest.raises(JournalUnavailable, match="readonly"):
        reader.add_events(event("b"))
    reader.close()


def test_reader_without_a_journal_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no journal yet"):
        Journal.read_only(tmp_path / "trader.db")


def open_files() -> list[str]:
    return [file.path for file in psutil.Process().open_files()]


@pytest.mark.parametrize("damage", ["garbage", "torn"])
def test_damaged_journal_is_refused_and_left_where_it_is(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trader.db"
    journal = Journal(path, simulated_owner())
    for _ in range(200):
        journal.add_events(event("a", "x" * 100))
    journal.close()
    content = path.read_bytes()
    broken = b"not a database" * 100
    if damage == "torn":
        torn = bytes(byte ^ 0xA5 for byte in content[8192:16384])
        broken = content[:8192] + torn + content[16384:]
    path.write_bytes(broken)
    with pytest.raises(PermanentError, match="nothing is traded without it") as refused:
        Journal(path, simulated_owner())
    assert path.read_bytes() == broken
    # while the traceback holds the journal: it is closed, not merely forgotten
    assert refused.tb and str(path) not in open_files()


def test_journal_of_another_mode_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trader.db"
    Journal(path, simulated_owner()).close()
    with pytest.raises(PermanentError, match="journal of demo") as refused:
        Journal(path, simulated_owner("live"))
    assert refused.tb and str(path) not in open_files()


def test_journal_of_a_newer_release_is_refused_with_what_the_copy_is_worth(tmp_path: Path) -> None:
    path = tmp_path / "trader.db"
    Journal(path, simulated_owner()).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=3")
    words = r"version 3, .* no newer one than 2: run the release that wrote it.*`trader\.db\.v2`"
    with pytest.raises(PermanentError, match=words) as refused:
        Journal(path, simulated_owner())
    assert refused.tb and str(path) not in open_files()
    with pytest.raises(PermanentError, match=words) as to_read:
        Journal.read_only(path)
    assert to_read.tb and str(path) not in open_files()


def test_journal_that_does_not_say_whose_it_is_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "trader.db"
    journal = Journal(path, simulated_owner())
    journal.set_note("owner", "demo")
    journal.close()
    with pytest.raises(PermanentError, match=r"damaged .*its owner"):
        Journal(path, simulated_owner())
    with pytest.raises(PermanentError, match=r"damaged .*its owner"):
        Journal.read_only(path)


OTHER_PLACES = [
    {"venue": "tiny"},
    {"environment": "testnet"},
    {"currency": "USDC"},
]


@pytest.mark.parametrize("other", OTHER_PLACES, ids=str)
def test_another_venue_is_refused_while_something_of_ours_is_left(
    tmp_path: Path, other: dict[str, str]
) -> None:
    path, owner = tmp_path / "trader.db", simulated_owner()
    elsewhere = dataclasses.replace(owner, **other)
    journal = Journal(path, owner)
    opened(journal)
    journal.intend(entry("e2", "ETHUSDT"))
    journal.close()
    left = "with a position in BTCUSDT, an order in ETHUSDT of unknown outcome"
    with pytest.raises(PermanentError) as refused:
        Journal(path, elsewhere)
    for words in (owner.place, left, elsewhere.place, "go back, close what is open"):
        assert words in str(refused.value)
    assert str(path) not in open_files()
    journal = Journal(path, owner)
    (own,) = journal.own_positions()
    end(journal, own.own_id, "command")
    journal.close()
    with pytest.raises(PermanentError, match=r"with an order in ETHUSDT of unknown outcome, and"):
        Journal(path, elsewhere)


@pytest.mark.parametrize("other", OTHER_PLACES, ids=str)
def test_journal_goes_on_at_another_venue_once_nothing_is_left_at_the_one_before(
    tmp_path: Path, other: dict[str, str]
) -> None:
    path, owner = tmp_path / "trader.db", simulated_owner()
    journal = Journal(path, owner, identity="abc")
    end(journal, opened(journal), "stop")
    journal.close()
    elsewhere = dataclasses.replace(owner, **other)
    journal = Journal(path, elsewhere)
    assert (journal.owner, journal.identity) == (elsewhere, "abc")
    journal.intend(entry("e2"))
    journal.take(order("e2", 2, "0.5"))
    assert [place(own) for own in journal.own_positions()] == [elsewhere]
    assert [place(own) for own in journal.closed(10)] == [owner]
    journal.close()
    reader = Journal.read_only(path)
    assert reader.owner == elsewhere
    reader.close()


@pytest.mark.parametrize("other", OTHER_PLACES, ids=str)
def test_sums_and_ids_are_those_of_one_venue(tmp_path: Path, other: dict[str, str]) -> None:
    path, owner = tmp_path / "trader.db", simulated_owner()
    journal = Journal(path, owner)
    own_id = opened(journal)
    bought = fill(1, 1, "0.5", "100")
    journal.add_fills([JournalFill(fill=bought, own_id=own_id, client_id="e1")], NOW)
    end(journal, own_id, "stop", "5")
    before = journal.closed_pnl(), journal.fees_since(0)
    journal.add_equity(ROW)
    journal.close()
    journal = Journal(path, dataclasses.replace(owner, **other))
    assert (journal.closed_pnl(), journal.fees_since(0), journal.equity()) == (D(0), D(0), [])
    if "currency" not in other:
        # ids begin anew where another venue counts them
        assert journal.order_client("BTCUSDT", bought.order_id) is None
        journal.intend(entry("e2"))
        journal.take(order("e2", 1, "0.5"))
        (own,) = journal.own_positions()
        added = [JournalFill(fill=bought, own_id=own.own_id, client_id="e2")]
        assert journal.add_fills(added, NOW) == 1
        assert journal.order_client("BTCUSDT", bought.order_id) == "e2"
        assert (journal.own_positions()[0].size, journal.closed(1)[0].ordered_in) == (
            D("0.5"), D("0.3"),
        )  # fmt: skip
        end(journal, own.own_id, "stop")
    journal.close()
    journal = Journal(path, owner)
    assert (journal.closed_pnl(), journal.fees_since(0)) == before
    assert journal.equity() == [ROW]
    journal.close()


def place(own: OwnPosition) -> JournalOwner:
    return JournalOwner(
        mode="demo", venue=own.venue, environment=own.environment, currency=own.currency
    )


async def test_calls_are_made_in_order_on_a_thread_of_their_own(tmp_path: Path) -> None:
    journal_thread = JournalThread(Journal(tmp_path / "trader.db", simulated_owner()))
    threads = set()

    def note(journal: Journal, kind: str) -> None:
        threads.add(threading.get_ident())
        journal.add_events(event(kind))

    await asyncio.gather(*(journal_thread.do(note, kind) for kind in "abc"))
    assert [e.kind for e in await journal_thread.do(Journal.events)] == ["a", "b", "c"]
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1
    journal_thread.close()
