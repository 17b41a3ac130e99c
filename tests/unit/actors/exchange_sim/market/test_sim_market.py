"""The simulated market: one history for ever, the same on every timeframe."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.exchange_sim.binance.klines import kline_rows
from actors.exchange_sim.market.bars import (
    BAR_MS,
    CLOSE,
    DAY_MS,
    HIGH,
    LOW,
    OPEN,
    QUOTE,
    TAKER_BASE,
    TAKER_QUOTE,
    TIME,
    TRADES,
    VOLUME,
    Bars,
    Scale,
    aggregate,
)
from actors.exchange_sim.market.events import Halt
from actors.exchange_sim.market.generated import GENESIS_DAY, GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.recorded import RecordedPrices
from shared.candles.admission import require
from shared.candles.files import candle_file, read_candles
from shared.candles.parquet import write_series
from shared.candles.stored_series import StoredSeries, store_file
from shared.errors import ConfigError, UnknownSymbol
from shared.market import COLUMNS, Candles, StoredTimeframe, Timeframe
from tests.support.candle_series import walk
from tests.support.recordings import write_candles

COINS = ("BTCUSDT", "SOLUSDT", "NEWUSDT")
DAY = 20_700
NOON = DAY * DAY_MS + DAY_MS // 2
NOW = NOON + 137_000


def generated(seed: int = 7, coins: tuple[str, ...] = COINS) -> Market:
    return Market(GeneratedPrices(coins, seed))


def candles(bars: Bars, scale: Scale) -> Candles:
    open_, high, low, close = bars[[OPEN, HIGH, LOW, CLOSE]] / 10**scale.price_digits
    volume = bars[VOLUME] / 10**scale.volume_digits
    return Candles(bars[TIME], open_, high, low, close, volume)


@pytest.mark.parametrize("symbol", COINS)
@pytest.mark.parametrize("timeframe", Timeframe)
def test_generated_candles_are_possible_complete_and_up_to_now(
    symbol: str, timeframe: Timeframe
) -> None:
    market = generated()
    bars = market.bars(symbol, timeframe, NOW, limit=1000)
    made = candles(bars, market.scale(symbol, NOW))
    require(made, symbol, timeframe)
    assert len(made) == 1000
    assert not made.gaps(timeframe)
    assert made.open_time_ms[-1] == timeframe.open_at(NOW)
    assert (bars[TRADES, :-1] > 0).all()
    assert (bars[TAKER_BASE] <= bars[VOLUME]).all()
    assert (bars[TAKER_QUOTE] <= bars[QUOTE]).all()


@pytest.mark.parametrize("timeframe", [Timeframe.H1, Timeframe.H4])
def test_5m_bars_add_up_to_the_longer_ones_to_the_digit(timeframe: Timeframe) -> None:
    market = generated()
    longer = market.bars("SOLUSDT", timeframe, NOW, limit=20)
    parts = market.bars(
        "SOLUSDT", Timeframe.M5, NOW, start_ms=int(longer[TIME, 0]), limit=20 * timeframe.ms
    )
    assert parts.shape[1] > 20 * 11
    for number in range(20):
        inside = parts[:, parts[TIME] // timeframe.ms == longer[TIME, number] // timeframe.ms]
        assert longer[OPEN, number] == inside[OPEN, 0]
        assert longer[HIGH, number] == inside[HIGH].max()
        assert longer[LOW, number] == inside[LOW].min()
        assert longer[CLOSE, number] == inside[CLOSE, -1]
        assert (longer[VOLUME:, number] == inside[VOLUME:].sum(axis=1)).all()


def test_history_is_the_same_whenever_and_with_whomever_it_is_generated() -> None:
    once = generated()
    seen = {s: once.bars(s, Timeframe.M5, NOW, limit=1000) for s in COINS}
    later = NOW + 36 * 3_600_000
    for symbol in reversed(COINS):
        alone = generated(coins=(symbol,))
        start_ms = int(seen[symbol][TIME, 0])
        again = alone.bars(symbol, Timeframe.M5, later, start_ms=start_ms, limit=999)
        assert np.array_equal(again, seen[symbol][:, :-1])


def test_living_through_midnight_gives_what_a_restart_after_it_gives() -> None:
    lived = generated()
    lived.bars("BTCUSDT", Timeframe.M5, NOW)
    for days in (1, 2, 9):
        now = NOW + days * DAY_MS
        for timeframe in Timeframe:
            expected = generated().bars("BTCUSDT", timeframe, now, limit=1000)
            assert np.array_equal(lived.bars("BTCUSDT", timeframe, now, limit=1000), expected)


def test_another_seed_is_another_market() -> None:
    one, other = (generated(seed).bars("BTCUSDT", Timeframe.H1, NOW) for seed in (7, 8))
    assert not np.array_equal(one[CLOSE], other[CLOSE])


def test_coins_move_together_but_not_alike() -> None:
    market = generated()
    returns = [
        np.diff(np.log(market.bars(s, Timeframe.H1, NOW, limit=1000)[CLOSE])) for s in COINS[:2]
    ]
    assert 0.3 < np.corrcoef(returns)[0, 1] < 0.95


def test_volatility_comes_in_calm_and_lively_stretches() -> None:
    bars = generated().bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    size = np.abs(np.diff(np.log(bars[CLOSE])))[:999].reshape(-1, 37).mean(axis=1)
    assert size.max() > 2 * size.min()


def test_price_levels_are_those_of_the_coin() -> None:
    market = generated()
    close = market.bars("BTCUSDT", Timeframe.H4, NOW, limit=1000)[CLOSE] / 100
    assert 40_000 < close.min() < close.max() < 160_000


@pytest.mark.parametrize("timeframe", Timeframe)
def test_open_bar_moves_only_forward_and_ends_as_the_closed_one(timeframe: Timeframe) -> None:
    market = generated()
    opened = timeframe.open_at(NOW)
    final = market.bars("BTCUSDT", timeframe, opened + timeframe.ms, end_ms=opened, limit=1)[:, 0]
    seen = []
    for elapsed in np.linspace(0, timeframe.ms - 1, 57).astype(int):
        bar = market.bars("BTCUSDT", timeframe, opened + int(elapsed), limit=1)[:, 0]
        assert bar[TIME] == opened
        assert bar[LOW] <= min(bar[OPEN], bar[CLOSE]) <= max(bar[OPEN], bar[CLOSE]) <= bar[HIGH]
        seen.append(bar)
    moving = np.array(seen).T
    assert (moving[OPEN] == final[OPEN]).all()
    assert (np.diff(moving[HIGH]) >= 0).all()
    assert (np.diff(moving[LOW]) <= 0).all()
    assert (np.diff(moving[VOLUME:], axis=1) >= 0).all()
    assert (moving[HIGH] <= final[HIGH]).all()
    assert (moving[LOW] >= final[LOW]).all()
    assert (moving[VOLUME:] <= final[VOLUME:, None]).all()
    assert len(set(moving[CLOSE].tolist())) > 20


def test_selection_follows_the_exchange() -> None:
    market = generated()
    newest = market.bars("BTCUSDT", Timeframe.H1, NOW, limit=100)
    times = newest[TIME]

    def opens(**query: Any) -> list[int]:
        found: list[int] = market.bars("BTCUSDT", Timeframe.H1, NOW, **query)[TIME].tolist()
        return found

    assert opens(start_ms=int(times[5]), limit=3) == times[5:8].tolist()
    assert opens(start_ms=int(times[5]) + 1, limit=3) == times[6:9].tolist()
    assert opens(end_ms=int(times[5]), limit=3) == times[3:6].tolist()
    assert opens(start_ms=int(times[5]), end_ms=int(times[6]), limit=9) == times[5:7].tolist()
    assert opens(start_ms=int(times[-1]), limit=9) == [times[-1]]
    assert opens(start_ms=NOW + 1) == []
    assert opens(end_ms=5) == []
    assert opens(start_ms=int(times[6]), end_ms=int(times[5])) == []
    assert opens(start_ms=0, limit=2)[0] == GENESIS_DAY * DAY_MS
    assert len(opens()) == 500


def test_history_older_than_what_is_kept_joins_it_without_a_seam() -> None:
    market = generated()
    kept = market.bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    before = market.bars("BTCUSDT", Timeframe.M5, NOW, end_ms=int(kept[TIME, 0]) - 1, limit=1000)
    whole = np.concatenate([before, kept], axis=1)
    assert (np.diff(whole[TIME]) == BAR_MS).all()
    assert (whole[OPEN, 1:] == whole[CLOSE, :-1]).all()


def test_unknown_coin_is_named() -> None:
    with pytest.raises(UnknownSymbol, match="NOPEUSDT"):
        generated().bars("NOPEUSDT", Timeframe.M5, NOW)


def test_halt_leaves_flat_bars_then_none_on_every_timeframe() -> None:
    market, untouched = generated(), generated()
    stop = NOON - 10_000_000
    halt = Halt(stop, stop + 1_800_000, stop + 6_000_000)
    market.add_event("BTCUSDT", halt)
    bars = market.bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    flat = (bars[TIME] > stop) & (bars[TIME] < halt.flat_until_ms)
    assert flat.sum() == 6
    assert (bars[VOLUME:, flat] == 0).all()
    assert (bars[[OPEN, HIGH, LOW, CLOSE]][:, flat] == bars[CLOSE, np.argmax(flat) - 1]).all()
    missing = (bars[TIME] >= halt.flat_until_ms) & (bars[TIME] < halt.until_ms)
    assert not missing.any()
    assert candles(bars, market.scale("BTCUSDT", NOW)).gaps(Timeframe.M5)
    again = untouched.bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    assert np.array_equal(bars[:, bars[TIME] >= halt.until_ms],
                          again[:, again[TIME] >= halt.until_ms])  # fmt: skip
    hours = market.bars("BTCUSDT", Timeframe.H1, NOW, limit=6)
    parts = bars[:, bars[TIME] >= hours[TIME, 0]]
    assert np.array_equal(hours, aggregate(parts, Timeframe.H1))
    market.clear_events()
    assert np.array_equal(market.bars("BTCUSDT", Timeframe.M5, NOW, limit=1000), again)


def test_price_stands_still_from_the_moment_trading_halts() -> None:
    market = generated()
    opened = Timeframe.M5.open_at(NOW)
    market.add_event("BTCUSDT", Halt(opened + 100_000, opened + 900_000, opened + 1_800_000))

    def last(at: int) -> Bars:
        return market.bars("BTCUSDT", Timeframe.M5, opened + at, limit=1)[:, 0]

    assert not np.array_equal(last(50_000), last(99_000))
    assert np.array_equal(last(100_000), last(200_000))
    assert last(310_000)[TIME] == opened + 300_000
    assert last(310_000)[VOLUME] == 0
    assert last(310_000)[CLOSE] == last(200_000)[CLOSE]
    assert last(1_000_000)[TIME] == opened + 600_000
    assert last(1_900_000)[TIME] == opened + 1_800_000
    assert last(1_900_000)[VOLUME] > 0
    assert market.is_halted("BTCUSDT", opened + 100_000)
    assert not market.is_halted("SOLUSDT", opened + 100_000)


def test_rows_on_the_wire_have_eight_decimals() -> None:
    bars = np.array([[300_000, 9_350_005, 9_400_000, 1, 9_350_005, 12_345, 67_890, 3, 5, 6]]).T
    (row,) = kline_rows(bars, Scale(2, 5), Timeframe.M5)
    assert json.loads(row) == [
        300_000, "93500.05000000", "94000.00000000", "0.01000000", "93500.05000000",
        "0.12345000", 599_999, "6.78900000", 3, "0.00005000", "0.00060000", "0",
    ]  # fmt: skip


# Recorded prices

FIRST_DAY = 19_000


def write_recording(
    directory: Path, symbol: str, days: float, *, skip: tuple[int, ...] = ()
) -> list[list[float]]:
    """Write a small recording whose every bar can be told from the others."""
    rows = []
    for number in range(round(days * 288)):
        price = 100 + number % 977 * 0.01
        if number not in skip:
            rows.append(
                [FIRST_DAY * DAY_MS + number * BAR_MS, round(price, 2), round(price + 0.5, 2),
                 round(price - 0.25, 2), round(price + 0.11, 2), 10 + number % 13 * 0.125]
            )  # fmt: skip
    text = "open_time_ms,open,high,low,close,volume\n" + "".join(
        ",".join(f"{value:g}" if i != 0 else str(value) for i, value in enumerate(row)) + "\n"
        for row in rows
    )
    directory.mkdir(exist_ok=True)
    (directory / f"{symbol}-5m.csv.gz").write_bytes(gzip.compress(text.encode()))
    return rows


def recorded(path: Path, today: int = DAY, symbols: tuple[str, ...] = ("BTCUSDT",)) -> Market:
    return Market(RecordedPrices(path / "tape", symbols, path / "simulator.json", today))


def test_recording_is_replayed_with_half_or_21_days_left(tmp_path: Path) -> None:
    rows = write_recording(tmp_path / "tape", "BTCUSDT", 10)
    market = recorded(tmp_path)
    bars = market.bars("BTCUSDT", Timeframe.M5, NOW, start_ms=0, limit=5000)
    shift_ms = int(bars[TIME, 0]) - FIRST_DAY * DAY_MS
    assert shift_ms == (DAY - (FIRST_DAY + 5)) * DAY_MS
    made = candles(bars, market.scale("BTCUSDT", NOW))
    for column, name in enumerate(COLUMNS):
        wanted = [row[column] for row in rows[: len(made) - 1]]
        shown = getattr(made, name)[:-1] - (shift_ms if column == 0 else 0)
        assert shown.tolist() == wanted, name
    assert made.open_time_ms[-1] == Timeframe.M5.open_at(NOW)


def test_a_candle_store_is_replayed_like_gzip_csv(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 10)
    before = recorded(tmp_path).bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    path = candle_file(tmp_path / "tape", "BTCUSDT", Timeframe.M5)
    rows = read_candles(path, "BTCUSDT", Timeframe.M5)
    path.unlink()
    m5 = StoredTimeframe.M5
    write_series(store_file(path.parent, "BTCUSDT", m5), StoredSeries("BTCUSDT", m5, rows))
    after = recorded(tmp_path).bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    assert np.array_equal(before, after)


def test_recording_in_microseconds_is_refused_by_name_and_shifts_nothing(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "ETHUSDT", 10)
    alone = recorded(tmp_path, symbols=("ETHUSDT",)).bars("ETHUSDT", Timeframe.M5, NOW)
    (tmp_path / "simulator.json").unlink()
    path = tmp_path / "tape" / "BTCUSDT-5m.csv.gz"
    write_candles(path, walk_in_us(200))
    market = recorded(tmp_path, symbols=("BTCUSDT", "ETHUSDT"))
    assert np.array_equal(market.bars("ETHUSDT", Timeframe.M5, NOW), alone)
    with pytest.raises(UnknownSymbol, match="times in microseconds, expected milliseconds: row 1"):
        market.bars("BTCUSDT", Timeframe.M5, NOW)
    (tmp_path / "simulator.json").unlink()
    with pytest.raises(ConfigError, match=r"nothing to replay: BTCUSDT: .*microseconds"):
        recorded(tmp_path)


def walk_in_us(bars: int) -> Candles:
    rows = walk(1, bars)
    return replace(rows, open_time_ms=rows.open_time_ms * 1000)


def test_recording_moved_once_stays_there_after_a_restart(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 10)
    before = recorded(tmp_path).bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    later = NOW + 3 * DAY_MS
    after = recorded(tmp_path, DAY + 3).bars("BTCUSDT", Timeframe.M5, later, limit=1000)
    both = np.intersect1d(before[TIME, :-1], after[TIME])
    assert len(both) > 100
    assert np.array_equal(
        before[:, np.isin(before[TIME], both)], after[:, np.isin(after[TIME], both)]
    )


def test_recording_that_ran_out_is_moved_anew_at_the_next_start(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 10)
    recorded(tmp_path)
    source = RecordedPrices(tmp_path / "tape", ["BTCUSDT"], tmp_path / "simulator.json", DAY + 5)
    assert source.shift_days == DAY + 5 - (FIRST_DAY + 5)


def test_unreadable_memory_of_the_move_is_replaced(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 10)
    (tmp_path / "simulator.json").write_text('{"candles_dir": ')
    recorded(tmp_path)
    assert json.loads((tmp_path / "simulator.json").read_text())["shift_days"] == (
        DAY - FIRST_DAY - 5
    )


def test_recording_runs_backwards_after_its_end_without_a_seam(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 4)
    market = recorded(tmp_path)
    end = (DAY + 2) * DAY_MS
    now = end + 3 * DAY_MS
    bars = market.bars("BTCUSDT", Timeframe.M5, now, start_ms=end - DAY_MS, limit=576)
    forward, backward = bars[:, :288], bars[:, 288:][:, ::-1]
    assert (np.diff(bars[TIME]) == BAR_MS).all()
    assert (forward[OPEN] == backward[CLOSE]).all()
    assert (forward[CLOSE] == backward[OPEN]).all()
    assert (forward[HIGH] == backward[HIGH]).all()
    assert (forward[VOLUME] == backward[VOLUME]).all()
    require(candles(bars, market.scale("BTCUSDT", now)), "BTCUSDT", Timeframe.M5)
    laps = market.bars("BTCUSDT", Timeframe.H4, end + 6 * DAY_MS, limit=1000)
    assert (np.diff(laps[TIME]) == Timeframe.H4.ms).all()


def test_holes_of_a_recording_stay_holes(tmp_path: Path) -> None:
    hole = (300, 301, 302)
    write_recording(tmp_path / "tape", "BTCUSDT", 4, skip=hole)
    market = recorded(tmp_path)
    bars = market.bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    gaps = candles(bars, market.scale("BTCUSDT", NOW)).gaps(Timeframe.M5)
    assert [until - since for since, until in gaps] == [3 * BAR_MS]


def test_a_row_that_cannot_be_is_a_hole_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tape" / "BTCUSDT-5m.csv.gz"
    for symbol in ("BTCUSDT", "ETHUSDT"):
        write_recording(tmp_path / "tape", symbol, 4)
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    time, *_ = lines[301].split(b",")
    lines[301] = b"%s,0,0,0,0,1" % time
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    market = recorded(tmp_path, symbols=("BTCUSDT", "ETHUSDT"))
    for symbol in ("BTCUSDT", "ETHUSDT", "BTCUSDT"):
        bars = market.bars(symbol, Timeframe.M5, NOW, limit=1000)
        gaps = candles(bars, market.scale(symbol, NOW)).gaps(Timeframe.M5)
        assert len(gaps) == (symbol == "BTCUSDT")
    (said,) = caplog.messages
    assert "BTCUSDT 5m: row 301 at " in said
    assert "price not finite and above 0" in said


def test_halt_in_a_hole_of_a_recording_keeps_the_price_before_the_hole(tmp_path: Path) -> None:
    last_of_day = 2 * 288 - 1
    write_recording(tmp_path / "tape", "BTCUSDT", 4, skip=(last_of_day,))
    market = recorded(tmp_path)
    midnight = DAY * DAY_MS
    market.add_event("BTCUSDT", Halt(midnight - 1000, midnight + 900_000, midnight + 1_800_000))
    bars = market.bars("BTCUSDT", Timeframe.M5, NOW, limit=1000)
    before = bars[:, bars[TIME] < midnight]
    flat = bars[:, (bars[TIME] >= midnight) & (bars[TIME] < midnight + 1_800_000)]
    assert flat.shape[1] == 3
    assert (flat[[OPEN, HIGH, LOW, CLOSE]] == before[CLOSE, -1]).all()
    assert before[VOLUME, -1] > 0


def test_open_bar_of_a_recording_moves_inside_the_bar_and_ends_as_it(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 4)
    market = recorded(tmp_path)
    opened = Timeframe.M5.open_at(NOW)
    final = market.bars("BTCUSDT", Timeframe.M5, opened + BAR_MS, end_ms=opened, limit=1)[:, 0]
    running = [
        market.bars("BTCUSDT", Timeframe.M5, opened + at, limit=1)[:, 0]
        for at in range(0, BAR_MS, 10_000)
    ]
    closes = [int(bar[CLOSE]) for bar in running]
    assert closes[0] == final[OPEN]
    assert min(closes) == final[LOW]
    assert max(closes) == final[HIGH]
    assert all(final[LOW] <= c <= final[HIGH] for c in closes)


def test_coin_without_a_good_file_is_unknown_and_troubles_no_other(tmp_path: Path) -> None:
    write_recording(tmp_path / "tape", "BTCUSDT", 4)
    (tmp_path / "tape" / "ETHUSDT-5m.csv.gz").write_bytes(b"no gzip at all")
    header = b"open_time_ms,open,high,low,close,volume\n"
    bad = {
        "XRPUSDT": header + b"300000,1,2,1,x,5\n",
        "ADAUSDT": header + b"300000,1,2,1,1\n",
        "DOTUSDT": header + b"300000,1,2,3,1,5\n",
        "TRXUSDT": header,
        "UNIUSDT": b"time,price\n300000,1\n",
    }
    for symbol, content in bad.items():
        (tmp_path / "tape" / f"{symbol}-5m.csv.gz").write_bytes(gzip.compress(content))
    symbols = ("ETHUSDT", *bad, "BTCUSDT", "SOLUSDT")
    source = RecordedPrices(tmp_path / "tape", symbols, tmp_path / "simulator.json", DAY)
    market = Market(source)
    assert market.bars("BTCUSDT", Timeframe.M5, NOW).shape[1] == 500
    for symbol in ("ETHUSDT", *bad, "SOLUSDT"):
        with pytest.raises(UnknownSymbol, match=f"{symbol}-5m.csv.gz"):
            market.bars(symbol, Timeframe.M5, NOW)
    assert market.symbols() == ("BTCUSDT",)
    assert set(source.faults) == {"ETHUSDT", *bad, "SOLUSDT"}


def test_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"simulator\.candles_dir.*SYMBOL-5m"):
        recorded(tmp_path)


def test_directory_without_any_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    with pytest.raises(ConfigError, match="nothing to replay"):
        recorded(tmp_path)


def test_replayed_5m_bars_add_up_to_the_recorded_4h_bars(tmp_path: Path, data_dir: Path) -> None:
    directory = data_dir / "candles"
    source = RecordedPrices(directory, ["BTCUSDT", "SEIUSDT"], tmp_path / "simulator.json", DAY)
    market = Market(source)
    for symbol in ("BTCUSDT", "SEIUSDT"):
        text = gzip.decompress((directory / f"{symbol}-4h.csv.gz").read_bytes()).decode()
        theirs = np.array(
            [[float(value) for value in line.split(",")] for line in text.split()[1:]]
        ).T
        bars = market.bars(symbol, Timeframe.H4, NOW, limit=1000)
        ours = candles(bars, market.scale(symbol, NOW))[:-1]
        assert len(ours) == 91 * 6 + 3
        shifted = ours.open_time_ms - source.shift_days * DAY_MS
        assert shifted.tolist() == theirs[0, : len(ours)].tolist()
        for column, name in enumerate(COLUMNS[1:5], start=1):
            assert getattr(ours, name).tolist() == theirs[column, : len(ours)].tolist(), name
        assert np.allclose(ours.volume, theirs[5, : len(ours)], rtol=1e-12)
