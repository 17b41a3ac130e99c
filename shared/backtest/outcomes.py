"""Outcomes after a close: the forward return, and a trade entered then."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.market import Candles, Floats, Timeframe, Times

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

HOLD_BARS = 288
STOP_ATR = 1.0
TARGET_ATR = 2.0
TAKER_FEE = 0.0005
STOPPED, TARGET_HIT, TIMED_OUT = 0, 1, 2


def starts(state: Flags, times: Times) -> Flags:
    """Return where a state begins: true now, and false at the close five minutes before.

    Shapes: state, times (closes,) -> (closes,); the first close and the first after a gap are no
        starts, because the state before is unknown.
    """
    begun = np.zeros_like(state)
    begun[1:] = state[1:] & ~state[:-1] & (np.diff(times) == Timeframe.M5.ms)
    return begun


def forward_returns(close: Floats, times: Times, after_ms: int, breaks_ms: Times) -> Floats:
    """Return the relative change of the price `after_ms` after each close.

    Shapes: close, times (closes,), breaks_ms (breaks,) -> (closes,); NaN if there is no close at
        exactly that time, or the price scale breaks until then.
    Units:  a share of the price: 0.01 is one per cent.
    """
    index = np.minimum(np.searchsorted(times, times + after_ms), len(times) - 1)
    there = (times[index] == times + after_ms) & ~_broken(times, times + after_ms, breaks_ms)
    return np.where(there, close[index] / close - 1.0, np.nan)


class Trades(NamedTuple):
    """Trades in order of entry; results in R, the distance of the stop.

    Attributes:
        entered_ms: Closes at which they were entered.
        gross: Result before fees.
        fees: Both sides' fees.
        ending: STOPPED, TARGET_HIT or TIMED_OUT.
    """

    entered_ms: Times
    gross: Floats
    fees: Floats
    ending: npt.NDArray[np.int8]

    @property
    def net(self) -> Floats:
        return self.gross - self.fees


def _broken(since_ms: Times, until_ms: Times, breaks_ms: Times) -> Flags:
    """Return whether the price scale breaks between two closes."""
    passed: Flags = np.searchsorted(breaks_ms, until_ms) > np.searchsorted(breaks_ms, since_ms)
    return passed


def trades(candles: Candles, entries: Indices, side: int, atr: Floats, breaks_ms: Times) -> Trades:
    """Return the trades that entries at the close of some candles would have been.

    Stop 1 ATR away, target 2 ATR, exit at the close after 24 h. A candle that touches both counts
    as stopped; one that opens beyond the stop exits at its open; the target fills at its price and
    never better. Fees are 0.05 % of price per side; no spread, no slippage.

    Left out: entries without an ATR, and those whose next 24 h are not recorded completely, or
    hold a break of the price scale.

    Args:
        candles: 5m candles of one coin.
        entries: Indices into `candles`.
        side: 1 long, -1 short.
        atr: For each entry, the distance of the stop.
        breaks_ms: Open times of candles that begin a new price scale.

    Shapes: entries, atr (entries,) -> at most as many trades.
    Units:  atr in quote currency; results in R.
    """
    times = candles.open_time_ms
    usable = np.isfinite(atr) & (atr > 0) & (entries + HOLD_BARS < len(candles))
    entries, atr = entries[usable], atr[usable]
    entered_ms, left_ms = (times[i] + Timeframe.M5.ms for i in (entries, entries + HOLD_BARS))
    whole = left_ms - entered_ms == HOLD_BARS * Timeframe.M5.ms
    whole &= ~_broken(entered_ms, left_ms, breaks_ms)
    entries, atr = entries[whole], atr[whole]
    # with prices negated, a short is a long
    if side > 0:
        open_, high, low, close = candles.open, candles.high, candles.low, candles.close
    else:
        open_, high, low, close = -candles.open, -candles.low, -candles.high, -candles.close

    entry = close[entries]
    stop, target = entry - STOP_ATR * atr, entry + TARGET_ATR * atr
    later = entries[:, None] + np.arange(1, HOLD_BARS + 1)
    stopped_after = _first(low[later] <= stop[:, None])
    target_after = _first(high[later] >= target[:, None])
    ending = np.where(
        stopped_after < HOLD_BARS,
        STOPPED,
        np.where(target_after < HOLD_BARS, TARGET_HIT, TIMED_OUT),
    )
    ending[target_after < stopped_after] = TARGET_HIT
    stop_open = open_[entries + 1 + np.minimum(stopped_after, HOLD_BARS - 1)]
    left = np.choose(ending, [np.minimum(stop, stop_open), target, close[entries + HOLD_BARS]])
    risk = STOP_ATR * atr
    return Trades(
        entered_ms=times[entries] + Timeframe.M5.ms,
        gross=(left - entry) / risk,
        fees=TAKER_FEE * (np.abs(left) + np.abs(entry)) / risk,
        ending=ending.astype(np.int8),
    )


def _first(hit: Flags) -> Indices:
    """Return for each row the index of its first True, or the row's length."""
    return np.where(hit.any(axis=1), hit.argmax(axis=1), hit.shape[1])
