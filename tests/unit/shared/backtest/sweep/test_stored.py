"""Results of settings on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.backtest.sweep.stored import PartResult, key_of, read_result, write_result

RESULTS = [
    PartResult(np.array([0.1, -0.2]), np.array([5, 7, 9]), np.array([1.0, -1.0, 0.5]), "ab"),
    PartResult(np.array([0.0]), np.empty(0, dtype=np.int64), np.empty(0), "cd"),
]


@pytest.mark.parametrize("result", RESULTS)
def test_what_was_written_is_read_to_the_bit(tmp_path: Path, result: PartResult) -> None:
    path = tmp_path / "settings" / "x.npz"
    write_result(path, result)
    found = read_result(path)
    assert found is not None
    assert found.digest == result.digest
    for name in ("daily", "entered_ms", "results_r"):
        one, other = getattr(result, name), getattr(found, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert [each.name for each in path.parent.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "other"])
def test_what_is_not_there_whole_is_not_there(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.npz"
    write_result(path, RESULTS[0])
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[:-100], "other": b"x" * 200}[damage])
    assert read_result(path) is None


def test_a_key_depends_on_every_value_and_on_nothing_else() -> None:
    key = key_of(1, {"a": 3, "b": [1.5, True]}, "x")
    assert key == key_of(1, {"b": (1.5, True), "a": 3.0}, "x")
    others = [
        key_of(2, {"a": 3, "b": [1.5, True]}, "x"),
        key_of(1, {"a": 4, "b": [1.5, True]}, "x"),
        key_of(1, {"a": 3, "b": [1.5, False]}, "x"),
        key_of(1, {"a": 3, "b": [1.5, True]}, "y"),
        key_of(1, {"a": 3, "b": [1.5, True], "c": None}, "x"),
    ]
    assert len({key, *others}) == 6
