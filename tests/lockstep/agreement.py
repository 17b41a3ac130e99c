"""`python -m tests.lockstep.agreement --weeks 1`: a backtest against the trader as it is.

Options as of `python -m tests.lockstep`, but for `--latency` and `--seed`. Prints each trade that
differs. Exit codes: 0 they agree, 1 they do not, 2 usage.

The trader's requests take no time here, and wait for nothing: its client spreads them over a second
or two when several coins are entered at one close, which a backtest knows only as `latency_ms`.
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
from shared.clock import utc_text
from shared.config.sections import IndicatorsSection, TraderSection
from shared.market import Timeframe
from tests.lockstep.arguments import asked
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
            world.release_daily()
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
    """Return in words where both differ: in a trade, in what is open at the end, in equity."""
    return [
        *_unequal_trades(history, outcome),
        *_unequal_ends(history, outcome),
        *_unequal_equity(history, outcome),
    ]


def _unequal_trades(history: AccountHistory, outcome: Outcome) -> list[str]:
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


def _unequal_ends(history: AccountHistory, outcome: Outcome) -> list[str]:
    """Compare what the backtest closes at its end with what the trader leaves open."""
    ours = sorted(
        (t.symbol, t.entered_ms, t.side, t.size, t.entry_price, t.stop, t.target)
        for t in history.trades if t.how == "end"
    )  # fmt: skip
    theirs = sorted(
        (t.symbol, t.opened_ms, t.side, t.size, t.entry_price, t.stop, t.target)
        for t in outcome.still_open
    )  # fmt: skip
    return [
        f"open at the end: backtest {one}\nopen at the end: lockstep {other}"
        for one, other in zip_longest(ours, theirs)
        if one != other
    ]


def _unequal_equity(history: AccountHistory, outcome: Outcome) -> list[str]:
    ours = dict(zip(history.at_ms.tolist(), history.equity.tolist(), strict=True))
    theirs = {row.cycle_ms: float(row.equity) for row in outcome.equity}
    return [
        f"equity at {utc_text(at_ms)}: backtest {one}, lockstep {other}"
        for at_ms in sorted(ours.keys() | theirs.keys())
        for one, other in [(ours.get(at_ms), theirs.get(at_ms))]
        if one is None or other is None or not math.isclose(one, other, rel_tol=1e-12)
    ]


def main(arguments: list[str]) -> int:
    of = asked("agreement", __doc__, arguments, latency=False)
    # a backtest decides from the first close on, and knows none but whole candles
    begin_ms, end_ms = Timeframe.M5.first_open(of.begin_ms), Timeframe.M5.open_at(of.end_ms)
    if begin_ms >= end_ms:
        print("agreement: no 5m candle closes in that time: give more --hours", file=sys.stderr)
        return 2
    span = (of.recordings, of.settings, begin_ms, end_ms, of.release)
    began_s = time.process_time()
    history = backtested(*span)
    between_s = time.process_time()
    outcome = lockstep(*span)
    print(f"backtest {between_s - began_s:.2f} s, lockstep {time.process_time() - between_s:.1f} s "
          "of processor time")  # fmt: skip
    found = differences(history, outcome)
    alike = (
        f"{len(outcome.trades)} trades, {len(outcome.still_open)} open at the end and the equity "
        f"at {len(outcome.equity)} closes agree"
    )
    print("\n".join(found) or alike)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
