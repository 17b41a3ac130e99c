"""The command line: its commands, their options, and the module that carries each out.

A command's module is loaded when the command is given, so that `status` waits for no other's NumPy.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, get_args

from shared.config.defaults import Mode
from shared.errors import EXIT_BAD_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_USAGE, ConfigError

CarryOut = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """A parser that may have options of a module's own, which is loaded to parse, not before."""

    own_options_of = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.own_options_of:
            importlib.import_module(self.own_options_of).add_options(self)
            self.own_options_of = ""
        return super().parse_known_args(args, namespace)


def main(arguments: list[str], *, environment: MutableMapping[str, str], run: CarryOut) -> int:
    """Obey the command line and return its exit code.

    Args:
        environment: `os.environ`; secrets are taken out of it.
        run: Starts a supervisor.
    """
    made = parser(run)
    options = made.parse_args(arguments)
    if not options.verb:
        made.print_help()
        return EXIT_USAGE
    options.environment = environment
    try:
        code: int = options.carry_out(options)
        return code
    except ConfigError as error:
        print(f"bad configuration, {len(error.faults)} fault(s):", file=sys.stderr)
        for fault in error.faults:
            print(f"  {fault}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    except KeyboardInterrupt:
        return EXIT_FAILED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def parser(run: CarryOut) -> argparse.ArgumentParser:
    """Return the parser; `options.carry_out(options)` obeys and returns the exit code."""
    made = _Parser(
        prog="coinex",
        description="Start, watch and steer the platform.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage (no such command, option or actor), "
        "3 no supervisor (or trader) runs, 78 bad configuration.",
    )
    verbs = made.add_subparsers(dest="verb", metavar="COMMAND")
    common = _Parser(add_help=False)
    common.add_argument("--config", default="config.yaml", metavar="FILE", help="the configuration")
    common.add_argument("--mode", choices=get_args(Mode), help="instead of the file's mode")
    common.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="change one value of the configuration; may be given often",
    )

    def verb(
        name: str, summary: str, code: str | CarryOut, *, own_options: bool = False
    ) -> _Parser:
        """Add a command; `code` is `module:function`, and the module may declare its options."""
        added = verbs.add_parser(name, help=summary, description=summary, parents=[common])
        added.set_defaults(carry_out=_loaded_by(code) if isinstance(code, str) else code)
        if own_options and isinstance(code, str):
            added.own_options_of = code.partition(":")[0]
        return added

    start = verb("run", "start everything, in the foreground", run)
    start.add_argument("--only", default="*", metavar="PATTERN", help="start only these actors")
    table = verb("status", "show every actor", "shared.console.platform:status")
    table.add_argument("--json", action="store_true", help="for programs")
    table.add_argument("--watch", action="store_true", help="again every second")
    for name, summary in (
        ("restart", "end actors and start them again"),
        ("stop", "end actors until `start` or the next run"),
        ("start", "start stopped actors"),
        ("release", "let quarantined actors and coins try again"),
    ):
        steering = verb(name, summary, "shared.console.platform:send_command")
        steering.add_argument(
            "actor", nargs="+", metavar="ACTOR", help="a name; * stands for any part"
        )
    for name, summary in (
        ("reload", "read the configuration again; restart only what changed"),
        ("shutdown", "stop everything and end the supervisor"),
    ):
        verb(name, summary, "shared.console.platform:send_command")
    output = verb("logs", "show an actor's output", "shared.console.platform:show_logs")
    output.add_argument("actor", metavar="ACTOR")
    output.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    output.add_argument("-n", "--lines", type=int, default=50, help="how many lines (50)")
    verb(
        "check",
        "check configuration and environment: all faults at once",
        "shared.console.check:check",
    )
    for name, summary, code in (
        ("bus", "look at what is on Redis", "shared.console.bus:bus"),
        ("trader", "watch and steer the trader, through its API", "shared.console.trader:trader"),
        (
            "redis-acl",
            "print the users of a Redis of your own, one per role",
            "shared.console.acl:show",
        ),
        ("replay", "signals from recorded candles, and a report", "shared.console.replay:replay"),
    ):
        verb(name, summary, code, own_options=True)
    return made


def _loaded_by(code: str) -> CarryOut:
    def carry_out(options: argparse.Namespace) -> int:
        module, _, name = code.partition(":")
        done: int = getattr(importlib.import_module(module), name)(options)
        return done

    return carry_out
