"""The probes of `coinex doctor`; each gets the environment it checks as arguments.

A probe returns findings. `note` is for what is optional or unknown; only `wrong` keeps the
platform from running well.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.errors import BusDenied, BusUnavailable, ConfigError
from shared.permissions import TO_CORRECT, Findings
from shared.redis.acl import CONFINES_WRITERS, Version
from shared.redis.binary import Binary, Release

Verdict = Literal["ok", "note", "wrong"]
PYTHONS = ((3, 12), (3, 14))
LEAST_FREE_MB, WANTED_FREE_MB = 100, 1000
"""Logs take up to 15 MB per actor, and Redis twice its memory while it rewrites its file."""

MOST_SKEW_MS = 1000
MOVABLE = "others may put another directory in the place of one below it; chmod +t"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a probe; unless it is `ok`, the text says what to do."""

    part: str
    verdict: Verdict
    text: str


def python(version: tuple[int, ...]) -> Finding:
    """Check the interpreter's version."""
    shown = ".".join(map(str, version[:3]))
    oldest, too_new = PYTHONS
    if oldest <= version[:2] < too_new:
        return Finding("python", "ok", shown)
    text = f"{shown}, expected 3.12 or 3.13; install one and run `make install`"
    return Finding("python", "wrong", text)


def embedded_redis(choose: Callable[[], tuple[Binary, Release | None]]) -> Finding:
    """Check the server that would be started.

    Args:
        choose: Returns it, and who wrote files that it cannot read; raises ConfigError if there
            is none to start.
    """
    try:
        binary, unreadable = choose()
    except ConfigError as error:
        return Finding("redis", "wrong", str(error))
    shown = f"{binary.path} is {binary.release}"
    if unreadable is not None:
        text = f"{shown}; it sets aside what {unreadable} wrote, which it cannot read"
        return Finding("redis", "note", text)
    return Finding("redis", "ok", shown)


def external_redis(
    address: str, failure: BusUnavailable | None, version: Version | None, *, has_login: bool
) -> Finding:
    """Check the answer of an external Redis.

    Args:
        address: Host and port, or the socket.
        failure: Why it is unusable, if it is.
        has_login: Whether a password was known.
    """
    if isinstance(failure, BusDenied) and not has_login:
        text = f"{address} answers, and wants a password that only the service has: unknown"
        return Finding("redis", "note", text)
    if failure is not None:
        return Finding("redis", "wrong", f"{failure}; start it, or correct redis.url")
    if version is not None and version < CONFINES_WRITERS:
        text = (
            f"{address} is {_dotted(version)}, too old to keep each actor to its own keys; "
            f"install redis-server {CONFINES_WRITERS[0]} or newer"
        )
        return Finding("redis", "wrong", text)
    return Finding(
        "redis", "ok", f"{address} answers" + (f", {_dotted(version)}" if version else "")
    )


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def ports(
    wanted: Mapping[str, tuple[str, int]],
    own: Mapping[str, int | None],
    taken: Callable[[Mapping[str, tuple[str, int]]], list[str]],
) -> Iterator[Finding]:
    """Check the ports of the configuration.

    Args:
        wanted: Host and port (0: any free one) of each actor that listens.
        own: The port each actor of the running platform listens on.
        taken: Returns a fault for each that cannot be bound.
    """
    faults = [
        fault
        for name, address in wanted.items()
        if own.get(name) is None or own[name] != address[1]
        for fault in taken({name: address})
    ]
    if faults:
        yield from (Finding("ports", "wrong", fault) for fault in faults)
    else:
        shown = ", ".join(
            f"{name} {own.get(name) or port or 'any'}" for name, (_, port) in wanted.items()
        )
        yield Finding("ports", "ok", f"{shown}: {'the platform listens' if own else 'free'}")


