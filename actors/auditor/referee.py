"""pandas-ta as a referee: the same indicators by somebody else, for the auditor alone.

Importing this module loads neither pandas nor pandas-ta; making a `PandasTa` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import frexp
from typing import Any

import numpy as np

from actors.auditor.differences import Numbers
from shared.config.sections import SqueezeSection
from shared.errors import PermanentError
from shared.indicators.ema_ribbon import PERIODS
from shared.market import Candles, Floats

RECENT_BARS = 100
"""Bars given to functions of 20-bar windows: as good as all, and sooner done."""


class PandasTa:
    """pandas-ta, loaded: seconds of work and 100 MB, so only here and only when needed.

    Its switch for TA-Lib is off, which passing `talib=False` does not reach everywhere. Its
    few functions for a compiler run as plain Python: compiling takes longer than a day of
    calls, 50 MB, and a directory to write to.

    Raises:
        PermanentError: It is not installed, or cannot be loaded.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated calls of theirs are not ours to mend
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
        """Return its numbers at the last of some closed candles."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._numbers(candles, squeeze)

    def _numbers(self, candles: Candles, squeeze: SqueezeSection) -> Numbers:
        # pandas-ta adds 2e-16 to what is zero, which counts where a coin costs 1e-5. A power of
        # two changes no digit of a price, nor of what is measured in prices.
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
        )

    def _series(self, candles: Candles, unit: float) -> list[Any]:
        prices = (candles.high, candles.low, candles.close)
        return [self._pandas.Series(price / unit) for price in prices]

    def _call(
        self, function: str, *series: Any, columns: Sequence[int] = (0,), **options: Any
    ) -> list[Floats]:
        """Return some columns of a result; NaN where pandas-ta finds the bars too few."""
        found = getattr(self._library, function)(*series, **options)
        if found is None:
            return [np.full(1, np.nan) for _ in columns]
        table = found.to_numpy(dtype=np.float64).reshape(len(found), -1)
        return [table[:, column] for column in columns]


def _seed_doubt(close: Floats) -> float:
    """Return by how many points the RSI may hang on how its means were begun.

    Both means begin within the first 14 moves, and forget a 14th of that with each bar.
    """
    moves = np.abs(np.diff(close))
    weights = (13 / 14) ** np.arange(len(moves))[::-1] / 14
    begun, now = float(moves[:14].sum()), float(moves @ weights)
    return 100 * begun * (13 / 14) ** (len(close) - 15) / now if now else float("nan")


def _least_range(rsi: Floats) -> float:
    """Return the least height of the five 14-bar windows that the last %D is made of."""
    if len(rsi) < 18:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(rsi[-18:], 14)
    return float(np.ptp(windows, axis=1).min())
