"""The base score: its table to the number, what is not scored and why, and the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.errors import NoCandles
from shared.indicators.base_score import COMPONENTS
from shared.indicators.frames import HALT_BARS, STALE_GRACE_MS, WARM_BARS
from shared.indicators.scoring import (
    CANDIDATE,
    CANDIDATE_KEPT,
    STRONG,
    STRONG_KEPT,
    WATCH,
    BaseScore,
    base_scores,
    base_scores_at,
    label_after,
    label_event,
    next_label,
)
from shared.indicators.signals import CoinWindows
from shared.market import COLUMNS, Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import Label, LabelChange
from shared.messages.trading import TradeSide
from tests.support.candle_series import window_at
from tests.support.recordings import generated
from tests.support.score_by_hand import parts_by_hand

M5, H1 = Timeframe.M5, Timeframe.H1
BTC = generated("BTCUSDT", 8000)
PLACE = 7800
NOW_MS = int(BTC.closes[PLACE])
SIDES: tuple[TradeSide, ...] = ("long", "short")


def windows(now_ms: int = NOW_MS, **changed: CandleWindow | None) -> CoinWindows:
    """Return BTC's windows at a time; `m5` and `h1` replace them."""
    found: dict[Timeframe, CandleWindow | None] = {
        t: window_at(BTC.candles[t], t, now_ms) for t in (M5, H1)
    }
    return CoinWindows("BTCUSDT", found | {Timeframe[k.upper()]: w for k, w in changed.items()})


def scored(coin: CoinWindows, now_ms: int = NOW_MS, history: int = 500) -> BaseScore:
    result = base_scores([coin], history, now_ms)[coin.symbol]
    assert isinstance(result, BaseScore), result
    return result


def same(one: BaseScore, other: BaseScore) -> bool:
    return all(one.side(side) == other.side(side) for side in SIDES)


# The table.


def test_the_components_give_a_hundred_points() -> None:
    assert sum(COMPONENTS.values()) == 100
    assert list(COMPONENTS.values()) == [19, 14, 20, 12, 10, 15, 10]


@pytest.mark.parametrize("place", range(7000, 7990, 30))
def test_every_part_is_what_its_formula_says(place: int) -> None:
    now_ms = int(BTC.closes[place])
    found = scored(windows(now_ms), now_ms)
    m5 = BTC.candles[M5][: place + 1].tail(500)
    h1 = BTC.candles[H1].closed(H1, now_ms).tail(500)
    for side in SIDES:
        told = found.side(side)
        expected = parts_by_hand(m5, h1, short=side == "short")
        assert [p.points for p in told.parts] == pytest.approx(expected, abs=1e-9)
        assert [p.name for p in told.parts] == list(COMPONENTS)
        assert [p.max for p in told.parts] == list(COMPONENTS.values())
        assert told.score == found.score(side) == int(sum(expected) + 1e-9)
    assert found.coverage == 1 and found.fault == ""
    assert found.close == m5.close[-1] and found.closed_until_ms == now_ms


def test_the_series_tried_reach_high_and_low_scores() -> None:
    """Otherwise the comparison above would compare little."""
    times = [int(BTC.closes[place]) for place in range(7000, 7990, 5)]
    found = base_scores_at([(windows(now_ms), now_ms) for now_ms in times], 500)
    scores = [each.score(side) for each in found if isinstance(each, BaseScore) for side in SIDES]
    assert min(scores) < 10 and max(scores) > 80


def test_parts_say_in_words_what_they_saw() -> None:
    texts = [part.text for part in scored(windows()).side("long").parts]
    starts = ("1h close ", "close ", "histogram ", "RSI ", "%B ")
    assert all(text.startswith(start) for text, start in zip(texts, starts, strict=False))
    assert "× the mean of 20, candle " in texts[5] and texts[6].endswith(" EMA20")


# Which candles count.


def test_the_forming_candle_counts_for_nothing() -> None:
    now_ms = NOW_MS + 60_000
    window = window_at(BTC.candles[M5], M5, now_ms)
    assert window.candles.open_time_ms[-1] == NOW_MS
    plain = scored(windows(now_ms), now_ms)
    columns = {c: getattr(window.candles, c).copy() for c in COLUMNS}
    for column in ("high", "close", "volume"):
        columns[column][-1] *= 3
    wild = replace(window, candles=Candles(**columns))
    assert same(scored(windows(now_ms, m5=wild), now_ms), plain)


