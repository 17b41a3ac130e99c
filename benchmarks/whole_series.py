"""Whole series of signals and scores: four months of 29 coins on one core, candles in memory.

Beside them the same closes by their windows (of a few, times the rest), and TA-Lib's time for the
kernels that both have, over the same series.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import in_turns, ratio, table, verdict
from shared.backtest.replay import Recording, replay, replay_scores
from shared.backtest.series import base_pair, series_of
from shared.backtest.whole_series.signal_series import signal_series
from shared.candles.files import aggregated
from shared.config.sections import IndicatorsSection
from shared.market import Timeframe
from tests.support.candle_series import walk

COINS, CLOSES = 29, 112 * 288
FEW = 256
"""Closes computed by their windows."""

AIM_S = 0.35
SETTINGS = IndicatorsSection()


def made(seed: int, closes: int) -> Recording:
    m5 = walk(seed, closes, price=16384.0)
    longer = {t: aggregated(m5, t) for t in (Timeframe.H1, Timeframe.H4)}
    recording = Recording(f"COIN{seed}USDT", {Timeframe.M5: m5} | longer)
    assert recording.beginnings and recording.absent is not None  # found once, when it is read
    return recording


def by_windows(recording: Recording, indices: range) -> None:
    signals = [s for block in replay(recording, indices, SETTINGS) for s in block]
    scores = [s for block in replay_scores(recording, indices, SETTINGS.history) for s in block]
    expected = series_of(signals, [base_pair(score) for score in scores])
    found = signal_series(recording, SETTINGS, indices)
    for name, values in expected.columns.items():
        np.testing.assert_allclose(found.columns[name], values, rtol=1e-9, atol=1e-9)


def by_series(recordings: Sequence[Recording]) -> None:
    for recording in recordings:
        signal_series(recording, SETTINGS)


def by_talib(recordings: Sequence[Recording]) -> None:
    from tests.support.talib_numbers import by_talib as numbers  # noqa: PLC0415  # may be missing

    for recording in recordings:
        for candles in recording.candles.values():
            numbers(candles)


def has_talib() -> bool:
    try:
        import talib  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer coins and rounds")
    quick = parser.parse_args().quick
    coins, rounds = (4, 2) if quick else (COINS, 7)
    recordings = [made(seed, CLOSES) for seed in range(coins)]
    last = range(CLOSES - FEW, CLOSES)
    work = {
        "whole series": lambda: by_series(recordings),
        "windows": lambda: by_windows(recordings[0], last),
    }
    if has_talib():
        work["TA-Lib"] = lambda: by_talib(recordings)
    took = in_turns(work, rounds)
    total = coins * CLOSES
    took["windows"] = [seconds * total / FEW for seconds in took["windows"]]
    seconds = {name: min(each) for name, each in took.items()}
    said = {
        "whole series": "signals and base scores, three timeframes",
        "windows": f"the same, from {FEW} closes",
        "TA-Lib": "EMA 8 to 89, ATR, RSI, %K, %D, bands, momentum alone, three timeframes",
    }
    print(f"## Whole series: {total:,} closes of {coins} coins, one core\n")
    print(table(("", "computes", "s", "closes per second", "of whole series"), [
        (name, said[name], f"{s:.2f}", f"{total / s:,.0f}",
         f"{ratio(took[name], took['whole series']):.2f}")
        for name, s in seconds.items()
    ]))  # fmt: skip
    if "TA-Lib" not in took:
        print("\nTA-Lib: left out, it is not installed (`make install-dev`).")
    if not quick:
        held = seconds["whole series"] <= AIM_S
        print(f"\nAim: at most {AIM_S} s: {seconds['whole series']:.2f} s, {verdict(held)}.")


if __name__ == "__main__":
    main()
