"""Evidence that fits the default trader, each value changed by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.config.sections import IndicatorsSection, TraderSection
from shared.evidence.hashes import FILLS, settings_hash, tested_indicators, tested_settings
from shared.evidence.record import EvidenceRecord, level_pct
from shared.trading.strategy import BASE

NOW_MS = 1_750_000_000_000
FEE = Decimal("0.0005")
INDICATORS = IndicatorsSection()
FILL_MODEL = {"path": "adverse", "latency_ms": 0, "release": "never", "fills": FILLS}


def evidence(
    settings: TraderSection | None = None,
    parameters: Mapping[str, Any] | None = None,
    **change: Any,
) -> EvidenceRecord:
    """Return evidence of these settings."""
    settings, parameters = settings or TraderSection(), dict(parameters or {})
    found = EvidenceRecord(
        strategy=BASE,
        settings={
            "trader": tested_settings(settings),
            "strategy_parameters": parameters,
            "indicators": tested_indicators(INDICATORS),
        },
        settings_hash=settings_hash(settings, parameters, INDICATORS, FILL_MODEL),
        use_ta_signals=settings.use_ta_signals,
        fill_model=FILL_MODEL,
        taker_fee=FEE,
        from_ms=NOW_MS - 40 * 86_400_000,
        to_ms=NOW_MS - 10 * 86_400_000,
        data_hash="d" * 64,
        trades=400,
        mean_r=0.12,
        lower_r=0.02,
        level_pct=level_pct(1),
        tries=60,
        openings=1,
        verdict="edge",
        recorded_ms=NOW_MS - 3 * 86_400_000,
    )
    return dataclasses.replace(found, **change)
