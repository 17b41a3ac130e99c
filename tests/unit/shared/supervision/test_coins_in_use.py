"""Coins with something open are managed to the end, whatever the configuration lists."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest

from shared.config.defaults import Mode
from shared.config.sections import Config, TraderSection
from shared.exchanges.sim.save_file import VenueFile, fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import OpenPosition
from shared.journal.journal import Journal
from shared.messages.trading import TraderKind
from shared.supervision.coins_in_use import CoinsInUse, coins_in_use, in_words, kept
from shared.supervision.specs import child_specs
from tests.support.old_journal import old_journal, run_sql
from tests.support.venue import ScriptedPrices, simulated_owner

D = Decimal
NOW_MS = 1_767_225_600_000
PORTS = {"health": 1, "dashboard": 2, "exchange-sim": 3, "trader-api": 4}


def config(state_dir: Path, mode: Mode = "demo", enabled: bool | None = None) -> Config:
    return Config(
        mode=mode,
        state_dir=str(state_dir),
        groups={"majors": ["BTCUSDT"]},
        trader=TraderSection(enabled=enabled),
    )


def own_position(symbol: str) -> OpenPosition:
    return OpenPosition(
        position_id="5", symbol=symbol, side="long", size=D(2), entry_price=D(100), leverage=3,
        margin_mode="isolated", margin=D(60), unrealized_pnl=D(0), realized_pnl=D(0),
        stop_loss=None, take_profit=None, liquidation_price=None, opened_ms=0, updated_ms=0,
    )  # fmt: skip


def with_own(state_dir: Path, *symbols: str) -> None:
    journal = Journal(state_dir / "trader.db", simulated_owner())
    for symbol in symbols:
        journal.adopt(own_position(symbol), stop_fraction=D("0.01"), target_fraction=D("0.02"),
                      at_ms=NOW_MS, events=[])  # fmt: skip
    journal.close()


def at_venue(state_dir: Path) -> None:
    """Save an account with a position in one market and a resting order in another."""
    prices = ScriptedPrices(NOW_MS, {"ETHUSDT": "3000", "SOLUSDT": "150", "BTCUSDT": "60000"})
    state = fresh_state(NOW_MS)
    venue = SimVenue(prices, state)
    venue.place("ETHUSDT", "buy", "market", D("0.1"), None)
    venue.place("SOLUSDT", "buy", "limit", D(1), D(149))
    VenueFile(state_dir / "venue.json").save(state)


def test_nothing_is_in_use_before_the_first_start(tmp_path: Path) -> None:
    assert coins_in_use(config(tmp_path)) == CoinsInUse()


def test_own_positions_and_what_is_open_at_the_simulated_venue_are_in_use(tmp_path: Path) -> None:
    with_own(tmp_path, "DOGEUSDT", "BTCUSDT")
    at_venue(tmp_path)
    found = coins_in_use(config(tmp_path))
    assert found == CoinsInUse(
        frozenset({"DOGEUSDT", "BTCUSDT"}), frozenset({"ETHUSDT", "SOLUSDT"})
    )
    assert coins_in_use(config(tmp_path, "live")).at_venue == frozenset()
    assert kept(config(tmp_path), found) == ("DOGEUSDT", "ETHUSDT", "SOLUSDT")
    assert kept(config(tmp_path), found, ["XRPUSDT"]) == ("DOGEUSDT", "ETHUSDT", "SOLUSDT")


def test_files_that_cannot_be_read_keep_all_coins_of_before(tmp_path: Path) -> None:
    (tmp_path / "trader.db").write_bytes(b"no database at all, " * 100)
    (tmp_path / "venue.json").write_bytes(b"{")
    found = coins_in_use(config(tmp_path))
    assert "damaged" in found.unknown
    assert kept(config(tmp_path), found, ["BTCUSDT", "ETHUSDT"]) == ("ETHUSDT",)
    assert any("not known" in text for text in in_words(config(tmp_path), found, ()))


def test_kept_coins_have_candles_and_nothing_else(tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in child_specs(config(tmp_path), PORTS, ["ETHUSDT"])}
    assert specs["fetcher"].section["symbols"] == ["BTCUSDT", "ETHUSDT"]
    others = [s.section["symbols"] for n, s in specs.items() if n != "fetcher" and "symbols" in s.section]  # fmt: skip  # noqa: E501
    assert others and all(symbols == ["BTCUSDT"] for symbols in others)


KEPT = (
    "ETHUSDT, SOLUSDT: in no group, but with an open position or order: candles and protection go "
    "on until it ends (and the next reload), entries do not"
)
UNMANAGED = (
    "trader.enabled is false, with open positions in BTCUSDT, ETHUSDT: their stops stay at the "
    "venue, nothing else is done for them"
)


@pytest.mark.parametrize(
    ("own", "coins", "enabled", "words"),
    [
        (set(), (), False, []),
        ({"ETHUSDT", "BTCUSDT"}, ("ETHUSDT", "SOLUSDT"), None, [KEPT]),
        ({"ETHUSDT", "BTCUSDT"}, ("ETHUSDT", "SOLUSDT"), False, [KEPT, UNMANAGED]),
    ],
)
def test_the_operator_is_told(
    tmp_path: Path, own: set[str], coins: tuple[str, ...], enabled: bool | None, words: list[str]
) -> None:
    found = in_words(config(tmp_path, enabled=enabled), CoinsInUse(frozenset(own)), coins)
    assert list(found) == words


def test_an_ended_position_is_not_in_use(tmp_path: Path) -> None:
    with_own(tmp_path, "DOGEUSDT")
    journal = Journal(tmp_path / "trader.db", simulated_owner())
    (own,) = journal.own_positions()
    journal.end_position(
        own.own_id, closed_ms=NOW_MS, pnl=D(0), by="command", how="closed", events=[]
    )
    journal.close()
    assert coins_in_use(dataclasses.replace(config(tmp_path))).own == frozenset()


def test_coins_of_a_journal_that_the_trader_has_not_brought_up_to_date_yet_are_known(
    tmp_path: Path,
) -> None:
    old_journal(tmp_path)
    assert coins_in_use(config(tmp_path)) == CoinsInUse(
        own=frozenset(
            {"BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT"}
        )
    )


def test_coins_of_a_journal_of_a_newer_release_are_unknown(tmp_path: Path) -> None:
    with_own(tmp_path, "DOGEUSDT")
    run_sql(tmp_path / "trader.db", "PRAGMA user_version=3; DROP TABLE positions")
    found = coins_in_use(config(tmp_path))
    assert (found.own, "version 3" in found.unknown) == (frozenset(), True)


@pytest.mark.parametrize("kind", ["outside", "none"])
def test_positions_of_a_trader_that_is_replaced_are_named(tmp_path: Path, kind: TraderKind) -> None:
    changed = dataclasses.replace(config(tmp_path), trader=TraderSection(kind=kind))
    in_use = CoinsInUse(own=frozenset({"BTCUSDT"}))
    assert list(in_words(changed, in_use, ())) == [
        f"trader.kind is {kind}, with open positions in BTCUSDT: their stops stay at the venue, "
        "nothing else is done for them"
    ]
