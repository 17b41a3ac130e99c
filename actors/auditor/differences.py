"""Differences between published numbers and a referee's, with their tolerances. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from shared.indicators.ema_ribbon import PERIODS, SPREAD_SCALE
from shared.market import Timeframe
from shared.messages.signals import AuditedField, AuditReport, TaSignal

COVER_S = 600.0
"""Every coin is checked within this time."""

Unit = Literal["relative", "points", "atr14", "state"]
TOLERANCE: Mapping[str, tuple[float, Unit]] = {
    "ema": (1e-9, "relative"),
    "atr14": (1e-9, "relative"),
    "spread": (1e-6, "points"),
    "rsi": (2e-6, "points"),
    "stoch_k": (2e-6, "points"),
    "stoch_d": (2e-6, "points"),
    "momentum": (1e-6, "atr14"),
    "state": (0.0, "state"),
    "squeeze": (0.0, "state"),
    "outlier_bars": (0.0, "state"),
}
SETTLED_BARS = 300
"""Bars after which the referee's different RSI seed no longer matters."""

NEAR = 1e-8
"""Share of the price within which two lines are too close for a state to be compared."""

STILL = 1e-6
"""ATR14 as a share of the price up to which it, and what is measured in it, is noise."""

NARROW = 1e-4
"""Range of RSI, in points, up to which %K magnifies float noise to more than its tolerance."""


class Numbers(NamedTuple):
    """A referee's numbers at the last bar of one timeframe; NaN where there is none.

    Attributes:
        bars: Candles they were computed from.
        rsi_doubt: Points by which another seed alone may move the RSI.
        rsi_range: Least height of the windows of RSI that %K and %D stand in, in points.
        outlier_bars: Open times of the outliers among the newest 39; None where some bar is too
            near the limit to tell.
    """

    bars: int
    close: float
    emas: Sequence[float]
    atr14: float
    rsi: float
    rsi_doubt: float
    rsi_range: float
    stoch_k: float
    stoch_d: float
    bollinger_half: float
    keltner_half: float
    momentum: float
    outlier_bars: Sequence[int] | None = None


class Check(NamedTuple):
    """One published number and the referee's; `difference` is infinite where one is missing."""

    field: str
    difference: float
    tolerance: float
    unit: Unit
    published: str
    expected: str

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


def coins_per_turn(coins: int, interval_s: float) -> int:
    """Return how many coins a step must check to cover all within `COVER_S`."""
    turns = max(1, math.floor(COVER_S / interval_s))
    return math.ceil(coins / turns)


def checks(signal: TaSignal, seen: Mapping[Timeframe, Numbers]) -> Iterator[Check]:
    """Yield a check of every published number that is comparable with the referee's.

    Left out is what may legitimately differ: RSI, %K and %D up to bar 300, or while the
    different seed or a narrow range of RSI magnifies float noise; ATR14, momentum and spread
    of a flat market; states within 1e-8 of the price from their threshold.

    Args:
        seen: Only the timeframes whose candles are those the signal was made of.
    """
    ribbon = signal.ema_ribbon
    published = {Timeframe.M5: ribbon.values, Timeframe.H1: ribbon.values_1h}
    for timeframe, numbers in seen.items():
        for period, ours, theirs in zip(
            PERIODS, published.get(timeframe, ()), numbers.emas, strict=False
        ):
            yield from _number(f"ema{period}_{timeframe}", "ema", ours, theirs)
        if not numbers.atr14 <= STILL * numbers.close:
            atr14 = signal.inputs[timeframe].atr14
            yield from _number(f"atr14_{timeframe}", "atr14", atr14, numbers.atr14)
        yield from _ribbon(
            timeframe,
            numbers,
            state=getattr(ribbon, f"state_{timeframe}"),
            spread=getattr(ribbon, f"spread_{timeframe}"),
        )
    if Timeframe.M5 in seen:
        yield from _oscillator(signal, seen[Timeframe.M5])
        yield from _squeeze(signal, seen[Timeframe.M5])


