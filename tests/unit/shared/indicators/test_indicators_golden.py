"""Our numbers against golden ones that TA-Lib made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shared.market import Candles
from tests.support.kernels import by_name
from tests.support.paths import ROOT

GOLDENS = ROOT / "tests" / "goldens" / "indicators"


@pytest.fixture(scope="module")
def candles() -> Candles:
    table = np.loadtxt(GOLDENS / "candles.csv", delimiter=",", skiprows=1)
    return Candles.of(table[:, 0].astype(np.int64), *(table[:, i] for i in range(1, 6)))


def test_every_golden_number_is_met(candles: Candles) -> None:
    golden = json.loads((GOLDENS / "expected.json").read_text())
    found = by_name(candles)
    compared = 0
    for name, numbers in golden["numbers"].items():
        points = name in ("rsi", "k", "d")
        for bar, expected in zip(golden["bars"], numbers, strict=True):
            value = found[name][bar]
            what = f"{name} at bar {bar}"
            if name == "atr" and bar < 300:
                continue  # TA-Lib leaves out the first range
            if expected is None:
                assert np.isnan(value), what
            elif points or name == "momentum":
                assert value == pytest.approx(expected, rel=0, abs=1e-6), what
            else:
                assert value == pytest.approx(expected, rel=1e-9, abs=0), what
            compared += 1
    assert compared > 120
