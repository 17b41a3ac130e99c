"""`coinex evidence`: records what a sweep showed; says how many trades it takes to show an edge."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.console import evidence_power
from shared.console.outcome import carried_out


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evidence`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "record what a sweep showed on its hold-out, for trader.evidence_file"
    record = verbs.add_parser(
        "record",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. No edge, too little to tell, a hold-out "
        "that was not opened or was opened too often, and a broken ledger are refused.",
        epilog="Exit codes: 0 recorded, 1 refused, 2 usage.",
    )
    record.add_argument("result", type=Path, metavar="RESULT", help="what `sweep --out` wrote")
    record.add_argument("--out", type=Path, default=Path("evidence.json"), metavar="FILE",
                        help="the record (evidence.json, in this directory)")  # fmt: skip
    record.add_argument("--candles", type=Path, metavar="STORE",
                        help="the store with the ledger (where the sweep had it)")  # fmt: skip
    record.add_argument("--json", action="store_true", help="print the record for programs")
    summary = "how often a sweep's verdict is right, on made trades"
    power = verbs.add_parser(
        "power",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}: one of the settings has an edge, or none.",
        epilog="Exit codes: 0 done, 1 a package is missing, 2 usage.",
    )
    evidence_power.add_options(power)


def evidence(options: argparse.Namespace) -> int:
    """Do what was asked and return the exit code."""

    def work() -> int:
        if options.action == "record":
            from shared.console.evidence_record import record  # noqa: PLC0415  # loads NumPy

            return record(options)
        return evidence_power.power(options)

    return carried_out(f"evidence {options.action}", work)
