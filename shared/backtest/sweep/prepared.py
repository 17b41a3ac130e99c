"""Scores and candles of a span, prepared once and mapped into the memory of every worker.

Workers read nothing else, so what is not prepared, such as a hold-out, none of them can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.backtest.bootstrap import DAY_MS
from shared.backtest.replay import Recording
from shared.backtest.series import Series
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.market_detail import MarketDetail
from shared.backtest.sweep.prepared_detail import detail_columns, detailed
from shared.backtest.whole_series.signal_series import signal_series
from shared.config.sections import IndicatorsSection
from shared.files import directory_at_once
from shared.market import COLUMNS, Candles, Timeframe

BEFORE_MS = DAY_MS
"""Candles and scores of so long before a span are prepared, too: for the price and the score before
its first close."""

READ = ("close", "atr_1h", "long", "short", "base_long", "base_short")
"""Columns of a series that the trader's rule reads."""

_SYMBOLS = "symbols.txt"
M5 = Timeframe.M5


class ReadsScores(Protocol):
    """A job of which all that it reads was prepared; it can be pickled."""

    @property
    def scores(self) -> Path:
        """Directory of what was prepared."""


def until(recording: Recording, to_ms: int) -> Recording:
    """Return a recording without the candles that close after a time."""
    candles = {t: c.closed(t, to_ms) for t, c in recording.candles.items()}
    return Recording(recording.symbol, candles, recording.refused, recording.remarks)


def prepare(
    directory: Path,
    recordings: Iterable[Recording],
    settings: IndicatorsSection,
    from_ms: int,
    to_ms: int,
    *,
    details: Mapping[str, MarketDetail] | None = None,
) -> None:
    """Write scores, 5m candles and their detail of `[from_ms, to_ms)`, unless they are there.

    Raises:
        OSError: Not writable, or the disk is full.
    """
    if not directory.exists():
        known, none = details or {}, MarketDetail()
        coins = _scored(recordings, settings, from_ms, to_ms)
        with_detail = (
            known.get(coin.symbol, none).between(from_ms, to_ms).of(coin) for coin in coins
        )
        write_prepared(directory, with_detail)


def write_prepared(directory: Path, coins: Iterable[CoinScores]) -> None:
    """Write what `prepared` reads: the whole directory, or none.

    Raises:
        OSError: It is there already, not writable, or the disk is full.
    """
    with directory_at_once(directory) as unfinished:
        symbols = []
        for coin in coins:
            symbols.append(coin.symbol)
            candles = coin.bars.candles
            arrays = {
                "closes": coin.series.times,
                "series": np.stack([coin.series.columns[name] for name in READ]),
                "opens": candles.open_time_ms,
                "candles": np.stack([getattr(candles, name) for name in COLUMNS[1:]]),
                **detail_columns(coin.bars),
            }
            for name, array in arrays.items():
                np.save(_file(unfinished, coin.symbol, name), array, allow_pickle=False)
        (unfinished / _SYMBOLS).write_text("\n".join(symbols), encoding="utf-8")


def _scored(
    recordings: Iterable[Recording], settings: IndicatorsSection, from_ms: int, to_ms: int
) -> Iterator[CoinScores]:
    for whole in recordings:
        recording = until(whole, to_ms)
        indices = recording.indices(from_ms - BEFORE_MS, to_ms)
        if len(indices):
            series = signal_series(recording, settings, indices)
            candles = recording.candles[M5][indices.start : indices.stop]
            yield CoinScores.of(recording.symbol, series, candles)


def prepared(directory: Path) -> Sequence[CoinScores]:
    """Return what was prepared there."""
    return _in_use.get(directory) or _mapped(directory)


def read_arrays(directory: Path) -> Mapping[str, Mapping[str, NDArray[Any]]]:
    """Return the arrays of what was prepared, by symbol and name, mapped into memory."""
    symbols = (directory / _SYMBOLS).read_text(encoding="utf-8").split()
    return {
        symbol: {
            path.stem.removeprefix(f"{symbol}-"): np.load(path, mmap_mode="r", allow_pickle=False)
            .view(np.ndarray)
            for path in directory.glob(f"{symbol}-*.npy")
        }
        for symbol in symbols
    }  # fmt: skip


def use_arrays(directory: Path, arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Let `prepared` return arrays that another host has read there, and forget those before."""
    if directory not in _in_use:
        _in_use.clear()
        _in_use[directory] = _coins(arrays)


_in_use: dict[Path, Sequence[CoinScores]] = {}


@lru_cache(maxsize=1)
def _mapped(directory: Path) -> Sequence[CoinScores]:
    return _coins(read_arrays(directory))


def _coins(arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> Sequence[CoinScores]:
    return [_coin(symbol, named) for symbol, named in arrays.items()]


def _coin(symbol: str, named: Mapping[str, NDArray[Any]]) -> CoinScores:
    series = Series(named["closes"], dict(zip(READ, named["series"], strict=True)))
    coin = CoinScores.of(symbol, series, Candles.of(named["opens"], *named["candles"]))
    return replace(coin, bars=detailed(coin.bars.candles, named))


def _file(directory: Path, symbol: str, name: str) -> Path:
    return directory / f"{symbol}-{name}.npy"
