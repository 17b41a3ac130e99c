"""`python -m tests.chaos.storm --seed 1 --minutes 10`: a storm over the whole platform.

Exit codes: 0 every rule held, 1 one was broken, 2 the storm itself failed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import orjson

from shared.config.load import load
from shared.errors import PlatformError
from shared.permissions import be_private
from tests.chaos.storm.kinds import BY_NAME
from tests.chaos.storm.report import Outcome, as_plain, as_text
from tests.chaos.storm.storm import Log, Options, play
from tests.chaos.storm.testbed import adopt_orphans, make_home, remove_home, small_disk
from tests.support.paths import ROOT

APART_SHARE = 0.3
"""Share of the time with an external Redis behind a bad wire."""


def recorded(given: str | None) -> Path | None:
    """Return the directory of recorded candles: given, or found in the data directory."""
    if given is not None:
        return Path(given).resolve() if given else None
    data = os.environ.get("COINEX_DATA_DIR")
    found = (Path(data) if data else ROOT.parent / "shared" / "data") / "candles"
    return found.resolve() if found.is_dir() else None


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=10)
    length.add_argument(
        "--hours", type=float, help="as long, with few faults and slopes at the end"
    )
    parser.add_argument("--quick", action="store_true", help="scan every 2 s, not every 30 s")
    parser.add_argument("--scene", choices=("both", "own", "apart"), default="both")
    parser.add_argument("--only", help="kinds of faults, with commas")
    parser.add_argument("--candles", help="recorded candles; empty for generated ones")
    parser.add_argument("--set", action="append", default=[], help="as of supervisor.py")
    parser.add_argument("--root", default=str(ROOT), help="the checkout to run")
    parser.add_argument("--out", help="directory of report and logs (var/chaos)")
    parsed = parser.parse_args(arguments)
    unknown = sorted(set((parsed.only or "").split(",")) - {""} - set(BY_NAME))
    if unknown:
        parser.error(f"--only: no kind {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return parsed


def main(arguments: list[str]) -> int:
    """Run a storm and print its report."""
    given = parse_arguments(arguments)
    try:  # before anything is started
        load(Path(given.root) / "config.yaml", given.set)
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 2
    out = Path(given.out) if given.out else ROOT / "var" / "chaos"
    be_private()  # it may make the checkout's var
    out.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    home = make_home()
    no_disk = small_disk(home)
    options = Options(
        seed=given.seed,
        quick=given.quick,
        candles=recorded(given.candles),
        only=tuple(filter(None, (given.only or "").split(","))),
        settings=tuple(given.set),
        root=Path(given.root).resolve(),
        no_disk=no_disk,
        soak=given.hours is not None,
    )
    seconds = 3600 * given.hours if given.hours is not None else 60 * given.minutes
    scenes = {"both": (("own", 1 - APART_SHARE), ("apart", APART_SHARE))}.get(
        given.scene, ((given.scene, 1.0),)
    )
    if options.soak and given.scene == "both":
        scenes = (("own", 1.0),)
    outcome = Outcome(seed=given.seed, seconds=0)
    with (out / "storm.log").open("w") as file:
        log = Log(file)
        log(f"seed {given.seed}, {seconds:.0f} s, on {options.candles or 'generated candles'}")
        try:
            for scene, share in scenes:
                scene_home = home / scene
                scene_home.mkdir()
                try:
                    play(
                        options, scene, share * seconds,
                        home=scene_home, outcome=outcome, rng=random.Random(given.seed), log=log,
                    )  # fmt: skip
                finally:
                    _keep_logs(scene_home, out / f"logs-{scene}")
        except (RuntimeError, AssertionError, OSError, PlatformError) as error:
            log(f"the storm could not be made: {error!r}")
            print(as_text(outcome))
            print(f"storm: could not be made: {error}", file=sys.stderr)
            return 2
        finally:
            remove_home(home)
    (out / "report.json").write_bytes(orjson.dumps(as_plain(outcome), option=orjson.OPT_INDENT_2))
    text = as_text(outcome)
    (out / "report.txt").write_text(text)
    print(text)
    print(f"log of everything: {out / 'storm.log'}")
    return 0 if outcome.held else 1


def _keep_logs(scene_home: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if (scene_home / "var" / "log").is_dir():
        shutil.copytree(scene_home / "var" / "log", target)
        shutil.copy(scene_home / "var" / "supervisor.out", target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
