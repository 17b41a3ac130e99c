"""When a refused request is sent again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from actors.trader.refusals import RefusalRun, Situation, in_words, refused, wait_s

D = Decimal
WHY = "the venue refuses (code 3109): balance not enough, 12.5 missing"
BAND = D(100)
SINCE_MS = 1_700_000_000_000
NOW = Situation(symbol="BTCUSDT", size="0.01", has_stop=True, mark=D(60_000))


def after(
    count: int, why: str = WHY, now: Situation = NOW, band: Decimal | None = BAND
) -> RefusalRun:
    run = None
    for i in range(count):
        run = refused(run, "close", why, now, now_ms=SINCE_MS + i, band=band)
    assert run is not None
    return run


def pauses(why: str = WHY, now: Situation = NOW) -> list[float]:
    return [after(count, why, now).pause_s for count in range(1, 8)]


def test_a_request_that_was_not_refused_is_sent_now() -> None:
    assert wait_s(None, NOW, 0) == 0


def test_the_pause_doubles_from_3_s_to_60() -> None:
    assert pauses() == [3, 6, 12, 24, 48, 60, 60]
    run = after(3)
    assert wait_s(run, NOW, run.last_ms + 11_000) == 1
    assert wait_s(run, NOW, run.last_ms + 12_000) == 0


def test_a_position_without_a_stop_waits_less_long() -> None:
    assert pauses(now=replace(NOW, has_stop=False)) == [3, 6, 12, 15, 15, 15, 15]


def test_a_venue_that_was_not_reached_is_tried_again_sooner() -> None:
    assert pauses("not sent: connection refused") == [3, 6, 12, 15, 15, 15, 15]


@pytest.mark.parametrize(
    ("now", "waits"),
    [
        (replace(NOW, size="0.010"), True),
        (replace(NOW, size="0.009"), False),
        (replace(NOW, has_stop=False), False),
        (replace(NOW, mark=D(60_100)), True),
        (replace(NOW, mark=D(60_101)), False),
        (replace(NOW, mark=D(59_899)), False),
        (replace(NOW, mark=None), True),
    ],
)
def test_a_changed_position_or_price_ends_the_pause(now: Situation, waits: bool) -> None:
    run = after(6)
    assert (wait_s(run, now, run.last_ms + 1000) > 0) is waits


def test_after_a_move_the_pause_goes_on_from_the_new_price() -> None:
    moved = replace(NOW, mark=D(60_200))
    run = refused(after(6), "close", WHY, moved, now_ms=SINCE_MS + 9, band=D(100))
    assert (run.count, run.since_ms) == (7, SINCE_MS)
    assert wait_s(run, moved, SINCE_MS + 9) == 60


def test_a_clock_set_back_makes_no_long_pause() -> None:
    run = replace(after(6), last_ms=SINCE_MS + 3_600_000)
    assert wait_s(run, NOW, SINCE_MS) == 0


@pytest.mark.parametrize(
    ("why", "now", "count"),
    [
        (WHY.replace("12.5", "13"), NOW, 5),
        (WHY.replace("enough, 12.5", "enough: 12.5"), NOW, 5),
        (WHY.replace("3109", "3127"), NOW, 1),
        (WHY, replace(NOW, size="0.009"), 1),
    ],
    ids=["other words", "words with a colon", "another code", "another position"],
)
def test_only_the_same_refusal_goes_on(why: str, now: Situation, count: int) -> None:
    now_ms = SINCE_MS + 9
    found = refused(after(4), "close", why, now, now_ms=now_ms, band=None)
    assert (found.count, found.last_ms) == (count, now_ms)
    assert found.since_ms == (now_ms if count == 1 else SINCE_MS)
    if count > 1:
        assert refused(found, "close", WHY, now, now_ms=now_ms, band=None).count == count + 1


def test_a_refusal_is_kept_with_its_situation() -> None:
    found = refused(None, "stop", WHY, NOW, now_ms=SINCE_MS, band=BAND, client_id="c-1")
    assert found == RefusalRun(
        symbol="BTCUSDT", what="stop", why=WHY, count=1, since_ms=SINCE_MS, last_ms=SINCE_MS,
        size="0.01", has_stop=True, mark="60000", band="100", client_id="c-1",
    )  # fmt: skip
    unknown = refused(None, "stop", WHY, replace(NOW, mark=None), now_ms=SINCE_MS, band=None)
    assert (unknown.mark, unknown.band, unknown.client_id) == (None, None, "")


def test_without_a_price_of_then_no_move_ends_the_pause() -> None:
    moved = replace(NOW, mark=D(70_000))
    for run in (after(6, now=replace(NOW, mark=None)), after(6, band=None)):
        assert wait_s(run, moved, run.last_ms + 1000) > 0


def test_it_says_how_often_since_when_and_when_next() -> None:
    assert in_words(after(1), SINCE_MS) == f"close refused, tried again in 3 s: {WHY}"
    bare = after(4, now=replace(NOW, has_stop=False))
    assert in_words(bare, bare.last_ms + 5000) == (
        "close refused 4 times since 2023-11-14T22:13:20Z, WITHOUT A STOP, "
        f"tried again in 10 s: {WHY}"
    )
    assert "again in 0 s" in in_words(bare, bare.last_ms + 3_600_000)
