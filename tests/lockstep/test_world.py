"""What a world is given counts: signals, breakers and their release."""

from __future__ import annotations

import dataclasses

import pytest

from shared.config.sections import TraderSection
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.lockstep.world import Outcome, World

MINUTE_MS = 60_000
RECORDINGS = made_market()
CHOOSY = dataclasses.replace(SETTINGS, entry_score=70)


def run(settings: TraderSection, first_min: float, last_min: float) -> Outcome:
    begin_ms, end_ms = (BEGIN_MS + round(each * MINUTE_MS) for each in (first_min, last_min))
    return World(RECORDINGS, settings, begin_ms, end_ms).run()


def test_bonus_of_the_signals_counts_where_the_trader_uses_them() -> None:
    # at minute 65 the base of BTCUSDT is 68, and a squeeze fires
    without = run(CHOOSY, 60, 65.2)
    with_signals = run(dataclasses.replace(CHOOSY, use_ta_signals=True), 60, 65.2)
    assert without.intents == []
    plans = [(each.symbol, each.side, each.plan) for each in with_signals.still_open]
    ((symbol, side, plan),) = plans
    assert plan is not None
    assert (symbol, side, plan.base, plan.bonus) == ("BTCUSDT", "long", 68, 15)


def test_breaker_ends_entries_until_it_is_released() -> None:
    # ETHUSDT and BTCUSDT are entered at once, ETHUSDT is stopped in minute 10
    settings = dataclasses.replace(SETTINGS, max_losses=1, loss_pause_h=0)
    world = World(RECORDINGS, settings, BEGIN_MS, BEGIN_MS + 17 * MINUTE_MS)
    world.at(BEGIN_MS + 16 * MINUTE_MS, lambda there: there.bus.command("release"))
    outcome = world.run()
    assert [each.symbol for each in outcome.intents] == ["ETHUSDT", "BTCUSDT"]
    modes = [event.text.split(":")[0] for event in outcome.events if event.kind == "mode"]
    assert modes == ["mode enabled", "mode locked", "mode enabled"]
    free = World(RECORDINGS, SETTINGS, BEGIN_MS, BEGIN_MS + 15 * MINUTE_MS + 10_000).run()
    assert free.intents[-1].symbol == "SOLUSDT"


def test_world_without_coins_or_time_is_refused() -> None:
    with pytest.raises(ValueError, match="recordings: found none"):
        World({}, SETTINGS, BEGIN_MS, BEGIN_MS + 1)
    with pytest.raises(ValueError, match="expected more than begin_ms"):
        World(RECORDINGS, SETTINGS, BEGIN_MS, BEGIN_MS)
