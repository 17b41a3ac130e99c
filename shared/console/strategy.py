"""`coinex strategy`: begins a strategy of one's own, and checks it."""

from __future__ import annotations

import argparse
from keyword import iskeyword
from pathlib import Path

from shared.console.option_values import Misuse, common_options
from shared.console.outcome import carried_out
from shared.errors import EXIT_OK, PlatformError

TEMPLATE = Path(__file__).with_name("strategy_template.txt")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `strategy`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    every = common_options()
    new = verbs.add_parser(
        "new", help="write a strategy to begin with",
        description="Write a commented strategy whose check passes.",
        epilog="Exit codes: 0 written, 1 it cannot be, 2 usage.", parents=[every],
    )  # fmt: skip
    new.add_argument("name", metavar="NAME", help="of the strategy, such as momentum")
    new.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file, NAME.py")
    check = verbs.add_parser(
        "check", help="try the laws that a strategy must keep, on recorded candles",
        description="Try the laws that a strategy must keep, and record the outcome in state_dir: "
        "the trader takes no other.",
        epilog="Exit codes: 0 all are kept, 1 one is broken, 2 usage, 78 bad configuration, "
        "130 interrupted.", parents=[every],
    )  # fmt: skip
    check.add_argument("file", metavar="FILE[:CLASS]", help="the strategy")
    check.add_argument(
        "--candles", type=Path, required=True, metavar="STORE",
        help="a candle store, or a directory of gzip CSV files",
    )  # fmt: skip
    check.add_argument("--symbols", default="", metavar="A,B", help="coins to try (5, at random)")
    check.add_argument("--seed", type=int, default=1, help="of what is chosen at random (1)")
    check.add_argument("--json", action="store_true", help="print the result for programs")


def strategy(options: argparse.Namespace) -> int:
    """Do what was asked and return the exit code."""

    def work() -> int:
        if options.action == "new":
            return _new(options)
        from shared.console.strategy_check import check  # noqa: PLC0415  # loads NumPy

        return check(options)

    return carried_out(f"strategy {options.action}", work, interrupted="")


def _new(options: argparse.Namespace) -> int:
    words = options.name.replace("-", "_").split("_")
    class_name = "".join(word[:1].upper() + word[1:] for word in words)
    if not (options.name.isascii() and class_name.isidentifier()) or iskeyword(class_name):
        raise Misuse(f"{options.name!r}: expected letters, digits and '-', a letter first")
    if options.out.suffix != ".py":
        raise Misuse(f"--out {options.out}: expected a name that ends in .py")
    text = TEMPLATE.read_text(encoding="utf-8")
    text = text.replace("@NAME@", options.name).replace("@CLASS@", class_name)
    try:
        with options.out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise PlatformError(f"{options.out}: is there already; name another file") from None
    print(f"{options.out}: strategy {class_name}; next: coinex strategy check {options.out} "
          "--candles STORE")  # fmt: skip
    return EXIT_OK
