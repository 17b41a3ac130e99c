"""A platform in order is never called stale: writer and judge agree at every phase."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from shared.candles.freshness import (
    fetch_interval_s,
    is_write_due,
    refetch_after_s,
    seconds_to_pass,
)
from shared.config.rules import breaches
from shared.config.sections import AccountSection, Config, FetcherSection
from shared.health.verdict import limits_for
from shared.market import Timeframe
from shared.schema import CANDLES, RENEWAL_SHARE

AFTER_CLOSE_S = 1.8  # 1.5 s, and up to 0.3 s of jitter
HOURS_S = 3_600.0
LONGEST = {
    "interval_s": RENEWAL_SHARE * (CANDLES[Timeframe.M5].ttl_s or 0),
    "long_interval_s": RENEWAL_SHARE * (CANDLES[Timeframe.H1].ttl_s or 0),
}


def writes(
    fetcher: FetcherSection, timeframe: Timeframe, phase_s: float, pass_s: float
) -> list[float]:
    """Return the fetch times of the windows written in an hour of passes.

    Args:
        phase_s: Time of the first pass after a 5m close.
        pass_s: Duration of each pass.
    """
    every_s, ttl_s = fetch_interval_s(fetcher, timeframe), CANDLES[timeframe].ttl_s or 0
    is_long = timeframe is not Timeframe.M5
    at_s, asked_s, written = phase_s, float("-inf"), [float("-inf")]
    while at_s < HOURS_S:
        done_s = at_s + pass_s
        if not is_long or at_s - asked_s >= refetch_after_s(every_s):
            asked_s = at_s
            if is_write_due(done_s - written[-1], every_s, ttl_s):
                written.append(done_s)
        close_s = (at_s // 300 + 1) * 300 + AFTER_CLOSE_S - done_s
        due_s = [asked_s + fetcher.long_interval_s - done_s]
        at_s = done_s + seconds_to_pass(
            at_s + fetcher.interval_s - done_s,
            close_s,
            [due for due in due_s if due > 0],
            interval_s=fetcher.interval_s,
        )
    return written[1:]


@pytest.mark.parametrize("timeframe", Timeframe)
@pytest.mark.parametrize("long_interval_s", [10.0, 60.0, 235.0, 240.0])
@pytest.mark.parametrize("interval_s", [1.0, 5.0, 30.0, 48.0])
def test_no_window_gets_older_than_health_allows_nor_expires(
    timeframe: Timeframe, long_interval_s: float, interval_s: float
) -> None:
    fetcher = FetcherSection(interval_s=interval_s, long_interval_s=long_interval_s)
    limit_s = limits_for(fetcher, AccountSection()).candles_s[timeframe]
    ttl_s = CANDLES[timeframe].ttl_s or 0
    scan_s = 1.0  # a scan reads the windows, then computes
    for phase_s, pass_s in itertools.product(range(0, 300, 7), (0.1, 1.0, 2.5)):
        written = writes(fetcher, timeframe, phase_s, pass_s)
        gaps = [b - a for a, b in itertools.pairwise(written)]
        assert max(gaps) + scan_s <= limit_s, (phase_s, pass_s)
        assert max(gaps) < ttl_s, (phase_s, pass_s)


def test_the_intervals_tried_are_the_longest_a_configuration_may_have() -> None:
    def broken(seconds: dict[str, float]) -> list[str]:
        fetcher = replace(FetcherSection(), **seconds)  # type: ignore[arg-type]
        config = Config(groups={"majors": ["BTCUSDT"]}, fetcher=fetcher)
        return [".".join(map(str, breach.path)) for breach in breaches(config, frozenset())]

    assert broken(LONGEST) == []
    for key, seconds in LONGEST.items():
        assert broken({key: seconds + 0.1}) == [f"fetcher.{key}"]
