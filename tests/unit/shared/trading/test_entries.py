"""Which sides are entered: every border of the scores, and what signals may and may not do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import BadMessage, NoCandles
from shared.messages.signals import TaSignal
from shared.messages.trading import TradeSide
from shared.trading.coin_state import CoinAtClose
from shared.trading.entries import Signals, candidates
from shared.trading.plan import Candidate, Refusal
from tests.support.decisions import CLOSE_MS, M5_MS, NOW_MS, bonus, coin, rules, score


def decide(
    *coins: CoinAtClose,
    signals: Signals | None = None,
    before: Signals | None = None,
    **change: Any,
) -> tuple[list[Candidate], list[Refusal]]:
    return candidates(coins, signals or {}, rules(**change), signals_before=before or {})


def entered(*coins: CoinAtClose, **options: Any) -> list[tuple[str, TradeSide]]:
    return [(each.symbol, each.side) for each in decide(*coins, **options)[0]]


def refusal(*coins: CoinAtClose, **options: Any) -> Refusal:
    found, refused = decide(*coins, **options)
    assert not found and len(refused) == 1
    return refused[0]


LONG = [("BTCUSDT", "long")]
SHORT = [("BTCUSDT", "short")]


# The base alone.


@pytest.mark.parametrize(("base", "expected"), [(84, []), (85, LONG), (86, LONG)])
def test_a_side_is_entered_from_the_entry_score_on(base: int, expected: list[Any]) -> None:
    assert entered(coin((base, 0), (84, 0))) == expected


def test_a_side_below_the_entry_score_is_no_refusal() -> None:
    assert decide(coin((84, 60), (0, 0))) == ([], [])


def test_short_is_entered_by_its_own_points() -> None:
    assert entered(coin((0, 85), (0, 84))) == SHORT


@pytest.mark.parametrize(("before", "expected"), [(0, LONG), (84, LONG), (85, []), (100, [])])
def test_only_the_bar_that_crosses_enters(before: int, expected: list[Any]) -> None:
    assert entered(coin((90, 0), (before, 0))) == expected


def test_a_bar_that_does_not_cross_says_so() -> None:
    found = refusal(coin((90, 0), (85, 0)))
    assert found.side == "long"
    assert found.why == "stood at 85 one candle before: this bar does not cross 85"


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (NoCandles("not one"), "not scored: not one"),
        (score(0, closed_until_ms=CLOSE_MS - 2 * M5_MS), "the candle is missing"),
        (
            score(0, closed_until_ms=CLOSE_MS - M5_MS, coverage=0.81, fault="1h candles missing"),
            "not fully scored: 1h candles missing",
        ),
    ],
)
def test_an_unknown_score_before_is_no_entry_and_says_so(before: Any, why: str) -> None:
    found = refusal(replace(coin(), before=before))
    assert found.side == "long"
    assert found.why.startswith("whether this bar crosses is not known")
    assert found.why.endswith(why)


@pytest.mark.parametrize(("other", "expected"), [(69, LONG), (70, LONG), (71, [])])
def test_a_side_leads_the_other_by_the_margin(other: int, expected: list[Any]) -> None:
    assert entered(coin((85, other))) == expected


def test_a_lead_that_is_too_small_says_so() -> None:
    assert refusal(coin((85, 71))).why == "leads short by 14, expected 15"


# What else a coin must have.


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"now": NoCandles("BTCUSDT 5m: not one")}, "not scored: BTCUSDT 5m: not one"),
        ({"now": score(90, coverage=0.99, fault="1h stale")}, "not fully scored: 1h stale"),
        (
            {"now": score(90, closed_until_ms=CLOSE_MS - M5_MS)},
            "the 5m candle that closed at 2023-11-14T22:00:00Z is not there, the newest closed at "
            "2023-11-14T21:55:00Z",
        ),
        (
            {"now": score(90, closed_until_ms=CLOSE_MS + M5_MS)},
            "the 5m candle that closed at 2023-11-14T22:00:00Z is not there, the newest closed at "
            "2023-11-14T22:05:00Z",
        ),
        (
            {"sources": frozenset({"binance"})},
            "candles come from binance, expected sim in this mode",
        ),
        (
            {"sources": frozenset({"binance", "sim"})},
            "candles come from binance, expected sim in this mode",
        ),
        (
            {"sources": frozenset({"elsewhere", "binance"})},
            "candles come from binance, elsewhere, expected sim in this mode",
        ),
    ],
)
def test_a_coin_that_cannot_be_judged_is_refused_as_a_whole(
    change: dict[str, Any], why: str
) -> None:
    found = refusal(replace(coin(), **change))
    assert found == Refusal(symbol="BTCUSDT", side=None, why=why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"volume": 0.0}, "the last candle has no volume"),
        ({"atr_1h": None}, "the 1h ATR is not known"),
        ({"atr_1h": 0.0}, "the 1h ATR is not known"),
    ],
)
def test_a_side_that_lacks_something_is_refused(change: dict[str, Any], why: str) -> None:
    assert refusal(replace(coin(), **change)).why == why


def test_every_reason_is_told() -> None:
    found = refusal(replace(coin((85, 75), (85, 75)), volume=0.0))
    assert found.why == (
        "stood at 85 one candle before: this bar does not cross 85; leads short by 10, expected "
        "15; the last candle has no volume"
    )


def test_refusals_are_sorted_by_coin_then_side() -> None:
    blocked = replace(coin((85, 85)), symbol="BBBUSDT")
    unscored = replace(coin(symbol="CCCUSDT"), now=NoCandles("not one"))
    late = replace(coin(symbol="AAAUSDT"), volume=0.0)
    _, refused = decide(unscored, blocked, late, coin(symbol="DDDUSDT"))
    assert [(each.symbol, each.side) for each in refused] == [
        ("AAAUSDT", "long"),
        ("BBBUSDT", "long"),
        ("BBBUSDT", "short"),
        ("CCCUSDT", None),
    ]


def test_a_coin_that_cannot_be_scored_stops_no_other() -> None:
    unscored = replace(coin(symbol="AAAUSDT"), now=NoCandles("not one"))
    assert entered(unscored, coin()) == LONG


def test_a_coin_with_a_position_is_not_entered() -> None:
    found, refused = candidates([coin(), coin(symbol="ETHUSDT")], {}, rules(), occupied={"BTCUSDT"})
    assert [each.symbol for each in found] == ["ETHUSDT"]
    assert [(each.symbol, each.side) for each in refused] == LONG
    assert refused[0].why == "there is a position in this coin, or an entry under way"


@pytest.mark.parametrize(
    ("ago_ms", "expected"),
    [(3_600_001, LONG), (3_600_000, LONG), (3_599_999, []), (0, []), (-5, [])],
)
def test_after_a_loss_a_coin_and_side_cools_down(ago_ms: int, expected: list[Any]) -> None:
    losses: dict[tuple[str, TradeSide], int] = {("BTCUSDT", "long"): NOW_MS - ago_ms}
    found, refused = candidates([coin()], {}, rules(), last_losses=losses)
    assert [(each.symbol, each.side) for each in found] == expected
    assert all("cools down after a loss until 20" in each.why for each in refused)


def test_a_loss_cools_down_neither_the_other_side_nor_another_coin() -> None:
    losses: dict[tuple[str, TradeSide], int] = {
        ("BTCUSDT", "short"): NOW_MS,
        ("ETHUSDT", "long"): NOW_MS,
    }
    assert len(candidates([coin()], {}, rules(), last_losses=losses)[0]) == 1


# What a candidate carries, and their order.


def test_a_candidate_carries_exact_prices() -> None:
    found = decide(replace(coin(), now=score(90, 10, close=0.1), atr_1h=0.3, stop=0.03))[0]
    assert found == [
        Candidate(
            symbol="BTCUSDT",
            side="long",
            base=90,
            bonus=0,
            total=90,
            lead=80,
            close=Decimal("0.1"),
            atr_1h=Decimal("0.3"),
            stop=Decimal("0.03"),
            closed_until_ms=CLOSE_MS,
        )
    ]


def test_candidates_are_ranked_by_total_then_base_then_symbol() -> None:
    coins = [
        coin((86, 0), symbol="DDDUSDT"),
        coin((90, 0), symbol="CCCUSDT"),
        coin((0, 86), symbol="BBBUSDT"),
        coin((80, 0), (70, 0), symbol="AAAUSDT"),
    ]
    signals = {"AAAUSDT": bonus(10, symbol="AAAUSDT")}
    assert [s for s, _ in entered(*coins, signals=signals, use_ta_signals=True)] == [
        "CCCUSDT",
        "AAAUSDT",
        "BBBUSDT",
        "DDDUSDT",
    ]


# Signals.


def test_without_use_ta_signals_no_bonus_counts() -> None:
    signals = {"BTCUSDT": bonus(45)}
    assert entered(coin((84, 0)), signals=signals) == []
    assert decide(coin(), signals={"BTCUSDT": bonus(45, 45)})[0][0].bonus == 0


@pytest.mark.parametrize(("base", "expected"), [(74, []), (75, LONG), (76, LONG)])
def test_a_bonus_counts_from_the_base_floor_on(base: int, expected: list[Any]) -> None:
    """74 + 20 would be enough too."""
    signals = {"BTCUSDT": bonus(20)}
    assert entered(coin((base, 0), (0, 0)), signals=signals, use_ta_signals=True) == expected


def test_below_the_base_floor_a_bonus_adds_nothing() -> None:
    signals = {"BTCUSDT": bonus(20)}
    one_below = coin((84, 0), (0, 0))
    assert entered(one_below, signals=signals, use_ta_signals=True, base_floor=85) == []


@pytest.mark.parametrize(("points", "expected"), [(9, []), (10, LONG), (11, LONG)])
def test_with_signals_the_total_must_reach_the_entry_score(
    points: int, expected: list[Any]
) -> None:
    signals = {"BTCUSDT": bonus(points)}
    assert entered(coin((75, 0), (0, 0)), signals=signals, use_ta_signals=True) == expected


@pytest.mark.parametrize(("points", "counted"), [(29, 29), (30, 30), (31, 30), (45, 30)])
def test_a_bonus_is_capped(points: int, counted: int) -> None:
    found = decide(coin((85, 0)), signals={"BTCUSDT": bonus(points)}, use_ta_signals=True)[0][0]
    assert (found.base, found.bonus, found.total) == (85, counted, 85 + counted)


@pytest.mark.parametrize(
    ("other", "points", "expected"), [(60, 9, LONG), (60, 10, LONG), (60, 11, []), (40, 45, LONG)]
)
def test_the_other_side_is_led_with_its_bonus_capped_whatever_its_base(
    other: int, points: int, expected: list[Any]
) -> None:
    """85 - (60 + 10) is the margin; 85 - (40 + 30) is too, and the floor does not matter."""
    signals = {"BTCUSDT": bonus(0, points)}
    assert entered(coin((85, other)), signals=signals, use_ta_signals=True) == expected


@pytest.mark.parametrize(
    "signal",
    [
        None,
        BadMessage("ta:latest", "", "not JSON"),
        "nonsense",
        bonus(20, symbol="ETHUSDT"),
        replace(bonus(20), source="binance"),
        bonus(20, close_ms=CLOSE_MS - M5_MS),
        bonus(20, close_ms=CLOSE_MS + 1),
        bonus(20, closed_until_ms="soon"),
        bonus(46),
        bonus(-1),
        bonus(20, True),
        bonus(20.0),
        replace(bonus(20), composite_score_adjustment="none"),  # type: ignore[arg-type]
    ],
)
def test_a_signal_that_does_not_fit_is_ignored(signal: Any) -> None:
    signals = {} if signal is None else {"BTCUSDT": signal}
    assert entered(coin((80, 0), (0, 0)), signals=signals, use_ta_signals=True) == []
    assert entered(coin((85, 0), (0, 0)), signals=signals, use_ta_signals=True) == LONG


# Crossing with signals.


def crossing(base: int, before: int, signal_before: TaSignal | None) -> list[Any]:
    """Return what is entered with a bonus of 20 now and a base before."""
    earlier = {} if signal_before is None else {"BTCUSDT": signal_before}
    return entered(
        coin((base, 0), (before, 0)),
        signals={"BTCUSDT": bonus(20)},
        before=earlier,
        use_ta_signals=True,
        bonus_cap=20,
        base_floor=60,
    )


@pytest.mark.parametrize(
    ("before", "points", "expected"),
    [(70, 14, LONG), (70, 15, []), (70, 16, []), (59, 20, LONG), (85, 0, [])],
)
def test_the_total_crosses_where_it_was_below_on_the_candle_before(
    before: int, points: int, expected: list[Any]
) -> None:
    assert crossing(70, before, bonus(points, close_ms=CLOSE_MS - M5_MS)) == expected


@pytest.mark.parametrize(
    ("before", "expected"), [(59, LONG), (60, LONG), (64, LONG), (65, []), (84, [])]
)
def test_an_unknown_signal_before_matters_only_where_it_could_have_lifted_the_total(
    before: int, expected: list[Any]
) -> None:
    assert crossing(70, before, None) == expected
    stale = bonus(0, close_ms=CLOSE_MS)
    assert crossing(70, before, stale) == expected


def test_an_unknown_signal_before_says_so() -> None:
    signals = {"BTCUSDT": bonus(20)}
    found = refusal(coin((75, 0), (75, 0)), signals=signals, use_ta_signals=True)
    assert found.why == (
        "whether this bar crosses is not known: the candle before had 75, up to 105 with a "
        "signal, and its signal is not known"
    )


@pytest.mark.parametrize("before", [0, 75, 84])
def test_a_base_that_crosses_enters_with_signals_as_without(before: int) -> None:
    assert crossing(85, before, None) == LONG
    assert crossing(85, before, bonus(20, close_ms=CLOSE_MS - M5_MS)) == LONG
    assert entered(coin((85, 0), (before, 0)), use_ta_signals=True) == LONG
