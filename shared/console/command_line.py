"""The commands of `supervisor.py` and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import get_args

from shared.config.sections import Mode
from shared.console import acl, replay, trader
from shared.console.platform import bus, show_logs, status, steer

CarryOut = Callable[[argparse.Namespace], int]


def parser(run: CarryOut, check: CarryOut) -> argparse.ArgumentParser:
    """Return the parser; `options.carry_out(options)` obeys and returns the exit code.

    Args:
        run: Starts a supervisor.
        check: Checks configuration and environment.
    """
    made = argparse.ArgumentParser(
        prog="supervisor.py",
        description="Start, watch and steer the platform.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 no supervisor (or trader) runs, "
        "78 bad configuration.",
    )
    verbs = made.add_subparsers(dest="verb", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default="config.yaml", metavar="FILE", help="the configuration")
    common.add_argument("--mode", choices=get_args(Mode), help="instead of the file's mode")
    common.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="change one value of the configuration; may be given often",
    )

    def verb(name: str, summary: str, carry_out: CarryOut) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=summary, description=summary, parents=[common])
        added.set_defaults(carry_out=carry_out)
        return added

    start = verb("run", "start everything, in the foreground", run)
    start.add_argument("--only", default="*", metavar="PATTERN", help="start only these actors")
    table = verb("status", "show every actor", status)
    table.add_argument("--json", action="store_true", help="for programs")
    table.add_argument("--watch", action="store_true", help="again every second")
    for name, summary in (
        ("restart", "end actors and start them again"),
        ("stop", "end actors until `start` or the next run"),
        ("start", "start stopped actors"),
        ("release", "let quarantined actors and coins try again"),
    ):
        steering = verb(name, summary, steer)
        steering.add_argument(
            "actor", nargs="+", metavar="ACTOR", help="a name; * stands for any part"
        )
    verb("reload", "read the configuration again; restart only what changed", steer)
    verb("shutdown", "stop everything and end the supervisor", steer)
    output = verb("logs", "show an actor's output", show_logs)
    output.add_argument("actor", metavar="ACTOR")
    output.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    output.add_argument("-n", "--lines", type=int, default=50, help="how many lines (50)")
    verb("check", "check configuration and environment: all faults at once", check)
    look = verb("bus", "look at what is on Redis", bus)
    look.add_argument("action", choices=("get", "watch", "keys"))
    look.add_argument("name", metavar="KEY|PATTERN", help="such as ta:latest:BTCUSDT or 'ta:*'")
    trading = verb("trader", "watch and steer the trader, through its API", trader.trader)
    trading.add_argument("action", choices=trader.ACTIONS, metavar="ACTION",
                         help="one of " + ", ".join(trader.ACTIONS))  # fmt: skip
    trading.add_argument("symbol", nargs="?", metavar="SYMBOL", help="for close and adopt")
    trading.add_argument("--reason", metavar="TEXT", help="kept in lock and journal")
    trading.add_argument("--json", action="store_true", help="for programs")
    acl.add_options(
        verb("redis-acl", "print the users of a Redis of your own, one per role", acl.show)
    )
    replay.add_options(verb("replay", "signals from recorded candles, and a report", replay.replay))
    return made
