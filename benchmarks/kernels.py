"""Our kernels against pandas-ta, pandas-ta-classic, TA-Lib and talipp: the same outputs.

Each computes every bar of every row and keeps the newest: ours in the blocks that signals are
made in, the others row by row. The results are compared before anything is timed. The pandas
libraries cost the same per row at any number of rows, so they run on a few; TA-Lib runs on all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.peer_venv import NoPeers, peer_python, version
from benchmarks.tables import in_turns, ratio, table, verdict
from shared.indicators.blocks import blocks
from shared.indicators.divergence import divergences
from shared.indicators.ema_ribbon import PERIODS, ema_ribbon
from shared.indicators.rolling import atr, by_bar
from shared.indicators.stoch_rsi import stoch_rsi
from shared.indicators.ttm_squeeze import ttm_squeeze
from shared.market import Candles, Floats
from tests.support.candle_series import walk
from tests.support.kernels import FIELDS
from tests.support.referees import REFEREES, by_pandas_ta, by_pandas_ta_classic
from tests.support.talib_numbers import by_talib

SIZES, BARS = (29, 290, 2_000, 6_000), 500
FEW = 6
"""Rows for libraries that take milliseconds per row."""

AIM_PANDAS, AIM_TALIB = 1 / 20, 1.0
TALIPP_LACKS = "without momentum and Keltner channel, which it has not"


def ours(series: Sequence[Candles], *, whole: bool) -> dict[str, Floats]:
    """Return our newest numbers, one per row; with the divergence too if `whole`."""
    kept: list[dict[str, Floats]] = []
    for block in blocks(len(series)):
        rows = series[block]
        high, low, close, volume = (by_bar(np.array([getattr(r, c) for r in rows])) for c in FIELDS)
        atr14 = atr(high, low, close)
        ribbon = ema_ribbon(close, atr14)
        squeeze = ttm_squeeze(high, low, close, volume)
        stoch = stoch_rsi(close)
        every: dict[str, Floats] = {
            **{f"ema{p}": ribbon.values[i] for i, p in enumerate(PERIODS)},
            "atr": atr14,
            "rsi": stoch.rsi,
            "k": stoch.k,
            "d": stoch.d,
            "mid": squeeze.mid,
            "upper": squeeze.mid + squeeze.bollinger_half,
            "lower": squeeze.mid - squeeze.bollinger_half,
            "keltner_half": squeeze.keltner_half,
            "momentum": squeeze.momentum,
        }
        if whole:
            every["divergence"] = divergences(high, low, stoch.k, atr14).strength
        kept.append({name: values[:, -1].copy() for name, values in every.items()})
    return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}


def row_by_row(
    library: Callable[[Candles], Mapping[str, Floats]], series: Sequence[Candles]
) -> list[dict[str, float]]:
    """Return a library's newest numbers of every row."""
    return [{name: v[-1] for name, v in library(row).items()} for row in series]


def talipp(series: Sequence[Candles], rounds: int) -> tuple[list[float], dict[str, float]]:
    """Return talipp's milliseconds per row of each round, and its numbers of the first row."""
    asked = {
        "rounds": rounds,
        "rows": [{c: getattr(row, c).tolist() for c in FIELDS[:3]} for row in series],
    }
    program = Path(__file__).with_name("peers") / "talipp_rows.py"
    done = subprocess.run(
        [peer_python(), program],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return found["ms"], found["first"]


def require_same(name: str, theirs: Mapping[str, float], mine: Mapping[str, float]) -> None:
    """Raise SystemExit unless all their numbers equal ours."""
    for number, value in theirs.items():
        if abs(value - mine[number]) > 2e-6 * max(1.0, abs(value)):
            raise SystemExit(f"{name}: {number} is {value:.12g}, ours {mine[number]:.12g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    options = parser.parse_args()
    sizes = SIZES[:2] if options.quick else SIZES
    series = [walk(seed, BARS) for seed in range(max(sizes))]
    few = series[:FEW]

    mine = {name: float(values[0]) for name, values in ours(few, whole=False).items()}
    for name, library in REFEREES.items():
        require_same(name, row_by_row(library, few[:1])[0], mine)
    rows, per_row = [], {}
    met = {"pandas-ta": False, "TA-Lib": True}
    for size in sizes:
        chosen = series[:size]
        took = in_turns(
            {
                "ours": partial(ours, chosen, whole=False),
                "TA-Lib": partial(row_by_row, by_talib, chosen),
                "whole": partial(ours, chosen, whole=True),
                "pandas-ta": partial(row_by_row, by_pandas_ta, few),
                "pandas-ta-classic": partial(row_by_row, by_pandas_ta_classic, few),
            },
            rounds=3 if options.quick else (15 if size < 2_000 else 7),
        )
        for name in ("pandas-ta", "pandas-ta-classic"):
            took[name] = [seconds * size / FEW for seconds in took[name]]
        per_row = {name: min(seconds) * 1e6 / size for name, seconds in took.items()}
        ratios = {name: ratio(took["ours"], took[name]) for name in took}
        whole = ratio(took["whole"], took["TA-Lib"])
        if size == sizes[0]:
            met["pandas-ta"] = ratios["pandas-ta"] <= AIM_PANDAS
        if size >= 2_000:
            met["TA-Lib"] &= ratios["TA-Lib"] <= AIM_TALIB
        rows.append(
            [
                f"{size:,}",
                f"{min(took['ours']) * 1e3:.1f} ms",
                f"{per_row['ours']:.0f} us",
                f"{ratios['TA-Lib']:.2f}",
                f"1/{1 / ratios['pandas-ta']:.0f}",
                f"1/{1 / ratios['pandas-ta-classic']:.0f}",
                f"{whole:.2f}",
            ]
        )
    print(f"## Kernels: rows x {BARS} bars\n")
    print(
        "Our processor time over theirs, median of rounds in turns; below 1 we are faster. All give"
    )
    print("EMA 8 to 89, ATR, RSI, %K, %D, both bands of Bollinger and Keltner and the momentum.\n")
    head = (
        "rows", "ours", "ours per row", "/ TA-Lib", "/ pandas-ta", "/ pandas-ta-classic",
        "with our divergence / TA-Lib",
    )  # fmt: skip
    print(table(head, rows))
    print(
        f"\nPer row, best round at {sizes[-1]:,} rows: "
        + ", ".join(f"{name} {us:,.0f} us" for name, us in per_row.items() if name != "whole")
        + "."
    )
    try:
        ms, theirs = talipp(few[:2] if options.quick else few, 2)
        require_same("talipp", theirs, mine)
        print(
            f"talipp {version('talipp')} ({TALIPP_LACKS}): {min(ms) * 1000:,.0f} us per row,"
            f" ours 1/{min(ms) * 1000 / per_row['ours']:.0f} of that."
        )
    except NoPeers as why:
        print(f"talipp: left out, {why}.")
    print(f"\n- Aim: at {sizes[0]} rows at most 1/20 of pandas-ta: {verdict(met['pandas-ta'])}.")
    if sizes[-1] >= 2_000:
        print(f"- Aim: at 2,000 rows and more at most TA-Lib's time: {verdict(met['TA-Lib'])}.")


if __name__ == "__main__":
    main()
