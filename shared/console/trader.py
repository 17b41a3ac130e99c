"""The trader's commands on the command line: a thin client of its API.

If the API does not answer, `kill`, `disable` and `flatten` still set the lock file.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import getpass
import http.client
import sys
import threading
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlsplit

import orjson

from shared.api.address import AddressFile
from shared.api.token import read_token, token_path
from shared.api.verbs import ANSWER_S, LOCK_S, LOCKING, lock_of
from shared.clock import SystemClock
from shared.config.running import find_running
from shared.errors import EXIT_FAILED, EXIT_NO_SUPERVISOR, EXIT_OK, EXIT_USAGE, ConfigError
from shared.kill_switch import KillSwitch, Lock, not_locked
from shared.messages.trading import WITH_SYMBOL, TraderVerb
from shared.symbols import SYMBOL_WORDS, is_symbol

ACTIONS = ("status", *get_args(TraderVerb))
TIMEOUT_S = ANSWER_S + 10
LARGEST_ANSWER = 2**23  # bytes
READINGS = ("status", "positions", "balance")
NOT_OURS = {
    "outside": "the trader is a program of your own, which you command where it runs; what it last "
    "wrote is on the page and on /health",
    "none": "this platform has no trader",
}


class ApiUnreachable(Exception):
    """The API does not answer."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `trader`."""
    parser.add_argument(
        "action", choices=ACTIONS, metavar="ACTION", help="one of " + ", ".join(ACTIONS)
    )
    parser.add_argument("symbol", nargs="?", metavar="SYMBOL", help="for close and adopt")
    parser.add_argument("--reason", metavar="TEXT", help="kept in lock and journal")
    parser.add_argument("--json", action="store_true", help="for programs")


