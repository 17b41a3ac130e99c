"""Parts of the trader's API that need no socket: description, table, token, guesses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from rich.console import Console

from actors.trader_api.answers import LockAnswer, StatusAnswer
from actors.trader_api.gate import MOST_GUESSES, WITHIN_S, RequestGate
from actors.trader_api.openapi import VERBS, document
from shared.console.trader_table import tables_of
from shared.messages.json_schema import schemas_of
from shared.messages.trading import (
    Balance,
    EvidenceStatus,
    Position,
    Positions,
    TraderLimit,
    TraderStatus,
)
from tests.support.manual_clock import ManualClock

NOW_MS = 1_700_000_000_000
TOKEN = "t" * 43


@dataclass
class Odd:
    found: set[str]


# The description


def test_every_command_and_reading_is_described_and_needs_the_token() -> None:
    described = document()
    assert described["openapi"] == "3.1.0"
    assert described["security"] == [{"token": []}]
    for verb in VERBS:
        path = f"/{verb}/{{symbol}}" if verb in ("close", "adopt") else f"/{verb}"
        assert "post" in described["paths"][path]
    for name in ("status", "config", "positions", "balance", "trades", "events", "equity"):
        assert "get" in described["paths"][f"/{name}"]
    open_ = [
        p for p, item in described["paths"].items() if item.get("get", {}).get("security") == []
    ]
    assert open_ == ["/openapi.json"]


def test_every_reference_of_the_description_leads_somewhere() -> None:
    described = document()

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [r for value in node.values() for r in references(value)]
        return [r for value in node for r in references(value)] if isinstance(node, list) else []

    found = references(described)
    assert len(found) > 50
    for reference in found:
        node = described
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_types_are_described_as_they_travel() -> None:
    schemas = schemas_of(TraderStatus)
    status = schemas["TraderStatus"]
    assert status["properties"]["cycle_ms"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert status["properties"]["limits"]["items"] == {"$ref": "#/components/schemas/TraderLimit"}
    assert status["properties"]["equity"]["items"]["minItems"] == 2
    assert set(status["required"]) == set(status["properties"])
    assert schemas["TraderLimit"]["additionalProperties"] is False


def test_type_that_does_not_travel_is_refused() -> None:
    with pytest.raises(TypeError, match="does not travel"):
        schemas_of(Odd)


# Who is let in


def status_of(gate: RequestGate, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    refusal = gate.refusal(make_mocked_request("GET", "/status", headers=headers))
    return 200 if refusal is None else refusal.status


async def test_guesses_are_counted_for_a_minute_and_then_forgotten() -> None:
    clock = ManualClock()
    gate = RequestGate(TOKEN.encode(), clock)
    assert {status_of(gate, f"Bearer {n}") for n in range(MOST_GUESSES)} == {401}
    assert status_of(gate, "Bearer x") == 429
    assert status_of(gate, f"Bearer {TOKEN}") == 200
    assert status_of(gate, None) == 401
    await clock.advance(WITHIN_S)
    assert status_of(gate, "Bearer x") == 401


@pytest.mark.parametrize(
    "shown",
    [TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     f"Bearer {TOKEN} {TOKEN}", "Bearer \u00e9"],
)  # fmt: skip
def test_only_the_whole_token_opens(shown: str) -> None:
    assert status_of(RequestGate(TOKEN.encode(), ManualClock()), shown) == 401


# The table


def shown(evidence: EvidenceStatus | None = None, **change: Any) -> str:
    status = TraderStatus(
        as_of_ms=NOW_MS, mode="enabled", reason="entries and exits", venue="Venue",
        cycle_ms=NOW_MS, next_cycle_ms=NOW_MS + 200_000, candles_from="redis", trouble="",
        last_trade_ms=None, use_ta_signals=False, ours=["BTCUSDT"], foreign=["ETHUSDT"],
        unprotected=[], skipped={"SOLUSDT": "costs too much"}, pnl_today_quote="-3.5",
        fees_today_quote="0.4", equity=[], looked_ms=NOW_MS, pnl_as_of_ms=NOW_MS - 240_000,
        uptime_s=7_200.0, evidence=evidence,
        limits=[TraderLimit(name="daily loss", used="1.7", limit="2", unit="%", state="warned")],
    )  # fmt: skip
    answer = StatusAnswer(
        at_ms=NOW_MS, answering=True, age_s=1.0, why="", redis="up", lock=None, status=status
    )
    position = Position(
        symbol="BTCUSDT", side="long", size_base="0.01", entry_price="60000", mark_price="60100",
        stop_loss="59000", take_profit=None, liquidation_price=None, leverage=3, margin_quote="200",
        unrealized_pnl_quote="1", realized_pnl_quote="-0.3", opened_ms=NOW_MS,
    )  # fmt: skip
    foreign = {**asdict(position), "symbol": "ETHUSDT", "stop_loss": None}
    by_hand = {**asdict(position), "symbol": "XRPUSDT", "side": "short", "opened_ms": NOW_MS + 1}
    positions = asdict(Positions(as_of_ms=NOW_MS - 9_000, venue="Venue", positions=[position]))
    positions["positions"] += [foreign, by_hand]
    balance = Balance(
        as_of_ms=NOW_MS - 5000, venue="Venue", currency="USDT", equity_quote="9996",
        available_quote="9796", frozen_quote="0", margin_quote="200", unrealized_pnl_quote="1",
    )  # fmt: skip
    found = {"status": asdict(answer) | change, "positions": positions, "balance": asdict(balance)}
    console = Console(width=160)
    with console.capture() as capture:
        console.print(tables_of(found, NOW_MS))
    return capture.get()


def test_table_shows_mode_money_positions_limits_and_why_not() -> None:
    text = shown()
    assert "TRADER  enabled  Venue: entries and exits; up 2 h" in text
    assert "next in 3 min" in text
    assert "equity 9996 USDT, available 9796, 5 s ago; today -3.5, fees 0.4, 4 min ago" in text
    assert "positions, 9 s ago" in text
    assert "limits, 4 min ago" in text
    ours, foreign = (line for line in text.splitlines() if " long " in line)
    assert ours.split()[-1] == "ours"
    assert (foreign.split()[-1], "none" in foreign) == ("foreign", True)
    (by_hand,) = (line for line in text.splitlines() if " short " in line)
    assert by_hand.rstrip().endswith("not known yet")
    assert "daily loss" in text
    assert "warned" in text
    assert "SOLUSDT not entered: costs too much" in text


@pytest.mark.parametrize(
    ("evidence", "lines"),
    [
        (EvidenceStatus(demand="require", fits=True, text="base 1"), ["evidence: base 1"]),
        (
            EvidenceStatus(demand="advise", fits=False, text="it is none"),
            ["! no evidence of these settings: it is none"],
        ),
        (
            EvidenceStatus(demand="require", fits=False, text="it is none", accepted="my risk"),
            ["! accepted without evidence: my risk", "! no evidence of these settings: it is none"],
        ),
    ],
)
def test_table_shows_evidence_and_what_it_lacks(evidence: EvidenceStatus, lines: list[str]) -> None:
    said = [line.rstrip() for line in shown(evidence).splitlines() if "evidence" in line]
    assert said == lines
    assert "evidence" not in shown()


def test_table_shows_a_lock_and_a_silence_first() -> None:
    lock = LockAnswer(mode="locked", reason="odd", who="ada", at_ms=NOW_MS - 60_000, flatten=True)
    text = shown(lock=asdict(lock), answering=False, why="the trader last said how it is 90 s ago")
    assert text.startswith("TRADER  locked  by its lock file")
    assert "! lock file: locked by ada, 60 s ago: odd; its positions are closed" in text
    assert "! the trader last said how it is 90 s ago" in text


def test_table_says_locked_as_soon_as_the_lock_file_does() -> None:
    lock = LockAnswer(mode="locked", reason="odd", who="ada", at_ms=NOW_MS, flatten=False)
    assert shown(lock=asdict(lock)).startswith("TRADER  locked  by its lock file")
    assert shown(lock=asdict(lock), status=None).startswith("TRADER  locked  by its lock file")


def test_table_of_a_trader_nobody_knows_says_so() -> None:
    text = shown(status=None, why="no trader has said how it is")
    assert "TRADER  unknown" in text
    assert "! no trader has said how it is" in text
