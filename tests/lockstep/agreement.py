"""`python -m tests.lockstep.agreement --weeks 1`: a backtest against the trader as it is.

Options as of `python -m tests.lockstep`. Prints each trade that differs. Exit codes: 0 they agree,
1 they do not, 2 usage.

The trader's requests wait for nothing here: its client spreads them over a second or two when
several coins are entered at one close, which a backtest knows only as `latency_ms`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from itertools import zip_longest
from unittest import mock

from shared.backtest.replay import Recording
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel, Release
from shared.backtest.simulation.trades import AccountHistory
from shared.backtest.whole_series.signal_series import signal_series
from shared.config.sections import IndicatorsSection, TraderSection
from shared.market import Timeframe
from tests.lockstep.__main__ import DAY_MS, market, parse_arguments
from tests.lockstep.world import Outcome, World

NEAR_MS = 30_000
"""The venue walks a path in pieces, and rounds prices where it cuts: a level may be reached some
seconds earlier or later, at the same price."""


def unhurried() -> AbstractContextManager[object]:
    """Let the trader's client send any number of requests at once."""
    return mock.patch("actors.trader.actor.SHARE", 1e6)


def lockstep(
    recordings: Mapping[str, Recording], settings: TraderSection, begin_ms: int, end_ms: int,
    release: Release = "never",
) -> Outcome:  # fmt: skip
    """Run the trader as it is, with requests that wait for nothing."""
    with unhurried():
        world = World(recordings, settings, begin_ms, end_ms)
        world._wire.limited = False
        if release == "daily":
            for at_ms in range(begin_ms - begin_ms % DAY_MS + DAY_MS, end_ms, DAY_MS):
                world.at(at_ms, lambda there: there.bus.command("release"))
        return world.run()


def backtested(
    recordings: Mapping[str, Recording], settings: TraderSection, begin_ms: int, end_ms: int,
    release: Release = "never",
) -> AccountHistory:  # fmt: skip
    """Run the backtest of the same time."""
    coins = []
    for symbol, recording in recordings.items():
        chosen = recording.indices(begin_ms - 2 * Timeframe.M5.ms, end_ms)
        series = signal_series(recording, IndicatorsSection(), chosen)
        coins.append(CoinScores.of(symbol, series, recording.candles[Timeframe.M5]))
    return run_account(coins, settings, FillModel(release=release), begin_ms, end_ms)


def differences(history: AccountHistory, outcome: Outcome) -> list[str]:
    """Return the trades in which both differ, in words; those that the end closed are left out."""
    ours = sorted(
        (t.symbol, t.entered_ms, t.side, t.size, t.entry_price, t.exit_price, t.how, t.pnl,
         t.stop, t.target, t.left_ms)
        for t in history.trades if t.how != "end"
    )  # fmt: skip
    theirs = sorted(
        (t.symbol, t.opened_ms, t.side, t.entered[0], t.entry_price, t.exit_price, t.ended_by,
         t.pnl, t.stop, t.target, t.closed_ms or 0)
        for t in outcome.trades
    )  # fmt: skip
    return [
        f"backtest {one}\nlockstep {other}"
        for one, other in zip_longest(ours, theirs)
        if one is None
        or other is None
        or one[:-1] != other[:-1]
        or abs(one[-1] - other[-1]) > NEAR_MS
    ]


def equity_differs_at(history: AccountHistory, outcome: Outcome) -> list[int]:
    """Return the closes at which the account is worth something else."""
    ours = dict(zip(history.at_ms.tolist(), history.equity.tolist(), strict=True))
    return [
        row.cycle_ms
        for row in outcome.equity
        if not math.isclose(ours[row.cycle_ms], row.equity, rel_tol=1e-12)
    ]


def main(arguments: list[str]) -> int:
    chosen = parse_arguments(arguments)
    asked = market(chosen)
    began_s = time.process_time()
    history = backtested(*asked, release=chosen.release)
    between_s = time.process_time()
    outcome = lockstep(*asked, release=chosen.release)
    print(f"backtest {between_s - began_s:.2f} s, lockstep {time.process_time() - between_s:.1f} s "
          "of processor time")  # fmt: skip
    found = differences(history, outcome)
    found += [f"equity differs at {at_ms}" for at_ms in equity_differs_at(history, outcome)]
    print("\n".join(found) or f"{len(outcome.trades)} trades agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
