"""`coinex completion`: shell completion of commands, options and files."""

from __future__ import annotations

import argparse

import shtab

from shared.console import command_line
from shared.errors import EXIT_OK

FILES = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL",
                        help="bash, zsh or fish")  # fmt: skip


def completion(options: argparse.Namespace) -> int:
    """Print the completion script of one shell."""
    whole = command_line.parser(lambda _: EXIT_OK)
    for parser in whole.commands.values():
        parser.load_options()
        _complete_files(parser)
    print(shtab.complete(whole, options.shell))
    return EXIT_OK


def _complete_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.metavar in FILES:
            action.complete = FILES[action.metavar]  # type: ignore[attr-defined]
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _complete_files(each)
