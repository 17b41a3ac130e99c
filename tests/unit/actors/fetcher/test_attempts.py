"""When a stream is connected again, and when anything is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fetcher.attempts import AT_ONCE_S, CAP_S, AttemptBudget, pause_s
from shared.backoff import backoff_s
from tests.support.manual_clock import ORIGINS

lucks = st.floats(0, 1, exclude_max=True)


@given(st.integers(-1, 5000), st.floats(1e-3, 60), st.floats(1, 600), lucks)
def test_backoff_is_half_to_whole_of_a_capped_doubling(
    failures: int, first_s: float, cap_s: float, luck: float
) -> None:
    found = backoff_s(failures, first_s, cap_s, luck)
    if failures < 1:
        assert found == 0
        return
    whole = min(cap_s, first_s * 2.0 ** min(failures - 1, 100))
    assert whole / 2 <= found <= whole
    assert found <= backoff_s(failures + 1, first_s, cap_s, luck)


@given(lucks)
def test_stream_comes_back_almost_at_once_then_after_growing_pauses(luck: float) -> None:
    assert pause_s(1, luck) <= AT_ONCE_S
    pauses = [pause_s(attempts, luck) for attempts in range(2, 14)]
    assert all(0.25 * 2**i <= p <= min(CAP_S, 0.5 * 2**i) for i, p in enumerate(pauses[:6]))
    assert pauses[6:] == [pytest.approx(CAP_S * (0.5 + 0.5 * luck))] * 6


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 50), max_size=200), st.sampled_from(ORIGINS))
def test_no_five_minutes_hold_more_attempts_than_allowed(
    pauses: list[float], origin_s: float
) -> None:
    budget, now_s, made = AttemptBudget(most=10, within_s=300), origin_s, []
    for pause in pauses:
        now_s += pause
        wait_s = budget.take(now_s)
        if wait_s > 0:
            now_s += wait_s + 1e-8  # sums of floats are not exact
            assert budget.take(now_s) == 0
        made.append(now_s)
    assert all(
        later - earlier >= 300 - 1e-6 for earlier, later in zip(made, made[10:], strict=False)
    )
