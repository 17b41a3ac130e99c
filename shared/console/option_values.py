"""Values of options that several commands take, and lists that they print."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, get_args

from shared.config.defaults import Mode

ALWAYS = (0, 2**62)
"""From when and until when, where nothing is said; epoch ms."""


MOST_SHOWN = 20
"""Lines of a list; all of them are in what `--json` prints."""


class Misuse(Exception):
    """An option is invalid."""


def common_options() -> argparse.ArgumentParser:
    """Return the options of every command, to be given after an action, too."""
    every = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    every.add_argument("--config", metavar="FILE", help="the configuration")
    every.add_argument("--mode", choices=get_args(Mode), help="instead of the file's mode")
    every.add_argument(
        "--set", action="append", metavar="KEY.PATH=VALUE", help="change one value; may be repeated"
    )
    return every


def add_recorded(parser: argparse.ArgumentParser, *, begins: str) -> None:
    """Declare which recorded candles are taken: where they are, from when until when, which coins.

    Args:
        begins: What `--from` is the time of.
    """
    parser.add_argument(
        "--candles",
        required=True,
        metavar="DIR",
        type=Path,
        help="a candle store, or SYMBOL-5m.csv.gz files",
    )
    parser.add_argument(
        "--from", dest="since", metavar="T", help=f"{begins}, UTC: 2025-02-01[T12:00]"
    )
    parser.add_argument("--to", dest="until", metavar="T", help="end, not included")
    parser.add_argument(
        "--symbols", default="", metavar="A,B", help="only these coins (all that are recorded)"
    )


def add_market_detail(parser: argparse.ArgumentParser) -> None:
    """Declare what of a store is used beside the candles that are scored."""
    parser.add_argument(
        "--detail",
        choices=("5m", "1m"),
        default="5m",
        help="the candles that decide what happens inside a 5m candle, where there are any (5m)",
    )
    funding = parser.add_mutually_exclusive_group()
    funding.add_argument(
        "--funding",
        choices=("recorded", "made", "none"),
        default="recorded",
        help="recorded rates, where there are, else made-up ones; made-up ones; none (recorded)",
    )
    funding.add_argument(
        "--no-funding", dest="funding", action="store_const", const="none", help="--funding none"
    )


def time_ms(text: str | None, option: str, otherwise: int) -> int:
    """Return a time, UTC unless it says otherwise, as epoch ms.

    Raises:
        Misuse: It is none.
    """
    if text is None:
        return otherwise
    try:
        time_ = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(
            f"{option} {text}: expected a date or time such as 2025-02-01 or 2025-02-01T12:00"
        ) from None
    if time_.tzinfo is None:
        time_ = time_.replace(tzinfo=UTC)
    return round(time_.timestamp() * 1000)


def results_directory(state_dir: Path, name: str) -> Path:
    """Return where a result goes if nothing is said: `results/` of the state, or of here."""
    writable = next(path for path in (state_dir, *state_dir.resolve().parents) if path.exists())
    if os.access(writable, os.W_OK | os.X_OK):
        return state_dir / "results" / name
    print(f"{state_dir} cannot be written: results/ here instead", file=sys.stderr)
    return Path("results") / name


def print_list(what: str, texts: Sequence[str], where: TextIO | None = None) -> None:
    """Print what was found, to standard output unless given, if anything was."""
    if texts:
        print(f"{what}:", file=where or sys.stdout)
        for text in texts[:MOST_SHOWN]:
            print(f"  {text}", file=where or sys.stdout)
        if len(texts) > MOST_SHOWN:
            print(f"  and {len(texts) - MOST_SHOWN} more", file=where or sys.stdout)
