"""What the verdict on a sweep of 200 settings finds and lets pass.

The whole table, of many more made sweeps, is `coinex evidence power`'s, in docs/evidence.md.
"""

from __future__ import annotations

import pytest

from shared.backtest.sweep.power import Made, outcomes


def test_noise_is_no_edge() -> None:
    assert outcomes(Made(8000), 20, seed=1)["edge"] <= 0.05


@pytest.mark.parametrize(("trades", "least", "most"), [(8000, 0.8, 1.0), (600, 0.0, 0.1)])
def test_edge_of_a_tenth_takes_thousands_of_trades(trades: int, least: float, most: float) -> None:
    assert least <= outcomes(Made(trades, edge_r=0.1), 15, seed=1)["edge"] <= most
