"""What the trader's API tells from the journal: pages of it, exactly, and without Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from shared.exchanges.venue import Fill, PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import EquityRow, Intent, JournalFill, Plan
from shared.messages.trading import TradeEvent
from tests.support.api_site import Site, api_site
from tests.support.old_journal import old_journal
from tests.support.private_redis import PrivateRedis
from tests.support.venue import simulated_owner

D = Decimal
NOW_MS = 1_700_000_000_000


@contextlib.contextmanager
def journal_in(state_dir: Path) -> Iterator[Journal]:
    """Open the journal as the trader does, and keep it open as the trader does."""
    journal = Journal(state_dir / "trader.db", simulated_owner())
    try:
        yield journal
    finally:
        journal.close()


PLAN = Plan(
    strategy="base", strategy_version="1", strategy_hash="ab", base=86, bonus=4,
    entry_price=D("99.9"), stop=D("98.9"), target=D("101.9"), risk=D("0.4995"),
)  # fmt: skip


def trade(journal: Journal, number: int, *, symbol: str = "BTCUSDT") -> int:
    """Write down a position that was opened; return its number."""
    client_id = f"e{number}"
    journal.intend(
        Intent(
            client_id=client_id, symbol=symbol, side="long", purpose="entry", order_side="buy",
            kind="ioc", size=D("0.5"), price=D("100"), cycle_ms=NOW_MS, sent_ms=NOW_MS,
            why="score 90", stop_fraction=D("0.01"), target_fraction=D("0.02"), leverage=3,
            plan=PLAN,
        )
    )  # fmt: skip
    journal.take(
        PlacedOrder(
            order_id=str(number), client_id=client_id, symbol=symbol, side="buy", kind="ioc",
            size=D("0.5"), price=D("100"), filled_size=D("0.5"), filled_value=D("50"),
            fee=D("0.025"), fee_currency="USDT", state="filled", created_ms=NOW_MS,
            updated_ms=NOW_MS,
        )
    )  # fmt: skip
    own_id = journal.own_of_entry(client_id)
    assert own_id is not None
    fill = Fill(
        fill_id=str(number), order_id=str(number), position_id=str(own_id), symbol=symbol,
        side="buy", price=D("100"), size=D("0.5"), role="taker", fee=D("0.025"),
        fee_currency="USDT", at_ms=NOW_MS,
    )  # fmt: skip
    journal.add_fills([JournalFill(fill=fill, own_id=own_id, client_id=client_id)], NOW_MS)
    return own_id


def end(journal: Journal, own_id: int, pnl: str) -> None:
    event = TradeEvent(event_id=0, at_ms=NOW_MS, kind="closed", text="stopped")
    journal.end_position(
        own_id, closed_ms=NOW_MS + own_id, pnl=D(pnl), by="stop", how="stop", events=[event]
    )


async def pages(site: Site, path: str, field: str, number: str) -> list[int]:
    """Return the numbers of all rows, asked for two at a time."""
    found: list[int] = []
    before = ""
    while True:
        page = await site.get(f"{path}?limit=2{before}")
        found += [row[number] for row in page[field]]
        if page["next_before_id"] is None:
            return found
        before = f"&before_id={page['next_before_id']}"


async def test_journal_is_told_while_redis_is_away(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    with journal_in(tmp_path) as journal:
        end(journal, trade(journal, 1), "-1.5")
        open_id = trade(journal, 2, symbol="ETHUSDT")
        journal.add_equity(
            EquityRow(cycle_ms=NOW_MS, at_ms=NOW_MS + 5, equity=D("9998.50"), available=D("9900"),
                      pnl=D("-1.50"), fees=D("0.05"))
        )  # fmt: skip
        async with api_site(server.url, tmp_path) as site:
            server.kill()
            trades = await site.get("/trades")
            events = await site.get("/events")
            equity = await site.get("/equity")
    (closed,) = trades["closed"]
    assert (closed["symbol"], closed["pnl_quote"], closed["how"]) == ("BTCUSDT", "-1.5", "stop")
    assert (closed["entry_price"], closed["size_base"]) == ("100", "0")
    assert (closed["risk_quote"], closed["r"], closed["ended_by"]) == ("0.500", "-3", "stop")
    assert closed["slippage_quote"] == "0.05"  # entered 0.1 above the plan
    assert closed["plan"] == {
        "strategy": "base", "strategy_version": "1", "strategy_hash": "ab", "base": 86, "bonus": 4,
        "entry_price": "99.9", "stop": "98.9", "target": "101.9", "risk_quote": "0.4995",
    }  # fmt: skip
    (still,) = trades["open"]
    assert (still["trade_id"], still["symbol"], still["size_base"]) == (open_id, "ETHUSDT", "0.5")
    assert (still["pnl_quote"], still["closed_ms"], still["fees_quote"]) == (None, None, "0.025")
    assert (still["r"], still["ended_by"], still["venue"]) == (None, None, simulated_owner().venue)
    assert [event["kind"] for event in events["events"]] == ["fill", "closed", "fill"]
    assert equity["cycles"][0]["equity_quote"] == "9998.50"


async def test_pages_are_whole_and_newest_first(redis_url: str, tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        own_ids = []
        for number in range(1, 6):
            own_ids.append(trade(journal, number))
            end(journal, own_ids[-1], "1")
        async with api_site(redis_url, tmp_path) as site:
            assert await pages(site, "/trades", "closed", "trade_id") == own_ids[::-1]
            numbers = await pages(site, "/events", "events", "event_id")
    assert numbers == list(range(len(numbers), 0, -1))
    assert len(numbers) == 10


async def test_equity_is_told_since_a_time_oldest_first(redis_url: str, tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        for n in range(5):
            journal.add_equity(
                EquityRow(cycle_ms=NOW_MS + n, at_ms=NOW_MS, equity=D(n), available=D(0),
                          pnl=D(0), fees=D(0))
            )  # fmt: skip
        async with api_site(redis_url, tmp_path) as site:
            found = await site.get(f"/equity?since_ms={NOW_MS + 1}&limit=3")
    assert [row["equity_quote"] for row in found["cycles"]] == ["2", "3", "4"]


async def test_before_the_first_trader_there_is_nothing_to_tell(
    redis_url: str, tmp_path: Path
) -> None:
    async with api_site(redis_url, tmp_path) as site:
        assert await site.get("/trades") == {"open": [], "closed": [], "next_before_id": None}
        assert await site.get("/equity") == {"cycles": []}
    assert not (tmp_path / "trader.db").exists()


async def test_damaged_journal_is_said_so_and_the_kill_switch_works_on(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    (tmp_path / "trader.db").write_bytes(b"this is no database at all" * 100)
    async with api_site(server.url, tmp_path) as site:
        server.kill()
        status, body, kind = await site.ask("GET", "/trades")
        assert (status, kind) == (500, "application/problem+json")
        assert "trader.db" in body["detail"]
        assert (await site.ask("POST", "/kill"))[0] == 202


async def test_journal_of_an_older_release_is_named_until_the_trader_has_it_up_to_date(
    redis_url: str, tmp_path: Path
) -> None:
    path = old_journal(tmp_path)
    async with api_site(redis_url, tmp_path) as site:
        for asked in ("/trades", "/events", "/equity"):
            status, problem, _ = await site.ask("GET", asked)
            assert status == 503
            assert "the trader brings it up to date when it starts" in problem["detail"]
        Journal(path, simulated_owner()).close()
        trades = await site.get("/trades")
    assert {trade["symbol"] for trade in trades["open"]} == {
        "BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "BNBUSDT",
    }  # fmt: skip
    assert len(trades["closed"]) == 12
