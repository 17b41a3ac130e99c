"""Time from candle windows to signals, for groups of several sizes."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shared.config.sections import IndicatorsSection
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Timeframe
from tests.support.candle_series import START_MS, walk, window_at

RUNS = 50


def main() -> None:
    """Print median and 95th percentile in milliseconds."""
    now_ms = START_MS + 1000 * Timeframe.H4.ms
    coins = []
    for number in range(29):
        symbol = f"COIN{number}USDT"
        windows = {}
        for timeframe in Timeframe:
            start_ms = now_ms - 1000 * timeframe.ms
            candles = walk(number, 1001, timeframe=timeframe, start_ms=start_ms)
            windows[timeframe] = window_at(candles, timeframe, now_ms, symbol=symbol)
        coins.append(CoinWindows(symbol, windows))
    settings = IndicatorsSection()
    for size in (1, 6, 29):
        took = []
        for _ in range(RUNS):
            started = time.perf_counter()
            ta_signals(coins[:size], settings, now_ms)
            took.append((time.perf_counter() - started) * 1000)
        p95 = statistics.quantiles(took, n=20)[-1]
        print(f"{size:3} coins: median {statistics.median(took):5.1f} ms, p95 {p95:5.1f} ms")


if __name__ == "__main__":
    main()