def trader(options: argparse.Namespace) -> int:
    """Show the trader, or send it a command and print the result."""
    if options.action in WITH_SYMBOL and options.symbol is None:
        print(f"{options.action}: which coin? Name one, such as BTCUSDT", file=sys.stderr)
        return EXIT_USAGE
    if options.action not in WITH_SYMBOL and options.symbol is not None:
        print(f"{options.action}: concerns no single coin, found {options.symbol!r}",
              file=sys.stderr)  # fmt: skip
        return EXIT_USAGE
    if options.symbol is not None and not is_symbol(options.symbol):
        print(f"{options.action}: found {options.symbol!r}, expected {SYMBOL_WORDS}",
              file=sys.stderr)  # fmt: skip
        return EXIT_USAGE
    running = find_running(Path(options.config), options.set)
    state_dir = running.state_dir
    if running.trader_kind in NOT_OURS and AddressFile(state_dir).read() is None:
        return _not_ours(running.trader_kind, options)
    # before the API is asked, which may be frozen
    locked = _set_lock(state_dir, options) if options.action in LOCKING else ""
    try:
        if options.action == "status":
            return _show(state_dir, options)
        return _send(state_dir, options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except ApiUnreachable as error:
        return _without_api(state_dir, options, error, locked)


def _not_ours(kind: str, options: argparse.Namespace) -> int:
    """Refuse: this platform has no trader, and none that began earlier answers."""
    text = f"{options.action}: trader.kind is {kind}: {NOT_OURS[kind]}; nothing was done"
    if options.json:
        _print_json({"title": "No trader of this platform", "status": None, "detail": text})
    else:
        print(text, file=sys.stderr)
    return EXIT_NO_SUPERVISOR


def _set_lock(state_dir: Path, options: argparse.Namespace) -> str:
    """Set the lock, and return in words what came of it."""
    if not state_dir.is_dir():
        return ""
    switch = KillSwitch(state_dir)
    lock = lock_of(options.action, _who(), options.reason or "", SystemClock().now_ms())
    found: list[Lock | OSError] = []

    def set_it() -> None:
        try:
            found.append(switch.set(lock))
        except OSError as error:
            found.append(error)

    # a stalled disk must not keep the API from being asked
    setting = threading.Thread(target=set_it, daemon=True)
    setting.start()
    setting.join(LOCK_S)
    now = found[0] if found else TimeoutError(errno.ETIMEDOUT, "the disk does not answer (yet)")
    if isinstance(now, OSError):
        return not_locked(switch.path, now)
    unstored = ", but its reason could not be stored: nothing could be written" * now.is_unstored
    return (
        f"the lock {switch.path} is set all the same{unstored}: a trader that runs reads it within "
        "seconds, one that starts begins with it"
    )


def _show(state_dir: Path, options: argparse.Namespace) -> int:
    found: dict[str, Any] = {}
    for name in READINGS:
        status, body = _ask(state_dir, "GET", f"/{name}")
        if status == http.client.OK:
            found[name] = body
        elif name == "status":
            return _refused(status, body, options)
        else:
            found[name] = None
    if options.json:
        _print_json(found)
    else:
        from shared.console import trader_table  # noqa: PLC0415  # a program needs no table

        trader_table.show(found, SystemClock().now_ms())
    return EXIT_OK


def _send(state_dir: Path, options: argparse.Namespace) -> int:
    path = f"/{options.action}" + (f"/{quote(options.symbol, safe='')}" if options.symbol else "")
    request = {"reason": options.reason or "", "who": _who()}
    status, body = _ask(state_dir, "POST", path, request)
    if status not in (http.client.OK, http.client.ACCEPTED):
        return _refused(status, body, options)
    is_done = status == http.client.OK
    if options.json:
        _print_json(body)
    else:
        print(f"{body['outcome']}: {body['text']}", file=sys.stdout if is_done else sys.stderr)
    return EXIT_OK if is_done else EXIT_FAILED


def _refused(status: int, body: Any, options: argparse.Namespace) -> int:
    if options.json:
        _print_json(body)
    else:
        print(f"failed ({status}): {body.get('detail', body)}", file=sys.stderr)
    return EXIT_FAILED


def _without_api(
    state_dir: Path, options: argparse.Namespace, error: ApiUnreachable, locked: str
) -> int:
    message = (
        f"no trader answers in {state_dir} ({error}); start one with `coinex run` (outside "
        "demo mode with trader.enabled: true), or name its state_dir with --set state_dir=DIR"
    )
    if locked:
        message += f"; {locked}"
    lock = KillSwitch(state_dir).read() if state_dir.is_dir() else None
    if options.json:
        plain = None if lock is None else dataclasses.asdict(lock)
        _print_json(
            {"title": "No trader answers", "status": None, "detail": message, "lock": plain}
        )
        return EXIT_NO_SUPERVISOR
    if options.action == "status" and lock is not None:
        print(f"TRADER  {lock.mode}  by its lock file, set by {lock.who}: {lock.reason}")
    print(message, file=sys.stderr)
    return EXIT_NO_SUPERVISOR


def _ask(state_dir: Path, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return status and body of the API's answer.

    Raises:
        NoApi: It does not run.
        ConfigError: Its token is invalid.
    """
    address = AddressFile(state_dir).read()
    if address is None:
        raise ApiUnreachable("its API has left no address there")
    try:
        token = read_token(token_path(state_dir))
    except FileNotFoundError:
        raise ApiUnreachable("its API has left no token there") from None
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 0, timeout=TIMEOUT_S
    )
    headers = {"Authorization": f"Bearer {token.decode()}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else orjson.dumps(body), headers)
        with connection.getresponse() as response:
            return response.status, orjson.loads(_body(response))
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ApiUnreachable(f"its API at {address}: {reason}") from None
    finally:
        connection.close()


def _body(response: http.client.HTTPResponse) -> bytes:
    """Return a body, limited in size and in time.

    Raises:
        OSError: It exceeds either.
    """
    clock, body = SystemClock(), b""
    end_s = clock.monotonic() + TIMEOUT_S
    while part := response.read1(LARGEST_ANSWER):
        body += part
        if len(body) > LARGEST_ANSWER:
            raise OSError(f"its answer is larger than {LARGEST_ANSWER:,} bytes")
        if clock.monotonic() > end_s:
            raise TimeoutError(f"its answer has not ended after {TIMEOUT_S:g} s")
    return body


def _who() -> str:
    try:
        return f"{getpass.getuser()}, command line"
    except (KeyError, OSError):  # a user without a name
        return "command line"


def _print_json(body: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")
