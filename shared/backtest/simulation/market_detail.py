"""What a store has of a coin beside the candles that are scored: 1m candles and funding rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.backtest.recording import NothingToReplay
from shared.backtest.replay import Recording
from shared.backtest.simulation.bar_prices import CoinBars
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.funding_rates import Coverage, RecordedRates
from shared.backtest.simulation.minute_bars import MinuteBars
from shared.candles.files import candle_file, read_admitted
from shared.candles.stored_series import FUNDING, store_file
from shared.market import StoredTimeframe, Timeframe


@dataclass(frozen=True, slots=True, eq=False)
class MarketDetail:
    """Of one coin and one time.

    Attributes:
        minutes: Those of the 1m candles that agree with the 5m ones; None: not asked for.
        rates: Recorded funding rates; None: there are none, or they are not asked for.
    """

    minutes: MinuteBars | None = None
    rates: RecordedRates | None = None

    def of(self, coin: CoinScores) -> CoinScores:
        """Return a coin with this detail."""
        minutes = None if self.minutes is None else self.minutes.candles
        return replace(coin, bars=CoinBars.of(coin.bars.candles, minutes, self.rates))

    def between(self, from_ms: int, to_ms: int) -> MarketDetail:
        """Return what is of `[from_ms, to_ms)`, and the funding that is paid at its end."""
        minutes, rates = self.minutes, self.rates
        return MarketDetail(
            None if minutes is None else minutes.between(from_ms, to_ms),
            None if rates is None else rates.between(from_ms, to_ms + 1),
        )


def read_details(
    directory: Path, recordings: Iterable[Recording], model: FillModel, from_ms: int, to_ms: int
) -> dict[str, MarketDetail]:
    """Return by coin what a fill model asks for, and a store has, of `[from_ms, to_ms)`.

    Raises:
        NothingToReplay: 1m candles are asked for, and no coin has any.
        BadCandle: A file cannot be read, or has what cannot be.
        NotInstalled: It takes pyarrow.
    """
    found = {}
    for recording in recordings:
        minutes = _minutes(directory, recording) if model.detail == "1m" else None
        rates = _rates(directory, recording.symbol) if model.funding == "recorded" else None
        found[recording.symbol] = MarketDetail(minutes, rates).between(from_ms, to_ms)
    if model.detail == "1m" and not any(_has_minutes(directory, symbol) for symbol in found):
        raise NothingToReplay(
            f"--detail 1m: no 1m candles of these coins in {str(directory)!r}; "
            "`coinex candles fetch --timeframes 1m` fetches them"
        )
    return found


def _minutes(directory: Path, recording: Recording) -> MinuteBars:
    symbol, bars = recording.symbol, recording.candles[Timeframe.M5]
    if not _has_minutes(directory, symbol):
        return MinuteBars.none(bars)
    path = candle_file(directory, symbol, StoredTimeframe.M1)
    return MinuteBars.of(read_admitted(path, symbol, StoredTimeframe.M1).candles, bars)


def _has_minutes(directory: Path, symbol: str) -> bool:
    return candle_file(directory, symbol, StoredTimeframe.M1).exists()


def _rates(directory: Path, symbol: str) -> RecordedRates | None:
    path = store_file(directory, symbol, FUNDING)
    if not path.exists():
        return None
    from shared.candles.parquet import read_good_funding  # noqa: PLC0415  # loads pyarrow

    found = read_good_funding(path, symbol)
    times = found.times
    whole = ((int(times[0]), int(times[-1]) + 1),) if len(times) else ()
    return RecordedRates(times, found.rates, found.asked or whole)


def assumptions(
    details: Mapping[str, MarketDetail], model: FillModel, from_ms: int, to_ms: int
) -> dict[str, Any]:
    """Return of what the paths and the funding of each coin were, as `result.json` has it."""
    found: dict[str, Any] = {"detail": None, "funding": None}
    if model.detail == "1m":
        minutes = [each.minutes for each in details.values() if each.minutes is not None]
        found["detail"] = {
            "bars": sum(len(each.first) for each in minutes),
            "by_1m": sum(int((each.first >= 0).sum()) for each in minutes),
            "differing": sum(int(each.differs.sum()) for each in minutes),
        }
    if model.funding != "none":
        by: dict[Coverage, list[str]] = {"recorded": [], "partly": [], "made": []}
        for symbol, detail in sorted(details.items()):
            rates = detail.rates
            by["made" if rates is None else rates.covers(from_ms, to_ms)].append(symbol)
        found["funding"] = by
    return found
