"""A recorded week in which a backtest and the trader do the same; minutes long, so `make lockstep`.

Its name keeps it out of `make test`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.lockstep.agreement import backtested, differences, lockstep
from tests.lockstep.recorded_times import (
    BUSY,
    DAY_MS,
    own_ends,
    partly_filled,
    recordings,
    releases,
)

BEGIN_MS = 1_742_688_000_000  # 2025-03-23T00:00Z


@pytest.mark.timeout(3600)
def test_recorded_week_ends_every_trade_alike(data_dir: Path) -> None:
    asked = (recordings(data_dir), BUSY, BEGIN_MS, BEGIN_MS + 7 * DAY_MS)
    history = backtested(*asked, "daily")
    ended = Counter(trade.how for trade in history.trades)
    assert set(ended) == {"stop", "target", "time", "end"}
    assert own_ends(history) > 0
    assert releases(history) > 0
    assert len(history.refusals) > 3
    outcome = lockstep(*asked, "daily")
    assert differences(history, outcome) == []
    assert partly_filled(outcome) > 0
