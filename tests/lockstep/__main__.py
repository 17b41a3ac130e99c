"""`python -m tests.lockstep --weeks 1`: the trader as it is, over recorded candles, on one core.

Prints how many times faster than real time it ran, how its trades ended, and the journal's digest.
Exit codes: 0 done, 1 a trade contradicts its candles, 2 usage.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping

from shared.backtest.replay import Recording
from shared.clock import utc_text
from shared.market import Timeframe
from tests.lockstep.arguments import asked
from tests.lockstep.by_candles import contradictions
from tests.lockstep.world import Outcome, World


def main(arguments: list[str]) -> int:
    of = asked("lockstep", __doc__, arguments, latency=True)
    latency_s = (of.latency_s / 10, of.latency_s)
    world = World(
        of.recordings, of.settings, of.begin_ms, of.end_ms, of.seed, latency_s=latency_s
    )  # fmt: skip
    if of.release == "daily":
        world.release_daily()
    began_s = time.process_time()
    outcome = world.run()
    took_s = time.process_time() - began_s
    times = (of.end_ms - of.begin_ms) / 1000 / took_s
    print(f"{len(of.recordings)} coins, {utc_text(of.begin_ms)} to {utc_text(of.end_ms)}")
    print(f"{took_s:.1f} s of processor time, {times:,.0f} x real time")
    return _report(outcome, of.recordings)


def _report(outcome: Outcome, recordings: Mapping[str, Recording]) -> int:
    ended = Counter(trade.ended_by for trade in outcome.trades)
    by = ", ".join(f"{count} by {how}" for how, count in sorted(ended.items(), key=str))
    print(f"{len(outcome.orders)} orders, {len(outcome.trades)} trades: {by or 'none'}; "
          f"{len(outcome.still_open)} still open")  # fmt: skip
    refused = Counter(event.kind for event in outcome.events)
    print(f"events: {', '.join(f'{kind} {count}' for kind, count in sorted(refused.items()))}")
    if outcome.equity:
        print(f"equity: {outcome.equity[0].equity} at first, {outcome.equity[-1].equity} at last")
    print(f"requests: {sum(outcome.requests.values()):,}")
    print(f"journal: {outcome.digest}")
    candles = {symbol: each.candles[Timeframe.M5] for symbol, each in recordings.items()}
    found = contradictions(outcome.trades, candles)
    print("\n".join(found) or "no trade contradicts its candles")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
