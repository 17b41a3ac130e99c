"""What the programs of lockstep are asked on the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.backtest.recording import chosen_symbols, read_recording
from shared.backtest.replay import Recording
from shared.backtest.simulation.fill_model import Release
from shared.clock import utc_text
from shared.config.load import load
from shared.config.sections import TraderSection
from shared.errors import PlatformError
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.support.paths import ROOT

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
MOST_MS = 36_525 * DAY_MS
WEEK_H = 168
NOT_MADE = "candles", "set", "symbols"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which world is asked for.

    Attributes:
        begin_ms, end_ms: From when until when the trader runs.
        latency_s: The longest time each way.
    """

    recordings: Mapping[str, Recording]
    settings: TraderSection
    begin_ms: int
    end_ms: int
    release: Release
    seed: int
    latency_s: float


def asked(program: str, says: str | None, arguments: list[str], *, latency: bool) -> Question:
    """Return what is asked for.

    Args:
        latency: Whether requests may take time in this program.

    Raises:
        SystemExit: With 2, after it was said in words what cannot be done.
    """
    parser = _parser(program, says, latency=latency)
    chosen = parser.parse_args(arguments)
    hours = WEEK_H * chosen.weeks if chosen.hours is None else chosen.hours
    if not 0 < HOUR_MS * hours < MOST_MS:
        parser.error(f"a length of {hours:g} hours: expected more than 0, and less than a century")
    length_ms = round(HOUR_MS * hours)
    try:
        recordings, settings, end_ms = _made(chosen, length_ms) if chosen.made else _found(chosen)
    except PlatformError as error:
        parser.error(str(error))
    begin_ms = end_ms - length_ms
    known_ms = max(int(each.closes[0]) for each in recordings.values())
    last_ms = min(int(each.closes[-1]) for each in recordings.values())
    if begin_ms < known_ms or end_ms > last_ms:
        parser.error(
            f"{utc_text(begin_ms)} to {utc_text(end_ms)}: all coins have candles from "
            f"{utc_text(known_ms)} to {utc_text(last_ms)}: give fewer --weeks or --hours, or other "
            "--symbols"
        )
    return Question(
        recordings=recordings, settings=settings, begin_ms=begin_ms, end_ms=end_ms,
        release=chosen.release, seed=chosen.seed, latency_s=chosen.latency,
    )  # fmt: skip


def _parser(program: str, says: str | None, *, latency: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=says, allow_abbrev=False)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--weeks", type=float, default=1.0)
    length.add_argument("--hours", type=float)
    parser.add_argument("--candles", help="directory of recorded candles")
    parser.add_argument("--made", action="store_true", help="a made-up market, with its settings")
    parser.add_argument("--symbols", help="coins, with commas; all that are recorded by default")
    parser.add_argument("--set", action="append", default=[], help="as of supervisor.py: trader.*")
    parser.add_argument("--release", choices=("daily", "never"), default="never",
                        help="whether breakers are released at 00:00 UTC")  # fmt: skip
    parser.set_defaults(seed=0, latency=0.0)
    if latency:
        parser.add_argument("--seed", type=int, help="of latencies, with --latency")
        parser.add_argument("--latency", type=float, help="longest time each way, s")
    return parser


def _made(
    chosen: argparse.Namespace, length_ms: int
) -> tuple[Mapping[str, Recording], TraderSection, int]:
    given = [f"--{name}" for name in NOT_MADE if getattr(chosen, name)]
    if given:
        raise PlatformError(
            f"{', '.join(given)} beside --made: the made-up market has its own coins and settings; "
            "leave one of them out"
        )
    return made_market(), SETTINGS, BEGIN_MS + length_ms


def _found(chosen: argparse.Namespace) -> tuple[Mapping[str, Recording], TraderSection, int]:
    data = os.environ.get("COINEX_DATA_DIR")
    found = (Path(data) if data else ROOT.parent / "shared" / "data") / "candles"
    candles = Path(chosen.candles) if chosen.candles else found
    if not candles.is_dir():
        raise PlatformError(f"no recorded candles in {candles}: give --candles or --made")
    wanted = chosen_symbols(candles, chosen.symbols.split(",") if chosen.symbols else ())
    config = load(ROOT / "config.yaml", ["trader.enabled=true", *chosen.set], to_run=False)
    recordings = {symbol: read_recording(candles, symbol) for symbol in wanted}
    end_ms = min(int(each.closes[-1]) for each in recordings.values())
    return recordings, config.trader, end_ms - end_ms % DAY_MS
