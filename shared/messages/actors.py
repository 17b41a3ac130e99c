"""Messages of supervision: heartbeats, states, deaths, commands and replies, quarantines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ActorState = Literal[
    "stopped", "starting", "ready", "stalled", "stopping", "backoff", "quarantined"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """An actor's own status, published once a second."""

    name: str
    at_ms: int
    pid: int
    state: Literal["starting", "ready", "stopping"]
    steps: int
    last_step_ms: int | None
    step_ms: float | None
    lag_ms: float
    rss_mb: float
    pss_mb: float
    cpu_pct: float
    code: str
    detail: dict[str, Any]
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathNote:
    """One recorded exit of an actor. `last_words` is the end of its output, on one line."""

    at_ms: int
    cause: str
    last_words: str
    uptime_s: float
    doing: str
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorStatus:
    """One actor as the supervisor sees it; a field of the hash `supervisor:actors`."""

    name: str
    state: ActorState
    pid: int | None
    since_ms: int
    restarts: int
    recycled: int
    deaths: list[DeathNote]
    backoff_until_ms: int | None
    reason: str
    ready_since_ms: int | None
    beat_age_s: float | None
    doing: str
    port: int | None = None
    quarantined_coins: dict[str, int] = field(default_factory=dict)
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """The supervisor's own status.

    Attributes:
        problems: Empty when all is well.
        bad_messages: How many it skipped on the bus; the newest is `bad_message`.
    """

    host: str
    pid: int
    mode: str
    started_ms: int
    at_ms: int
    problems: list[str]
    bad_messages: int = 0
    bad_message: str = ""
    bad_message_ms: int | None = None
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedProblem:
    """One problem of `/health`.

    Attributes:
        key: Its identity; the text changes with every second.
        kind: Its entry in `docs/runbook.md`.
    """

    key: str
    kind: str
    text: str
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthNote:
    """The status on `/health`, and since when each problem has lasted."""

    at_ms: int
    status: Literal["ok", "degraded", "down"]
    mode: str
    problems: list[NotedProblem]
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The supervisor of this namespace.

    Attributes:
        host, pid: For people.
        instance: Random id of its start; with `boot` its identity.
        boot: Id of its kernel's boot.
    """

    host: str
    pid: int
    instance: str
    mode: str
    at_ms: int
    boot: str = ""
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlCommand:
    """An operator's command to the supervisor."""

    id: str
    command: Literal["restart", "stop", "start", "release", "status", "reload", "shutdown"]
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReply:
    """The supervisor's reply: `accepted`, then `done` or `failed`; or `error` or `busy` at once.

    After `busy` nothing was done; the sender repeats the command.
    """

    id: str
    outcome: Literal["accepted", "done", "failed", "error", "busy"]
    reason: str = ""
    body: dict[str, Any] | None = None
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """One coin left out of one stage until a given time."""

    symbol: str
    stage: Literal["fetch", "compute"]
    reason: str
    since_ms: int
    until_ms: int
    v: int = 1
