"""Whether evidence is of what the trader does now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.clock import utc_text
from shared.config.defaults import Mode
from shared.config.sections import IndicatorsSection, TraderSection
from shared.config.venue_catalog import Environment
from shared.errors import count, shortened
from shared.evidence.hashes import (
    FILLS,
    canonical,
    settings_hash,
    tested_indicators,
    tested_settings,
)
from shared.evidence.record import EvidenceRecord, level_pct
from shared.messages.trading import EvidenceDemand, StrategyIdentity

DAY_MS = 86_400_000
MOST_NAMED = 5
"""Settings that differ, named in one text."""

CLOSE_MIN = 5
"""Between two closes that a test decides at."""


def demanded(settings: TraderSection, mode: Mode, environment: Environment) -> EvidenceDemand:
    """Return what a lack of evidence means; by default `require` where real money moves."""
    if settings.evidence is not None:
        return settings.evidence
    return "require" if mode == "live" and environment == "live" else "advise"


def slow_timer(settings: TraderSection) -> str:
    """Return why a test is not of a trader that a timer runs less often than it decides, or ""."""
    every_min = settings.timer_min or CLOSE_MIN
    if every_min == CLOSE_MIN:
        return ""
    return (
        "it is of a trader that decides at each 5m close, and one by trader.timer_min: "
        f"{every_min} at one of {every_min // CLOSE_MIN}: set it to {CLOSE_MIN}, or leave it out"
    )


def missing(
    record: EvidenceRecord,
    settings: TraderSection,
    strategy: StrategyIdentity,
    parameters: Mapping[str, Any],
    indicators: IndicatorsSection,
    *,
    taker_fee: Decimal | None,
) -> list[str]:
    """Return why evidence is not of what the trader does; empty if it is.

    Args:
        strategy: What scores now.
        parameters: Its parameters, defaults filled in.
        indicators: What the scores and signals are computed with.
        taker_fee: The venue's now, the highest of all coins; None if it is not known.

    Units: taker_fee as share of the value.
    """
    found = list(_result_faults(record))
    if record.strategy.hash != strategy.hash:
        found.append(
            f"it is of the strategy {_named(record.strategy)}, and {_named(strategy)} trades: "
            "test that one, or configure the tested one"
        )
    elif record.strategy.class_name != strategy.class_name:
        found.append(
            f"it is of the class {shortened(record.strategy.class_name) or 'none'}, and the class "
            f"{strategy.class_name} of the same file trades: test that one, or configure the "
            "tested one"
        )
    if record.use_ta_signals != settings.use_ta_signals:
        found.append(
            f"it is of use_ta_signals: {_word(record.use_ta_signals)}, and this trades with "
            f"{_word(settings.use_ta_signals)}: test that, or set it as tested"
        )
    if slow := slow_timer(settings):
        found.append(slow)
    if (fills := record.fill_model.get("fills")) != FILLS:
        found.append(
            f"its trades were filled by number {shortened(str(fills))} of the code that fills, and "
            f"this version has number {FILLS}: test again"
        )
    expected = settings_hash(settings, parameters, indicators, record.fill_model)
    if record.settings_hash != expected:
        found.append(
            f"it is of other settings (hash {record.settings_hash[:12]}, expected "
            f"{expected[:12]}{_differences(record, settings, parameters, indicators)}): test "
            "these, or set them as tested"
        )
    if taker_fee is not None and taker_fee > record.taker_fee:
        found.append(
            f"it assumed a taker fee of {_percent(record.taker_fee)}, and the venue takes "
            f"{_percent(taker_fee)} now: test with that fee"
        )
    return found


def refusal(found: Sequence[str]) -> str:
    """Return why nothing is entered where evidence is required and this is missing, or ""."""
    return f"no evidence of these settings: {'; '.join(found)}" if found else ""


def _result_faults(record: EvidenceRecord) -> Iterator[str]:
    if record.verdict != "edge":
        yield f"its verdict is {record.verdict}, expected edge: record a result that has one"
    if record.openings < 1:
        yield "its hold-out was never opened: `sweep open-hold-out`, then record it again"
    elif record.level_pct < (level := level_pct(record.openings)) - 1e-6:
        yield (
            f"its hold-out was opened {_times(record.openings)}, so its bound must hold at "
            f"{level:.4g} %, found {record.level_pct:.4g} %: record it again, or test on newer "
            "candles"
        )
    if not record.lower_r > 0.0:
        yield (
            f"its mean result may be as low as {record.lower_r:+.3f} R ({record.level_pct:.4g} %), "
            "expected above zero: it shows no profit"
        )


def summary(record: EvidenceRecord, now_ms: int) -> str:
    """Return what the evidence is, in one line."""
    days = max(0, (now_ms - record.recorded_ms) // DAY_MS)
    released = record.fill_model.get("release", "never")
    return (
        f"{_named(record.strategy)}, {count(record.trades, 'trade')} from "
        f"{utc_text(record.from_ms)} to {utc_text(record.to_ms)}: {record.mean_r:+.3f} R a trade, "
        f"at least {record.lower_r:+.3f} R ({record.level_pct:.4g} %); tries {record.tries}, "
        f"hold-out opened {_times(record.openings)}; recorded {count(days, 'day')} ago"
        f"{'' if released == 'never' else f', breakers released {released} there'}"
    )


def _differences(
    record: EvidenceRecord,
    settings: TraderSection,
    parameters: Mapping[str, Any],
    indicators: IndicatorsSection,
) -> str:
    """Return which settings differ, as far as the record has them."""
    now = {
        "trader": tested_settings(settings),
        "strategy_parameters": dict(parameters),
        "indicators": tested_indicators(indicators),
    }
    found: list[str] = []
    for section, values in now.items():
        tested = record.settings.get(section)
        if isinstance(tested, dict):
            found += _differing(section, tested, values)
    if not found:
        return ""
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"; {'; '.join(found[:MOST_NAMED])}{more}"


def _differing(path: str, before: Any, after: Any) -> Iterator[str]:
    """Yield each value that differs, by its path."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _differing(f"{path}.{name}", before.get(name), after.get(name))
    elif canonical(before) != canonical(after):
        yield shortened(f"{path} {before!r}, now {after!r}", 90)


def _named(strategy: StrategyIdentity) -> str:
    name, version = shortened(strategy.name), shortened(strategy.version)
    return f"{name} {version} ({strategy.hash[:12]})"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _percent(share: Decimal) -> str:
    return f"{float(100 * share):g} %"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
