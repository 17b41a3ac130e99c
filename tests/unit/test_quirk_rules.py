"""The judgement over platforms with odd coins: every rule is seen broken."""

from __future__ import annotations

from typing import Any

from shared.config.load import load
from shared.market import Timeframe
from tests.chaos.quirks.coins import QUIRKS, Quirk
from tests.chaos.quirks.verdict import (
    SETTLE_MS,
    candles_that_differ,
    named,
    said_besides,
    signals_that_differ,
    unsaid,
)
from tests.chaos.quirks.watch import Windows, Words
from tests.support.paths import ROOT

M5 = Timeframe.M5
CLOSE = 1_735_000_200_000
NOW = CLOSE + M5.ms + SETTLE_MS


def words(*problems: str, notes: tuple[str, ...] = (), **cards: str) -> Words:
    seen = Words()
    plain: list[dict[str, Any]] = [
        {"symbol": coin, "state": "live", "stateReason": text} for coin, text in cards.items()
    ]
    seen.take({"problems": list(problems), "notes": list(notes)}, plain)
    return seen


def test_thirty_coins_have_one_quirk_each_and_are_no_coins_of_the_shipped_configuration() -> None:
    coins = {quirk.coin for quirk in QUIRKS}
    assert len(QUIRKS) == len(coins) == 30
    assert not coins & set(load(ROOT / "config.yaml").symbols)
    assert len({quirk.about for quirk in QUIRKS}) == 30


def test_signals_differ_by_value_or_by_absence_but_not_while_they_are_new() -> None:
    one, other = {b"1"}, {b"2"}
    both = {("A", CLOSE): one, ("A", CLOSE + M5.ms): one}
    assert not list(signals_that_differ(both, both, NOW))
    changed = both | {("A", CLOSE): other}
    assert len(list(signals_that_differ(changed, both, NOW))) == 1
    fewer = {("A", CLOSE): one, ("B", CLOSE): one}
    assert list(signals_that_differ(both, fewer, NOW)) == [
        f"A at close {CLOSE + M5.ms}: only with odd coins",
        f"B at close {CLOSE}: only without odd coins",
    ]
    assert len(list(signals_that_differ(both, fewer, NOW - 1))) == 1


def test_closes_that_one_was_too_late_to_see_are_not_compared() -> None:
    late = {("A", CLOSE + M5.ms): {b"1"}}
    early = {("A", CLOSE): {b"1"}, **late}
    assert not list(signals_that_differ(late, early, NOW))


def test_no_signal_at_all_is_no_agreement() -> None:
    assert list(signals_that_differ({}, {}, NOW)) == ["none was compared"]


def test_candles_differ_by_value_hole_or_absence() -> None:
    row, other = (1.0,) * 5, (2.0,) * 5
    whole: Windows = {("A", M5): {CLOSE + n * M5.ms: row for n in range(4)}}
    longer: Windows = {("A", M5): {CLOSE + n * M5.ms: row for n in range(-1, 5)}}
    assert not list(candles_that_differ(whole, longer))
    assert list(candles_that_differ(whole, {("A", M5): {}})) == ["A 5m: only with odd coins"]
    for rows in ({**whole["A", M5], CLOSE + M5.ms: other},
                 {t: r for t, r in whole["A", M5].items() if t != CLOSE + M5.ms}):  # fmt: skip
        (text,) = candles_that_differ({("A", M5): rows}, whole)
        assert text.startswith(f"A 5m at {CLOSE + M5.ms}")


def test_quirk_must_be_said_where_it_belongs() -> None:
    bad = Quirk(coin="ZEROUSDT", about="", problem="price", said="")
    assert not list(unsaid([bad], words("ZEROUSDT: price 0")))
    assert len(list(unsaid([bad], words("XZEROUSDT: price 0")))) == 1
    assert len(list(unsaid([bad], words(ZEROUSDT="price 0")))) == 1
    young = Quirk(coin="YOUNGUSDT", about="", said="young")
    assert not list(unsaid([young], words(notes=("YOUNGUSDT: young",))))
    assert not list(unsaid([young], words(YOUNGUSDT="young")))
    assert len(list(unsaid([young], words("YOUNGUSDT: young")))) == 1


def test_nothing_else_may_be_said_of_a_quirk_and_nothing_twice() -> None:
    bad = Quirk(coin="ZEROUSDT", about="", problem="price", may="gap")
    for good in ((), ("ZEROUSDT: price 0",), ("ZEROUSDT: gap",)):
        assert not list(said_besides([bad], words(*good, ZEROUSDT="price 0")))
    assert len(list(said_besides([bad], words("ZEROUSDT: beyond")))) == 1
    twice = words("ZEROUSDT: price 0", notes=("ZEROUSDT: gap",), ZEROUSDT="")
    assert len(list(said_besides([bad], twice))) == 1
    young = Quirk(coin="YOUNGUSDT", about="", said="young")
    assert len(list(said_besides([young], words("YOUNGUSDT: young")))) == 1


def test_problem_of_a_clean_coin_is_seen_among_those_of_many() -> None:
    assert not list(named(["BTCUSDT"], words("ZEROUSDT: price 0", "WBTCUSDT: gap")))
    assert len(list(named(["BTCUSDT"], words("2 coins: stale: ZEROUSDT, BTCUSDT")))) == 1
