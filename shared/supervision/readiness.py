"""Files that say which actors are ready, for systemd units that stand for one or a few of them.

They are in the runtime directory of the platform's unit, which no full disk can make stale:
`ready/NAME` exists while all actors of NAME are ready, `state/NAME` says how they are.
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shared.messages.actors import ActorStatus

UNITS: Mapping[str, Sequence[str]] = {
    "ta": ("fetcher", "indicators-*"),
    "dashboard": ("dashboard",),
    "trader-api": ("trader-api",),
}
"""What a companion unit stands for, by the name in its command: patterns of actors' names."""

STOPPING = "the platform is stopping"


class Supervised(Protocol):
    """An actor as the supervisor knows it."""

    def status(self) -> ActorStatus: ...


class ReadinessFiles:
    """Writes the files below the directory that systemd made.

    Args:
        environment: Has RUNTIME_DIRECTORY in a unit with a runtime directory; without, nothing is
            written.
    """

    def __init__(self, environment: Mapping[str, str], log: logging.Logger) -> None:
        folder = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._folder = Path(folder) if folder else None
        self._log = log
        self._shown: dict[str, tuple[bool, str]] = {}
        self._failed = ""

    def show(self, actors: Collection[Supervised]) -> None:
        """Bring the files up to date; what cannot be written is tried again with the next call."""
        if self._folder is not None:
            statuses = [actor.status() for actor in actors]
            self._write({name: _of(patterns, statuses) for name, patterns in UNITS.items()})

    def close(self) -> None:
        """Say that the platform is stopping: what stops from now on has not failed."""
        if self._folder is not None:
            self._write(dict.fromkeys(UNITS, (False, STOPPING)))

    def _write(self, wanted: Mapping[str, tuple[bool, str]]) -> None:
        assert self._folder is not None
        try:
            for name, found in wanted.items():
                if self._shown.get(name) != found:
                    _put(self._folder, name, *found)
                    self._shown[name] = found
            self._failed = ""
        except OSError as error:
            if str(error) != self._failed:
                self._log.error("systemd's companion units are not told who is ready: %s", error)
            self._failed = str(error)


def _put(folder: Path, name: str, is_ready: bool, text: str) -> None:
    for kind in ("ready", "state"):
        (folder / kind).mkdir(exist_ok=True)
    ready, state = folder / "ready" / name, folder / "state" / name
    fresh = state.with_name(f".{name}")
    fresh.write_text(f"{text}\n")
    fresh.replace(state)  # first: who sees `ready` come or go finds the words
    if is_ready:
        ready.touch()
    else:
        ready.unlink(missing_ok=True)


def _of(patterns: Sequence[str], statuses: Sequence[ActorStatus]) -> tuple[bool, str]:
    """Return whether all actors of some patterns are ready, and who is not, in words."""
    found = {pattern: _matching(pattern, statuses) for pattern in patterns}
    bad = [f"{pattern}: not in the configuration" for pattern, of_it in found.items() if not of_it]
    every = [status for of_it in found.values() for status in of_it]
    bad += [_words(status) for status in every if status.state != "ready"]
    if bad:
        return False, "; ".join(bad)
    return True, ", ".join(f"{status.name} ready, pid {status.pid}" for status in every)


def _matching(pattern: str, statuses: Sequence[ActorStatus]) -> list[ActorStatus]:
    return [status for status in statuses if fnmatch.fnmatchcase(status.name, pattern)]


def _words(status: ActorStatus) -> str:
    death = status.deaths[-1].cause if status.deaths else ""
    why = status.reason or (status.doing if status.state in ("starting", "stalled") else "")
    if status.state in ("backoff", "quarantined") and death and death not in why:
        why = ", ".join(filter(None, (why, f"last death: {death}")))
    return f"{status.name}: {status.state}" + (f": {why}" if why else "")
