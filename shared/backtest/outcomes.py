"""Outcomes after a close: the forward return, and a trade entered then."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.config.sections import TraderSection
from shared.market import Candles, Floats, Timeframe, Times

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

M5_MS = Timeframe.M5.ms
TAKER_FEE = 0.0005
ROUND_TRIP = 2 * TAKER_FEE
"""What a trade costs here, as a share of the price: no spread, no slippage."""

STOPPED, TARGET_HIT, TIMED_OUT, CUT_OFF = 0, 1, 2, 3
NO_ATR, REFUSED, UNFINISHED = -1, -2, -3
"""Entries that are no trades."""

NO_HALT, BEFORE_HALT, AFTER_HALT, AT_HALT = 0, 1, 2, 3

_CHUNK = 32
"""Candles looked at together: most trades end within some of these."""

_SLACK = 1e-9
"""Share by which a cost may exceed its limit: rounding of floats."""


def starts(state: Flags, times: Times) -> Flags:
    """Return where a state begins: true now, and false at the close five minutes before.

    Shapes: state, times (closes,) -> (closes,); the first close and the first after a gap are no
        starts, because the state before is unknown.
    """
    begun = np.zeros_like(state)
    begun[1:] = state[1:] & ~state[:-1] & (np.diff(times) == M5_MS)
    return begun


def forward_returns(close: Floats, times: Times, after_ms: int, breaks_ms: Times) -> Floats:
    """Return the relative change of the price `after_ms` after each close.

    Shapes: close, times (closes,), breaks_ms (breaks,) -> (closes,); NaN if there is no close at
        exactly that time, or the price scale breaks until then.
    Units:  a share of the price: 0.01 is one per cent.
    """
    index = np.minimum(np.searchsorted(times, times + after_ms), len(times) - 1)
    there = times[index] == times + after_ms
    there &= np.searchsorted(breaks_ms, times + after_ms) == np.searchsorted(breaks_ms, times)
    return np.where(there, close[index] / close - 1.0, np.nan)


class Trades(NamedTuple):
    """One row per entry; results in R, the distance of the stop.

    Attributes:
        entered_ms: Closes at which they were entered.
        gross: Result before fees.
        fees: Both sides' fees.
        ending: STOPPED, TARGET_HIT, TIMED_OUT or CUT_OFF. If it is no trade, NO_ATR, REFUSED (it
            costs more than `cost_share_pct`, or has no price above 0 for stop and target) or
            UNFINISHED (the recordings end before its time is over).
        halt: BEFORE_HALT, AFTER_HALT or AT_HALT: trading halts before the time of the trade is
            over, and it ended before that, after that, or is valued there; or NO_HALT.
    """

    entered_ms: Times
    gross: Floats
    fees: Floats
    ending: npt.NDArray[np.int8]
    halt: npt.NDArray[np.int8]

    @property
    def net(self) -> Floats:
        return self.gross - self.fees

    def only(self, chosen: Flags | Indices) -> Trades:
        return Trades(
            self.entered_ms[chosen],
            self.gross[chosen],
            self.fees[chosen],
            self.ending[chosen],
            self.halt[chosen],
        )


def stop_fractions(moved: Floats, settings: TraderSection) -> Floats:
    """Return the distance of the trader's stop as a share of the price; `moved` is that of ATR14.

    Shapes: (n,) -> (n,).
    Source: `plan_entry`, at a book without spread and slippage; it rounds up to 1e-8.
    """
    return np.maximum(settings.stop_atr * moved, settings.stop_costs * ROUND_TRIP)


def hold_bars(settings: TraderSection) -> int:
    """Return after how many 5m closes a trade's time is over."""
    return math.ceil(settings.max_hold_h * Timeframe.H1.ms / M5_MS - _SLACK)


