"""The bonus points of the three indicators for each side, with reasons."""

from __future__ import annotations

from typing import NamedTuple

from shared.messages.signals import (
    CompositeScoreAdjustment,
    RibbonState,
    Side,
    StochRsiDivergence,
    TtmSqueeze,
)

RIBBON_POINTS = 10
SQUEEZE_POINTS = 15
DIVERGENCE_POINTS = 20


class Evidence(NamedTuple):
    """The inputs of the bonus.

    Attributes:
        clipped: The squeeze with outliers cut back, where there is one to judge a release by.
        fault_5m: Why 5m candles are unusable, such as `stale 7 min`; "" if they are not.
        fault_1h: The same for the 1h candles.
    """

    ribbon_5m: RibbonState | None
    ribbon_1h: RibbonState | None
    squeeze: TtmSqueeze
    divergence: StochRsiDivergence
    fault_5m: str
    fault_1h: str
    clipped: TtmSqueeze | None = None


def composite(evidence: Evidence, *, fresh: int, min_strength: float) -> CompositeScoreAdjustment:
    """Return the sum of the bonus points per side, uncapped, with one reason for each.

    +10 when the ribbons of 5m and 1h are stacked the same way; +15 while a squeeze release is
    fresh and the momentum still has the same sign, and both with outliers cut back too; +20 for
    a divergence at most `fresh` bars old and at least `min_strength` strong. A timeframe with a
    fault gives no points, and a reason for that.

    Units: points, 0..45 per side.
    """
    points: dict[Side, int] = {"bullish": 0, "bearish": 0}
    reasons: list[str] = []

    def give(side: Side, amount: int, what: str) -> None:
        points[side] += amount
        reasons.append(f"{what} (+{amount})")

    if evidence.fault_5m:
        reasons.append(f"5m candles {evidence.fault_5m}: nothing scored")
    if evidence.fault_1h:
        reasons.append(f"1h candles {evidence.fault_1h}: ribbon not scored")

    if not evidence.fault_5m:
        state = evidence.ribbon_5m
        if (
            not evidence.fault_1h
            and state == evidence.ribbon_1h
            and state != "mixed"
            and state is not None
        ):
            give(state, RIBBON_POINTS, f"EMA ribbon {state} aligned")

        squeeze = evidence.clipped or evidence.squeeze
        side = squeeze.direction
        if evidence.squeeze.fired and not squeeze.fired:
            released = (
                "an outlier, still on without it" if squeeze.squeeze else "a bar leaving the window"
            )
            reasons.append(f"Squeeze released by {released}, no points")
        elif evidence.squeeze.fired and side is not None and side == squeeze.fired_direction:
            apart = "" if side == evidence.squeeze.direction else ", outliers left out"
            give(side, SQUEEZE_POINTS, f"TTM squeeze {side}{apart}")

        found = evidence.divergence
        if (
            found.divergence != "none"
            and found.candles_ago <= fresh
            and found.strength >= min_strength
        ):
            give(found.divergence, DIVERGENCE_POINTS, f"Stoch RSI {found.divergence} divergence")

    return CompositeScoreAdjustment(
        long_bonus=points["bullish"], short_bonus=points["bearish"], reasoning=reasons
    )
