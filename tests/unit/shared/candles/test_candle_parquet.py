"""A candle store: its bytes follow from its content, and what else a file may be is refused."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from shared.candles.files import candle_file, read_candles, recorded_symbols
from shared.candles.parquet import (
    METADATA,
    FundingRates,
    StoreInUse,
    read_funding,
    read_series,
    write_funding,
    write_series,
    writing,
)
from shared.candles.stored_series import (
    SourceDiffers,
    StoredSeries,
    joined,
    refuse_mixture,
    store_file,
)
from shared.errors import BadCandle
from shared.market import Candles, StoredTimeframe, Timeframe
from tests.support.candle_series import START_MS, walk
from tests.support.paths import ROOT
from tests.support.recordings import write_candles

M5 = StoredTimeframe.M5
BAR = M5.ms
BTC = StoredSeries.empty("BTCUSDT", M5)
WHOLE = walk(1, 400)
HALT = (START_MS + 200 * BAR, START_MS + 220 * BAR)
TRADED = WHOLE[(WHOLE.open_time_ms < HALT[0]) | (WHOLE.open_time_ms >= HALT[1])]


def at(bar: int) -> int:
    return START_MS + bar * BAR


def page(start: int, end: int) -> tuple[Candles, tuple[int, int]]:
    """Return what an exchange answers for some bars, and of which times that is all."""
    inside = (TRADED.open_time_ms >= at(start)) & (TRADED.open_time_ms < at(end))
    return TRADED[inside], (at(start), at(end))


def written(tmp_path: Path, series: StoredSeries) -> bytes:
    path = store_file(tmp_path, series.symbol, series.timeframe)
    write_series(path, series)
    return path.read_bytes()


def test_the_bytes_do_not_depend_on_order_and_size_of_the_pieces(tmp_path: Path) -> None:
    candles, known = page(-30, 400)
    expected = written(tmp_path, BTC.merged(candles, absent=[known], source="sim"))
    for seed in range(20):
        rng = random.Random(seed)
        cuts = sorted({-30, 400, *rng.choices(range(-29, 400), k=rng.randint(1, 12))})
        pages = [page(*cut) for cut in itertools.pairwise(cuts)]
        rng.shuffle(pages)
        series = BTC
        for candles, known in pages:
            series = series.merged(candles, absent=[known], source="sim", wins=True)
            if rng.random() < 0.3:  # interrupted, and begun again from the file
                written(tmp_path, series)
                series = read_series(store_file(tmp_path, "BTCUSDT", M5), "BTCUSDT", M5)
        assert written(tmp_path, series) == expected


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    candles, known = page(0, 400)
    written(tmp_path, BTC.merged(candles, absent=[known], source="binance"))
    found = read_series(store_file(tmp_path, "BTCUSDT", M5), "BTCUSDT", M5)
    assert found.candles.same_as(TRADED)
    assert (found.absent, found.source) == ((HALT,), "binance")


def test_what_is_missing_is_what_nobody_has_asked_for() -> None:
    candles, known = page(100, 300)
    series = BTC.merged(candles, absent=[known])
    assert series.missing(at(50), at(350)) == [(at(50), at(100)), (at(300), at(350))]
    assert series.holes() == [] and series.absent == (HALT,)
    assert BTC.merged(TRADED).holes() == [HALT]


def test_the_one_that_wins_replaces_a_candle() -> None:
    changed = Candles.of([at(3)], [1], [2], [1], [2], [9])
    first, last = BTC.merged(WHOLE), BTC.merged(WHOLE).merged(changed, wins=True)
    assert first.merged(changed).candles.same_as(WHOLE)
    assert last.candles[last.candles.open_time_ms == at(3)].same_as(changed)
    assert len(last.candles) == len(WHOLE)


def test_parts_are_joined_in_order_of_time() -> None:
    assert joined([WHOLE[300:], Candles.empty(), WHOLE[:300]]).same_as(WHOLE)
    assert not len(joined([]))


def test_real_and_simulated_candles_are_not_mixed() -> None:
    refuse_mixture("x", None, "sim")
    refuse_mixture("x", "binance", "binance")
    with pytest.raises(SourceDiffers, match=r"the simulated exchange gave.*Binance"):
        refuse_mixture("x", "sim", "binance")


def odd(tmp_path: Path, **columns: object) -> Path:
    path = store_file(tmp_path, "BTCUSDT", M5)
    parquet.write_table(pyarrow.table(columns), path)
    return path


GOOD = {
    "open_time_ms": [START_MS],
    **{c: [1.0] for c in ("open", "high", "low", "close", "volume")},
}


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"a": [1]}, "columns are a int64"),
        (GOOD | {"open": [1]}, "open int64"),
        (GOOD | {"open": [None]}, "columns are|missing"),
        (GOOD | {"high": pyarrow.array([None], pyarrow.float64())}, "a value is missing"),
    ],
)
def test_parquet_of_another_kind_is_refused(
    tmp_path: Path, columns: dict[str, object], why: str
) -> None:
    with pytest.raises(BadCandle, match=why):
        read_series(odd(tmp_path, **columns), "BTCUSDT", M5)


def test_parquet_that_others_wrote_is_read(tmp_path: Path) -> None:
    found = read_series(odd(tmp_path, **GOOD), "BTCUSDT", M5)
    assert len(found.candles) == 1 and found.absent == () and found.source is None


@pytest.mark.parametrize(
    "about",
    [
        b"[]",
        b"{",
        b'{"v": 2}',
        b'{"source": "x"}',
        b'{"absent": [[1]]}',
        b'{"absent": [[0, -1]]}',
        b'{"absent": [["a", 2]]}',
    ],
)
def test_metadata_of_another_kind_are_refused(tmp_path: Path, about: bytes) -> None:
    path = store_file(tmp_path, "BTCUSDT", M5)
    parquet.write_table(pyarrow.table(GOOD).replace_schema_metadata({METADATA: about}), path)
    with pytest.raises(BadCandle, match=r"BTCUSDT-5m\.parquet"):
        read_series(path, "BTCUSDT", M5)


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = store_file(tmp_path, "BTCUSDT", M5)
    path.write_bytes(content)
    with pytest.raises(BadCandle, match="expected Parquet"):
        read_candles(path, "BTCUSDT", Timeframe.M5)
    path.unlink()
    with pytest.raises(BadCandle, match="No such file"):
        read_series(path, "BTCUSDT", M5)


def test_a_store_is_read_like_gzip_csv_and_counts_first(tmp_path: Path) -> None:
    write_candles(tmp_path / "ETHUSDT-5m.csv.gz", WHOLE)
    write_candles(tmp_path / "BTCUSDT-5m.csv.gz", WHOLE[:10])
    written(tmp_path, BTC.merged(WHOLE))
    (tmp_path / ".BTCUSDT-5m.parquet.x").touch()
    assert recorded_symbols(tmp_path) == ["BTCUSDT", "ETHUSDT"]
    for symbol in recorded_symbols(tmp_path):
        path = candle_file(tmp_path, symbol, Timeframe.M5)
        assert read_candles(path, symbol, Timeframe.M5).same_as(WHOLE)


def test_two_do_not_write_at_once_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with writing(store):
        (store / ".BTCUSDT-5m.parquet.abc").touch()
        with pytest.raises(StoreInUse, match=r"pid \d+"), writing(store):
            raise AssertionError
    with writing(store):
        assert [path.name for path in store.iterdir()] == [".lock"]
    assert list(store.iterdir()) == []


def test_funding_rates_are_kept_with_the_times_that_were_asked_for(tmp_path: Path) -> None:
    path = store_file(tmp_path, "BTCUSDT", "funding")
    times = np.array([10, 20], dtype=np.int64)
    rates, marks = np.array([0.1, -0.2]), np.array([5.0, np.nan])
    both = FundingRates.empty("BTCUSDT").merged(times, rates, marks, (0, 25), "sim")
    write_funding(path, both)
    whole = path.read_bytes()
    found = read_funding(path, "BTCUSDT")
    assert found.missing(0, 30) == [(25, 30)] and found.missing(5, 20) == []
    in_two = FundingRates.empty("BTCUSDT").merged(times[1:], rates[1:], marks[1:], (15, 25), "sim")
    assert in_two.missing(0, 30) == [(0, 15), (25, 30)]
    write_funding(path, in_two.merged(times[:1], rates[:1], marks[:1], (0, 15), "sim"))
    assert path.read_bytes() == whole


def test_neither_reading_nor_writing_loads_pandas(tmp_path: Path) -> None:
    written(tmp_path, BTC.merged(WHOLE))
    program = (
        "import sys; from pathlib import Path; from shared.candles.parquet import *\n"
        f"path = Path({str(tmp_path)!r}, 'BTCUSDT-5m.parquet')\n"
        "write_series(path, read_series(path, 'BTCUSDT', StoredTimeframe.M5))\n"
        "print('pyarrow' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True False\n"


def test_a_renamed_file_is_no_other_coins_and_no_other_timeframes(tmp_path: Path) -> None:
    content = written(tmp_path, BTC.merged(WHOLE, source="sim"))
    for symbol, timeframe in (("ETHUSDT", M5), ("BTCUSDT", StoredTimeframe.M1)):
        path = store_file(tmp_path, symbol, timeframe)
        path.write_bytes(content)
        with pytest.raises(BadCandle, match=f"{path.name}: holds the .*, not"):
            read_series(path, symbol, timeframe)
    rates = FundingRates.empty("BTCUSDT")
    write_funding(store_file(tmp_path, "ETHUSDT", "funding"), rates)
    with pytest.raises(BadCandle, match="holds the symbol BTCUSDT, not ETHUSDT"):
        read_funding(store_file(tmp_path, "ETHUSDT", "funding"), "ETHUSDT")


def test_metadata_nested_without_end_are_refused(tmp_path: Path) -> None:
    path = store_file(tmp_path, "BTCUSDT", M5)
    written(tmp_path, BTC.merged(WHOLE))
    table = parquet.read_table(path)
    parquet.write_table(table.replace_schema_metadata({METADATA: b"[" * 100_000}), path)
    with pytest.raises(BadCandle, match="BTCUSDT-5m"):
        read_series(path, "BTCUSDT", M5)
