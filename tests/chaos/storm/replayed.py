"""Compares the storm's signals with an undisturbed replay of the same candles."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from actors.exchange_sim.market.bars import CLOSE, DAY_MS, HIGH, LOW, OPEN, TIME, VOLUME
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from shared import codec
from shared.backtest.recording import read_recording
from shared.backtest.replay import Recording, replay
from shared.config.sections import Config
from shared.market import Candles, Timeframe
from tests.chaos.storm.monitor import Published, stripped

SPARE_BARS = 100


def differences(published: Published, config: Config, candles: Path | None) -> Iterator[str]:
    """Yield a text for each published signal that differs from the replay's."""
    by_coin: dict[str, dict[int, set[bytes]]] = {}
    for (coin, close_ms), seen in published.seen.items():
        by_coin.setdefault(coin, {})[close_ms] = seen
    market = Market(GeneratedPrices(sorted(by_coin), config.simulator.seed))
    for coin, closes in sorted(by_coin.items()):
        recording = (
            market_recording(market, coin, config.indicators.history + len(closes) + SPARE_BARS)
            if candles is None
            else _recorded(candles, coin, Path(config.state_dir))
        )
        yield from _of_coin(coin, closes, recording, config)


def _of_coin(
    coin: str, closes: Mapping[int, set[bytes]], recording: Recording, config: Config
) -> Iterator[str]:
    first, last = min(closes), max(closes)
    places = recording.indices(first - Timeframe.M5.ms, last)
    expected = {
        signal.closed_until_ms: stripped(orjson.loads(codec.encode(signal)))
        for block in replay(recording, places, config.indicators)
        for signal in block
    }
    for close_ms, seen in sorted(closes.items()):
        for bytes_seen in seen:
            if bytes_seen != expected.get(close_ms):
                yield (
                    f"{coin} at close {close_ms}: "
                    f"{_first_difference(bytes_seen, expected.get(close_ms, b'null'))}"
                )


def _first_difference(seen: bytes, expected: bytes) -> str:
    """Return the first field that differs, with both values."""
    found, wanted = orjson.loads(seen), orjson.loads(expected)
    if wanted is None:
        return "the replay has no such close"
    for name in sorted(set(found) | set(wanted)):
        if found.get(name) != wanted.get(name):
            return f"{name}: published {found.get(name)}, replayed {wanted.get(name)}"
    return "the same values, but other bytes"


def market_recording(market: Market, coin: str, bars: int) -> Recording:
    """Return the newest `bars` closed candles of a simulated market on each timeframe."""
    now_ms = time.time_ns() // 1_000_000
    candles = {}
    for timeframe in Timeframe:
        found = market.bars(coin, timeframe, now_ms, limit=bars)
        scale = market.scale(coin, now_ms)
        prices = found[[OPEN, HIGH, LOW, CLOSE]] / 10**scale.price_digits
        volume = found[VOLUME] / 10**scale.volume_digits
        whole = Candles.of(found[TIME], prices[0], prices[1], prices[2], prices[3], volume)
        candles[timeframe] = whole[found[TIME] + timeframe.ms <= now_ms]
    return Recording(coin, candles)


def _recorded(directory: Path, coin: str, state_dir: Path) -> Recording:
    state = orjson.loads((state_dir / "simulator.json").read_bytes())
    shift_ms = int(state["shift_days"]) * DAY_MS
    recording = read_recording(directory, coin)
    moved = {
        timeframe: replace(candles, open_time_ms=candles.open_time_ms + shift_ms)
        for timeframe, candles in recording.candles.items()
    }
    return Recording(coin, moved)
