"""CoinEx's limits of requests."""

from __future__ import annotations

from shared.exchanges.coinex.limits import PER_S, LimitGroup


def test_every_group_has_its_limit_and_all_together_keep_below_the_address_limit() -> None:
    assert set(PER_S) == set(LimitGroup)
    assert sum(PER_S.values()) < 400
