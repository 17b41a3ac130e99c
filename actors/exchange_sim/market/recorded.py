"""Recorded prices, replayed as if they were today's.

Files of 5m candles, of a store or gzip CSV, are shifted by a whole number of days, so that now lies
some days before the end of the data: the past is real history, the future is replayed. At the end
of the data they are replayed backwards in time, then forwards again.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.exchange_sim.market.bars import (
    BAR_MS,
    CLOSE,
    DAY_MS,
    OPEN,
    TIME,
    Bars,
    Integers,
    Scale,
    bars_from,
    empty_bars,
    path_of,
)
from shared.candles.files import EXPECTED, candle_file, read_admitted
from shared.errors import BadCandle, ConfigError, NotInstalled, UnknownSymbol
from shared.files import write_atomically
from shared.market import Floats, Timeframe

LIVE_DAYS = 21


class RecordedPrices:
    """Prices of recorded coins, shifted to the present.

    A coin without a readable file is unknown; the others are not affected.

    Args:
        directory: Contains `SYMBOL-5m.parquet` or `SYMBOL-5m.csv.gz` files.
        symbols: The coins to load.
        state_file: Stores the shift, so that a restart changes nothing.
        today: Day since the epoch.

    Raises:
        ConfigError: No such directory, or no readable file of any wanted coin in it.
    """

    def __init__(
        self,
        directory: Path,
        symbols: Sequence[str],
        state_file: Path,
        today: int,
        log: logging.Logger | None = None,
    ) -> None:
        if not directory.is_dir():
            raise ConfigError(
                [
                    f"simulator.candles_dir: no directory {str(directory)!r}; give one with "
                    f"{EXPECTED} files, or leave it empty for generated prices"
                ]
            )
        self._directory = directory
        self._log = log or logging.getLogger(__name__)
        self._wanted = tuple(symbols)
        self.faults: dict[str, str] = {}
        self._recordings: dict[str, _Recording] = {}
        self._last_read: tuple[str, Bars] = ("", empty_bars())
        for symbol in self._wanted:
            if not self._file(symbol).is_file():
                self._leave_out(symbol, f"no file {self._file(symbol)}, nor a store's")
        self.shift_days = self._remembered_shift(state_file, today)

    def symbols(self) -> Sequence[str]:
        return tuple(s for s in self._wanted if s not in self.faults)

    def first_day(self, symbol: str) -> int:
        return self._recording(symbol).first_day + self.shift_days

    def scale(self, symbol: str) -> Scale:
        return self._recording(symbol).scale

    def days(self, symbol: str, first_day: int, last_day: int) -> Bars:
        """Return the 5m bars of whole UTC days, both included.

        Raises:
            UnknownSymbol: The coin has no readable file.
        """
        recording, bars = self._read(symbol)
        first, last = first_day - self.shift_days, last_day - self.shift_days
        parts = [empty_bars()]
        for lap, since, until in recording.laps(first, last):
            part = recording.played(bars, lap)
            inside = (part[TIME] >= since * DAY_MS) & (part[TIME] < until * DAY_MS)
            parts.append(part[:, inside])
        joined = np.concatenate(parts, axis=1)
        joined[TIME] += self.shift_days * DAY_MS
        return joined

    def points(self, symbol: str, bar: Integers) -> Integers:
        """Return the path through one 5m bar: open, far side, near side, close."""
        return path_of(bar)

    def _file(self, symbol: str) -> Path:
        return candle_file(self._directory, symbol, Timeframe.M5)

    def _recording(self, symbol: str) -> _Recording:
        if symbol in self._recordings:
            return self._recordings[symbol]
        return self._read(symbol)[0]

    def _read(self, symbol: str) -> tuple[_Recording, Bars]:
        if symbol not in self.symbols():
            reason = self.faults.get(symbol, "not among the simulated coins; see `groups`")
            raise UnknownSymbol(f"{symbol}: {reason}")
        if self._last_read[0] != symbol:
            try:
                recording, bars, remarks = _load(self._file(symbol), symbol)
            except (BadCandle, NotInstalled) as error:
                self._leave_out(symbol, str(error))
                raise UnknownSymbol(f"{symbol}: {self.faults[symbol]}") from error
            for remark in remarks if symbol not in self._recordings else ():
                self._log.warning("recorded coin: %s", remark)
            self._recordings[symbol] = recording
            self._last_read = (symbol, bars)
        return self._recordings[symbol], self._last_read[1]

    def _leave_out(self, symbol: str, reason: str) -> None:
        self.faults[symbol] = reason
        self._log.error("recorded coin left out: %s: %s", symbol, self.faults[symbol])

    def _remembered_shift(self, state_file: Path, today: int) -> int:
        end_day = self._end_day()
        directory = str(self._directory.resolve())
        with contextlib.suppress(FileNotFoundError):
            try:
                state = json.loads(state_file.read_bytes())
                if state["candles_dir"] == directory:
                    shift = int(state["shift_days"])
                    if today - shift < end_day:
                        return shift
            except (ValueError, KeyError, TypeError) as error:
                self._log.error(
                    "%s is unreadable (%r): the recording is shifted anew", state_file, error
                )
        recording = next(iter(self._recordings.values()))
        live_days = min(LIVE_DAYS, (end_day - recording.first_day) // 2)
        shift = today - (end_day - live_days)
        document = {"candles_dir": directory, "shift_days": shift}
        write_atomically(state_file, json.dumps(document).encode())
        return shift

    def _end_day(self) -> int:
        for symbol in self.symbols():
            with contextlib.suppress(UnknownSymbol):
                return self._recording(symbol).end_day
        faults = "; ".join(f"{s}: {why}" for s, why in self.faults.items()) or "no coins"
        raise ConfigError([f"simulator.candles_dir: nothing to replay: {faults}"])


@dataclass(frozen=True, slots=True)
class _Recording:
    """A file's days `[first_day, end_day)` and decimals."""

    first_day: int
    end_day: int
    scale: Scale

    def laps(self, first_day: int, last_day: int) -> Iterator[tuple[int, int, int]]:
        """Yield `(lap, since, until)` for each time the recording is played, by days."""
        length = self.end_day - self.first_day
        day = max(first_day, self.first_day)
        while day <= last_day:
            lap = (day - self.first_day) // length
            until = min(self.first_day + (lap + 1) * length, last_day + 1)
            yield lap, day, until
            day = until

    def played(self, bars: Bars, lap: int) -> Bars:
        """Return the bars of one lap; odd laps run backwards in time."""
        length_ms = (self.end_day - self.first_day) * DAY_MS
        lap_bars = bars.copy()
        if lap % 2:
            lap_bars = lap_bars[:, ::-1].copy()
            begin_ms = self.first_day * DAY_MS
            lap_bars[TIME] = 2 * begin_ms + length_ms - BAR_MS - lap_bars[TIME]
            lap_bars[[OPEN, CLOSE]] = lap_bars[[CLOSE, OPEN]]
        lap_bars[TIME] += lap * length_ms
        return lap_bars


def _load(path: Path, symbol: str) -> tuple[_Recording, Bars, list[str]]:
    admitted = read_admitted(path, symbol, Timeframe.M5)
    candles = admitted.candles
    times = candles.open_time_ms
    quoted = np.stack([candles.open, candles.high, candles.low, candles.close])
    scale = Scale(_digits(quoted), _digits(candles.volume))
    prices = np.rint(quoted * 10.0**scale.price_digits).astype(np.int64)
    volume = np.rint(candles.volume * 10.0**scale.volume_digits).astype(np.int64)
    bars = bars_from(times, (prices[0], prices[1], prices[2], prices[3]), volume, scale)
    first_day, end_day = int(times[0]) // DAY_MS, int(times[-1]) // DAY_MS + 1
    remarks = admitted.remarks(f"{symbol} {Timeframe.M5}")
    return _Recording(first_day, end_day, scale), bars, remarks


def _digits(values: Floats) -> int:
    """Return how many decimals the values have, 1 to 8."""
    for digits in range(1, 8):
        scaled = values * 10.0**digits
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + scaled * 1e-12):
            return digits
    return 8
