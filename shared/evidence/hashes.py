"""What makes two tests the same question: a hash of everything that was set."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared.config.sections import IndicatorsSection, TraderSection

FILLS = 1
"""Raised with every change of the simulated venue, of its fees, or of a backtest's paths and orders
that changes a fill, as `tests/unit/shared/backtest/simulation/test_fills_number.py` demands: what
was tested before is of other fills."""

NOT_TESTED = frozenset({
    "kind", "outside_every_s", "enabled", "timer_min", "evidence", "evidence_file",
    "accept_without_evidence",
})  # fmt: skip
"""Settings of the trader that change no trade of a test."""

INDICATORS_NOT_TESTED = frozenset({"interval_s", "coin_failures", "coin_quarantine_s"})
"""Settings of the indicators that change none of their values."""


def tested_settings(trader: TraderSection) -> dict[str, Any]:
    """Return the settings of the trader that a test depends on, defaults filled in."""
    plain = dataclasses.asdict(trader)
    return {name: value for name, value in plain.items() if name not in NOT_TESTED}


def tested_indicators(indicators: IndicatorsSection) -> dict[str, Any]:
    """Return the settings of the indicators that a test depends on, defaults filled in."""
    plain = dataclasses.asdict(indicators)
    return {name: value for name, value in plain.items() if name not in INDICATORS_NOT_TESTED}


def settings_hash(
    trader: TraderSection,
    strategy_parameters: Mapping[str, Any],
    indicators: IndicatorsSection,
    fill_model: Mapping[str, Any],
) -> str:
    """Return the SHA-256 of what was set, in hexadecimal.

    It is that of canonical JSON: sorted keys, no spaces, ASCII, whole floats as integers. Names
    without a value (None) count, too.

    Args:
        trader: The effective settings.
        strategy_parameters: Defaults filled in.
        fill_model: Every assumption of the test by its name.

    Raises:
        ValueError: A value is NaN, infinite, or nothing that JSON knows.
    """
    document = {
        "fill_model": dict(fill_model),
        "indicators": tested_indicators(indicators),
        "strategy_parameters": dict(strategy_parameters),
        "trader": tested_settings(trader),
    }
    text = json.dumps(canonical(document), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Return a value in the one form that is hashed: 3.0 is 3.

    Raises:
        ValueError: It is nothing that JSON knows.
    """
    if isinstance(value, Mapping):
        return {str(name): canonical(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"found {value!r}, expected a number, a text, true, false or a list of them")
