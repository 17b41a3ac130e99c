"""The same indicators by other people's libraries: one function per library, one row at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from shared.indicators.ema_ribbon import PERIODS
from shared.market import Candles, Floats
from tests.support.talib_numbers import Numbers, by_talib

with warnings.catch_warnings():
    # Both pandas libraries register the accessor `ta`, and say so.
    warnings.simplefilter("ignore")
    import numba

    # As actors/auditor/referee.py has it: the two share one process here, and pandas-ta's functions
    # work either all with the compiler or all without.
    numba.config.DISABLE_JIT = True
    import pandas as pd
    import pandas_ta
    import pandas_ta.maps
    import pandas_ta_classic

# Passing talib=False reaches neither the RSI inside stochrsi nor squeeze.
pandas_ta.maps.Imports["talib"] = False


def by_pandas_ta(candles: Candles) -> Numbers:
    """Return the numbers of pandas-ta, without the TA-Lib it would otherwise call."""
    return _by_pandas(candles, pandas_ta, {"lower_std": 2.0, "upper_std": 2.0, "ddof": 0})


def by_pandas_ta_classic(candles: Candles) -> Numbers:
    """Return the numbers of pandas-ta-classic, without TA-Lib."""
    return _by_pandas(candles, pandas_ta_classic, {"std": 2.0, "ddof": 0, "talib": False})


def _by_pandas(candles: Candles, library: object, bands: Mapping[str, object]) -> Numbers:
    high, low, close = (pd.Series(getattr(candles, c)) for c in ("high", "low", "close"))

    def call(name: str, *series: object, column: int = 0, **options: object) -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their deprecated pandas calls are not ours to mend
            found = getattr(library, name)(*series, **options)
        result = found if isinstance(found, pd.Series) else found.iloc[:, column]
        return np.asarray(result, dtype=np.float64)

    def stoch(column: int) -> Floats:
        return call("stochrsi", close, length=14, rsi_length=14, k=3, d=3, column=column)

    middle = call("sma", close, length=20, talib=False)
    keltner_top = call(
        "kc", high, low, close, length=20, scalar=1.5, tr=True, mamode="sma", column=2
    )
    return {
        **{f"ema{p}": call("ema", close, length=p, talib=False) for p in PERIODS},
        "atr": call("atr", high, low, close, length=14, mamode="rma", talib=False),
        "rsi": call("rsi", close, length=14, talib=False),
        "k": stoch(0),
        "d": stoch(1),
        "mid": middle,
        "upper": call("bbands", close, length=20, column=2, **bands),
        "lower": call("bbands", close, length=20, column=0, **bands),
        "keltner_half": keltner_top - middle,
        "momentum": call("squeeze", high, low, close, lazybear=True, column=0),
    }


REFEREES: Mapping[str, Callable[[Candles], Numbers]] = {
    "TA-Lib": by_talib,
    "pandas-ta": by_pandas_ta,
    "pandas-ta-classic": by_pandas_ta_classic,
}
