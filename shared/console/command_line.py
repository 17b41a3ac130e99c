"""The command line: its commands, their options, and the module of each.

Only the given command's module is loaded, so that `status` does not wait for NumPy.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, get_args

from shared import logs
from shared.config.defaults import Mode
from shared.descriptors import open_standard_streams
from shared.errors import (
    EXIT_BAD_CONFIG,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    ConfigError,
    count,
    did_you_mean,
)
from shared.permissions import be_private

ROOT = Path(__file__).resolve().parents[2]
CarryOut = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest valid choice.

    Attributes:
        own_options_of: The module that declares its options, loaded when they are parsed.
        commands: The parser of each command.
    """

    own_options_of = ""
    commands: Mapping[str, Parser] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.load_options()
        return super().parse_known_args(args, namespace)

    def load_options(self) -> None:
        """Add the options of the module that declares them."""
        if self.own_options_of:
            importlib.import_module(self.own_options_of).add_options(self)
            self.own_options_of = ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            near = did_you_mean(str(value), map(str, action.choices))
            hint = near or f"choose from {', '.join(action.choices)}"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}; {hint}")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import configparser  # noqa: PLC0415  # for this alone

        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg", encoding="utf-8")
        print(parser.prog, setup["metadata"]["version"])
        parser.exit(EXIT_OK)


def main(arguments: list[str], *, environment: MutableMapping[str, str], run: CarryOut) -> int:
    """Run the command line and return its exit code.

    Args:
        environment: `os.environ`; secrets are removed from it.
        run: Runs a supervisor.
    """
    if arguments and arguments[0].partition("=")[0] == "--instance":
        script = str(ROOT / "deploy" / "coinex")
        os.execv(script, [script, *arguments])
    be_private()
    open_standard_streams()
    logs.use_journal(environment.get("JOURNAL_STREAM", ""))
    made = parser(run)
    options = made.parse_args(arguments)
    if not options.verb:
        made.print_help()
        return EXIT_USAGE
    options.environment = environment
    if options.verb != "run" and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code: int = options.carry_out(options)
        return code
    except ConfigError as error:
        logs.print_error(f"bad configuration, {count(len(error.faults), 'fault')}:")
        for fault in error.faults:
            logs.print_error(f"  {fault}")
        return EXIT_BAD_CONFIG
    except KeyboardInterrupt:
        return EXIT_FAILED
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def parser(run: CarryOut) -> Parser:
    """Return the parser; `options.carry_out(options)` runs the command, returns the exit code."""
    made = Parser(
        prog="coinex",
        allow_abbrev=False,
        description="Start, watch and control the platform.",
        epilog="`coinex help COMMAND` shows a command's options. "
        "Exit codes: 0 done, 1 failed, 2 usage (no such command, option or actor), "
        "3 no supervisor (or trader) runs, 78 bad configuration.",
    )
    made.add_argument(
        "--instance",
        choices=("dev", "prod", "demo"),
        help="an instance that deploy/install.sh installed here, instead of this checkout",
    )
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = made.add_subparsers(dest="verb", metavar="COMMAND")
    made.commands = verbs.choices
    common = Parser(add_help=False)
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
        name: str,
        summary: str,
        code: str | CarryOut,
        *,
        own_options: bool = False,
        parents: Sequence[Parser] = (common,),
    ) -> Parser:
        """Add a command; `code` is `module:function`, and the module may declare its options."""
        added = verbs.add_parser(name, help=summary, description=summary, parents=parents)
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
        on_actors = verb(name, summary, "shared.console.platform:send_command")
        on_actors.add_argument(
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
        ("doctor", "look for what keeps it from running well", "shared.console.doctor:doctor"),
        ("bus", "look at what is on Redis", "shared.console.bus:bus"),
        ("trader", "watch and command the trader, through its API", "shared.console.trader:trader"),
        (
            "redis-acl",
            "print the users of a Redis of your own, one per role",
            "shared.console.acl:show",
        ),
        ("replay", "signals from recorded candles, and a report", "shared.console.replay:replay"),
        ("sweep", "try many settings on recorded candles", "shared.console.sweep:sweep"),
        (
            "backtest",
            "what the trader would have earned on recorded candles",
            "shared.console.backtest:backtest",
        ),
        (
            "strategy",
            "begin a strategy of your own, and check it",
            "shared.console.strategy:strategy",
        ),
        (
            "candles",
            "fetch, import and check candles to test on",
            "shared.console.candles:candles",
        ),
        (
            "evidence",
            "record what a sweep showed; how many trades it takes to tell an edge from luck",
            "shared.console.evidence:evidence",
        ),
    ):
        verb(name, summary, code, own_options=True)

    def show_help(options: argparse.Namespace) -> int:
        of = made.commands[options.of] if options.of else made
        of.load_options()
        of.print_help()
        return EXIT_OK

    verb(
        "completion",
        "print what a shell needs to complete commands and options",
        "shared.console.completion:completion",
        own_options=True,
        parents=(),
    )
    asking = verb("help", "show a command's options", show_help, parents=())
    asking.add_argument("of", nargs="?", choices=list(made.commands), metavar="COMMAND")
    return made


def _loaded_by(code: str) -> CarryOut:
    def carry_out(options: argparse.Namespace) -> int:
        module, _, name = code.partition(":")
        done: int = getattr(importlib.import_module(module), name)(options)
        return done

    return carry_out
