"""`python -m tests.lockstep --weeks 1`: the trader as it is, over recorded candles, on one core.

Prints how many times faster than real time it ran, how its trades ended, and the journal's digest.
Exit codes: 0 done, 1 a trade contradicts its candles, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from shared.backtest.recording import read_recording
from shared.backtest.replay import Recording
from shared.candles.files import recorded_symbols
from shared.clock import utc_text
from shared.config.load import load
from shared.config.sections import TraderSection
from shared.market import Timeframe
from tests.lockstep.by_candles import contradictions
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.lockstep.world import Outcome, World
from tests.support.paths import ROOT

DAY_MS = 86_400_000


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lockstep", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--weeks", type=float, default=1.0)
    length.add_argument("--hours", type=float)
    parser.add_argument("--candles", help="directory of recorded candles")
    parser.add_argument("--made", action="store_true", help="a made-up market instead")
    parser.add_argument("--symbols", help="coins, with commas; all that are recorded by default")
    parser.add_argument("--set", action="append", default=[], help="as of supervisor.py: trader.*")
    parser.add_argument("--seed", type=int, default=0, help="of latencies, with --latency")
    parser.add_argument("--latency", type=float, default=0.0, help="longest time each way, s")
    parser.add_argument("--release", choices=("daily", "never"), default="never",
                        help="whether breakers are released at 00:00 UTC")  # fmt: skip
    chosen = parser.parse_args(arguments)
    data = os.environ.get("COINEX_DATA_DIR")
    found = (Path(data) if data else ROOT.parent / "shared" / "data") / "candles"
    chosen.candles = Path(chosen.candles) if chosen.candles else found
    if not chosen.made and not chosen.candles.is_dir():
        parser.error(f"no recorded candles in {chosen.candles}: give --candles or --made")
    return chosen


def market(chosen: argparse.Namespace) -> tuple[Mapping[str, Recording], TraderSection, int, int]:
    """Return the coins, the trader's settings, and from when until when it runs."""
    length_ms = round(3_600_000 * (chosen.hours or 168 * chosen.weeks))
    if chosen.made:
        return made_market(), SETTINGS, BEGIN_MS, BEGIN_MS + length_ms
    wanted = chosen.symbols.split(",") if chosen.symbols else recorded_symbols(chosen.candles)
    recordings = {symbol: read_recording(chosen.candles, symbol) for symbol in wanted}
    config = load(ROOT / "config.yaml", ["trader.enabled=true", *chosen.set], to_run=False)
    end_ms = min(int(each.closes[-1]) for each in recordings.values())
    end_ms -= end_ms % DAY_MS
    return recordings, config.trader, end_ms - length_ms, end_ms


def main(arguments: list[str]) -> int:
    chosen = parse_arguments(arguments)
    recordings, settings, begin_ms, end_ms = market(chosen)
    known_ms = max(int(each.closes[0]) for each in recordings.values())
    if begin_ms < known_ms:
        why = f"begins at {utc_text(begin_ms)}, not all coins do before {utc_text(known_ms)}"
        print(f"lockstep: it {why}: give fewer --weeks, or --symbols", file=sys.stderr)
        return 2
    latency_s = (chosen.latency / 10, chosen.latency)
    world = World(recordings, settings, begin_ms, end_ms, chosen.seed, latency_s=latency_s)
    if chosen.release == "daily":
        for at_ms in range(begin_ms - begin_ms % DAY_MS + DAY_MS, end_ms, DAY_MS):
            world.at(at_ms, lambda there: there.bus.command("release"))
    began_s = time.process_time()
    outcome = world.run()
    took_s = time.process_time() - began_s
    times = (end_ms - begin_ms) / 1000 / took_s
    print(f"{len(recordings)} coins, {utc_text(begin_ms)} to {utc_text(end_ms)}")
    print(f"{took_s:.1f} s of processor time, {times:,.0f} x real time")
    return _report(outcome, recordings)


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