def clock(is_synchronised: bool | None, skew_ms: float | None, error_ms: float = 0) -> Finding:
    """Check the system's clock.

    Args:
        is_synchronised: As the kernel reports; None if it does not.
        skew_ms: How far it is ahead of the exchange's, if measured.
        error_ms: Error of that measurement.
    """
    how = "with systemd: timedatectl set-ntp true"
    if skew_ms is not None and abs(skew_ms) > MOST_SKEW_MS + error_ms:
        return Finding("clock", "wrong", f"{skew_ms:+.0f} ms off the exchange's; set it, {how}")
    if skew_ms is not None:
        return Finding("clock", "ok", f"{skew_ms:+.0f} ms beside the exchange's (± {error_ms:.0f})")
    if is_synchronised:
        return Finding("clock", "ok", "the kernel says that it is synchronised")
    why = "the kernel " + (
        "does not say" if is_synchronised is None else "knows of nothing that synchronises it"
    )
    text = f"unknown whether it is right: {why}; {how}, or compare it: `doctor --ask-exchange`"
    return Finding("clock", "note", text)


def disk(state_dir: Path, free_bytes: int, is_writable: bool) -> Iterator[Finding]:
    """Check the state_dir: whether it is writable, and its free space."""
    if not is_writable:
        text = f"{state_dir} cannot be written by this user; correct its owner, or state_dir"
        yield Finding("state", "wrong", text)
    free_mb = free_bytes / 1e6
    shown = f"{free_mb:.0f} MB free below {state_dir}"
    if free_mb < LEAST_FREE_MB:
        yield Finding("disk", "wrong", f"{shown}; make room, logs and Redis need it")
    elif free_mb < WANTED_FREE_MB:
        yield Finding("disk", "note", f"{shown}, which may fill up: {WANTED_FREE_MB} MB are better")
    else:
        yield Finding("disk", "ok", shown)


def permissions(
    changeable: Iterable[Path],
    secret: Iterable[Path],
    above: Iterable[Path] = (),
    found: Findings | None = None,
) -> Iterator[Finding]:
    """Check that others cannot change the configuration and the state, or read a secret.

    Args:
        changeable: Paths that only the owner may change; missing ones are skipped.
        secret: Paths that only the owner may read.
        above: Directories above the state_dir.
        found: What the next start would find in it.
    """
    texts = found.in_words(TO_CORRECT) if found else {}
    faults = [
        *_open(changeable, stat.S_IWOTH, "others may change it; chmod o-w"),
        *_open(secret, stat.S_IRWXO, "it is a secret and others may read it; chmod o="),
        *_open(above, stat.S_IWOTH, MOVABLE, unless=stat.S_ISVTX),
        *([texts["foreign"]] if "foreign" in texts else []),
        *filter(None, [found.fault() if found else ""]),
    ]
    yield from (Finding("permissions", "wrong", fault) for fault in faults)
    if "wrong" in texts:
        yield Finding("permissions", "note", texts["wrong"])
    elif not faults:
        yield Finding("permissions", "ok", "nobody else may change the state or read its secrets")


def _open(paths: Iterable[Path], bits: int, fault: str, unless: int = 0) -> Iterator[str]:
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:  # absent, or below a directory we cannot enter
            continue
        if mode & bits and not mode & unless:
            yield f"{path} (mode {mode:o}): {fault} {path}"


def units(is_systemd: bool, states: Mapping[str, str]) -> Iterator[Finding]:
    """Check the installed units.

    Args:
        is_systemd: Whether systemd runs here.
        states: `systemctl is-active` of each that is installed.
    """
    if not is_systemd:
        yield Finding("systemd", "ok", "does not run here; `make run` needs none")
    elif not states:
        yield Finding("systemd", "ok", "not installed; `make run` needs no unit")
    for unit, state in states.items():
        if state == "active":
            yield Finding("systemd", "ok", f"{unit} is active")
        elif state == "failed":
            text = f"{unit} has failed; journalctl -u {unit} says why"
            yield Finding("systemd", "wrong", text)
        else:
            yield Finding("systemd", "note", f"{unit} is {state}; systemctl start {unit}")


def charts(library: Path) -> Finding:
    """Check that the page's chart library is installed."""
    if library.is_file():
        return Finding("charts", "ok", "the library is there")
    text = "no chart library, so the page shows no charts; install npm, then run `make install`"
    return Finding("charts", "note", text)


def can_write(state_dir: Path) -> tuple[Path, bool]:
    """Return the directory or its nearest existing parent, and whether we may write there."""
    there = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    return there, there.is_dir() and os.access(there, os.W_OK | os.X_OK)
