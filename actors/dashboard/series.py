"""The candles of one coin with all indicators, bar by bar, for the chart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.dashboard.prices import price_step
from shared.codec import number
from shared.config.sections import IndicatorsSection
from shared.errors import NoCandles
from shared.indicators.divergence import Divergences, divergences
from shared.indicators.ema_ribbon import PERIODS, ema_ribbon
from shared.indicators.rolling import FLAT, atr, rolling_max, rolling_min
from shared.indicators.stoch_rsi import stoch_rsi
from shared.indicators.ttm_squeeze import ttm_squeeze
from shared.market import COLUMNS, Candles, Floats
from shared.messages.candles import CandleWindow

COMPUTED, SENT = 1000, 500
Values = list[float | None]


def series(window: CandleWindow, settings: IndicatorsSection) -> dict[str, Any]:
    """Return the last 500 closed candles and the open one, with indicators over 1000.

    Every list has an entry per candle; indicators are null for the open candle and before an
    unfilled gap. Divergences are dated by the bar at whose close they became known; all times
    are open times of bars. `gaps` are holes between the candles shown, `confirmed` where the
    exchange has no candles.

    Units:  momentum in ATR14, prices and atr in quote currency, k and d 0..100.
    Raises: NoCandles: none is closed.
    """
    closed = window.closed().tail(COMPUTED)
    if not len(closed):
        raise NoCandles(f"{window.symbol} {window.timeframe}: not one closed candle to draw")
    gaps = [until for _, until in window.unfilled_gaps()]
    start = int(np.searchsorted(closed.open_time_ms, gaps[-1])) if gaps else 0
    shown = window.candles.tail(len(window.candles) - len(window.closed()) + SENT)
    lines = _Lines(closed[start:], settings, len(shown), window.candles.open_time_ms)
    return {
        "symbol": window.symbol,
        "timeframe": str(window.timeframe),
        "tick": price_step(window),
        "source": window.source,
        "candles": [list(row) for row in zip(*(getattr(shown, c).tolist() for c in COLUMNS),
                                             strict=True)],
        "closedUntilMs": window.closed_until_ms,
        "fetchedAtMs": window.fetched_at_ms,
        "gaps": _gaps(window, shown),
        **lines.as_document(),
    }  # fmt: skip


def _gaps(window: CandleWindow, shown: Candles) -> list[dict[str, Any]]:
    unfilled = set(window.unfilled_gaps())
    return [
        {"fromMs": first, "untilMs": until, "confirmed": (first, until) not in unfilled}
        for first, until in shown.gaps(window.timeframe)
    ]


class _Lines:
    """Indicators of closed candles, aligned with the candles shown.

    Args:
        count: Candles shown; the last of them may be open.
        times: Open times of all candles of the window.
    """

    def __init__(
        self, closed: Candles, settings: IndicatorsSection, count: int, times: npt.NDArray[np.int64]
    ) -> None:
        self._times = closed.open_time_ms
        self._open = len(times) - int(np.searchsorted(times, self._end_ms(), side="right"))
        self._count = count
        rows = [np.ascontiguousarray(c)[np.newaxis] for c in
                (closed.high, closed.low, closed.close, closed.volume)]  # fmt: skip
        high, low, close, volume = rows
        self._close, self._high, self._low = close, high, low
        self._atr = atr(high, low, close)
        self._ribbon = ema_ribbon(close, self._atr)
        squeeze, divergence = settings.squeeze, settings.divergence
        self._squeeze = ttm_squeeze(
            high, low, close, volume,
            bb_mult=squeeze.bb_mult, kc_mult=squeeze.kc_mult,
            min_squeeze_bars=squeeze.min_squeeze_bars,
        )  # fmt: skip
        self._stoch = stoch_rsi(close)
        self._divergences = divergences(
            high, low, self._stoch.k, self._atr,
            left=divergence.left, right=divergence.right,
            window=divergence.window, fresh=divergence.fresh,
        )  # fmt: skip

    def as_document(self) -> dict[str, Any]:
        squeeze, ribbon = self._squeeze, self._ribbon
        known = squeeze.known[0]
        # In a flat market the ATR itself is noise.
        moving = self._atr > FLAT * self._close
        unit = np.where(moving, self._atr, np.nan)
        complete = np.isfinite(ribbon.values[-1, 0])
        states = (_ribbon_state(s, k) for s, k in zip(ribbon.state[0], complete, strict=True))
        return {
            "ema": {
                str(period): self._numbers(values[0])
                for period, values in zip(PERIODS, ribbon.values, strict=True)
            },
            "ribbonState": self._shown(states),
            "squeeze": {
                "on": self._shown(bool(on) if k else None
                                  for on, k in zip(squeeze.on[0], known, strict=True)),
                "momentum": self._numbers((squeeze.momentum / unit)[0]),
                "fired": [bool(fired) for fired in self._shown(squeeze.fired_ago[0] >= 0)],
            },
            "stochRsi": {
                "k": self._numbers(self._stoch.k[0]),
                "d": self._numbers(self._stoch.d[0]),
            },
            "divergences": _divergence_list(
                self._divergences, self._times, self._stoch.k, self._high[0], self._low[0],
                since=max(0, len(self._times) - self._count + self._open),
            ),
            "atr": self._numbers(self._atr[0]),
        }  # fmt: skip

    def _end_ms(self) -> int:
        return int(self._times[-1]) if len(self._times) else -1

    def _numbers(self, values: Floats) -> Values:
        return self._shown(number(value) for value in values.tolist())

    def _shown(self, values: Iterable[Any]) -> list[Any]:
        """Return one value per candle shown, null where there is none."""
        kept = list(values)[-(self._count - self._open) :] if self._count > self._open else []
        before = self._count - self._open - len(kept)
        return [*[None] * before, *kept, *[None] * self._open]


def _ribbon_state(sign: int, complete: bool) -> str | None:
    if not complete:
        return None
    return "mixed" if sign == 0 else "bullish" if sign > 0 else "bearish"


def _divergence_list(
    found: Divergences,
    times: npt.NDArray[np.int64],
    k: Floats,
    high: Floats,
    low: Floats,
    *,
    since: int,
) -> list[dict[str, Any]]:
    """Return each divergence once, at the bar where it first appeared, if that is shown.

    `kA` and `kB` are the values compared: the lowest (bullish) or highest %K of the pivot's bar
    and the bars beside it.
    """
    lowest, highest = rolling_min(k, 3)[0], rolling_max(k, 3)[0]
    side, a, b = found.side[0], found.pivot_a[0], found.pivot_b[0]
    listed: dict[tuple[int, int, int], dict[str, Any]] = {}
    for bar in np.flatnonzero(side).tolist():
        sign, bar_a, bar_b = int(side[bar]), int(a[bar]), int(b[bar])
        if (sign, bar_a, bar_b) in listed:
            continue
        around, price = (lowest, low) if sign > 0 else (highest, high)
        listed[sign, bar_a, bar_b] = {
            "kind": "bullish" if sign > 0 else "bearish",
            "strength": number(found.strength[0, bar]),
            "pivotAMs": int(times[bar_a]),
            "pivotBMs": int(times[bar_b]),
            "knownAtMs": int(times[bar]),
            "kA": number(around[bar_a + 1]),
            "kB": number(around[bar_b + 1]),
            "priceA": float(price[bar_a]),
            "priceB": float(price[bar_b]),
            "bar": bar,
        }
    shown = [one for one in listed.values() if one["bar"] >= since]
    return [{key: value for key, value in one.items() if key != "bar"} for one in shown]
