"""The table of states and events."""

from __future__ import annotations

import itertools

import pytest

from shared.supervision.lifecycle import NEXT, TABLE, Action, Event, State, next_action, read

WITHOUT_PROCESS = [s for s in State if not s.has_process]
WITH_PROCESS = [s for s in State if s.has_process]


def test_a_grid_has_a_column_per_state_and_a_row_per_event() -> None:
    assert read("\n      stopped  ready\nstart  spawn   -\nhung     !   abort\n") == {
        (State.STOPPED, Event.START): Action.SPAWN,
        (State.READY, Event.START): Action.NOTHING,
        (State.STOPPED, Event.HUNG): Action.IMPOSSIBLE,
        (State.READY, Event.HUNG): Action.ABORT,
    }
    with pytest.raises(ValueError, match="shorter"):
        read("stopped ready\nstart spawn")


def test_a_process_that_is_ended_is_published_as_stopping_whatever_comes_after() -> None:
    assert {state: state.shown for state in State if state.shown != state} == {
        State.REPLACING: "stopping",
        State.ABORTING: "stopping",
    }


def test_an_operator_wants_no_process_of_what_is_stopped_or_stopping() -> None:
    assert [state for state in State if state.is_unwanted] == [State.STOPPED, State.STOPPING]
    assert WITHOUT_PROCESS == [State.STOPPED, State.BACKOFF, State.QUARANTINED]


def test_every_pair_is_written_down() -> None:
    assert set(TABLE) == set(itertools.product(State, Event))


@pytest.mark.parametrize("state", WITHOUT_PROCESS)
@pytest.mark.parametrize(
    "event", [Event.READY, Event.STEP, Event.LATE, Event.HUNG, Event.OVERSIZE, Event.GONE]
)
def test_nothing_is_heard_from_an_actor_without_a_process(state: State, event: Event) -> None:
    assert next_action(state, event) is Action.IMPOSSIBLE


@pytest.mark.parametrize("state", WITH_PROCESS)
@pytest.mark.parametrize("event", list(Event))
def test_no_second_process_is_started_before_the_first_is_gone(state: State, event: Event) -> None:
    if next_action(state, event) is Action.SPAWN:
        assert event is Event.GONE


@pytest.mark.parametrize("state", WITH_PROCESS)
def test_the_end_of_a_process_is_always_acted_on(state: State) -> None:
    assert next_action(state, Event.GONE) in (Action.RECORD, Action.DOWN, Action.SPAWN)


@pytest.mark.parametrize("state", list(State))
def test_stop_leads_to_stopped_from_everywhere(state: State) -> None:
    action = next_action(state, Event.STOP)
    state = NEXT.get(action, state)
    if state is not State.STOPPED:
        assert NEXT[next_action(state, Event.GONE)] is State.STOPPED


@pytest.mark.parametrize("state", list(State))
def test_restart_leads_to_a_new_process_from_everywhere(state: State) -> None:
    action = next_action(state, Event.RESTART)
    state = NEXT.get(action, state)
    if state is not State.STARTING:
        assert NEXT[next_action(state, Event.GONE)] is State.STARTING


@pytest.mark.parametrize("state", [State.STARTING, State.READY, State.STALLED])
def test_a_hung_process_is_aborted_and_counts_as_a_death(state: State) -> None:
    assert next_action(state, Event.HUNG) is Action.ABORT
    assert next_action(State.ABORTING, Event.GONE) is Action.RECORD


def test_starting_is_never_ended_for_being_slow() -> None:
    assert next_action(State.STARTING, Event.LATE) is Action.NOTHING
