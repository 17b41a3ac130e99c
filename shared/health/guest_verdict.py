"""The problems of a trader outside the platform: a pure function of what it wrote last, and now.

Its keys never expire, so their age is judged, at the guest's own rhythm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import schema
from shared.clock import seconds_since, span
from shared.errors import BadMessage
from shared.guests import shapes
from shared.health.problems import Problem
from shared.messages.guests import (
    GuestBalance,
    GuestConfig,
    GuestPositions,
    GuestStatus,
    GuestValue,
)

GUESTS = "guests"
WHO = "your own trader"
AHEAD_MS = 5_000
"""How far a time of the guest may be ahead of our clock."""

_READERS: Mapping[str, tuple[str, Callable[[bytes, str], Any]]] = {
    schema.GUEST_POSITIONS.pattern: ("positions", shapes.POSITIONS.read),
    schema.GUEST_BALANCE.pattern: ("balance", shapes.BALANCE.read),
    schema.GUEST_STATUS.pattern: ("status", shapes.STATUS.read),
    schema.GUEST_CONFIG.pattern: ("config", shapes.read_config),
}
KEYS = tuple(entry.pattern for entry in schema.GUEST_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestView:
    """What the guest wrote last that could be read; None if it never did.

    Attributes:
        faults: By key, why what is there now cannot be read.
        raws: By key, what is there now.
    """

    positions: GuestPositions | None = None
    balance: GuestBalance | None = None
    status: GuestStatus | None = None
    config: GuestConfig | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    raws: Mapping[str, bytes] = field(default_factory=dict)


def guest_looked(
    before: GuestView, found: Mapping[schema.Entry[GuestValue], GuestValue | None]
) -> GuestView:
    """Return the view after one more read; what vanished from Redis is kept and ages.

    Args:
        found: What is there.
    """
    raws = {entry.pattern: value.raw for entry, value in found.items() if value is not None}
    if raws == before.raws:
        return before
    changes: dict[str, Any] = {}
    faults = {key: text for key, text in before.faults.items() if raws.get(key) is not None}
    for key, raw in raws.items():
        if raw == before.raws.get(key):
            continue
        name, read = _READERS[key]
        faults.pop(key, None)
        try:
            changes[name] = read(raw, key)
        except BadMessage as error:
            faults[key] = str(error)
    return dataclasses.replace(before, **changes, faults=faults, raws=raws)


def ages_of(view: GuestView, now_ms: int) -> dict[str, float | None]:
    """Return by key how old what the guest last wrote is; None: it never did. Units: seconds."""
    messages = zip(KEYS, (view.positions, view.balance, view.status), strict=False)
    return {
        key: None if message is None else seconds_since(message.as_of_ms, now_ms)
        for key, message in messages
    }


def is_answering(view: GuestView, now_ms: int, late_s: float) -> bool:
    """Return whether the guest's newest status is recent; of one ahead of us it is not known."""
    if view.status is None:
        return False
    as_of_ms = view.status.as_of_ms
    return as_of_ms - now_ms <= AHEAD_MS and seconds_since(as_of_ms, now_ms) <= late_s


def guest_problems(
    view: GuestView, *, now_ms: int, listening_ms: int | None, late_s: float
) -> Iterator[Problem]:
    """Yield the problems, the gravest first.

    Args:
        listening_ms: Since when the bus has answered without a break; None during an outage, in
            which silence is no problem.
        late_s: Age from which on what the guest wrote is late.
    """
    if late := _late(view, now_ms, listening_ms, late_s):
        text = f"{WHO} is late: {'; '.join(late)}"
        yield Problem("guest-silent", "word", text)
    status = view.status
    if status is not None and is_answering(view, now_ms, late_s):
        because = f": {status.reason}" if status.reason else ""
        if status.mode == "locked":
            yield Problem("guest-locked", "lock", f"{WHO} is locked{because}")
        if status.trouble:
            yield Problem("guest-trouble", "cycle", f"{WHO} is in trouble: {status.trouble}")
    for key, reason in _reasons(view):
        yield Problem("guest-trouble", key, f"{key}: {WHO} has nothing newer: {reason}")
    for key, text in {**view.faults, **_ahead(view, now_ms)}.items():
        yield Problem("guest-unreadable", key, text)


def guest_notes(
    view: GuestView, *, now_ms: int, listening_ms: int | None, late_s: float
) -> list[str]:
    """Return what is late and no problem yet: the guest has its time from our start on."""
    if _late(view, now_ms, listening_ms, late_s):
        return []
    return [f"{WHO}: {text}" for text in _late(view, now_ms, 0, late_s)]


def event_problems(detail: Mapping[str, Any], now_ms: int, recent_s: float) -> Iterator[Problem]:
    """Yield that events of the guest were not kept lately, from the heartbeat of `guests`."""
    at_ms, dropped = detail.get("event_fault_ms"), detail.get("events_dropped")
    if type(at_ms) is int and seconds_since(at_ms, now_ms) <= recent_s:
        counts = dropped.items() if isinstance(dropped, dict) else ()
        listed = ", ".join(f"{number} {why}" for why, number in counts if number)
        name, newest = schema.GUEST_EVENTS.pattern, detail.get("event_fault")
        text = f"events of {WHO} on {name} were not kept ({listed} so far; the newest: {newest})"
        yield Problem("guest-events", "events", text)


def _late(view: GuestView, now_ms: int, listening_ms: int | None, late_s: float) -> list[str]:
    """Return the keys that are late, in words; those that cannot be read are named as such."""
    if listening_ms is None:
        return []
    heard_s, found = seconds_since(listening_ms, now_ms), []
    for key, age in ages_of(view, now_ms).items():
        if key in view.faults:
            continue
        if age is None and heard_s > late_s:
            found.append(f"{key} has not been written yet")
        elif age is not None and min(age, heard_s) > late_s:
            found.append(f"{key} is {span(age)} old")
    return found


def _reasons(view: GuestView) -> Iterator[tuple[str, str]]:
    for key, message in zip(KEYS, (view.positions, view.balance), strict=False):
        if message is not None and message.reason:
            yield key, message.reason


def _ahead(view: GuestView, now_ms: int) -> dict[str, str]:
    messages = zip(KEYS, (view.positions, view.balance, view.status), strict=False)
    return {
        key: f"{key}: its time is {span((message.as_of_ms - now_ms) / 1000)} ahead of this "
        "machine's clock: how old it is is not known"
        for key, message in messages
        if message is not None and message.as_of_ms - now_ms > AHEAD_MS
    }
