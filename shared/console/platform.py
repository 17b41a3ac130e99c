"""The commands that talk to a running supervisor: status, actors, logs."""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import orjson

from shared import logs
from shared.config.running import RunningPlatform, find_running
from shared.errors import EXIT_FAILED, EXIT_NO_SUPERVISOR, EXIT_OK, EXIT_USAGE, did_you_mean
from shared.messages.actors import ControlCommand
from shared.supervision.control_client import ask, ask_status

REPLY_S = 90.0
# `error` is the reply to an invalid command, such as one for an unknown actor.
OUTCOMES = {
    "accepted": EXIT_OK,
    "done": EXIT_OK,
    "failed": EXIT_FAILED,
    "busy": EXIT_FAILED,
    "error": EXIT_USAGE,
}


def _running(options: argparse.Namespace) -> RunningPlatform:
    return find_running(Path(options.config), options.set)


def _no_supervisor(running: RunningPlatform, error: OSError) -> int:
    logs.print_error(
        f"no supervisor answers on {running.state_dir} ({error.strerror or error}); start one with "
        "`coinex run`, or name its state_dir with --set state_dir=DIR"
    )
    return EXIT_NO_SUPERVISOR


def send_command(options: argparse.Namespace) -> int:
    """Send a command for each named actor and print the replies; return the worst exit code."""
    running = _running(options)
    code = EXIT_OK
    for actor in getattr(options, "actor", [""]):
        command = ControlCommand(id=uuid.uuid4().hex, command=options.verb, actor=actor)
        try:
            for reply in ask(running.socket, command, REPLY_S):
                outcome = OUTCOMES[reply.outcome]
                if reply.outcome != "accepted":
                    show = logs.print_error if outcome else print
                    show(f"{reply.outcome}: {reply.reason}")
                code = max(code, outcome)
        except TimeoutError:
            logs.print_error(f"no reply within {REPLY_S:g} s")
            code = max(code, EXIT_FAILED)
        except OSError as error:
            return _no_supervisor(running, error)
    if options.verb == "shutdown" and code == EXIT_OK:
        return _wait_until_over(running)
    return code


def _wait_until_over(running: RunningPlatform) -> int:
    deadline = time.monotonic() + REPLY_S
    while running.socket.exists():
        if time.monotonic() > deadline:
            print("it was asked to stop, but still runs", file=sys.stderr)
            return EXIT_FAILED
        time.sleep(0.05)
    print("stopped")
    return EXIT_OK


def status(options: argparse.Namespace) -> int:
    """Print the status table, or its JSON."""
    running = _running(options)
    try:
        if options.json:
            sys.stdout.buffer.write(
                orjson.dumps(_overview(running), option=orjson.OPT_INDENT_2) + b"\n"
            )
            return EXIT_OK
        from shared.console import status_table  # noqa: PLC0415  # a program needs no table

        if options.watch:
            status_table.watch(lambda: _overview(running))
        else:
            status_table.show(_overview(running))
    except OSError as error:
        return _no_supervisor(running, error)
    return EXIT_OK


def _overview(running: RunningPlatform) -> dict[str, Any]:
    return ask_status(running.socket, REPLY_S)


def show_logs(options: argparse.Namespace) -> int:
    """Print the end of an actor's log; with -f, follow it."""
    path = _running(options).state_dir / "log" / f"{options.actor}.log"
    if not path.is_file():
        running = _running_actors(options)
        if options.actor in running:
            print(f"{options.actor} has printed nothing yet", file=sys.stderr)
            return EXIT_OK
        known = sorted(running.union(log.stem for log in path.parent.glob("*.log")))
        near = did_you_mean(options.actor, known)
        hint = near or f"there are: {', '.join(known) or 'none yet'}"
        print(f"no log of {options.actor!r} at {path}; {hint}", file=sys.stderr)
        return EXIT_USAGE
    with path.open("rb") as log:
        lines = log.read().splitlines(keepends=True)
        sys.stdout.buffer.writelines(lines[max(0, len(lines) - options.lines) :])
        sys.stdout.flush()
        while options.follow:
            added = log.read()
            if added:
                sys.stdout.buffer.write(added)
                sys.stdout.flush()
            elif path.exists() and path.stat().st_ino != os.fstat(log.fileno()).st_ino:
                return show_logs(options)  # rotated: go on with the new file
            else:
                time.sleep(0.2)
    return EXIT_OK


def _running_actors(options: argparse.Namespace) -> set[str]:
    """Return the names of a running supervisor's actors; none if none runs."""
    try:
        return {row["name"] for row in _overview(_running(options))["actors"]}
    except OSError:
        return set()
