"""The trader's sums after its journal goes on at another venue, or in another currency."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from actors.trader.execution import AccountSnapshot
from actors.trader.journal_thread import JournalThread
from actors.trader.pnl import Pnl
from actors.trader.positions import Reconciliation
from shared.exchanges.sim.save_file import fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import AccountBalance
from shared.journal.journal import Journal
from shared.journal.rows import JournalOwner
from shared.trading.exposure import Exposure
from tests.support.execution import SETTINGS, START_MS, D
from tests.support.manual_clock import ManualClock
from tests.support.tiny.venue import TinyVenue
from tests.support.venue import ScriptedPrices, simulated_owner

ZERO = Decimal(0)
MOVES = [{"venue": "tiny"}, {"environment": "testnet"}, {"currency": "YEN"}]


def account(equity: str, pnl: str) -> AccountSnapshot:
    return AccountSnapshot(
        reconciled=Reconciliation((), (), (), ()),
        balance=AccountBalance(currency="", available=D(equity), frozen=ZERO, margin=ZERO,
                               unrealized_pnl=ZERO),
        exposure=Exposure(equity=D(equity), available=D(equity), holdings=()),
        unknown=frozenset(), pnl=D(pnl),
    )  # fmt: skip


async def pnl_at(path: Path, owner: JournalOwner, clock: ManualClock) -> tuple[Pnl, JournalThread]:
    thread = JournalThread(Journal(path, owner))
    venue = TinyVenue(SimVenue(ScriptedPrices(START_MS, {}), fresh_state(START_MS)), clock)
    pnl = Pnl(thread, venue, SETTINGS, clock)
    await pnl.load()
    return pnl, thread


def used(pnl: Pnl) -> dict[str, str]:
    return {limit.name: limit.used for limit in pnl.limits if limit.unit == "%"}


@pytest.mark.parametrize("move", MOVES, ids=str)
async def test_money_of_two_places_is_never_added(tmp_path: Path, move: dict[str, str]) -> None:
    path, owner, clock = tmp_path / "trader.db", simulated_owner(), ManualClock(START_MS)
    pnl, thread = await pnl_at(path, owner, clock)
    with closing(thread):
        await pnl.observe(account("10000", "0"), START_MS)
        await pnl.observe(account("9900", "-100"), START_MS + 1)
        assert (pnl.pnl_today, used(pnl)["drawdown"]) == (D(-100), "1")
    moved = dataclasses.replace(owner, **move)
    for equity, result, today in (("2000000", "0", "0"), ("1980000", "-20000", "-20000")):
        # a restart in between changes nothing
        pnl, thread = await pnl_at(path, moved, clock)
        with closing(thread):
            assert len(pnl.equity) == (0 if today == "0" else 1)
            await pnl.observe(account(equity, result), START_MS + 2)
            assert pnl.pnl_today == D(today)
    # what was lost before counts on, as a share
    assert {round(D(share), 2) for share in used(pnl).values()} == {D("1.99")}
    assert pnl.latches == ()
