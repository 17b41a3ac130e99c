"""Which rules two platforms broke, of which one has the odd coins. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tests.chaos.quirks.coins import Quirk
from tests.chaos.quirks.watch import Watch, Windows, Words, names

SETTLE_MS = 30_000  # a newer close may not have been published by both
SHOWN = 5

Signals = Mapping[tuple[str, int], set[bytes]]


def broken_rules(
    odd: Watch, plain: Watch, quirks: Sequence[Quirk], clean: Sequence[str], budget: float
) -> dict[str, list[str]]:
    """Return each rule with what breaks it.

    Args:
        odd, plain: Of the platform with the odd coins and of the one without.
        quirks: Those that can have been seen by now.
        budget: Most weight that may be asked for in a minute.
    """
    weight = [f"{odd.used_weight} in a minute, at most {budget:g}"] * (odd.used_weight > budget)
    return {
        "signals of the others are alike": [
            *signals_that_differ(odd.published.seen, plain.published.seen, odd.seen_at_ms)
        ],
        "candles of the others are alike": [*candles_that_differ(odd.windows, plain.windows)],
        "no problem names one of the others": [*named(clean, odd.words)],
        "what is odd can be read": [*unsaid(quirks, odd.words)],
        "nothing else is said of it": [*said_besides(quirks, odd.words)],
        "no actor died": [*odd.deaths, *plain.deaths],
        "requests stay within the budget": [
            *weight,
            *(f"{n} answers with status {status}" for status, n in odd.refused.items()),
        ],
    }


def signals_that_differ(odd: Signals, plain: Signals, until_ms: int) -> Iterator[str]:
    """Yield a text for each signal that is not alike, of the closes both have seen."""
    from_ms = max(min((ms for _, ms in each), default=until_ms) for each in (odd, plain))
    compared = 0
    for coin, close_ms in sorted(odd.keys() | plain.keys()):
        if from_ms <= close_ms <= until_ms - SETTLE_MS:
            compared += 1
            ours, theirs = odd.get((coin, close_ms), set()), plain.get((coin, close_ms), set())
            if not ours or not theirs:
                yield f"{coin} at close {close_ms}: only {'with' if ours else 'without'} odd coins"
            elif ours != theirs:
                yield f"{coin} at close {close_ms}: {[*ours - theirs][:1]}, {[*theirs - ours][:1]}"
    if not compared:
        yield "none was compared"


def candles_that_differ(odd: Windows, plain: Windows) -> Iterator[str]:
    """Yield a text for each window whose first or last candle, or one in between, is not alike."""
    for coin, timeframe in sorted(odd.keys() | plain.keys()):
        ours, theirs = odd.get((coin, timeframe), {}), plain.get((coin, timeframe), {})
        if not ours or not theirs:
            yield f"{coin} {timeframe}: only {'with' if ours else 'without'} odd coins"
            continue
        first, last = max(min(ours), min(theirs)), min(max(ours), max(theirs))
        for open_ms in range(first, last + 1, timeframe.ms):
            if ours.get(open_ms) != theirs.get(open_ms):
                yield f"{coin} {timeframe} at {open_ms}: {ours.get(open_ms)}, {theirs.get(open_ms)}"
                break


def named(coins: Sequence[str], words: Words) -> Iterator[str]:
    """Yield each problem that names one of these coins."""
    for text in words.problems:
        if any(names(text, coin) for coin in coins):
            yield text


def unsaid(quirks: Sequence[Quirk], words: Words) -> Iterator[str]:
    """Yield a text for each quirk that nobody could read about where it belongs."""
    for quirk in quirks:
        problems, others = _about(quirk, words)
        if quirk.problem and not any(re.search(quirk.problem, text) for text in problems):
            yield f"{quirk.coin} ({quirk.about}): not among the problems, but {problems[:SHOWN]}"
        if quirk.said and not any(re.search(quirk.said, text) for text in others):
            yield f"{quirk.coin} ({quirk.about}): neither card nor note, but {others[:SHOWN]}"


def said_besides(quirks: Sequence[Quirk], words: Words) -> Iterator[str]:
    """Yield a text for each quirk of which more is said: another problem, or two entries."""
    for quirk in quirks:
        expected = [pattern for pattern in (quirk.problem, quirk.may) if pattern]
        problems, _ = _about(quirk, words)
        more = [text for text in problems if not any(re.search(each, text) for each in expected)]
        if more:
            yield f"{quirk.coin} ({quirk.about}): {more[:SHOWN]}"
        if quirk.coin in words.twice:
            yield f"{quirk.coin} ({quirk.about}): twice, {words.twice[quirk.coin]}"


def _about(quirk: Quirk, words: Words) -> tuple[list[str], list[str]]:
    """Return the problems that name a coin, and what notes and its card say."""
    problems = [text for text in words.problems if names(text, quirk.coin)]
    notes = [text for text in words.notes if names(text, quirk.coin)]
    return problems, [*notes, *words.cards.get(quirk.coin, ())]