def trades(
    candles: Candles,
    entries: Indices,
    side: int,
    atr: Floats,
    breaks_ms: Times,
    *,
    settings: TraderSection,
    end_ms: int,
) -> Trades:
    """Return the trades that entries at the close of some candles would have been.

    Stop, target and time limit are the trader's. A candle that touches both counts as stopped; one
    that opens beyond the stop exits at its open; the target fills at its price and never better.
    Fees are 0.05 % of price per side; no spread, no slippage.

    A halt (a gap in the candles) ends no trade: what was reached before it is reached; else the
    position is there when trading goes on, and the first candle counts as any other. If its time
    is over by then, it is closed at that candle's open. Where nothing goes on, as at the end of
    this coin's candles or at a break of the price scale, it is valued at the last close (CUT_OFF).

    Only entries whose time is over by `end_ms` are trades, whatever became of the others.

    Args:
        candles: 5m candles of one coin.
        entries: Indices into `candles`.
        side: 1 long, -1 short.
        atr: For each entry, ATR14 of 1h.
        breaks_ms: Open times of candles that begin a new price scale.
        settings: Of these count `stop_atr`, `stop_costs`, `cost_share_pct`, `target_r`,
            `max_hold_h`.
        end_ms: End of all coins' candles.

    Shapes: entries, atr (entries,) -> as many rows.
    Units:  atr in quote currency; results in R.
    """
    times, price = candles.open_time_ms, candles.close[entries]
    entered_ms = times[entries] + M5_MS
    over_ms = entered_ms + hold_bars(settings) * M5_MS
    # with prices negated, a short is a long
    if side > 0:
        open_, high, low, close = candles.open, candles.high, candles.low, candles.close
    else:
        open_, high, low, close = -candles.open, -candles.low, -candles.high, -candles.close
    fraction = stop_fractions(atr / price, settings)
    entry, risk = close[entries], fraction * price
    stop, target = entry - risk, entry + settings.target_r * risk

    # the candle in which its time is over: at its close, or after a halt before it opens
    last = np.searchsorted(times, over_ms - M5_MS)
    end = _end_of_scale(times, entered_ms, breaks_ms)
    cut = last >= end
    last = np.where(cut, end - 1, last)
    at_open = times[last] >= over_ms
    known = np.isfinite(atr) & (atr > 0)
    hit = _first_hit(
        low, high, stop, target, first=entries + 1, last=np.where(known, last - at_open, -1)
    )
    reached = hit <= last - at_open
    left_at = np.where(reached, hit, last)
    # a candle at whose open its time is over counts with that price alone
    lowest = np.where(reached, low[left_at], np.where(at_open, open_[left_at], np.inf))
    highest = np.where(reached, high[left_at], np.where(at_open, open_[left_at], -np.inf))
    otherwise = np.where(cut, CUT_OFF, TIMED_OUT)
    ending = np.where(highest >= target, TARGET_HIT, otherwise)
    ending[lowest <= stop] = STOPPED
    left = np.select(
        [ending == STOPPED, ending == TARGET_HIT, at_open],
        [np.minimum(stop, open_[left_at]), target, open_[left_at]],
        close[left_at],
    )

    halted = cut | _has_gap(times, entries, last)
    halt = np.where(_has_gap(times, entries, left_at), AFTER_HALT, BEFORE_HALT)
    halt[ending == CUT_OFF] = AT_HALT
    halt[~halted] = NO_HALT
    ending[over_ms > end_ms] = UNFINISHED
    ending[settings.cost_share_pct / 100 * fraction * (1 + _SLACK) < ROUND_TRIP] = REFUSED
    ending[(fraction if side > 0 else settings.target_r * fraction) >= 1] = REFUSED
    ending[~known] = NO_ATR
    return Trades(
        entered_ms=entered_ms,
        gross=(left - entry) / risk,
        fees=TAKER_FEE * (np.abs(left) + np.abs(entry)) / risk,
        ending=ending.astype(np.int8),
        halt=halt.astype(np.int8),
    )


def _end_of_scale(times: Times, since_ms: Times, breaks_ms: Times) -> Indices:
    """Return the first candle that is of another price scale, or the number of candles."""
    begins = np.append(np.searchsorted(times, breaks_ms), len(times))
    found: Indices = begins[np.searchsorted(breaks_ms, since_ms)]
    return found


def _has_gap(times: Times, since: Indices, until: Indices) -> Flags:
    gap: Flags = times[until] - times[since] != (until - since) * M5_MS
    return gap


def _first_hit(
    low: Floats, high: Floats, stop: Floats, target: Floats, *, first: Indices, last: Indices
) -> Indices:
    """Return the first candle from `first` to `last` that reaches stop or target, or `last` + 1."""
    lows, highs = (
        np.lib.stride_tricks.sliding_window_view(np.append(prices, np.full(_CHUNK, never)), _CHUNK)
        for prices, never in ((low, np.inf), (high, -np.inf))
    )
    hit = last + 1
    rows = np.flatnonzero(first <= last)
    at = first[rows]
    while len(rows):
        touched = (lows[at] <= stop[rows, None]) | (highs[at] >= target[rows, None])
        found = touched.any(axis=1)
        index = at + touched.argmax(axis=1)
        within = found & (index <= last[rows])
        hit[rows[within]] = index[within]
        at = at + _CHUNK
        open_still = ~found & (at <= last[rows])
        rows, at = rows[open_still], at[open_still]
    return hit
