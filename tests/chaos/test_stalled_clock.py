"""The machine was suspended, or its clock was set: everything is read anew, and soon well again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import orjson

from shared.supervision.test_hooks import trial_folder
from tests.chaos.conftest import LIGHT, Make, is_well
from tests.support.platform_run import Platform, wait_for

HOUR_MS = 3_600_000
WITHIN_S = 40  # the machine may be busy; an idle one needs 8


def shift(running: Platform, offset_ms: int, *names: str) -> None:
    for name in names:
        with (trial_folder(running.state_dir) / name).open("r+b") as file:
            file.write(b"%+020d" % offset_ms)


def fetched_ms(running: Platform) -> Iterator[int]:
    """Yield when the candles of every key were fetched."""
    with running.redis() as client:
        for key in client.scan_iter("cache:candles:*", count=1000):
            raw = client.get(key)
            if raw is not None:
                yield int(orjson.loads(raw)["fetched_at_ms"])


def is_anew(running: Platform, count: int, offset_ms: int, after_ms: float) -> bool:
    """Tell whether all keys are there, fetched by the shifted clock after a moment."""
    found = list(fetched_ms(running))
    latest_ms = 1000 * time.time() + offset_ms
    return len(found) == count and all(
        after_ms + offset_ms <= at_ms <= latest_ms + 100 for at_ms in found
    )


def noticed(running: Platform, name: str) -> list[str]:
    """Return the jumps in an actor's log, in seconds."""
    return re.findall(r"the clock jumped by ([+-]\d+) s", running.log(name))


def test_after_a_jump_of_the_clock_all_candles_are_fetched_anew_and_all_is_well(
    platform: Make,
) -> None:
    running = platform(*LIGHT, "testing.hooks=true")
    running.start()
    wait_for(lambda: is_well(running), 60, "well")
    count = len(list(fetched_ms(running)))
    assert count == 3 * 7
    jumps: list[str] = []
    for what, offset_ms, names, jump in (
        ("set ahead", HOUR_MS, ("clock",), "+3600"),
        ("set back", 0, ("clock",), "-3600"),
        ("suspended", HOUR_MS, ("clock", "exchange-clock"), "+3600"),
    ):
        jumps.append(jump)
        before_ms = 1000 * time.time()
        shift(running, offset_ms, *names)
        if what == "suspended":  # Redis' clock ran on: all keys that expire are gone
            with running.redis() as client:
                client.delete(*client.keys("cache:candles:*"), *client.keys("ta:latest:*"))
        wait_for(lambda: is_anew(running, count, offset_ms, before_ms), WITHIN_S, what)  # noqa: B023
        if what != "set ahead":  # the exchange's clock and its candles are an hour behind then
            wait_for(lambda: is_well(running), WITHIN_S, f"well after being {what}")
        for name in ("fetcher", "trader"):  # before the next, which might undo it unnoticed
            wait_for(lambda: noticed(running, name) == jumps, WITHIN_S, f"{name}: {what}")  # noqa: B023