def test_only_the_last_500_closed_candles_count() -> None:
    short = {
        t: window_at(BTC.candles[t], t, NOW_MS, keep=500) for t in (M5, H1)
    }  # fmt: skip
    whole = scored(windows())
    assert same(scored(CoinWindows("BTCUSDT", short)), whole)
    less = scored(windows(), history=300)
    assert [p.points for p in less.side("long").parts] != [
        p.points for p in whole.side("long").parts
    ]


def test_1h_candles_that_closed_later_count_for_nothing() -> None:
    """Else the score of a candle would depend on which window came first."""
    hour_ms = H1.open_at(NOW_MS) + H1.ms
    before_ms = hour_ms - M5.ms
    early, late = window_at(BTC.candles[H1], H1, before_ms), window_at(BTC.candles[H1], H1, hour_ms)
    plain = scored(windows(before_ms, h1=early), before_ms)
    assert same(scored(windows(before_ms, h1=late), before_ms), plain)


def test_on_the_hour_the_1h_candle_of_that_hour_is_waited_for() -> None:
    hour_ms = H1.open_at(NOW_MS)
    early = window_at(BTC.candles[H1], H1, hour_ms - 1)
    found = scored(windows(hour_ms, h1=early), hour_ms)
    assert found.coverage == 0.81
    assert found.fault.startswith("1h candles not yet closed until 20")
    assert found.fault.endswith("context trend 1h not scored")
    assert scored(windows(hour_ms), hour_ms).fault == ""


def test_change_of_24h_is_from_the_close_24h_before() -> None:
    closes = BTC.candles[M5].close
    expected = 100 * (closes[PLACE] / closes[PLACE - 288] - 1)
    assert scored(windows()).change_24h_pct == pytest.approx(expected, rel=1e-12)
    short = window_at(BTC.candles[M5], M5, NOW_MS, keep=288)
    assert scored(windows(m5=short)).change_24h_pct is None


# What is not scored.


def test_stale_candles_score_nothing() -> None:
    due_ms = NOW_MS + M5.ms + STALE_GRACE_MS
    assert scored(windows(), due_ms).fault == ""
    found = scored(windows(), due_ms + 1)
    assert found.fault == "5m candles stale 1 min: nothing scored"
    assert found.coverage == 0 and [found.score(side) for side in SIDES] == [0, 0]
    parts = found.side("long").parts
    assert {part.points for part in parts} == {0.0}
    assert {part.text for part in parts} == {"not scored, an input is missing"}
    assert found.close == BTC.candles[M5].close[PLACE]


def test_stale_1h_candles_cost_their_component_alone() -> None:
    stale = window_at(BTC.candles[H1], H1, NOW_MS - 3 * H1.ms)
    found, whole = scored(windows(h1=stale)), scored(windows())
    assert found.coverage == 0.81
    assert found.fault.startswith("1h candles stale ")
    for side in SIDES:
        assert found.side(side).parts[1:] == whole.side(side).parts[1:]
        assert found.side(side).parts[0].points == 0


def test_missing_1h_candles_cost_their_component() -> None:
    found = scored(windows(h1=None))
    assert found.coverage == 0.81
    assert found.fault == "1h candles missing: context trend 1h not scored"


def test_too_few_candles_score_nothing() -> None:
    cold = window_at(BTC.candles[M5], M5, NOW_MS, keep=WARM_BARS - 1)
    assert scored(windows(m5=cold)).fault == "5m candles not warm (299 of 300 bars): nothing scored"
    warm = window_at(BTC.candles[M5], M5, NOW_MS, keep=WARM_BARS)
    assert scored(windows(m5=warm)).fault == ""


def holed(since: int) -> tuple[CandleWindow, tuple[int, int]]:
    """Return a window that lacks three candles, `since` candles ago, and where."""
    window = window_at(BTC.candles[M5], M5, NOW_MS)
    keep = np.ones(len(window.candles), dtype=bool)
    end = len(window.closed()) - since
    keep[end - 3 : end] = False
    times = window.candles.open_time_ms
    return replace(window, candles=window.candles[keep]), (int(times[end - 3]), int(times[end]))


def test_an_unfilled_gap_scores_nothing() -> None:
    window, _ = holed(since=200)
    found = scored(windows(m5=window))
    assert found.fault == "5m candles have an unfilled gap: nothing scored"
    assert found.coverage == 0


