"""The indicators by talipp; runs in the benchmarks' own environment, reading rows from stdin.

Reads one JSON object {"rounds": n, "rows": [{"high": [...], "low": [...], "close": [...]}]} and
prints the milliseconds per row of each round and the last numbers of the first row.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from talipp.indicators import ATR, BB, EMA, RSI, SMA, StochRSI
from talipp.ohlcv import OHLCV

PERIODS = (8, 13, 21, 34, 55, 89)


def numbers(row: dict[str, list[float]]) -> dict[str, Any]:
    """Return those of our outputs that talipp has, at the newest bar.

    Without linear regression and SMA of true range, momentum and Keltner channel are left out,
    in its favour.
    """
    high, low, close = row["high"], row["low"], row["close"]
    bars = [OHLCV(c, h, low_, c, 0.0) for h, low_, c in zip(high, low, close, strict=True)]
    stoch = StochRSI(14, 14, 3, 3, close)
    bands = BB(20, 2.0, close)
    return {
        **{f"ema{period}": EMA(period, close)[-1] for period in PERIODS},
        "atr": ATR(14, bars)[-1],
        "rsi": RSI(14, close)[-1],
        "k": stoch[-1].k,
        "d": stoch[-1].d,
        "mid": SMA(20, close)[-1],
        "upper": bands[-1].ub,
        "lower": bands[-1].lb,
    }


def main() -> None:
    """Compute all rows, round by round."""
    asked = json.load(sys.stdin)
    took, first = [], {}
    for _ in range(asked["rounds"]):
        started = time.perf_counter()
        found = [numbers(row) for row in asked["rows"]]
        took.append((time.perf_counter() - started) * 1000 / len(found))
        first = found[0]
    json.dump({"ms": took, "first": first}, sys.stdout)


if __name__ == "__main__":
    main()
