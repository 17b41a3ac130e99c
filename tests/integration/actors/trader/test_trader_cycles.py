"""Five hundred cycles on the simulated market: every account of them agrees to the last digit."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared import schema
from tests.support.execution import START_MS, all_intents
from tests.support.trading import CYCLE_MS, TraderUnderTest, trader_on

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
CYCLES = 500
START = Decimal(10_000)
TROUBLES = (
    {"kind": "venue_thin", "for_s": 60, "value": 0.001},
    {"kind": "venue_timeout_after", "for_s": 1, "endpoint": "order"},
    {"kind": "venue_cut_after", "for_s": 2, "endpoint": "order"},
    {"kind": "venue_5xx", "for_s": 30, "endpoint": "set-position-stop-loss"},
    {"kind": "venue_unavailable_after", "for_s": 2, "endpoint": "close-position"},
    {"kind": "venue_rate_limit", "for_s": 2},
)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A directory whose `fsync` costs nothing, where the machine has one."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.timeout(240)  # 20 s of processor time
async def test_five_hundred_cycles_lose_and_double_nothing(in_memory: Path, redis_url: str) -> None:
    async with trader_on(
        in_memory, COINS, START_MS + CYCLE_MS, redis_url=redis_url, timeout_s=1.5
    ) as trader:
        for number in range(CYCLES):
            if number % 5 == 0:
                await trader.at.plan(TROUBLES[number // 5 % len(TROUBLES)])
            await trader.one_cycle()
            if number % 50 == 0:
                await trader.trading.event_log.publish()
        await trader.get_out()
        await trader.trading.event_log.publish()
        await check_everything_happened(trader)
        await check_fills(trader)
        await check_money(trader)
        await check_events(trader)


async def books(trader: TraderUnderTest) -> dict[str, Any]:
    url = f"{trader.at.url}/sim/venue?last=100000"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        found: dict[str, Any] = await reply.json()
        return found


async def check_everything_happened(trader: TraderUnderTest) -> None:
    events = Counter(e.kind for e in await trader.events())
    assert events["closed"] > 50
    assert min(events[kind] for kind in ("refused", "unknown", "funding", "stop", "target")) > 0
    ends = Counter(own.ended_by for own in await trader.closed())
    assert min(ends[by] for by in ("stop", "target", "time")) > 0, ends
    assert all(own.plan is not None and own.r is not None for own in await trader.closed())
    intents = {i.client_id: i for i in await trader.journal_thread.do(all_intents)}
    partly = [
        own for own in await trader.closed()
        if own.ordered_in < max(i.size or 0 for i in intents.values()
                                if i.symbol == own.symbol and i.purpose == "entry")
    ]  # fmt: skip
    assert partly


async def check_fills(trader: TraderUnderTest) -> None:
    venue = await books(trader)
    assert venue["positions"] == venue["orders"] == []
    deals = {str(deal["deal_id"]): deal for deal in venue["deals"]}
    fills = {fill.fill_id: fill for own in await trader.closed() for fill in own.fills}
    assert fills.keys() == deals.keys()
    for number, fill in fills.items():
        deal = deals[number]
        assert (fill.symbol, fill.side, fill.order_id) == (
            deal["market"], deal["side"], str(deal["order_id"]),
        )  # fmt: skip
        assert (fill.price, fill.size) == (Decimal(deal["price"]), Decimal(deal["amount"]))
        assert fill.fee == Decimal(deal["fee"])
    ids = [order["client_id"] for order in venue["over"] if order["client_id"]]
    assert len(ids) == len(set(ids))


async def check_money(trader: TraderUnderTest) -> None:
    venue = await books(trader)
    closed = await trader.closed()
    assert sum((own.pnl or Decimal(0) for own in closed), START) == Decimal(venue["equity"])
    totals = {name: Decimal(amount) for name, amount in venue["totals"].items()}
    assert -sum(own.fees for own in closed) == totals["fee"]
    assert sum(own.price_pnl for own in closed) == totals["pnl"]
    rest = totals.get("funding", Decimal(0)) + totals.get("liquidation", Decimal(0))
    assert sum(own.funding for own in closed) == rest
    for own in closed:
        assert own.pnl == own.price_pnl - own.fees + own.funding


async def check_events(trader: TraderUnderTest) -> None:
    journalled = await trader.events()
    assert [event.event_id for event in journalled] == [*range(1, len(journalled) + 1)]
    fills = sorted(f.fill_id for own in await trader.closed() for f in own.fills)
    assert len([event for event in journalled if event.kind == "fill"]) == len(fills)
    bus = trader.trading.event_log._bus
    stream = await bus.entries(schema.TRADE_LOG, 100_000)
    assert [int(place.partition("-")[2]) for place, _ in stream] == [
        event.event_id for event in journalled
    ]
    assert [fields["text"] for _, fields in stream] == [event.text for event in journalled]
