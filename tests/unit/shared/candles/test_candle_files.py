"""What a file of recorded candles may hold."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.candles import files
from shared.candles.admission import WrongUnit
from shared.candles.files import HEADER, read_candles
from shared.errors import BadCandle
from shared.market import Timeframe

T = 1_700_000_100_000
GOOD = f"{T},10.5,11,10,10.8,120.25\n"


def read(tmp_path: Path, rows: str) -> int:
    path = tmp_path / "BTCUSDT-5m.csv.gz"
    path.write_bytes(gzip.compress(HEADER + b"\n" + rows.encode()))
    return len(read_candles(path, "BTCUSDT", Timeframe.M5))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_plain_decimals_are_read(tmp_path: Path, ending: str) -> None:
    second = GOOD.replace(str(T), str(T + 300_000))
    assert read(tmp_path, (GOOD + second).replace("\n", ending)) == 2


@pytest.mark.parametrize(
    "price", ["1_0.8", "+10.8", " 10.8", "10.8 ", "1.08e1", "inf", "nan", "0xa", ".8", "１０", ""]
)
def test_a_price_that_is_no_plain_decimal_is_refused(tmp_path: Path, price: str) -> None:
    with pytest.raises(BadCandle, match=r"BTCUSDT-5m\.csv\.gz"):
        read(tmp_path, GOOD.replace("10.8,", f"{price},"))


def test_a_time_with_a_fraction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCandle, match="the first a whole one"):
        read(tmp_path, GOOD.replace(str(T), f"{T}.5"))


def test_a_file_that_decompresses_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 1000)
    with pytest.raises(BadCandle, match="more than 1,000 bytes"):
        read(tmp_path, GOOD * 100)


def test_a_long_file_in_another_unit_is_refused_at_its_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 5000)
    with pytest.raises(WrongUnit, match=f"microseconds, .*: row 1 has {T}000"):
        read(tmp_path, GOOD.replace(str(T), f"{T}000") * 1000)
