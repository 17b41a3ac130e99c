"""Signals from candle windows: the pure function that the actor and replays share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from shared.clock import utc_text
from shared.codec import number
from shared.config.sections import IndicatorsSection, SqueezeSection
from shared.errors import NoCandles
from shared.indicators.blocks import blocks, results_of
from shared.indicators.composite import Evidence, composite
from shared.indicators.divergence import Divergences, divergences
from shared.indicators.ema_ribbon import Ribbon, ema_ribbon
from shared.indicators.frames import Frame, Reading, check_own, judge, read, stacked
from shared.indicators.outliers import clipped, find_outliers
from shared.indicators.rolling import FLAT, atr, by_bar, true_range
from shared.indicators.stoch_rsi import StochRsi, stoch_rsi
from shared.indicators.ttm_squeeze import REACH, Squeeze, ttm_squeeze
from shared.market import Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import (
    Colour,
    EmaRibbon,
    RibbonState,
    Side,
    StochRsiDivergence,
    TaSignal,
    TtmSqueeze,
)


@dataclass(frozen=True)
class CoinWindows:
    """The candle windows of one coin; a timeframe without a window is absent or None."""

    symbol: str
    windows: Mapping[Timeframe, CandleWindow | None]


def ta_signals(
    coins: Sequence[CoinWindows], settings: IndicatorsSection, now_ms: int
) -> dict[str, TaSignal | Exception]:
    """Return the signal or the error of every coin.

    All coins are computed together, with the same bits as each alone. Only the last
    `settings.history` closed candles count. `now_ms` affects only `computed_at_ms` and
    staleness: a timeframe is stale when its next candle should have closed more than
    `STALE_GRACE_MS` ago.

    Returns:
        One entry per coin, in the order given. NoCandles: no closed 5m candle.
    """
    found = signals_at([(coin, now_ms) for coin in coins], settings)
    return {coin.symbol: result for coin, result in zip(coins, found, strict=True)}


def signals_at(
    asked: Sequence[tuple[CoinWindows, int]], settings: IndicatorsSection
) -> list[TaSignal | Exception]:
    """Return, for each coin and its own `now_ms`, what `ta_signals` would, in the order given.

    A coin may be given with many times at once; a window object given more than once is read
    and computed once.
    """
    readings: dict[int, Reading] = {}
    return results_of(
        asked,
        lambda each: _prepare(each[0], settings.history, each[1], readings),
        lambda coins: _signals(coins, settings),
    )


class _Coin(NamedTuple):
    symbol: str
    window: CandleWindow
    frames: Mapping[Timeframe, Frame]
    now_ms: int


def _prepare(coin: CoinWindows, history: int, now_ms: int, readings: dict[int, Reading]) -> _Coin:
    check_own(coin.symbol, coin.windows)
    frames = {}
    for timeframe in Timeframe:
        window = coin.windows.get(timeframe)
        if id(window) not in readings:
            readings[id(window)] = read(window, timeframe, history)
        frames[timeframe] = judge(window, timeframe, readings[id(window)], now_ms, history)
    window = coin.windows.get(Timeframe.M5)
    if window is None or not frames[Timeframe.M5].state.bars:
        raise NoCandles(f"{coin.symbol} 5m: not one closed candle to compute from")
    return _Coin(coin.symbol, window, frames, now_ms)


class _Numbers(NamedTuple):
    """The kernels' results at the newest bar: the last axis has length 1.

    Rows are coins on 5m; of `atr14` and `ribbon` further rows hold 1h and 4h, and `rows` says
    for each timeframe which one is each coin's. Divergences count bars from `recent_bars` ago.
    `outliers` has the rows with an outlier in their history.
    """

    rows: Mapping[Timeframe, Sequence[int]]
    atr14: Floats
    ribbon: Ribbon
    squeeze: Squeeze
    outliers: Mapping[int, _Outliers]
    stoch: StochRsi
    divergence: Divergences
    recent_bars: int


def _signals(coins: Sequence[_Coin], settings: IndicatorsSection) -> list[TaSignal]:
    if not coins:
        return []
    numbers = _compute(coins, settings)
    return [_signal(coin, row, numbers, settings) for row, coin in enumerate(coins)]


def _compute(coins: Sequence[_Coin], settings: IndicatorsSection) -> _Numbers:
    frames = [coin.frames[Timeframe.M5] for coin in coins]
    rows: dict[Timeframe, Sequence[int]] = {Timeframe.M5: range(len(coins))}
    for timeframe in (Timeframe.H1, Timeframe.H4):
        row_of: dict[int, int] = {}
        for coin in coins:
            frame = coin.frames[timeframe]
            if row_of.setdefault(id(frame.candles), len(frames)) == len(frames):
                frames.append(frame)
        rows[timeframe] = [row_of[id(coin.frames[timeframe].candles)] for coin in coins]
    # Pivots further back than this cannot matter to the last bar.
    options = settings.divergence
    recent_bars = min(settings.history, options.window + options.left + 1)
    recent = slice(settings.history - recent_bars, None)
    atrs, ribbons, squeezes, stochs, found = [], [], [], [], []
    outliers: dict[int, _Outliers] = {}
    for block in blocks(len(frames)):
        chosen = frames[block]
        high, low, close = (stacked(chosen, c, settings.history) for c in ("high", "low", "close"))
        atr14 = atr(high, low, close)
        atrs.append(atr14[:, -1:].copy())
        ribbons.append(_newest(Ribbon, ema_ribbon(close, atr14)))
        m5 = slice(0, max(0, len(coins) - block.start))
        if not m5.stop:
            continue
        high, low, close, atr14 = (by_bar(x[m5]) for x in (high, low, close, atr14))
        stoch = stoch_rsi(close)
        stochs.append(_newest(StochRsi, stoch))
        volume = stacked(chosen[m5], "volume", settings.history)
        newest, rare = _squeezes((high, low, close), volume, atr14, settings.squeeze)
        squeezes.append(newest)
        outliers |= {block.start + row: one for row, one in rare.items()}
        found.append(
            _newest(
                Divergences,
                divergences(
                    high[:, recent],
                    low[:, recent],
                    stoch.k[:, recent],
                    atr14[:, recent],
                    left=options.left,
                    right=options.right,
                    window=options.window,
                    fresh=options.fresh,
                ),
            )
        )
    return _Numbers(
        rows=rows,
        atr14=np.concatenate(atrs),
        ribbon=_stacked(Ribbon, ribbons),
        squeeze=_stacked(Squeeze, squeezes),
        outliers=outliers,
        stoch=_stacked(StochRsi, stochs),
        divergence=_stacked(Divergences, found),
        recent_bars=recent_bars,
    )


class _Outliers(NamedTuple):
    """The outliers of one coin.

    Attributes:
        bars: Those among the newest `REACH` bars, -1 for the newest.
        clipped: The squeeze with all outliers cut back, one row; None where it has not fired.
    """

    bars: list[int]
    clipped: Squeeze | None


def _squeezes(
    prices: tuple[Floats, Floats, Floats], volume: Floats, atr14: Floats, settings: SqueezeSection
) -> tuple[Squeeze, dict[int, _Outliers]]:
    """Return the newest squeeze, and the outliers of the rows that have some."""
    squeeze = partial(
        ttm_squeeze,
        bb_mult=settings.bb_mult,
        kc_mult=settings.kc_mult,
        min_squeeze_bars=settings.min_squeeze_bars,
    )
    ranges = true_range(*prices)
    newest = _newest(Squeeze, squeeze(*prices, volume, ranges=ranges))
    found = find_outliers(ranges, prices[-1], atr14, settings.outlier_atr)
    outliers = {}
    for row in found.rows:
        again = None
        if newest.fired_ago[row, 0] >= 0:
            one = slice(row, row + 1)
            high, low, close, spans = (x[one] for x in clipped(*prices, ranges, found))
            again = _newest(Squeeze, squeeze(high, low, close, volume[one], ranges=spans))
        recent = np.flatnonzero(found.found[row, -REACH:]) - REACH
        outliers[row] = _Outliers(recent.tolist(), again)
    return newest, outliers


def _newest[T](kind: Callable[..., T], found: Iterable[Any]) -> T:
    """Return copies of the newest bar alone, so that the other bars can be forgotten."""
    return kind(*(values[..., -1:].copy() for values in found))


def _stacked[T](kind: Callable[..., T], parts: Sequence[Iterable[Any]]) -> T:
    """Return the rows of all parts below each other."""
    return kind(*(np.concatenate(arrays, axis=-2) for arrays in zip(*parts, strict=True)))


def _signal(coin: _Coin, row: int, numbers: _Numbers, settings: IndicatorsSection) -> TaSignal:
    row_of = {timeframe: numbers.rows[timeframe][row] for timeframe in Timeframe}
    m5, h1, h4 = (row_of[timeframe] for timeframe in (Timeframe.M5, Timeframe.H1, Timeframe.H4))
    ribbon = EmaRibbon(
        state_5m=_ribbon_state(numbers.ribbon, m5),
        state_1h=_ribbon_state(numbers.ribbon, h1),
        spread_5m=number(numbers.ribbon.spread[m5, -1]),
        spread_1h=number(numbers.ribbon.spread[h1, -1]),
        values=[number(value) for value in numbers.ribbon.values[:, m5, -1]],
        state_4h=_ribbon_state(numbers.ribbon, h4),
        spread_4h=number(numbers.ribbon.spread[h4, -1]),
        values_1h=[number(value) for value in numbers.ribbon.values[:, h1, -1]],
    )
    candles = coin.frames[Timeframe.M5].candles
    close = float(candles.close[-1])
    atr14 = float(numbers.atr14[m5, -1])
    squeeze, cut_back = _squeeze(numbers.squeeze, row, atr14, close), None
    if row in numbers.outliers:
        bars, without = numbers.outliers[row]
        squeeze = replace(squeeze, outlier_bars=candles.open_time_ms[bars].tolist())
        cut_back = without and _squeeze(without, 0, atr14, close)
    divergence = _divergence(numbers, row, candles)
    closed_until_ms = int(candles.open_time_ms[-1]) + Timeframe.M5.ms
    return TaSignal(
        symbol=coin.symbol,
        timestamp=utc_text(closed_until_ms),
        ema_ribbon=ribbon,
        ttm_squeeze=squeeze,
        stoch_rsi_divergence=divergence,
        composite_score_adjustment=composite(
            Evidence(
                ribbon_5m=ribbon.state_5m,
                ribbon_1h=ribbon.state_1h,
                squeeze=squeeze,
                divergence=divergence,
                fault_5m=coin.frames[Timeframe.M5].fault,
                fault_1h=coin.frames[Timeframe.H1].fault,
                clipped=cut_back,
            ),
            fresh=settings.divergence.fresh,
            min_strength=settings.divergence.min_strength,
        ),
        closed_until_ms=closed_until_ms,
        close=close,
        inputs={
            str(timeframe): replace(frame.state, atr14=number(numbers.atr14[row_of[timeframe], -1]))
            for timeframe, frame in coin.frames.items()
        },
        source=coin.window.source,
        computed_at_ms=coin.now_ms,
    )


def _ribbon_state(ribbon: Ribbon, row: int) -> RibbonState | None:
    if not np.isfinite(ribbon.values[-1, row, -1]):
        return None
    side = _side(ribbon.state[row, -1])
    return "mixed" if side is None else side


def _side(sign: int | np.int8) -> Side | None:
    if sign == 0:
        return None
    return "bullish" if sign > 0 else "bearish"


def _squeeze(squeeze: Squeeze, row: int, atr14: float, close: float) -> TtmSqueeze:
    known = bool(squeeze.known[row, -1])
    momentum = float(squeeze.momentum[row, -1])
    direction = _side(squeeze.direction[row, -1])
    ago = int(squeeze.fired_ago[row, -1])
    fired = ago >= 0
    return TtmSqueeze(
        squeeze=bool(squeeze.on[row, -1]) if known else None,
        # In a flat market the ATR itself is noise.
        momentum=number(momentum / atr14) if atr14 > FLAT * close else None,
        direction=direction,
        bars_in_squeeze=int(squeeze.run[row, -1]),
        timeframe=str(Timeframe.M5),
        momentum_raw=number(momentum),
        colour=_colour(direction, int(squeeze.rising[row, -1])),
        fired=fired,
        fired_bars_ago=ago if fired else None,
        fired_direction=_side(squeeze.fired_direction[row, -1]),
        last_squeeze_bars=int(squeeze.last_run[row, -1]) or None,
    )


def _colour(direction: Side | None, rising: int) -> Colour | None:
    """Return the histogram's colour; an unchanged momentum counts as weakening."""
    if direction is None:
        return None
    if direction == "bullish":
        return "rising_positive" if rising > 0 else "falling_positive"
    return "falling_negative" if rising < 0 else "rising_negative"


def _divergence(numbers: _Numbers, row: int, candles: Candles) -> StochRsiDivergence:
    found = numbers.divergence
    side = _side(found.side[row, -1])
    last = numbers.recent_bars - 1
    times = [
        # Counted from the newest bar: rows are right-aligned, candles may be fewer.
        int(candles.open_time_ms[int(pivots[row, -1]) - last - 1]) if side else None
        for pivots in (found.pivot_a, found.pivot_b)
    ]
    return StochRsiDivergence(
        divergence=side or "none",
        strength=float(found.strength[row, -1]),
        candles_ago=last - int(found.pivot_b[row, -1]) if side else 0,
        stoch_k=number(numbers.stoch.k[row, -1]),
        stoch_d=number(numbers.stoch.d[row, -1]),
        rsi=number(numbers.stoch.rsi[row, -1]),
        pivot_a_ms=times[0],
        pivot_b_ms=times[1],
    )
