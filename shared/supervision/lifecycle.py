"""The lifecycle of one actor as a table: state and event to action.

Every pair is listed. `-` means do nothing; `!` means the pair cannot happen, and is logged if it
does. The action implies the next state, except `record`, where `shared/supervision/restart.py`
decides between restart, backoff and quarantine.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """State of an actor. In the last three its process is being ended."""

    STOPPED = "stopped"
    BACKOFF = "backoff"
    QUARANTINED = "quarantined"
    STARTING = "starting"
    READY = "ready"
    STALLED = "stalled"
    STOPPING = "stopping"  # then stopped
    REPLACING = "replacing"  # then started again
    ABORTING = "aborting"  # hung: then a death

    @property
    def shown(self) -> str:
        """The published name."""
        return "stopping" if self in (State.REPLACING, State.ABORTING) else str(self)

    @property
    def has_process(self) -> bool:
        """Return whether an actor in this state has a process."""
        return self not in (State.STOPPED, State.BACKOFF, State.QUARANTINED)

    @property
    def is_unwanted(self) -> bool:
        """Return whether an operator has stopped it, or is stopping it."""
        return self in (State.STOPPED, State.STOPPING)


class Event(StrEnum):
    """What can happen to an actor."""

    START = "start"  # the operator, or the boot order
    STOP = "stop"  # the operator
    RESTART = "restart"  # the operator
    RELEASE = "release"  # the operator, or a changed config or code
    DUE = "due"  # backoff or quarantine is over
    READY = "ready"  # it reports so
    STEP = "step"  # it ended a step
    LATE = "late"  # beating, but no step within its budget
    HUNG = "hung"  # no beat
    OVERSIZE = "oversize"  # too much memory, twice in a row
    GONE = "gone"  # its process has ended


class Action(StrEnum):
    """What the supervisor does."""

    NOTHING = "-"
    IMPOSSIBLE = "!"
    SPAWN = "spawn"  # -> starting
    END = "end"  # SIGTERM … SIGKILL -> stopping
    REPLACE = "replace"  # the same, then spawn -> replacing
    ABORT = "abort"  # SIGABRT, SIGCONT, SIGKILL -> aborting
    UP = "up"  # -> ready
    STALL = "stall"  # -> stalled
    DOWN = "down"  # -> stopped
    RECORD = "record"  # the death, then restart.after_death decides


_GRID = """
          stopped  backoff  quarantined  starting  ready    stalled  stopping  replacing  aborting
start     spawn    spawn    spawn        -         -        -        replace   -          -
stop      -        down     down         end       end      end      -         end        end
restart   spawn    spawn    spawn        replace   replace  replace  replace   -          replace
release   -        -        spawn        -         -        -        -         -          -
due       -        spawn    spawn        -         -        -        -         -          -
ready     !        !        !            up        -        -        -         -          -
step      !        !        !            -         -        up       -         -          -
late      !        !        !            -         stall    -        -         -          -
hung      !        !        !            abort     abort    abort    -         -          -
oversize  !        !        !            replace   replace  replace  -         -          -
gone      !        !        !            record    record   record   down      spawn      record
"""

NEXT = {
    Action.SPAWN: State.STARTING,
    Action.END: State.STOPPING,
    Action.REPLACE: State.REPLACING,
    Action.ABORT: State.ABORTING,
    Action.UP: State.READY,
    Action.STALL: State.STALLED,
    Action.DOWN: State.STOPPED,
}


def read(grid: str) -> dict[tuple[State, Event], Action]:
    """Return the action of each state and event in a grid with a column per state."""
    head, *rows = (line.split() for line in grid.strip().splitlines())
    return {
        (State(state), Event(row[0])): Action(cell)
        for row in rows
        for state, cell in zip(head, row[1:], strict=True)
    }


TABLE = read(_GRID)


def next_action(state: State, event: Event) -> Action:
    """Return what to do when `event` happens in `state`."""
    return TABLE[state, event]
