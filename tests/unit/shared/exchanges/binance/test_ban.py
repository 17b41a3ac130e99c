"""The memory of a ban, and the weight that keeps us from earning one."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from actors.exchange_sim.binance.limits import FIRST_BAN_MS, GRACE, LONGEST_BAN_MS, RequestLimits
from shared.exchanges.binance.ban import UNREADABLE_BAN_MS, BanFile
from shared.exchanges.binance.weight import WeightBudget
from shared.messages.candles import Ban

BAN = Ban(until_ms=1_700_000_120_000, status=418, at_ms=1_700_000_000_000)
MINUTE = 60_000
START = 28_333_333 * MINUTE


def test_ban_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state" / "binance-ban"
    BanFile(path).write(BAN)
    assert BanFile(path).read() == BAN


def test_no_file_is_no_ban(tmp_path: Path) -> None:
    file = BanFile(tmp_path / "binance-ban")
    assert file.read() is None
    file.write(BAN)
    assert file.read() == BAN
    (tmp_path / "binance-ban").unlink()
    assert file.read() is None


def test_ban_written_by_another_process_is_seen(tmp_path: Path) -> None:
    ours, theirs = BanFile(tmp_path / "ban"), BanFile(tmp_path / "ban")
    assert ours.read() is None
    for minutes in range(1, 20):
        ban = Ban(until_ms=BAN.until_ms + minutes * MINUTE, status=429, at_ms=BAN.at_ms)
        theirs.write(ban)
        assert ours.read() == ban


@pytest.mark.parametrize("content", [b"", b"{", b'{"until_ms": "soon"}', b"\xff\xfe"])
def test_unreadable_ban_counts_as_a_short_one(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ban"
    path.write_bytes(content)
    os.utime(path, ns=(0, 1_700_000_000_000 * 1_000_000))
    file = BanFile(path)
    with caplog.at_level(logging.ERROR):
        ban = file.read()
        file.read()
    assert ban is not None
    assert ban.until_ms == 1_700_000_000_000 + UNREADABLE_BAN_MS
    assert len(caplog.records) == 1


def test_failed_write_leaves_the_old_ban_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = BanFile(tmp_path / "ban")
    file.write(BAN)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        file.write(Ban(until_ms=1, status=429, at_ms=0))
    assert file.read() == BAN
    assert [p.name for p in tmp_path.iterdir()] == ["ban"]


def test_weight_waits_for_the_next_minute_at_its_share() -> None:
    budget = WeightBudget(0.5)
    budget.limit = 100
    taken = 0
    while budget.take(2, START + 10_000) == 0:
        taken += 2
    assert taken == 50
    assert budget.used(START + 10_000) == 50
    assert budget.take(2, START + 10_000) == pytest.approx(50.0)
    assert budget.take(2, START + MINUTE) == 0
    assert budget.used(START + MINUTE) == 2
    assert budget.used(START + 2 * MINUTE) == 0


def test_weight_others_spend_from_our_address_counts() -> None:
    budget = WeightBudget(0.5)
    budget.limit = 100
    assert budget.take(2, START) == 0
    budget.report(49, START, START + 500)
    assert budget.take(2, START + 600) > 0


def test_report_that_crossed_the_minute_or_is_lower_changes_nothing() -> None:
    budget = WeightBudget(0.5)
    assert budget.take(20, START + MINUTE - 10) == 0
    budget.report(3, START + MINUTE - 10, START + MINUTE - 5)
    assert budget.used(START + MINUTE - 1) == 20
    budget.report(2_900, START + MINUTE - 10, START + MINUTE + 5)
    assert budget.take(2, START + MINUTE + 6) == 0


def test_offset_correction_over_a_minutes_start_does_not_free_weight() -> None:
    budget = WeightBudget(0.5)
    budget.limit = 100
    assert budget.take(50, START) == 0
    assert budget.take(2, START - 20) > 0


def test_share_below_one_request_still_lets_one_through() -> None:
    budget = WeightBudget(0.0001)
    assert budget.take(20, START) == 0
    assert budget.take(2, START) > 0


def test_limit_broken_is_429_until_the_minute_ends_then_all_is_well() -> None:
    limits = RequestLimits(limit=4)
    assert limits.refuse(2, START + 1000) is None
    assert limits.refuse(2, START + 1000) is None
    refusal = limits.refuse(2, START + 1000)
    assert refusal is not None
    assert (refusal.status, refusal.until_ms) == (429, START + MINUTE)
    assert limits.refuse(2, START + MINUTE) is None


def test_going_on_brings_bans_that_grow_up_to_three_days() -> None:
    limits, now, lengths = RequestLimits(limit=4), START, []
    for _ in range(14):
        now += MINUTE - now % MINUTE
        limits.refuse(5, now)
        for _ in range(GRACE):
            refusal = limits.refuse(2, now)
            assert refusal is not None
            assert refusal.status == 429
        banned = limits.refuse(2, now)
        assert banned is not None
        assert banned.status == 418
        lengths.append(banned.until_ms - now)
        again = limits.refuse(2, now + 1000)
        assert again == banned
        now = banned.until_ms
    assert lengths[:3] == [FIRST_BAN_MS, 2 * FIRST_BAN_MS, 4 * FIRST_BAN_MS]
    assert lengths[-1] == LONGEST_BAN_MS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_writes_is_the_owners_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    BanFile(tmp_path / "binance-ban").write(Ban(until_ms=2, status=418, at_ms=1))
    assert (tmp_path / "binance-ban").stat().st_uid == 12345
