"""The signals and base scores of a coin's recording in one pass over its candles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from shared.backtest.replay import Recording, replay, replay_scores
from shared.backtest.series import POINTS, Series, base_pair, series_of
from shared.backtest.whole_series.kernels import (
    COLUMNS,
    H1_COLUMNS,
    H4_COLUMNS,
    Columns,
    columns,
    h1_columns,
    h4_columns,
    recent_bars,
)
from shared.backtest.whole_series.placement import Flags, Indices, Placement, place, stretches
from shared.config.sections import IndicatorsSection
from shared.indicators.base_score import SIGNS, Inputs, points
from shared.indicators.rolling import FLAT
from shared.market import Candles, Floats, Timeframe
from shared.messages.trading import TradeSide

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4

FORGOTTEN_BARS = 390
"""After so many bars it makes no difference to Wilder's mean of 14 where it began: 1e-12."""

_KEPT_BYTES = 31 * 2**20


def signal_series(
    recording: Recording, settings: IndicatorsSection, indices: range | None = None
) -> Series:
    """Return what `replay` and `replay_scores` give at the close of each 5m candle in `indices`.

    States, bonuses and scores are equal, other numbers to 1e-9. Closes where a window of the last
    `settings.history` candles is not what the bars around make of it (a release by an outlier, a
    market that has stood still for hours) are computed from their windows, and so is everything
    where the settings leave a window too few bars.

    Args:
        indices: Places of 5m candles, all if None.

    Raises:
        ValueError: The recording has no such candles, or `indices` leaves some out.
        Exception: From computing a window; the actor would have skipped the coin.

    Source: the kernels of `shared/indicators/`, over whole series; see
        `docs/adr/0056-whole-series-for-what-judges.md`.
    """
    count = len(recording.closes)
    chosen = range(count) if indices is None else indices
    if chosen.step != 1 or not 0 <= chosen.start <= chosen.stop <= count:
        raise ValueError(
            f"{recording.symbol}: {chosen} of {count} recorded 5m candles; expected a range of "
            f"step 1 within 0 to {count}"
        )
    if not _wide_enough(settings):
        return _from_windows(recording, settings, chosen)
    # one freed block of this size makes the allocator keep smaller ones: see indicators/blocks.py
    np.empty(_KEPT_BYTES, dtype=np.uint8)
    times = recording.closes[chosen.start : chosen.stop]
    placed = {t: place(recording, t, chosen, settings.history) for t in Timeframe}
    found, doubt = _columns(recording, settings, placed)
    doubtful = np.flatnonzero(doubt)
    series = Series(times, found)
    if len(doubtful):
        exact = _from_windows(recording, settings, [chosen[at] for at in doubtful.tolist()])
        for name, values in exact.columns.items():
            series.columns[name][doubtful] = values
    return series


def _wide_enough(settings: IndicatorsSection) -> bool:
    used = max(recent_bars(settings), settings.squeeze.min_squeeze_bars)
    return settings.history - used >= FORGOTTEN_BARS


def _from_windows(
    recording: Recording, settings: IndicatorsSection, indices: Sequence[int]
) -> Series:
    signals = [s for block in replay(recording, indices, settings) for s in block]
    scores = [s for block in replay_scores(recording, indices, settings.history) for s in block]
    return series_of(signals, [base_pair(score) for score in scores])


def _columns(
    recording: Recording, settings: IndicatorsSection, placed: Mapping[Timeframe, Placement]
) -> tuple[Columns, Floats]:
    """Return the columns of a `Series`, and where they are in doubt."""

    def computed(
        timeframe: Timeframe,
        names: Sequence[str],
        compute: Callable[[Candles, IndicatorsSection], Columns],
    ) -> Columns:
        return _at_closes(recording.candles[timeframe], placed[timeframe], names, compute, settings)

    m5 = computed(M5, COLUMNS, columns)
    h1, h4 = computed(H1, H1_COLUMNS, h1_columns), computed(H4, H4_COLUMNS, h4_columns)
    scored = ~placed[M5].fault
    h1_scored = scored & ~placed[H1].fault
    aligned = h1_scored & (m5["stacked"] == h1["stacked"])
    sides = {
        "ribbon": _only(aligned, m5["stacked"]),
        "squeeze": _only(scored, m5["squeeze"]),
        "divergence": _only(scored, m5["divergence"]),
    }
    due_ms = placed[M5].closed_until_ms // H1.ms * H1.ms
    complete = h1_scored & (placed[H1].closed_until_ms >= due_ms)
    found: Columns = {
        "close": recording.candles[M5].close[placed[M5].end - 1],
        "atr_1h": h1["atr14"],
        "spread_5m": m5["spread"],
        "stacked_5m": m5["stacked"],
        "stacked_1h": h1["stacked"],
        "stacked_4h": h4["stacked"],
        "momentum": m5["momentum"],
        "stoch_k": m5["stoch_k"],
        "rsi": m5["rsi"],
        **sides,
    }
    for side, score in _base_scores(m5, h1).items():
        np.copyto(score, np.nan, where=~complete)
        found[f"base_{side}"] = score
    given = np.stack([POINTS[name] * sides[name] for name in POINTS])
    found["long"] = np.clip(given, 0.0, np.inf).sum(axis=0)
    found["short"] = np.clip(-given, 0.0, np.inf).sum(axis=0)
    return found, m5["doubt"]


def _at_closes(
    candles: Candles,
    placement: Placement,
    names: Sequence[str],
    compute: Callable[[Candles, IndicatorsSection], Columns],
    settings: IndicatorsSection,
) -> Columns:
    """Return what is computed of each timeframe at every close, NaN where it is not usable."""
    parts = list(stretches(placement, settings.history))
    if len(parts) == 1 and placement.usable.all():
        (whole,) = parts
        values = compute(candles[whole.candles], settings)
        return {name: _at(values[name], whole.newest) for name in names}
    found: Columns = {name: np.full(len(placement.end), np.nan) for name in names}
    for part in parts:
        for name, each in compute(candles[part.candles], settings).items():
            found[name][part.closes] = _at(each, part.newest)
    unusable = ~placement.usable
    for each in found.values():
        np.copyto(each, np.nan, where=unusable)
    return found


def _at(values: Floats, places: Indices | slice) -> Floats:
    return values[places] if isinstance(places, slice) else values.take(places, mode="clip")


def _only(flags: Flags, sides: Floats) -> Floats:
    """Return the sides where a flag is set, 0 elsewhere."""
    kept = sides.copy()
    np.copyto(kept, 0.0, where=~flags)
    return kept


def _base_scores(m5: Columns, h1: Columns) -> Mapping[TradeSide, Floats]:
    """Return each side's base score, NaN where an input is missing."""
    inputs = Inputs(
        open=m5["open"], close=m5["close"], close_before=m5["close_before"],
        ema20=m5["ema20"], ema50=m5["ema50"],
        close_1h=h1["close"], ema20_1h=h1["ema20"], ema50_1h=h1["ema50"],
        hist=m5["hist"], hist_before=m5["hist_before"], atr=m5["atr14"], rsi=m5["rsi"],
        percent_b=m5["percent_b"], volume=m5["volume"],
    )  # fmt: skip
    return {side: np.floor(points(inputs, side).sum(axis=0) + FLAT) for side in SIGNS}
