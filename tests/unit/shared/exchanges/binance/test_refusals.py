"""How long nothing is asked after our address was refused, and what is said to do."""

from __future__ import annotations

from itertools import accumulate, repeat

import pytest

from shared.exchanges.binance.refusals import WHAT_TO_DO, is_of_address, next_pause_ms


def test_pause_doubles_from_a_minute_to_half_an_hour() -> None:
    pauses = accumulate(repeat(None, 7), lambda last, _: next_pause_ms(last), initial=0)
    assert [ms // 60_000 for ms in pauses] == [0, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("status", [200, 400, 404, 418, 429, 500, 503])
def test_other_statuses_are_not_about_the_address(status: int) -> None:
    assert not is_of_address(status)


def test_each_refusal_says_what_to_do() -> None:
    assert is_of_address(403)
    assert is_of_address(451)
    assert "data-api.binance.vision" in WHAT_TO_DO[451]
    assert "proxy" in WHAT_TO_DO[403]