@pytest.mark.parametrize(
    ("since", "silent"), [(1, True), (HALT_BARS, True), (HALT_BARS + 1, False)]
)
def test_after_a_halt_nothing_is_scored_for_a_while(since: int, silent: bool) -> None:
    window, absent = holed(since)
    found = scored(windows(m5=replace(window, absent=(absent,))))
    expected = f"5m candles only {since} of {HALT_BARS} bars past a halt: nothing scored"
    assert found.fault == (expected if silent else "")


def test_without_volume_before_its_component_is_missing() -> None:
    window = window_at(BTC.candles[M5], M5, NOW_MS)
    columns = {c: getattr(window.candles, c).copy() for c in COLUMNS}
    last = len(window.closed()) - 1
    columns["volume"][last - 20 : last] = 0.0
    found = scored(windows(m5=replace(window, candles=Candles(**columns))))
    assert found.coverage == 0.85
    assert found.fault == "without movement or volume: volume not scored"
    assert found.side("long").parts[5].points == 0


def test_without_a_closed_candle_there_is_no_score() -> None:
    result = base_scores([windows(m5=None)], 500, NOW_MS)["BTCUSDT"]
    assert isinstance(result, NoCandles)


def test_a_coin_that_fails_stays_alone() -> None:
    other = generated("ETHUSDT", 8000)
    eth = CoinWindows(
        "ETHUSDT",
        {t: window_at(other.candles[t], t, NOW_MS, symbol="ETHUSDT") for t in (M5, H1)},
    )
    wrong = CoinWindows("SOLUSDT", eth.windows)
    found = base_scores([windows(), wrong, eth], 500, NOW_MS)
    assert isinstance(found["SOLUSDT"], ValueError)
    assert "the window given is that of ETHUSDT 5m" in str(found["SOLUSDT"])
    among, alone = found["ETHUSDT"], scored(eth)
    assert isinstance(among, BaseScore) and same(among, alone)


# Labels.


@pytest.mark.parametrize(
    ("before", "score", "after"),
    [
        ("none", WATCH - 1, "none"),
        ("none", WATCH, "watch"),
        ("watch", CANDIDATE - 1, "watch"),
        ("watch", CANDIDATE, "candidate"),
        ("none", STRONG - 1, "candidate"),
        ("none", STRONG, "strong"),
        ("candidate", CANDIDATE_KEPT, "candidate"),
        ("candidate", CANDIDATE_KEPT - 1, "watch"),
        ("candidate", WATCH - 1, "none"),
        ("candidate", STRONG_KEPT, "candidate"),
        ("strong", STRONG_KEPT, "strong"),
        ("strong", STRONG_KEPT - 1, "candidate"),
        ("strong", CANDIDATE_KEPT, "candidate"),
        ("strong", CANDIDATE_KEPT - 1, "watch"),
        ("strong", 0, "none"),
    ],
)
def test_labels_are_kept_a_little_longer_than_they_are_given(
    before: Label, score: int, after: Label
) -> None:
    assert next_label(before, score) == after


def test_borders_users_rely_on() -> None:
    assert (WATCH, CANDIDATE, STRONG, CANDIDATE_KEPT, STRONG_KEPT) == (60, 75, 86, 65, 70)


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        ("none", "watch", None),
        ("watch", "candidate", ("entered", "candidate")),
        ("none", "strong", ("entered", "strong")),
        ("candidate", "strong", ("entered", "strong")),
        ("strong", "strong", None),
        ("strong", "candidate", ("left", "strong")),
        ("strong", "none", ("left", "strong")),
        ("candidate", "watch", ("left", "candidate")),
        ("watch", "none", None),
    ],
)
def test_only_candidate_and_strong_make_history(
    before: Label, after: Label, event: tuple[str, str] | None
) -> None:
    assert label_event(before, after) == event


def test_the_history_tells_every_label_that_matters() -> None:
    """Whoever reads the last event knows where the side stands, at any time."""
    rng = np.random.default_rng(5)
    label: Label = "none"
    remembered: Label = "none"
    events = 0
    for score in np.clip(np.cumsum(rng.normal(0, 9, 5000)) % 200, 0, 100).astype(int).tolist():
        after = next_label(label, score)
        event = label_event(label, after)
        if event is not None:
            events += 1
            change = LabelChange(
                at_ms=0, symbol="BTCUSDT", side="long", event=event[0], label=event[1],
                base=score, bonus=None, close=1.0,
            )  # fmt: skip
            remembered = label_after(change)
        label = after
        assert remembered == (label if label in ("candidate", "strong") else "none")
        # and the next score is judged alike by both
        assert all(next_label(remembered, s) == next_label(label, s) for s in range(101))
    assert events > 100
