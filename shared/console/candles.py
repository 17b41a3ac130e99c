"""`coinex candles`: fetches, imports and checks candles to test on."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.console.option_values import Misuse, common_options
from shared.console.outcome import carried_out

STORE = "candles"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `candles`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    every = common_options()

    def verb(name: str, summary: str, ending: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = verbs.add_parser(
            name, help=summary, description=summary, epilog=ending, parents=[every]
        )
        added.add_argument("--json", action="store_true", help="print the result for programs")
        return added

    fetch = verb(
        "fetch",
        "fetch candles from the exchange; given again, it goes on where it was interrupted",
        "Exit codes: 0 all is there, 1 something could not be fetched or was refused, 2 usage, "
        "3 no simulated exchange runs (mode demo), 78 bad configuration, 130 interrupted.",
    )
    fetch.add_argument("--from", dest="since", metavar="T", required=True,
                       help="first candle's open, UTC: 2025-02-01[T12:00]")  # fmt: skip
    fetch.add_argument("--to", dest="until", metavar="T", help="end, not included (now)")
    fetch.add_argument("--symbols", default="", metavar="A,B", help="(the coins of all groups)")
    fetch.add_argument(
        "--timeframes", default="5m,1h,4h", metavar="A,B", help="of 1m,5m,1h,4h (5m,1h,4h)"
    )  # fmt: skip
    fetch.add_argument(
        "--funding", action="store_true", help="the funding rates of the USD-M perpetuals, too"
    )
    fetch.add_argument(
        "--again",
        action="store_true",
        help="ask for what is there, too; what the exchange says now counts",
    )
    _add_store(fetch)

    imported = verb(
        "import",
        "take candles from files: Binance's archives (ZIP), or this project's gzip CSV",
        "A candle that is there already stays as it is. Exit codes: 0 all were taken, 1 a file or "
        "a row was refused, 2 usage, 130 interrupted.",
    )
    imported.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE",
        help="SYMBOL-5m-2025-01.zip, SYMBOL-5m-2025-01-31.zip, SYMBOL-5m.csv.gz, or a directory",
    )  # fmt: skip
    _add_store(imported)

    check = verb(
        "check",
        "look for holes, duplicates, breaks of scale and impossible rows",
        "Exit codes: 0 nothing was found, 1 something was, 2 usage.",
    )
    check.add_argument(
        "directory", nargs="?", type=Path, metavar="DIR",
        help=f"a store, or gzip CSV files ({STORE})",
    )  # fmt: skip
    _add_store(check)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help=f"the store ({STORE}, in this directory)"
    )


def candles(options: argparse.Namespace) -> int:
    """Do what was asked and return the exit code."""
    return carried_out(f"candles {options.action}", lambda: _done(options), interrupted="")


def _done(options: argparse.Namespace) -> int:
    if options.action == "check":
        from shared.console.candle_check import check  # noqa: PLC0415  # loads pyarrow

        if options.directory is not None and options.store is not None:
            raise Misuse("name the directory once, as DIR or with --store")
        return check(options.directory or options.store or Path(STORE), as_json=options.json)
    options.store = options.store or Path(STORE)
    if options.action == "import":
        from shared.console.candle_import import import_files  # noqa: PLC0415

        return import_files(options)
    from shared.console.candle_fetch import fetch  # noqa: PLC0415

    return fetch(options)
