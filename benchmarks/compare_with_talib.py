"""Compare the published signals of a running platform with TA-Lib, number by number.

Reads `cache:candles:*` and `ta:latest:{symbol}`; exits 1 when a difference is beyond its
tolerance or there is no signal to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.running import find_running
from shared.errors import EXIT_FAILED, EXIT_OK, BusUnavailable
from shared.indicators.ema_ribbon import PERIODS, SPREAD_SCALE
from shared.market import Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import TaSignal
from shared.redis.server import read_operator_url
from tests.support.talib_numbers import Numbers, by_talib

ROOT = Path(__file__).resolve().parent.parent
TRIES = 5


class Line(NamedTuple):
    """One number compared. A relative tolerance is one of the number's own size."""

    name: str
    ours: float | None
    theirs: float
    tolerance: float
    relative: bool

    @property
    def difference(self) -> float:
        """Difference in the unit of the tolerance."""
        if self.ours is None:
            return 0.0 if np.isnan(self.theirs) else float("inf")
        apart = abs(self.ours - self.theirs)
        return apart / abs(self.theirs) if self.relative else apart

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance


def lines(signal: TaSignal, seen: dict[Timeframe, Numbers]) -> Iterator[Line]:
    """Yield every number of the signal that TA-Lib can compute, beside TA-Lib's."""
    last = {t: {name: float(v[-1]) for name, v in seen[t].items()} for t in seen}
    m5 = last[Timeframe.M5]
    ribbon, squeeze, stoch = (
        signal.ema_ribbon, signal.ttm_squeeze, signal.stoch_rsi_divergence,
    )  # fmt: skip
    for timeframe, values in ((Timeframe.M5, ribbon.values), (Timeframe.H1, ribbon.values_1h)):
        for period, value in zip(PERIODS, values, strict=True):
            theirs = last[timeframe][f"ema{period}"]
            yield Line(f"EMA{period} {timeframe}", value, theirs, 1e-9, True)
    for timeframe, numbers in last.items():
        emas = [numbers[f"ema{period}"] for period in PERIODS]
        width = (max(emas) - min(emas)) / numbers["atr"]
        spread = 100 * (1 - np.exp(-width / SPREAD_SCALE))
        yield Line(f"ATR14 {timeframe}", signal.inputs[timeframe].atr14, numbers["atr"], 1e-9, True)
        ours = getattr(ribbon, f"spread_{timeframe}")
        yield Line(f"spread {timeframe}", ours, spread, 1e-6, False)
    yield Line("RSI14", stoch.rsi, m5["rsi"], 1e-6, False)
    yield Line("Stoch RSI %K", stoch.stoch_k, m5["k"], 1e-6, False)
    yield Line("Stoch RSI %D", stoch.stoch_d, m5["d"], 1e-6, False)
    yield Line("momentum in ATR14", squeeze.momentum, m5["momentum"] / m5["atr"], 1e-6, False)
    on = float(m5["upper"] - m5["mid"] < m5["keltner_half"])
    ours = None if squeeze.squeeze is None else float(squeeze.squeeze)
    yield Line("squeeze on", ours, on, 0.0, False)


async def read(bus: Bus, symbol: str) -> tuple[TaSignal, dict[Timeframe, CandleWindow]] | str:
    """Return a signal and the windows it was made of, or why there are none.

    A candle may close between the two reads; then both are read again.
    """
    why = f"{symbol}: no signal on the bus"
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(1)
        signal = await bus.get(schema.TA_LATEST, symbol=symbol)
        if signal is None:
            continue
        windows = {}
        for timeframe in Timeframe:
            window = await bus.get(schema.CANDLES[timeframe], symbol=symbol)
            used = signal.inputs[timeframe]
            if window is None or not used.bars or used.unfilled_gap:
                why = f"{symbol} {timeframe}: no whole window of candles to compare with"
            elif _closed_until(window) != used.closed_until_ms:
                why = f"{symbol} {timeframe}: window and signal are of different candles"
            else:
                windows[timeframe] = window
        if len(windows) == len(Timeframe):
            return signal, windows
    return why


def _closed_until(window: CandleWindow) -> int:
    return int(window.closed().open_time_ms[-1]) + window.timeframe.ms


def report(signal: TaSignal, windows: dict[Timeframe, CandleWindow]) -> bool:
    """Print the comparison and return whether every number holds."""
    seen = {
        timeframe: by_talib(window.closed().tail(signal.inputs[timeframe].bars))
        for timeframe, window in windows.items()
    }
    print(f"{signal.symbol} at {signal.timestamp}, last close {signal.close:g}")
    print(f"{'':20} {'published':>22} {'TA-Lib':>22} {'difference':>11} {'allowed':>8}")
    found = list(lines(signal, seen))
    for line in found:
        ours = "null" if line.ours is None else f"{line.ours:.12g}"
        kind = " rel." if line.relative else ""
        print(
            f"{line.name:20} {ours:>22} {line.theirs:>22.12g} {line.difference:>11.1e} "
            f"{line.tolerance:>8.0e}{kind}{'' if line.holds else '  <-- DIFFERS'}"
        )
    return all(line.holds for line in found)


async def compare(symbols: Sequence[str], url: str, namespace: str) -> int:
    """Compare some coins and return the exit code."""
    bus = Bus(url, name="compare", clock=SystemClock(), namespace=namespace)
    code = EXIT_OK
    try:
        for symbol in symbols:
            found = await read(bus, symbol)
            if isinstance(found, str):
                print(found, file=sys.stderr)
                code = EXIT_FAILED
            elif not report(*found):
                code = EXIT_FAILED
    except BusUnavailable as error:
        print(f"Redis does not answer: {error}", file=sys.stderr)
        code = EXIT_FAILED
    finally:
        await bus.close()
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("symbol", nargs="+", help="coins to compare, such as BTCUSDT")
    parser.add_argument("--config", type=Path, default=ROOT / "config.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE")
    options = parser.parse_args(arguments)
    place = find_running(options.config, options.set)
    url = read_operator_url(place.state_dir) or place.redis_url
    return asyncio.run(compare(options.symbol, url, place.namespace))


if __name__ == "__main__":
    sys.exit(main())
