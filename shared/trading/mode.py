"""What the trader may do, from all that restrains it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.clock import utc_text
from shared.config.defaults import Mode
from shared.config.sections import TraderSection
from shared.messages.trading import TraderMode
from shared.trading.breakers import Latch

STILL_MANAGED = "no new entries; open positions are still managed"


class SetLock(Protocol):
    """A lock file that is there, readable or not."""

    @property
    def mode(self) -> Literal["locked", "disabled"]:
        """Return what it puts the trader into."""

    @property
    def who(self) -> str:
        """Return who set it."""

    @property
    def reason(self) -> str:
        """Return why."""


class Flag(Protocol):
    """The last known kill flag of the bus, where it is set."""

    @property
    def who(self) -> str: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeInputs:
    """All that decides what the trader may do.

    Attributes:
        lock: The lock file; None where there is certainly none.
        flag: The kill flag of the bus; its last known value while the bus is away.
        latches: Breakers not released.
        is_enabled: By the configuration, see `is_enabled`.
        choice: What an operator asked for last; None when nobody did. Goes before the
            configuration.
        after_quarantine: Started although it kept dying; over when somebody enables it.
        closed_venue: Why the venue takes no entries at all; "" when it does.
    """

    lock: SetLock | None = None
    flag: Flag | None = None
    latches: tuple[Latch, ...] = ()
    is_enabled: bool = True
    choice: Literal["enabled", "reducing", "disabled"] | None = None
    after_quarantine: bool = False
    closed_venue: str = ""


def is_enabled(settings: TraderSection, mode: Mode) -> bool:
    """Tell whether the configuration lets the trader enter: left out, in demo mode only."""
    return mode == "demo" if settings.enabled is None else settings.enabled


def mode(seen: ModeInputs) -> tuple[TraderMode, str]:
    """Return what the trader may do, and every reason for it in words.

    The strictest reason names the mode: `locked` (lock, flag, a latched breaker: only a release
    ends it), `disabled` (operator, configuration), `reducing` (operator, after a quarantine, a
    venue without entries), `enabled`. In all but the last nothing is entered, and open positions
    are managed in all of them.
    """
    found = list(_restraints(seen))
    if not found:
        return "enabled", "entries and exits"
    strictest = min((name for name, _ in found), key=_STRICTEST_FIRST.index)
    return strictest, f"{STILL_MANAGED} ({'; '.join(why for _, why in found)})"


_STRICTEST_FIRST = ("locked", "disabled", "reducing", "enabled")


def _restraints(seen: ModeInputs) -> Iterator[tuple[TraderMode, str]]:
    if seen.lock is not None:
        word = "killed" if seen.lock.mode == "locked" else "disabled"
        yield seen.lock.mode, f"{word} by {seen.lock.who}: {seen.lock.reason}"
    if seen.flag is not None:
        yield "locked", f"kill flag set by {seen.flag.who}: {seen.flag.reason}"
    for latch in seen.latches:
        yield "locked", f"{latch.why} at {utc_text(latch.at_ms)}"
    if seen.choice == "disabled":
        yield "disabled", "disabled by an operator"
    elif seen.choice is None and not seen.is_enabled:
        yield "disabled", "trader.enabled is false for this mode"
    elif seen.choice == "reducing":
        yield "reducing", "an operator asked for it"
    if seen.after_quarantine:
        yield "reducing", "started although it died too often: enable it when that is understood"
    if seen.closed_venue:
        yield "reducing", seen.closed_venue
