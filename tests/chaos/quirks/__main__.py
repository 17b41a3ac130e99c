"""`python -m tests.chaos.quirks --minutes 15`: thirty odd coins must not touch 29 others.

Two platforms run side by side on one simulated market, one with the odd coins, one without. Exit
codes: 0 the other coins are alike in both, and users can read what is odd; 1 not.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from shared.config.load import load
from shared.permissions import be_private
from tests.chaos.quirks.coins import QUIRKS, Quirk
from tests.chaos.quirks.verdict import broken_rules, unsaid
from tests.chaos.quirks.watch import Watch, Words
from tests.chaos.storm.testbed import PORTS
from tests.support.paths import ROOT
from tests.support.platform_run import QUICK, Platform, wait_for

START_S = 180.0
PATIENT = ("fetcher.request_timeout_s=10", "fetcher.interval_s=10")
"""A simulator of 59 coins has much to do at its start."""
WEIGHT_LIMIT = 6000
VERIFIED, VERIFIED_AFTER_S = "DEEPUSDT", 420


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quirks", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--quick", action="store_true", help="scan every 2 s, not every 30 s")
    parser.add_argument("--only", help="odd coins, with commas; by default all")
    parser.add_argument("--out", help="directory of logs and words (var/quirks)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run both platforms and print which rules held."""
    given = parse_arguments(arguments)
    chosen = set((given.only or "").split(",")) - {""}
    quirks = [quirk for quirk in QUIRKS if not chosen or quirk.coin in chosen]
    out = Path(given.out) if given.out else ROOT / "var" / "quirks"
    be_private()  # it may make the checkout's var
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    home = Path(tempfile.mkdtemp(prefix="quirks-"))
    config = load(ROOT / "config.yaml")
    pace = (*QUICK, *PATIENT) if given.quick else PORTS
    share = (time.time() + VERIFIED_AFTER_S) / 3600 % 1
    platforms = {
        "with": Platform(
            home / "with",
            f"simulator.seed={given.seed}",
            _setting("groups", _with_odd_coins(config.groups, quirks, share)),
            _setting("simulator.faults", [fault for quirk in quirks for fault in quirk.entries()]),
            pace=pace,
        ),
        "without": Platform(home / "without", f"simulator.seed={given.seed}", pace=pace),
    }
    try:
        for platform in platforms.values():
            platform.start(ready=False)
        for platform in platforms.values():
            platform.wait_ready(START_S)
        watches = [Watch(platform, config.symbols) for platform in platforms.values()]
        for watch in watches:
            watch.start()
        wait_for(lambda: all(watch.has_all_signals() for watch in watches), START_S)
        at_once = [quirk for quirk in quirks if not quirk.after_min]
        with contextlib.suppress(AssertionError):  # the report will say what is missing
            wait_for(lambda: not [*unsaid(at_once, watches[0].words)], START_S)
        for watch in watches:
            watch.words = Words()  # without those of the start
        time.sleep(60 * given.minutes)
        for watch in watches:
            watch.stop()
        visible = [quirk for quirk in quirks if quirk.after_min <= given.minutes]
        budget = config.binance.weight_share * WEIGHT_LIMIT
        rules = broken_rules(watches[0], watches[1], visible, config.symbols, budget)
    finally:
        for name, platform in platforms.items():
            platform.stop()
            if (platform.state_dir / "log").is_dir():
                shutil.copytree(platform.state_dir / "log", out / name, dirs_exist_ok=True)
        shutil.rmtree(home, ignore_errors=True)
    words = orjson.dumps(watches[0].words.as_plain(), option=orjson.OPT_INDENT_2)
    (out / "words.json").write_bytes(words)
    print(f"{len(quirks)} odd coins beside {len(config.symbols)} for {given.minutes:g} min")
    for name, watch in zip(platforms, watches, strict=True):
        print(f"{name:>7} them: {watch.summary()}")
    for rule, broken in rules.items():
        print(f"{'BROKEN' if broken else 'held  '} {rule}", *broken, sep="\n         ")
    return 1 if any(rules.values()) else 0


def _setting(key: str, value: object) -> str:
    return f"{key}={orjson.dumps(value).decode()}"


def _with_odd_coins(
    groups: dict[str, list[str]], quirks: Sequence[Quirk], share: float
) -> dict[str, list[str]]:
    """Return the groups with odd coins between the others.

    Args:
        share: Of an hour. Whole windows are compared with the exchange's once an hour, when
            depends on the coin's place: `VERIFIED` gets the place for this share.
    """
    coins = [quirk.coin for quirk in quirks]
    if VERIFIED in coins:
        mixed = [coin for group in _mixed(groups, coins).values() for coin in group]
        there = min(coins, key=lambda coin: abs(mixed.index(coin) / len(mixed) - share))
        swapped = {VERIFIED: there, there: VERIFIED}
        coins = [swapped.get(coin, coin) for coin in coins]
    return _mixed(groups, coins)


def _mixed(groups: dict[str, list[str]], coins: Sequence[str]) -> dict[str, list[str]]:
    mixed = {name: list(group) for name, group in groups.items()}
    names = list(mixed)
    for number, coin in enumerate(coins):
        row, column = divmod(number, len(names))
        mixed[names[column]].insert(2 * row + 1, coin)
    return mixed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
