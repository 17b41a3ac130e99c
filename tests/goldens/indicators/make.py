"""Make the golden numbers of the indicators: `python -m tests.goldens.indicators.make`.

They are computed by TA-Lib, not by this project, and kept so that a test needs no referee
installed and notices when both change.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import talib

from shared.clock import SystemClock, utc_text
from shared.market import COLUMNS
from tests.support.candle_series import walk
from tests.support.talib_numbers import by_talib

HERE = Path(__file__).resolve().parent
BARS = 500
SHOWN = (19, 31, 38, 88, 150, 299, 300, 400, 498, 499)


def main() -> None:
    """Write the candles and, at some bars, what TA-Lib makes of them."""
    candles = walk(20, BARS)
    numbers = by_talib(candles)
    document = {
        "generator": f"TA-Lib {talib.__version__}",
        "date": utc_text(SystemClock().now_ms())[:10],
        "candles": "a random walk, numpy default_rng seed 20, prices on a grid of 1/64",
        "tolerance": "as in docs/indicators.md; ATR from bar 300 on",
        "bars": list(SHOWN),
        "numbers": {
            name: [_plain(values[bar]) for bar in SHOWN] for name, values in numbers.items()
        },
    }
    (HERE / "expected.json").write_text(json.dumps(document, indent=1) + "\n")
    table = np.column_stack([getattr(candles, c) for c in COLUMNS])
    lines = [",".join(COLUMNS), *(",".join(f"{v!r}" for v in row) for row in table.tolist())]
    (HERE / "candles.csv").write_text("\n".join(lines) + "\n")


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


if __name__ == "__main__":
    main()
