"""A trader goes on with the journal, the witness and the account that an older release left."""

from __future__ import annotations

import shutil
from pathlib import Path

from shared.exchanges.venue import EndedPosition
from shared.journal.journal import Journal
from shared.journal.rows import Intent, OwnPosition
from tests.support.old_journal import LEFT_MS, TAPES, old_journal
from tests.support.trading import trader_on

COINS = (
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "BNBUSDT", "LTCUSDT",
)  # fmt: skip


async def test_trader_goes_on_where_one_of_an_older_release_was_killed(
    tmp_path: Path, redis_url: str
) -> None:
    path = old_journal(tmp_path)
    shutil.copyfile(TAPES / "v1-venue.json", tmp_path / "venue.json")
    shutil.copyfile(TAPES / "v1.witness", tmp_path / "trader.witness")
    async with trader_on(tmp_path, COINS, LEFT_MS + 2000, redis_url=redis_url) as trader:
        do, trading = trader.journal_thread.do, trader.trading
        assert trading.continuity.doubt == ""
        unknown: list[Intent] = await do(Journal.open_intents)
        assert {intent.symbol for intent in unknown} == {"ADAUSDT", "XRPUSDT"}
        reconciled = await trading.execution.protect()
        for _ in range(6):
            await trader.clock.advance(3)
            reconciled = await trading.execution.protect()
        settled = [await do(Journal.intent, intent.client_id) for intent in unknown]
        # the foreign position in the same coin may be of that order
        assert {each.symbol: each.state for each in settled if each is not None} == {
            "ADAUSDT": "not_taken", "XRPUSDT": "unknown",
        }  # fmt: skip
        assert [each.at_venue.symbol for each in reconciled.foreign] == ["XRPUSDT"]
        assert trading.execution.protection.failures == {}
        own: dict[str, OwnPosition] = {p.symbol: p for p in await do(Journal.own_positions)}
        assert own.keys() == {"BTCUSDT", "ETHUSDT", "DOGEUSDT"}
        for position in await trader.client.positions():
            if position.symbol in own:
                ours = own[position.symbol]
                assert (ours.size, ours.venue_id) == (position.size, position.position_id)
                assert ours.stop == position.stop_loss is not None
                assert ours.target == position.take_profit is not None
                assert ours.unprotected_ms is None
        # what was to be closed is, for the reason it had, and the command that was begun is done
        await trading.commands.resume()
        ended: list[OwnPosition] = await do(Journal.closed, 5)
        assert {each.symbol: each.ended_by for each in ended} == {
            "SOLUSDT": "command", "BNBUSDT": "time",
            "BTCUSDT": "command", "ETHUSDT": "command", "DOGEUSDT": "command",
        }  # fmt: skip
        assert await do(Journal.begun_commands) == []
        for each in ended:
            record: EndedPosition | None = await trader.client.ended(
                each.symbol, each.side, each.opened_ms, each.venue_id
            )
            assert record is not None
            assert each.pnl == record.realized_pnl - (each.adopted_pnl or 0)
            assert each.pnl == each.price_pnl - each.fees + each.funding
        assert [p.symbol for p in await trader.client.positions()] == ["XRPUSDT"]
    assert path.with_name("trader.db.v1").exists()
