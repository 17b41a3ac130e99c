"""The indicators of one stretch of candles, at every bar: what the window that ends there gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.backtest.whole_series.releases import Bars, after, squeeze_sides
from shared.backtest.whole_series.window_means import window_emas, window_rma
from shared.config.sections import IndicatorsSection
from shared.indicators.base_score import moving
from shared.indicators.divergence import divergences
from shared.indicators.ema_ribbon import PERIODS, spread, stacking
from shared.indicators.macd import FAST, SIGNAL, SLOW
from shared.indicators.outliers import ATR_PERIOD
from shared.indicators.percent_b import within_bands
from shared.indicators.relative_volume import relative_volume
from shared.indicators.rolling import FLAT, rolling_mean, true_range
from shared.indicators.stoch_rsi import stochastic, strength_index
from shared.indicators.ttm_squeeze import Flags
from shared.market import Candles, Floats

LOST = 1e-12
"""A share of an average that counts for nothing."""

ROUNDED_ATR = 3e-5
"""Share of price: against a smaller ATR, the rounding of averages of prices shows."""

RSI_PERIOD = 14
TREND = (20, 50)
H4_COLUMNS = ("stacked",)
H1_COLUMNS = ("stacked", "atr14", "close", "ema20", "ema50")
COLUMNS = (
    "stacked", "spread", "momentum", "stoch_k", "rsi", "squeeze", "divergence", "doubt", "atr14",
    "open", "close", "close_before", "ema20", "ema50", "hist", "hist_before", "percent_b", "volume",
)  # fmt: skip

Columns = dict[str, Floats]


def h4_columns(candles: Candles, settings: IndicatorsSection) -> Columns:
    """Return `H4_COLUMNS` of the 4h candles, each (bars,)."""
    (close,) = _rows(candles, "close")
    return _named(H4_COLUMNS, _state(window_emas(close, PERIODS, settings.history), FLAT * close))


def h1_columns(candles: Candles, settings: IndicatorsSection) -> Columns:
    """Return `H1_COLUMNS` of the 1h candles, each (bars,)."""
    high, low, close = _rows(candles, "high", "low", "close")
    *ribbon, ema20, ema50 = window_emas(close, (*PERIODS, *TREND), settings.history)
    atr14 = _atr(true_range(high, low, close), high - low, settings.history)
    state = _state(np.array(ribbon), FLAT * close)
    return _named(H1_COLUMNS, state, atr14, close, ema20, ema50)


def columns(candles: Candles, settings: IndicatorsSection) -> Columns:
    """Return `COLUMNS` of the 5m candles, each (bars,).

    `squeeze` and `divergence` are the side that each gives points to, as far as this bar's candles
    decide; `doubt` is 1 where something else does, or where rounding would: such a close is
    computed from its window.
    """
    history = settings.history
    open_, high, low, close, volume = _rows(candles, "open", "high", "low", "close", "volume")
    ranges, margin = true_range(high, low, close), FLAT * close
    atr14 = _atr(ranges, high - low, history)
    emas = window_emas(close, (*PERIODS, *TREND, FAST, SLOW), history)
    ribbon, (ema20, ema50, fast, slow) = emas[: len(PERIODS)], emas[len(PERIODS) :]
    index, faded = _rsi(close, history)
    k = stochastic(index)
    hist = _macd_histogram(fast - slow, history)

    bars = Bars(high, low, close, volume, ranges, atr14)
    squeeze_side, doubt, squeeze = squeeze_sides(bars, settings)
    options = settings.divergence
    found = divergences(
        high, low, k, atr14,
        left=options.left, right=options.right, window=options.window, fresh=options.fresh,
    )  # fmt: skip
    doubt |= after(faded, recent_bars(settings) + 2 * RSI_PERIOD)
    doubt |= (atr14 > margin) & (atr14 < ROUNDED_ATR * close)

    unit = moving(atr14, close)
    values = (
        _state(ribbon, margin), spread(ribbon, atr14, margin),
        squeeze.momentum / unit, k, index, squeeze_side,
        np.multiply(found.side, found.strength >= options.min_strength, dtype=np.float64),
        doubt.astype(np.float64), unit, open_, close, _before(close),
        ema20, ema50, hist, _before(hist),
        within_bands(close, squeeze.mid, squeeze.bollinger_half * (2.0 / settings.squeeze.bb_mult)),
        relative_volume(volume),
    )  # fmt: skip
    return _named(COLUMNS, *values)


def recent_bars(settings: IndicatorsSection) -> int:
    """Return how many bars a divergence may be made of."""
    return settings.divergence.window + settings.divergence.left + 1


def _rows(candles: Candles, *names: str) -> tuple[Floats, ...]:
    return tuple(getattr(candles, name)[None] for name in names)


def _named(names: Sequence[str], *values: Floats) -> Columns:
    return {name: each[0] for name, each in zip(names, values, strict=True)}


def _state(ribbon: Floats, margin: Floats) -> Floats:
    """Return 1, 0, -1, or NaN where it is not known."""
    state = stacking(ribbon, margin).astype(np.float64)
    np.copyto(state, np.nan, where=np.isnan(ribbon[-1]))
    return state


def _atr(ranges: Floats, first: Floats, history: int) -> Floats:
    return window_rma(ranges, ATR_PERIOD, history, first)


def _rsi(close: Floats, history: int) -> tuple[Floats, Flags]:
    """Return the RSI, and where the window's first moves still count in it.

    There nothing has moved since, and the windows of the bars around have other RSIs.
    """
    index, faded = np.full_like(close, np.nan), np.zeros(close.shape, np.bool_)
    if close.shape[1] < 2:
        return index, faded
    change = np.diff(close)
    rises = np.clip(change, 0.0, np.inf)  # quicker than the maximum with a number
    falls = rises - change
    up, down = (window_rma(moves, RSI_PERIOD, history - 1) for moves in (rises, falls))
    index[:, 1:] = strength_index(up, down)
    later = history - 1 - RSI_PERIOD
    weight = (1.0 - 1.0 / RSI_PERIOD) ** later / LOST
    opening = rolling_mean(np.abs(change), RSI_PERIOD)[:, : max(0, change.shape[1] - later)]
    faded[:, 1 + later :] = weight * opening > (up + down)[:, later:]
    return index, faded


def _macd_histogram(line: Floats, history: int) -> Floats:
    known = slice(SLOW - 1, None)
    if line.shape[1] >= SLOW:
        line[:, known] -= window_emas(line[:, known], [SIGNAL], history - SLOW + 1)[0]
    return line


def _before(x: Floats) -> Floats:
    before = np.full_like(x, np.nan)
    before[:, 1:] = x[:, :-1]
    return before
