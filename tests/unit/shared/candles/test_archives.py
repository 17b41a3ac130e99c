"""Binance's archives: what is read, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from shared.candles import archives
from shared.candles.archives import archive_name, has_checksum, read_archive
from shared.errors import BadCandle
from shared.market import StoredTimeframe
from tests.support.archives import HEADER, csv_of, write_archive
from tests.support.candle_series import walk

M5 = StoredTimeframe.M5
WALK = walk(1, 20)
TEXT = csv_of(WALK, M5)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("per_ms", [1, 1000])
def test_rows_are_read_with_a_header_or_without_in_either_unit(
    tmp_path: Path, per_ms: int, header: bool
) -> None:
    text = csv_of(WALK, M5, per_ms=per_ms, header=header)
    if header:
        text = text.replace("\n", "\r\n")
    found = read_archive(write_archive(tmp_path / "a.zip", text), M5)
    assert np.array_equal(found.open_time_ms, WALK.open_time_ms * per_ms)
    assert np.array_equal(found.close, WALK.close)


def test_a_name_says_which_candles() -> None:
    assert archive_name(Path("x/BTCUSDT-5m-2024-02.zip")) == ("BTCUSDT", M5)
    day = archive_name(Path("币安人生USDT-1m-2024-12-31.zip"))
    assert day == ("币安人生USDT", StoredTimeframe.M1)
    archive_name(Path("BTCUSDT-5m-9999-12.zip"))  # one odd name does not end an import


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSDT-5m.zip",
        "BTCUSDT-3d-2024-01.zip",
        "-5m-2024-01.zip",
        "btcusdt-5m-2024-01.zip",
        "BTCUSDT-5m-2024-13.zip",
        "BTCUSDT-5m-2024-02-30.zip",
    ],
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(BadCandle, match=name):
        archive_name(Path(name))


def test_a_checksum_that_differs_is_refused_by_name(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "BTCUSDT-5m-2024-01.zip", TEXT)
    assert has_checksum(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BadCandle, match=r"BTCUSDT-5m-2024-01\.zip: its SHA-256"):
        has_checksum(path)
    beside = path.with_name(f"{path.name}.CHECKSUM")
    beside.write_text("nothing of the kind")
    with pytest.raises(BadCandle, match="no SHA-256"):
        has_checksum(path)
    beside.unlink()
    assert not has_checksum(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no rows"),
        (HEADER + "\n", "no rows"),
        ("a,b\n", "not 12 fields"),
        (TEXT + "1,2\n", "not 12 fields"),
        (TEXT.replace("1024.0", "1_024.0"), "no decimal number"),
        (TEXT.replace(",", ".5,", 1), "whole"),
        (csv_of(WALK, StoredTimeframe.H1), "that is not 5m"),
    ],
)
def test_what_holds_no_candles_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadCandle, match=f"a\\.zip: .*{why}"):
        read_archive(write_archive(tmp_path / "a.zip", text), M5)


def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST_CSV", 1000)
    with pytest.raises(BadCandle, match="more than 1,000 bytes"):
        read_archive(write_archive(tmp_path / "a.zip", b"0" * 10_000), M5)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadCandle, match="expected a ZIP archive"):
        read_archive(tmp_path / "a.zip", M5)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_in_parts_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a.csv", TEXT)
    with pytest.raises(BadCandle, match="packed by method"):
        read_archive(tmp_path / "a.zip", M5)


def test_an_archive_of_two_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    with pytest.raises(BadCandle, match="holds 2 files"):
        read_archive(tmp_path / "a.zip", M5)
