"""pandas-ta as an independent implementation of the indicators.

Importing this module loads neither pandas nor pandas-ta; creating a `PandasTa` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import frexp
from typing import Any

import numpy as np

from actors.auditor.differences import NEAR, Numbers
from shared.config.sections import SqueezeSection
from shared.errors import PermanentError
from shared.indicators.ema_ribbon import PERIODS
from shared.indicators.rolling import FLAT
from shared.indicators.ttm_squeeze import REACH
from shared.market import Candles, Floats

RECENT_BARS = 100
"""Bars given to functions of 20-bar windows: the same result as all bars, faster."""


class PandasTa:
    """pandas-ta, loaded on creation: seconds of CPU and 100 MB.

    TA-Lib is switched off globally, as `talib=False` does not reach every function. Its numba
    functions run as plain Python: compiling takes longer than a day of calls, 50 MB, and a
    writable directory.

    Raises:
        PermanentError: It is not installed or cannot be loaded.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated calls inside the libraries
            try:
                import numba  # noqa: PLC0415

                numba.config.DISABLE_JIT = True
                import pandas  # noqa: PLC0415
                import pandas_ta  # noqa: PLC0415
                import pandas_ta.maps  # noqa: PLC0415
            except ImportError as error:
                raise PermanentError(
                    f"pandas-ta cannot be loaded ({error}); run `make install`, or set "
                    "auditor.enabled to false"
                ) from error
        pandas_ta.maps.Imports["talib"] = False
        self._pandas, self._library = pandas, pandas_ta
        self.name = f"pandas-ta {pandas_ta.version}"

    def numbers(self, candles: Candles, squeeze: SqueezeSection) -> Numbers:
        """Return pandas-ta's numbers at the last closed candle."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._numbers(candles, squeeze)

    def _numbers(self, candles: Candles, squeeze: SqueezeSection) -> Numbers:
        # pandas-ta replaces zeros by 2e-16, which matters for a price of 1e-5. Scaling by a power
        # of two changes no digit.
        unit = 2.0 ** (frexp(candles.close[-1])[1] - 10)
        high, low, close = self._series(candles, unit)
        recent = self._series(candles.tail(RECENT_BARS), unit)
        mult = squeeze.bb_mult
        bottom, top = self._call(
            "bbands", recent[-1], length=20, lower_std=mult, upper_std=mult, ddof=0, columns=(0, 2)
        )
        floor, ceiling = self._call(
            "kc", *recent, length=20, scalar=squeeze.kc_mult, tr=True, mamode="sma", columns=(0, 2)
        )
        stoch_k, stoch_d = self._call(
            "stochrsi", close, length=14, rsi_length=14, k=3, d=3, columns=(0, 1)
        )
        (rsi,) = self._call("rsi", close, length=14)
        (atr14,) = self._call("atr", high, low, close, length=14, mamode="rma")
        (ranges,) = self._call("true_range", high, low, close)
        (momentum,) = self._call("squeeze", *recent, lazybear=True)
        emas = [self._call("ema", close, length=period)[0] for period in PERIODS]
        return Numbers(
            bars=len(candles),
            close=float(candles.close[-1]),
            emas=[float(ema[-1]) * unit for ema in emas],
            atr14=float(atr14[-1]) * unit,
            rsi=float(rsi[-1]),
            rsi_doubt=_seed_doubt(candles.close),
            rsi_range=_least_range(rsi),
            stoch_k=float(stoch_k[-1]),
            stoch_d=float(stoch_d[-1]),
            bollinger_half=float(top[-1] - bottom[-1]) / 2 * unit,
            keltner_half=float(ceiling[-1] - floor[-1]) / 2 * unit,
            momentum=float(momentum[-1]) * unit,
            outlier_bars=_outlier_bars(candles, ranges * unit, squeeze.outlier_atr),
        )

    def _series(self, candles: Candles, unit: float) -> list[Any]:
        prices = (candles.high, candles.low, candles.close)
        return [self._pandas.Series(price / unit) for price in prices]

    def _call(
        self, function: str, *series: Any, columns: Sequence[int] = (0,), **options: Any
    ) -> list[Floats]:
        """Return some columns of a result; NaN where pandas-ta has too few bars."""
        found = getattr(self._library, function)(*series, **options)
        if found is None:
            return [np.full(1, np.nan) for _ in columns]
        table = found.to_numpy(dtype=np.float64).reshape(len(found), -1)
        return [table[:, column] for column in columns]


def _seed_doubt(close: Floats) -> float:
    """Return by how many points the RSI may depend on its seed.

    Both means are seeded within the first 14 moves, and a 14th of the seed decays with each bar.
    """
    moves = np.abs(np.diff(close))
    weights = (13 / 14) ** np.arange(len(moves))[::-1] / 14
    begun, now = float(moves[:14].sum()), float(moves @ weights)
    return 100 * begun * (13 / 14) ** (len(close) - 15) / now if now else float("nan")


def _outlier_bars(candles: Candles, ranges: Floats, limit: float) -> list[int] | None:
    """Return the outliers among the newest bars; None if one is too near the limit to tell."""
    found: list[int] = []
    atr14 = float(np.mean(ranges[:14]))
    for i in range(14, len(candles)) if limit else ():
        price, counted = float(candles.close[i - 1]), float(ranges[i])
        over = counted - limit * atr14
        moving = atr14 > FLAT * price
        if (moving and abs(over) <= NEAR * price) or abs(atr14 / price / FLAT - 1) <= NEAR:
            return None
        if moving and over > 0:
            found.append(int(candles.open_time_ms[i]))
            counted = limit * atr14
        atr14 += (counted - atr14) / 14
    begin = int(candles.open_time_ms[-min(REACH, len(candles))])
    return [time for time in found if time >= begin]


def _least_range(rsi: Floats) -> float:
    """Return the smallest range of the five 14-bar windows behind the last %D."""
    if len(rsi) < 18:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(rsi[-18:], 14)
    return float(np.ptp(windows, axis=1).min())
