"""The table of keys: names to the letter, one writer, one type, one bound, documented."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

import pytest

from shared import schema
from shared.market import Timeframe
from shared.messages.trading import TraderKind
from shared.schema import TABLE, Role, as_markdown
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("entry", "parts", "name", "ttl_s"),
    [
        (schema.CANDLE_UPDATES, {"symbol": "BTCUSDT"}, "market:candles:BTCUSDT", None),
        (schema.CANDLES[Timeframe.M5], {"symbol": "BTCUSDT"}, "cache:candles:BTCUSDT", 60),
        (schema.CANDLES[Timeframe.H1], {"symbol": "BTCUSDT"}, "cache:candles:BTCUSDT:1h", 300),
        (schema.CANDLES[Timeframe.H4], {"symbol": "BTCUSDT"}, "cache:candles:BTCUSDT:4h", 600),
        (schema.TA_SIGNALS, {"symbol": "BTCUSDT"}, "signals:ta:BTCUSDT", None),
        (schema.TA_LATEST, {"symbol": "BTCUSDT"}, "ta:latest:BTCUSDT", 120),
        (schema.SCAN, {}, "signals:scan", None),
        (schema.SCAN_LATEST, {}, "scan:latest", 120),
        (schema.HISTORY, {}, "signals:history", None),
        (schema.HEARTBEAT, {"name": "fetcher"}, "actor:heartbeat:fetcher", 60),
        (schema.LEASE, {}, "supervisor:lease", 15),
        (schema.CONTROL_REPLIES, {"id": "7"}, "supervisor:replies:7", 60),
        (schema.QUARANTINE, {"stage": "fetch", "symbol": "X"}, "quarantine:fetch:X", None),
        (schema.BAN_UNTIL, {}, "market:ban_until", 259_200),
    ],
)
def test_names_and_lifetimes_users_rely_on(
    entry: schema.Entry[object], parts: dict[str, str], name: str, ttl_s: int | None
) -> None:
    assert entry.name(**parts) == name
    assert entry.ttl_s == ttl_s


def test_every_entry_of_the_module_is_in_the_table_once() -> None:
    defined = [value for value in vars(schema).values() if isinstance(value, schema.Entry)]
    assert {e.pattern for e in [*defined, *schema.CANDLES.values()]} == {e.pattern for e in TABLE}
    assert len({e.pattern for e in TABLE}) == len(TABLE)


def test_every_entry_says_who_writes_what_for_whom() -> None:
    for entry in TABLE:
        assert entry.writers and entry.readers
        assert entry.message is dict or dataclasses.is_dataclass(entry.message)
        assert (entry.max_length is not None) == (entry.kind == "stream"), entry.pattern


def test_missing_part_of_a_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        schema.TA_LATEST.name()


def test_glob_matches_every_name_of_its_entry() -> None:
    assert schema.QUARANTINE.glob() == "quarantine:*:*"
    assert schema.LEASE.glob() == "supervisor:lease"


def test_docs_redis_md_is_current() -> None:
    page = (ROOT / "docs" / "redis.md").read_text(encoding="utf-8")
    assert page == as_markdown(), "stale: run python -m shared.schema > docs/redis.md"


def test_page_has_a_row_per_entry() -> None:
    rows = re.findall(r"^\| `([^`]+)`", as_markdown(), re.MULTILINE)
    assert rows == [entry.pattern for entry in (*TABLE, *schema.OF_GUEST_TRADER)]


PLATFORMS = set(schema.ALL)
STATE = {"state:positions", "state:balance", "state:trader:status", "state:trader:config"}


def test_every_key_has_one_writer_whoever_trades_and_is_read_by_the_same_names() -> None:
    for kind in get_args(TraderKind):
        found = schema.table(kind)
        assert [entry.pattern for entry in found] == [entry.pattern for entry in TABLE]
        for entry in found:
            several = entry.own is not None or entry.pattern == "trader:kill"
            is_log = entry.pattern == "trader:events:log" and kind == "outside"
            assert len(entry.writers) <= 1 or several or is_log, entry.pattern
            assert not set(entry.writers) <= {Role.ACCOUNT, Role.TRADER} or kind == "own" or (
                not entry.writers
            ), entry.pattern  # fmt: skip


def test_what_is_the_traders_is_written_by_the_guest_alone_or_by_nobody() -> None:
    own, outside, none = (
        {entry.pattern: set(entry.writers) for entry in schema.table(kind)}
        for kind in get_args(TraderKind)
    )
    assert schema.table() == TABLE
    for name in STATE:
        assert own[name] in ({Role.ACCOUNT}, {Role.TRADER})
        assert outside[name] == {Role.GUEST_TRADER} and none[name] == set()
    assert outside["trader:events"] == {Role.GUEST_TRADER}
    assert outside["trader:events:log"] == {Role.GUEST_TRADER, Role.GUESTS}
    changed = {name for name in own if own[name] != outside[name]}
    assert changed == {name for name in own if own[name] != none[name]}
    assert changed - STATE == {
        "account:refresh", "trader:events", "trader:events:log", "trader:commands",
        "trader:replies:{id}", "trader:kill",
    }  # fmt: skip
    assert not any(writers - PLATFORMS for writers in own.values())
