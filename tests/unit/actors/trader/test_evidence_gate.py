"""What the trader makes of evidence: read once, compared with the fees of now."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.trader.evidence_gate import FEES_EVERY_S, EvidenceGate
from shared import codec
from shared.config.sections import IndicatorsSection, TraderSection
from shared.evidence.record import EvidenceRecord, read_record
from shared.exchanges.sim.save_file import fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import MarketRule
from shared.messages.trading import EvidenceDemand
from shared.trading.strategy import BASE
from tests.support.evidence import FEE, NOW_MS, evidence
from tests.support.manual_clock import ManualClock
from tests.support.tiny.venue import TinyVenue
from tests.support.venue import ScriptedPrices

COINS = ("BTCUSDT", "ETHUSDT")


class Venue(TinyVenue):
    """Its fees may be changed."""

    fee = FEE
    asked = 0

    async def markets(self, symbols: Sequence[str] | None = None) -> Mapping[str, MarketRule]:
        self.asked += 1
        found = await super().markets(symbols)
        fees = {COINS[0]: FEE / 2, COINS[1]: self.fee}
        return {s: dataclasses.replace(r, taker_fee=fees[s]) for s, r in found.items()}


class Site:
    def __init__(
        self,
        directory: Path,
        record: EvidenceRecord | bytes | None = None,
        demand: EvidenceDemand = "require",
        **settings: Any,
    ) -> None:
        path = directory / "evidence.json"
        if record is not None:
            path.write_bytes(record if isinstance(record, bytes) else codec.encode(record))
        self.clock = ManualClock(NOW_MS)
        prices = ScriptedPrices(NOW_MS, dict.fromkeys(COINS, "100"))
        self.venue = Venue(SimVenue(prices, fresh_state(NOW_MS)), self.clock)
        self.gate = EvidenceGate(
            self.venue,
            TraderSection(**{"evidence_file": str(path), **settings}),
            demand=demand,
            strategy=lambda: BASE,
            parameters={},
            indicators=IndicatorsSection(),
            symbols=COINS,
            clock=self.clock,
            log=logging.getLogger("trader"),
        )


async def test_evidence_that_fits_forbids_nothing_once_it_is_read(tmp_path: Path) -> None:
    site = Site(tmp_path, evidence())
    assert site.gate.restraint == "the evidence: it has not been read yet"
    assert site.gate.status().fits is None
    await site.gate.read()
    assert site.gate.restraint.startswith("the fees that the evidence must cover cannot be read")
    assert site.gate.status().text == site.gate.restraint
    await site.gate.look()
    assert site.gate.restraint == ""
    status = site.gate.status()
    assert (status.demand, status.fits, status.accepted) == ("require", True, "")
    assert status.text.startswith(f"base {BASE.version} (") and "recorded 3 days ago" in status.text


async def test_fees_are_read_every_hour_and_the_highest_counts(tmp_path: Path) -> None:
    site = Site(tmp_path, evidence())
    await site.gate.look()
    site.venue.fee = Decimal("0.0006")
    await site.clock.advance(FEES_EVERY_S - 1)
    await site.gate.look()
    assert (site.gate.restraint, site.venue.asked) == ("", 1)
    await site.clock.advance(1)
    await site.gate.look()
    assert "the venue takes 0.06 % now" in site.gate.restraint
    site.venue._is_known = False  # it answers nothing any more: what was read holds
    await site.clock.advance(FEES_EVERY_S)
    await site.gate.look()
    assert "the venue takes 0.06 % now" in site.gate.restraint


async def test_without_a_record_the_venue_is_not_asked(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.gate.look()
    assert site.venue.asked == 0
    assert f"{tmp_path / 'evidence.json'} does not exist" in site.gate.restraint
    assert site.gate.status().fits is False


@pytest.mark.parametrize(
    ("record", "settings", "words"),
    [
        (None, {"evidence_file": None}, "trader.evidence_file is not set"),
        (None, {"evidence_file": "/dev/null"}, "/dev/null cannot be read (no regular file)"),
        (b"{", {}, "evidence.json: not JSON"),
        (b'{"v": 9}', {}, "v: found 9, expected 1: record it again"),
        (evidence(lower_r=-0.2), {}, "may be as low as -0.200 R"),
        (evidence(), {"entry_score": 91}, "trader.entry_score 85, now 91"),
    ],
)
async def test_what_is_missing_is_named_and_forbids_entries_where_it_is_required(
    record: Any, settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    site = Site(tmp_path, record, **settings)
    await site.gate.look()
    assert words in site.gate.restraint
    assert site.gate.restraint.startswith("no evidence of these settings: ")
    assert words in site.gate.status().text
    advised = Site(tmp_path, record, "advise", **settings)
    await advised.gate.look()
    assert advised.gate.restraint == ""
    assert advised.gate.status().fits is False
    assert words in advised.gate.status().text


async def test_reason_to_accept_lets_it_enter_and_stands_in_the_status(tmp_path: Path) -> None:
    site = Site(tmp_path, accept_without_evidence="my own risk")
    assert site.gate.restraint == ""
    await site.gate.look()
    assert site.gate.restraint == ""
    status = site.gate.status()
    assert (status.fits, status.accepted) == (False, "my own risk")


async def test_ignored_evidence_is_not_even_read(tmp_path: Path) -> None:
    site = Site(tmp_path, b"{", "ignore")
    await site.gate.look()
    assert site.gate.restraint == ""
    assert site.gate.status().text == "not asked for (trader.evidence: ignore)"


async def test_disk_that_does_not_answer_is_waited_for_without_end_and_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def stalled(path: Path) -> EvidenceRecord:
        answers.wait(20)
        return read_record(path)

    monkeypatch.setattr("shared.evidence.record.read_record", stalled)
    monkeypatch.setattr("actors.trader.evidence_gate.READ_S", 0.05)
    site = Site(tmp_path, evidence())
    await asyncio.wait_for(site.gate.look(), 5)
    assert "the disk does not answer" in site.gate.restraint
    answers.set()
    monkeypatch.setattr("actors.trader.evidence_gate.READ_S", 20)
    await site.gate.look()
    assert site.gate.restraint == ""