def _ribbon(
    timeframe: Timeframe, numbers: Numbers, *, state: str | None, spread: float | None
) -> Iterator[Check]:
    steps = [shorter - longer for shorter, longer in pairwise(numbers.emas)]
    if any(map(math.isnan, steps)):
        return
    if min(map(abs, steps)) > NEAR * numbers.close:
        expected = "mixed"
        if all(step > 0 for step in steps):
            expected = "bullish"
        elif all(step < 0 for step in steps):
            expected = "bearish"
        yield _state(f"state_{timeframe}", "state", state or "none", expected)
    if numbers.atr14 > STILL * numbers.close:
        width = (max(numbers.emas) - min(numbers.emas)) / numbers.atr14
        theirs = 100 * (1 - math.exp(-width / SPREAD_SCALE))
        yield from _number(f"spread_{timeframe}", "spread", spread, theirs)


def _oscillator(signal: TaSignal, numbers: Numbers) -> Iterator[Check]:
    if numbers.bars <= SETTLED_BARS:
        return
    stoch = signal.stoch_rsi_divergence
    doubt = numbers.rsi_doubt
    tolerance = TOLERANCE["rsi"][0]
    if not doubt <= tolerance / 2:  # also NaN: a market that never moved
        return
    yield from _number("rsi", "rsi", stoch.rsi, numbers.rsi)
    if numbers.rsi_range > NARROW and 200 * doubt / numbers.rsi_range <= tolerance / 2:
        yield from _number("stoch_k", "stoch_k", stoch.stoch_k, numbers.stoch_k)
        yield from _number("stoch_d", "stoch_d", stoch.stoch_d, numbers.stoch_d)


def _squeeze(signal: TaSignal, numbers: Numbers) -> Iterator[Check]:
    squeeze = signal.ttm_squeeze
    room = numbers.keltner_half - numbers.bollinger_half
    if abs(room) > NEAR * numbers.close:
        published = "none" if squeeze.squeeze is None else _on_or_off(squeeze.squeeze)
        yield _state("squeeze", "squeeze", published, _on_or_off(room > 0))
    if numbers.outlier_bars is not None:
        published, expected = _times(squeeze.outlier_bars), _times(numbers.outlier_bars)
        yield _state("outlier_bars", "outlier_bars", published, expected)
    if numbers.atr14 > STILL * numbers.close:
        theirs = numbers.momentum / numbers.atr14
        yield from _number("momentum", "momentum", squeeze.momentum, theirs)


def _times(times: Sequence[int]) -> str:
    return " ".join(map(str, times)) or "none"


def _on_or_off(on: bool) -> str:
    return "on" if on else "off"


def _number(field: str, kind: str, ours: float | None, theirs: float) -> Iterator[Check]:
    missing = math.isnan(theirs)
    if ours is None and missing:
        return
    tolerance, unit = TOLERANCE[kind]
    if ours is None or missing:
        difference = math.inf
    else:
        difference = abs(ours - theirs)
        if unit == "relative" and difference:
            difference = difference / abs(theirs) if theirs else math.inf
    yield Check(
        field,
        difference,
        tolerance,
        unit,
        published="none" if ours is None else f"{ours:.12g}",
        expected="none" if missing else f"{theirs:.12g}",
    )


def _state(field: str, kind: str, ours: str, theirs: str) -> Check:
    tolerance, unit = TOLERANCE[kind]
    return Check(field, float(ours != theirs), tolerance, unit, ours, theirs)


def summary(
    looks: Mapping[str, Sequence[Check]], *, referee: str, skipped: Mapping[str, str], at_ms: int
) -> AuditReport:
    """Return the report on the latest checks: per field the largest difference."""
    worst: dict[str, tuple[str, Check]] = {}
    beyond: dict[str, list[str]] = {}
    for coin, found in looks.items():
        for check in found:
            if check.field not in worst or check.difference > worst[check.field][1].difference:
                worst[check.field] = (coin, check)
            if not check.holds:
                beyond.setdefault(check.field, []).append(coin)
    return AuditReport(
        at_ms=at_ms,
        referee=referee,
        coins=len(looks),
        fields={
            field: AuditedField(
                difference=check.difference if math.isfinite(check.difference) else None,
                tolerance=check.tolerance,
                unit=check.unit,
                coin=coin,
                published=check.published,
                expected=check.expected,
                coins_beyond=beyond.get(field, []),
            )
            for field, (coin, check) in worst.items()
        },
        skipped=dict(skipped),
    )


def suspects(report: AuditReport) -> list[str]:
    """Return the coins with a number beyond its tolerance."""
    return sorted({coin for field in report.fields.values() for coin in field.coins_beyond})
