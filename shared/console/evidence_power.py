"""`coinex evidence power`: says how many trades it takes to tell an edge from luck."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from shared.console.option_values import Misuse
from shared.errors import EXIT_OK, count

if TYPE_CHECKING:
    from shared.backtest.sweep.power import Made


@dataclass(frozen=True, slots=True)
class Row:
    """How often the verdict on made sweeps was right, as shares of the runs.

    Attributes:
        trades: Of each setting.
        found: An edge was found where one setting has it.
        undecided: There was too little to tell.
        false: An edge was found where no setting has one.
    """

    trades: int
    found: float
    undecided: float
    false: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evidence power`."""
    parser.add_argument("--edge", type=float, default=0.1, metavar="R",
                       help="mean result of a trade, net of costs, in R (0.1)")  # fmt: skip
    parser.add_argument("--sd", type=float, default=1.3, metavar="R",
                       help="standard deviation of a trade's result (1.3)")  # fmt: skip
    parser.add_argument("--settings", type=int, default=200, metavar="N", help="tried (200)")
    parser.add_argument("--trades", default="600,2000,4000,8000", metavar="A,B",
                       help="of each setting, in all days (600,2000,4000,8000)")  # fmt: skip
    parser.add_argument("--days", type=int, default=120, metavar="N", help="recorded (120)")
    parser.add_argument("--chosen-on", type=int, metavar="DAYS",
                        help="choose on the last so many days (all so far)")  # fmt: skip
    parser.add_argument("--together", type=float, default=0.0, metavar="SHARE",
                       help="correlation of two trades of one day (0)")  # fmt: skip
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="made sweeps (100)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the random numbers (1)"
    )
    parser.add_argument("--json", action="store_true", help="print the result for programs")


def power(options: argparse.Namespace) -> int:
    """Print how often the verdict is right and return the exit code.

    Raises:
        Misuse: An option means nothing.
        NotInstalled: A package is missing.
    """
    made = _made(options)
    rows = _rows(made, options)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return EXIT_OK
    remarks = f", trades of one day correlated by {options.together:g}" if options.together else ""
    if options.chosen_on is not None:
        remarks += f", chosen on the last {count(options.chosen_on, 'day')}"
    print(
        f"an edge of {options.edge:g} R (sd {options.sd:g} R) in 1 of "
        f"{count(options.settings, 'setting')}, {options.days} days{remarks}; "
        f"{count(options.runs, 'run')}\ntrades  edge found  undecided  false edge"
    )
    for row in rows:
        print(
            f"{row.trades:6}  {row.found:10.0%}  {row.undecided:9.0%}  {row.false:10.1%}",
            flush=True,
        )
    return EXIT_OK


def _made(options: argparse.Namespace) -> list[Made]:
    """Return the sweeps to make.

    Raises:
        Misuse: An option makes none.
        NotInstalled: A package is missing.
    """
    from shared.backtest.sweep.power import Made  # noqa: PLC0415  # loads arch

    if options.runs < 1 or options.seed < 0:
        raise Misuse("--runs is at least 1, --seed at least 0")
    texts = options.trades.split(",")
    if not all(text.strip().isdecimal() for text in texts):
        raise Misuse(f"--trades {options.trades}: expected whole numbers such as 600,8000")
    shared = (options.settings, options.edge, options.sd, options.together, options.days,
              options.chosen_on)  # fmt: skip
    try:
        return [Made(int(text), *shared) for text in texts]
    except ValueError as error:
        raise Misuse(str(error)) from None


def _rows(made: list[Made], options: argparse.Namespace) -> Iterator[Row]:
    from shared.backtest.sweep.power import outcomes  # noqa: PLC0415

    for each in made:
        with_edge = outcomes(each, options.runs, options.seed)
        without = outcomes(replace(each, edge_r=0.0), options.runs, options.seed)
        yield Row(each.trades, with_edge["edge"], with_edge["undecided"], without["edge"])
