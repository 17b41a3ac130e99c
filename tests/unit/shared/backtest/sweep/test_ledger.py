"""The ledger of what was tried."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from shared.backtest.sweep.ledger import (
    FIRST,
    NAME,
    Kind,
    LedgerBroken,
    LedgerLine,
    append,
    read_ledger,
)

DAY_MS = 86_400_000


def line(
    id_: str, kind: Kind = "sweep", *, days: tuple[int, int, int] = (0, 80, 100), tries: int = 10
) -> LedgerLine:
    from_ms, to_ms, held_out_ms = (day * DAY_MS for day in days)
    return LedgerLine(
        before="", at_ms=1, kind=kind, id=id_, data_hash="d", from_ms=from_ms, to_ms=to_ms,
        held_out_ms=held_out_ms, tries=tries, what="sweep",
    )  # fmt: skip


def opening(id_: str, first: int, end: int) -> LedgerLine:
    return line(id_, "opening", days=(first, end, end), tries=1)


def test_each_line_has_the_hash_of_the_one_before(tmp_path: Path) -> None:
    for id_ in "abc":
        ledger = append(tmp_path, line(id_))
    raw = (tmp_path / NAME).read_bytes().splitlines()
    hashes = [FIRST, *(hashlib.sha256(each).hexdigest() for each in raw)]
    assert [json.loads(each)["before"] for each in raw] == hashes[:-1]
    assert ledger.head == hashes[-1]
    assert read_ledger(tmp_path) == ledger


def test_no_ledger_is_not_an_empty_one(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) is None


def test_tries_of_sweeps_that_overlap_add_up_and_a_repeated_sweep_counts_once(
    tmp_path: Path,
) -> None:
    append(tmp_path, line("a", days=(0, 50, 60), tries=10))
    append(tmp_path, line("b", days=(40, 80, 90), tries=7))
    ledger = append(tmp_path, line("a", days=(0, 50, 60), tries=10))
    assert len(ledger.lines) == 2
    spans = {(0, 40): 10, (45, 46): 17, (50, 99): 7, (80, 99): 0, (0, 99): 17}
    for (first, end), tries in spans.items():
        assert ledger.tries(first * DAY_MS, end * DAY_MS) == tries, (first, end)


def test_an_opening_counts_once_and_a_sweep_that_chose_on_held_out_days_with_all_its_tries(
    tmp_path: Path,
) -> None:
    append(tmp_path, line("a", days=(0, 80, 100), tries=10))
    append(tmp_path, opening("x", 80, 100))
    append(tmp_path, opening("y", 90, 100))
    ledger = append(tmp_path, opening("x", 80, 100))
    assert ledger.openings(80 * DAY_MS, 100 * DAY_MS) == 2
    assert ledger.openings(80 * DAY_MS, 90 * DAY_MS) == 1
    ledger = append(tmp_path, line("b", days=(0, 90, 100), tries=5))
    assert ledger.openings(80 * DAY_MS, 100 * DAY_MS) == 7
    found = ledger.opening("x")
    assert found is not None
    assert found.what == "sweep"
    assert ledger.opening("a") is None


def test_what_touches_a_hold_out_is_known(tmp_path: Path) -> None:
    ledger = append(tmp_path, line("a", days=(0, 80, 100)))
    spans = {(0, 80): 0, (0, 81): 1, (99, 120): 1, (100, 120): 0}
    for (first, end), number in spans.items():
        assert len(ledger.touched(first * DAY_MS, end * DAY_MS)) == number, (first, end)


def test_a_sweep_without_a_hold_out_holds_out_nothing(tmp_path: Path) -> None:
    ledger = append(tmp_path, line("a", days=(0, 80, 80)))
    assert ledger.touched(0, 100 * DAY_MS) == []


@pytest.mark.parametrize("change", ["edit", "remove", "swap", "insert", "last", "garbage"])
def test_a_changed_line_is_seen_and_nothing_is_appended_to_it(tmp_path: Path, change: str) -> None:
    for id_ in "abcd":
        append(tmp_path, line(id_))
    path = tmp_path / NAME
    raw = path.read_bytes().splitlines(keepends=True)
    if change == "edit":
        raw[1] = raw[1].replace(b'"tries":10', b'"tries":1')
    elif change == "remove":
        del raw[1]
    elif change == "swap":
        raw[1], raw[2] = raw[2], raw[1]
    elif change == "insert":
        raw.insert(2, raw[1])
    elif change == "last":
        raw[-1] = raw[-1].replace(b'"before":"', b'"before":"0')
    else:
        raw[2] = b"nonsense\n"
    path.write_bytes(b"".join(raw))
    with pytest.raises(LedgerBroken, match=rf"{NAME}:\d"):
        read_ledger(tmp_path)
    with pytest.raises(LedgerBroken):
        append(tmp_path, line("e"))
    assert path.read_bytes() == b"".join(raw)


def test_a_line_that_a_crash_cut_short_was_never_written(tmp_path: Path) -> None:
    before = append(tmp_path, line("a"))
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"before":"12')
    assert read_ledger(tmp_path) == before
    ledger = append(tmp_path, line("b"))
    assert [x.id for x in ledger.lines] == ["a", "b"]
    assert read_ledger(tmp_path) == ledger


def test_lines_that_are_appended_at_once_follow_each_other(tmp_path: Path) -> None:
    def add(name: str) -> None:
        for number in range(10):
            append(tmp_path, line(f"{name}{number}"))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger = read_ledger(tmp_path)
    assert ledger is not None
    assert len(ledger.lines) == 40


def test_a_ledger_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        append(tmp_path, line("a"))
