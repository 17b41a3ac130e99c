"""`coinex evidence`: what it takes to believe a result."""

from __future__ import annotations

import argparse
import sys

from shared.console import evidence_power
from shared.console.option_values import Misuse
from shared.errors import EXIT_FAILED, EXIT_USAGE, PlatformError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evidence`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
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
    try:
        return evidence_power.power(options)
    except Misuse as error:
        code, fault = EXIT_USAGE, str(error)
    except PlatformError as error:
        code, fault = EXIT_FAILED, str(error)
    print(f"evidence {options.action}: {fault}", file=sys.stderr)
    return code
