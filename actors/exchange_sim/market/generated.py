"""Generated prices, a pure function of seed, coin and absolute time.

There is no state, so a killed simulator restarts with the same history. The logarithm of a price
is the sum of a factor common to all coins and the coin's own path. Each path is pinned at every
UTC midnight to a smooth sum of noises of 1 to 128 days, with a Brownian bridge in between whose
volatility varies over the hours. Open, high, low and close are read off the points of that path.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from actors.exchange_sim.market.bars import (
    BAR_MS,
    BARS_PER_DAY,
    DAY_MS,
    TIME,
    Bars,
    Integers,
    Scale,
    bars_from,
    empty_bars,
)
from shared.errors import UnknownSymbol
from shared.exchanges.sim.rules import USUAL
from shared.market import Floats

STEPS = 6
GENESIS_DAY = 18_262  # 2020-01-01: no generated coin has a history before it
_POINTS = BARS_PER_DAY * STEPS
_KNOTS = 6
# Days generated at once: few, so that the arrays stay in the CPU cache.
_BLOCK_DAYS = 16
_KEPT_BLOCKS = 12
_OCTAVES = 8
_LEVEL_SWING = 0.012
_FACTOR_DAY_VOLATILITY = 0.018


class GeneratedPrices:
    """Prices of the given coins, generated day by day.

    Args:
        symbols: The coins that exist; well-known ones get a realistic price.
        seed: Each seed is another market.
    """

    def __init__(self, symbols: Sequence[str], seed: int) -> None:
        self._coins = {symbol: _Coin(symbol, seed) for symbol in symbols}
        self._factor = _Path(_key(seed, "factor"), _FACTOR_DAY_VOLATILITY, _LEVEL_SWING)
        self._factor_blocks: dict[int, Floats] = {}
        self._today: dict[str, tuple[int, Integers]] = {}

    def symbols(self) -> Sequence[str]:
        return tuple(self._coins)

    def first_day(self, symbol: str) -> int:
        self._coin(symbol)
        return GENESIS_DAY

    def scale(self, symbol: str) -> Scale:
        return self._coin(symbol).scale

    def days(self, symbol: str, first_day: int, last_day: int) -> Bars:
        """Return the 5m bars of whole UTC days, both included.

        Raises:
            UnknownSymbol: No such coin.
        """
        coin = self._coin(symbol)
        parts = [empty_bars()]
        day = first_day
        while day <= last_day:
            until = min((day // _BLOCK_DAYS + 1) * _BLOCK_DAYS, last_day + 1)
            parts.append(self._days_of_block(coin, day, until - day))
            day = until
        return np.concatenate(parts, axis=1)

    def _days_of_block(self, coin: _Coin, first_day: int, count: int) -> Bars:
        points, noise = self._points(coin, first_day, count)
        opens, closes = points[:, :-1:STEPS], points[:, STEPS::STEPS]
        highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
        for step in range(1, STEPS):
            inner = points[:, step::STEPS]
            np.maximum(highs, inner, out=highs)
            np.minimum(lows, inner, out=lows)
        lively = 0.6 + 0.4 * (highs - lows) / (opens * coin.usual_range)
        turnover = coin.turnover * _hours() * lively * np.exp(0.5 * noise)
        unit = 10.0 ** (coin.scale.price_digits + coin.scale.volume_digits)
        volume = np.maximum(np.rint(turnover * unit / closes), 1)
        times = first_day * DAY_MS + np.arange(count * BARS_PER_DAY, dtype=np.int64) * BAR_MS
        prices = tuple(p.ravel() for p in (opens, highs, lows, closes))
        return bars_from(times, prices, volume.astype(np.int64).ravel(), coin.scale)

    def points(self, symbol: str, bar: Integers) -> Integers:
        """Return the price path inside one 5m bar, both ends included, shape (7,)."""
        day, within = divmod(int(bar[TIME]), DAY_MS)
        if self._today.get(symbol, (0,))[0] != day:
            self._today[symbol] = (day, self._points(self._coin(symbol), day, 1)[0][0])
        first = within // BAR_MS * STEPS
        return self._today[symbol][1][first : first + STEPS + 1]

    def _coin(self, symbol: str) -> _Coin:
        coin = self._coins.get(symbol)
        if coin is None:
            raise UnknownSymbol(f"{symbol}: not among the simulated coins; see `groups`")
        return coin

    def _points(self, coin: _Coin, first_day: int, count: int) -> tuple[Integers, Floats]:
        path, noise = coin.path.days(first_day, count)
        path += coin.beta * self._common(first_day, count)
        path += coin.log_level
        points = np.rint(np.exp(path) * 10.0**coin.scale.price_digits)
        return np.maximum(points, 1).astype(np.int64), noise

    def _common(self, first_day: int, count: int) -> Floats:
        # Every coin needs the same days when it is first used.
        block, skip = divmod(first_day, _BLOCK_DAYS)
        if block not in self._factor_blocks:
            while len(self._factor_blocks) >= _KEPT_BLOCKS:
                del self._factor_blocks[next(iter(self._factor_blocks))]
            self._factor_blocks[block] = self._factor.days(block * _BLOCK_DAYS, _BLOCK_DAYS)[0]
        return self._factor_blocks[block][skip : skip + count]


class _Coin:
    """Parameters of one coin."""

    def __init__(self, symbol: str, seed: int) -> None:
        key = _key(seed, symbol)
        own, like, level = (float(u) for u in _uniform(key, np.arange(3)))
        if symbol in USUAL:
            usual, price_digits, volume_digits, self.turnover = USUAL[symbol]
        else:
            usual = 10.0 ** (3 * level - 1)
            price_digits = 4 - math.floor(math.log10(usual))
            volume_digits, self.turnover = 2, 1e5
        self.scale = Scale(price_digits, volume_digits)
        self.log_level = math.log(usual)
        leader = symbol == "BTCUSDT"
        self.beta = 1.0 if leader else 0.8 + 0.6 * like
        volatility = 0.008 if leader else 0.015 + 0.015 * own
        self.path = _Path(key, volatility, volatility * 0.6)
        whole = math.hypot(volatility, self.beta * _FACTOR_DAY_VOLATILITY)
        self.usual_range = 1.5 * whole / math.sqrt(BARS_PER_DAY)


class _Path:
    """A logarithmic path: pinned at midnights, a Brownian bridge between them."""

    def __init__(self, key: int, day_volatility: float, swing: float) -> None:
        self._key = key
        self._day_volatility = day_volatility
        self._swing = swing

    def days(self, first_day: int, count: int) -> tuple[Floats, Floats]:
        """Return points (days, 1729) and one spare normal per bar (days, 288)."""
        levels = self._levels(first_day + np.arange(count + 1))
        variance = self._volatility(first_day, count) ** 2
        normals = np.empty((count, _POINTS + BARS_PER_DAY))
        for row, day in enumerate(range(first_day, first_day + count)):
            _normals(self._key, day, normals[row])
        path = np.empty((count, _POINTS + 1))
        walk = path[:, 1:]
        scale = np.sqrt(variance / _POINTS) * self._day_volatility
        np.multiply(normals[:, :_POINTS], np.repeat(scale, STEPS, axis=1), out=walk)
        np.cumsum(walk, axis=1, out=walk)
        passed = np.cumsum(np.repeat(variance, STEPS, axis=1), axis=1)
        passed /= passed[:, -1:].copy()
        walk += passed * (np.diff(levels)[:, None] - walk[:, -1:])
        walk += levels[:-1, None]
        path[:, 0] = levels[:-1]
        path[:, -1] = levels[1:]
        return path, normals[:, _POINTS:]

    def _levels(self, days: Integers) -> Floats:
        total = np.zeros(len(days))
        for octave in range(_OCTAVES):
            amplitude = self._swing * math.sqrt(2.0**octave)
            total += amplitude * _noise(self._key + octave + 1, days, 2**octave)
        return total

    def _volatility(self, first_day: int, count: int) -> Floats:
        knots = first_day * _KNOTS + np.arange(count * _KNOTS + 1)
        calm_or_lively = (
            0.5 * _noise(self._key + 101, knots, 1)
            + 0.5 * _noise(self._key + 102, knots, _KNOTS)
            + 0.5 * _noise(self._key + 103, knots, 5 * _KNOTS)
        )
        share = (np.arange(BARS_PER_DAY // _KNOTS) + 0.5) / (BARS_PER_DAY // _KNOTS)
        left, right = calm_or_lively[:-1, None], calm_or_lively[1:, None]
        between: Floats = np.exp(left + (right - left) * share)
        return between.reshape(count, BARS_PER_DAY)


def _key(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _normals(key: int, day: int, out: Floats) -> None:
    # A counter-based generator: any day can be drawn without drawing those before it.
    counter = np.array([0, 0, 0, day], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(counter=counter, key=key))
    generator.standard_normal(out=out)


def _uniform(key: int, index: Integers) -> Floats:
    """Return hashed numbers in [0, 1): SplitMix64 of the index (Steele et al. 2014)."""
    mixed = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    uniform: Floats = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return uniform


def _noise(key: int, at: Integers, period: int) -> Floats:
    """Return value noise in [-1, 1]: hashed values every `period`, eased in between."""
    cell = at // period
    share = (at % period) / period
    eased = share * share * (3 - 2 * share)
    left, right = _uniform(key, cell), _uniform(key, cell + 1)
    noise: Floats = 2 * (left + (right - left) * eased) - 1
    return noise


def _hours() -> Floats:
    # Trading is busiest when Europe and America overlap.
    hours = np.arange(BARS_PER_DAY) / 12
    busy: Floats = 1 + 0.5 * np.cos((hours - 15) / 24 * 2 * np.pi)
    return busy
