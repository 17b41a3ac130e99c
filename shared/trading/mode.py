"""The trader's mode, from all its restraints. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.config.defaults import Mode
from shared.config.sections import TraderSection
from shared.messages.trading import TraderMode
from shared.trading.breakers import Latch

STILL_MANAGED = "no new entries; open positions are still managed"


class SetLock(Protocol):
    """An existing lock file, readable or not."""

    @property
    def mode(self) -> Literal["locked", "disabled"]: ...

    @property
    def who(self) -> str: ...

    @property
    def reason(self) -> str: ...


class Flag(Protocol):
    """The last known kill flag of the bus, if set."""

    @property
    def who(self) -> str: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeInputs:
    """All that decides what the trader may do.

    Attributes:
        lock: The lock file; None if there is certainly none.
        flag: The kill flag of the bus; its last known value while the bus is down.
        latches: Breakers that tripped and were not released, and whose pause is not over.
        is_enabled: By the configuration, see `is_enabled`.
        choice: An operator's last choice, if any; overrides the configuration.
        after_quarantine: Restarted after a crash loop, and not enabled by an operator since.
        closed_venue: Why the venue takes no entries; "" when it does.
        unfit_account: What has to be put right about the account at the venue; or "".
        without_evidence: What is missing to show that the settings earn anything; or "".
        unchecked_strategy: Why the strategy may not trade; or "".
        journal_doubt: Why the journal may not be the one our orders are in; or "".
        is_compared: Whether that is decided.
    """

    lock: SetLock | None = None
    flag: Flag | None = None
    latches: tuple[Latch, ...] = ()
    is_enabled: bool = True
    choice: Literal["enabled", "reducing", "disabled"] | None = None
    after_quarantine: bool = False
    closed_venue: str = ""
    unfit_account: str = ""
    without_evidence: str = ""
    unchecked_strategy: str = ""
    journal_doubt: str = ""
    is_compared: bool = True


def is_enabled(settings: TraderSection, mode: Mode) -> bool:
    """Return whether the configuration lets the trader enter; by default in demo mode only."""
    return mode == "demo" if settings.enabled is None else settings.enabled


def mode(inputs: ModeInputs) -> tuple[TraderMode, str]:
    """Return the trader's mode, and all reasons for it in words.

    The strictest reason decides: `locked` (lock, flag, a latched breaker: only a release ends it; a
    doubtful journal: only accepting it does), `disabled` (operator, configuration), `reducing`
    (operator, a pause after losses, after a quarantine, a venue without entries, an account not set
    up for it, settings without the evidence that is required, a strategy that has not passed its
    check, a journal not compared yet), `enabled`.
    Only `enabled` allows entries; open positions are managed in all modes.
    """
    found = list(_restraints(inputs))
    if not found:
        return "enabled", "entries and exits"
    strictest = min((name for name, _ in found), key=_STRICTEST_FIRST.index)
    return strictest, f"{STILL_MANAGED} ({'; '.join(why for _, why in found)})"


_STRICTEST_FIRST = ("locked", "disabled", "reducing", "enabled")


def _restraints(inputs: ModeInputs) -> Iterator[tuple[TraderMode, str]]:
    if inputs.lock is not None:
        word = "killed" if inputs.lock.mode == "locked" else "disabled"
        yield inputs.lock.mode, f"{word} by {inputs.lock.who}: {inputs.lock.reason}"
    if inputs.flag is not None:
        yield "locked", f"kill flag set by {inputs.flag.who}: {inputs.flag.reason}"
    for latch in inputs.latches:
        yield "locked" if latch.until_ms is None else "reducing", latch.text()
    if inputs.journal_doubt:
        yield "locked", inputs.journal_doubt
    if not inputs.is_compared:
        yield "reducing", "the journal is being compared with the venue"
    if inputs.choice == "disabled":
        yield "disabled", "disabled by an operator"
    elif inputs.choice is None and not inputs.is_enabled:
        yield "disabled", "trader.enabled is false for this mode"
    elif inputs.choice == "reducing":
        yield "reducing", "an operator asked for it"
    if inputs.after_quarantine:
        yield "reducing", "started although it died too often: enable it when that is understood"
    if inputs.closed_venue:
        yield "reducing", inputs.closed_venue
    if inputs.unfit_account:
        yield "reducing", f"the account has to be set up: {inputs.unfit_account}"
    if inputs.without_evidence:
        yield "reducing", inputs.without_evidence
    if inputs.unchecked_strategy:
        yield "reducing", inputs.unchecked_strategy
