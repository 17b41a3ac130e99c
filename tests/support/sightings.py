"""What a health actor sees: messages with sensible values, each changed by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.bus import Bus
from shared.messages.actors import ActorStatus, DeathNote, Heartbeat, Lease, SupervisorState
from shared.messages.signals import (
    AuditedField,
    AuditReport,
    CompositeScoreAdjustment,
    EmaRibbon,
    InputState,
    StochRsiDivergence,
    TaSignal,
    TtmSqueeze,
)
from shared.schema import Entry

NOW_MS = 1_700_000_000_000


def input_state(at_ms: int = NOW_MS, **change: Any) -> InputState:
    """Return a timeframe fetched at `at_ms`."""
    state = InputState(
        bars=500,
        warm=True,
        stale=False,
        closed_until_ms=at_ms - at_ms % 300_000,
        fetched_at_ms=at_ms,
        gap_bars=0,
        unfilled_gap=False,
        atr14=1.0,
    )
    return replace(state, **change)


def signal(symbol: str, at_ms: int = NOW_MS, **inputs: InputState) -> TaSignal:
    """Return a signal computed at `at_ms`; `inputs` as `m5=`, `h1=`, `h4=`."""
    names = {"5m": "m5", "1h": "h1", "4h": "h4"}
    return TaSignal(
        symbol=symbol,
        timestamp="2023-11-14T22:10:00Z",
        ema_ribbon=EmaRibbon(
            state_5m="bullish", state_1h="bullish", state_4h="mixed",
            spread_5m=60.0, spread_1h=60.0, spread_4h=None, values=[1.0] * 6, values_1h=[1.0] * 6,
        ),
        ttm_squeeze=TtmSqueeze(
            squeeze=False, momentum=0.1, direction="bullish", bars_in_squeeze=0, timeframe="1h",
            momentum_raw=1.0, colour="rising_positive", fired=False, fired_bars_ago=None,
            fired_direction=None, last_squeeze_bars=None,
        ),
        stoch_rsi_divergence=StochRsiDivergence(
            divergence="none", strength=0.0, candles_ago=0, stoch_k=50.0, stoch_d=50.0, rsi=50.0,
            pivot_a_ms=None, pivot_b_ms=None,
        ),
        composite_score_adjustment=CompositeScoreAdjustment(
            long_bonus=10, short_bonus=0, reasoning=["aligned"]
        ),
        closed_until_ms=at_ms - at_ms % 300_000,
        close=1.0,
        inputs={name: inputs.get(key) or input_state(at_ms) for name, key in names.items()},
        source="sim",
        computed_at_ms=at_ms,
    )  # fmt: skip


def status(name: str, state: str = "ready", **change: Any) -> ActorStatus:
    """Return an actor as the supervisor sees it."""
    seen = ActorStatus(
        name=name,
        state=state,  # type: ignore[arg-type]
        pid=100,
        since_ms=NOW_MS - 5_000,
        restarts=0,
        recycled=0,
        deaths=[],
        backoff_until_ms=None,
        reason="",
        ready_since_ms=NOW_MS - 4_000,
        beat_age_s=0.1,
        doing="",
    )
    return replace(seen, **change)


def death(cause: str) -> DeathNote:
    """Return one recorded exit."""
    return DeathNote(
        at_ms=NOW_MS - 1_000, cause=cause, last_words="", uptime_s=9, doing="", counted=True
    )


def heartbeat(name: str, at_ms: int = NOW_MS, **change: Any) -> Heartbeat:
    """Return what an actor says of itself; further names go into `detail`."""
    own = {key: change.pop(key) for key in ("steps", "step_ms", "pid") if key in change}
    beat = Heartbeat(
        name=name,
        at_ms=at_ms,
        pid=100,
        state="ready",
        steps=3,
        last_step_ms=at_ms,
        step_ms=12.0,
        lag_ms=0.5,
        rss_mb=60.0,
        pss_mb=20.0,
        cpu_pct=1.0,
        code="abc",
        detail=change,
    )
    return replace(beat, **own)


def lease(at_ms: int = NOW_MS) -> Lease:
    """Return a lease somebody holds."""
    return Lease(host="here", pid=1, instance="i", mode="demo", at_ms=at_ms)


def supervisor_state(*problems: str) -> SupervisorState:
    """Return what a supervisor up for ten minutes says of itself."""
    return SupervisorState(
        host="here",
        pid=1,
        mode="demo",
        started_ms=NOW_MS - 600_000,
        at_ms=NOW_MS,
        problems=list(problems),
    )


def audit(at_ms: int = NOW_MS, **differences: float | None) -> AuditReport:
    """Return a report on BTCUSDT; `differences` by field, in points, 1e-6 of them allowed."""
    fields = {
        name: AuditedField(
            difference=difference,
            tolerance=1e-6,
            unit="points",
            coin="BTCUSDT",
            published="50.1",
            expected="50",
            coins_beyond=[] if difference is not None and difference <= 1e-6 else ["BTCUSDT"],
        )
        for name, difference in differences.items()
    }
    return AuditReport(at_ms=at_ms, referee="pandas-ta 1", coins=5, fields=fields, skipped={})


async def put_field[T](bus: Bus, entry: Entry[T], field: str, message: T) -> None:
    """Write one field of a hash."""
    batch = bus.batch()
    batch.put_field(entry, field, message)
    await batch.send()
