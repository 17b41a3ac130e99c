"""Changed results are another strategy: a digest of them forces the number of the rules up.

`tests/goldens/rules.json` has the digest of each number that ever was, of scores, bonuses, entries,
plans, exits and breakers on a made series, under the settings it names. It was made by this test,
version 1 of the rules, on 2026-11-30; it is no truth, but what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest

from shared import codec
from shared.config.sections import IndicatorsSection, TraderSection
from shared.exchanges.venue import OrderBook, Ticker
from shared.indicators.signals import CoinWindows, signals_at
from shared.market import Candles, Timeframe
from shared.messages.signals import TaSignal
from shared.messages.trading import TradeSide
from shared.trading.breakers import closed, observed
from shared.trading.coin_state import CoinAtClose, coins_at_close
from shared.trading.entries import Rules, candidates
from shared.trading.exits import is_beyond, is_overdue, levels
from shared.trading.plan import Candidate, EntryPlan
from shared.trading.sizing import plan_entry
from shared.trading.strategy import BASE, RULES
from tests.support.candle_series import START_MS, window_at
from tests.support.decisions import levels as book_levels
from tests.support.decisions import market
from tests.support.drawn_numbers import numbers
from tests.support.paths import ROOT

GOLDEN = json.loads((ROOT / "tests/goldens/rules.json").read_text(encoding="utf-8"))
SETTINGS = codec.from_plain(TraderSection, GOLDEN["settings"], "tests/goldens/rules.json")
CHANGED = (
    "the rules give other results than before: raise RULES in shared/trading/strategy.py by one, "
    "and add its digest to tests/goldens/rules.json; what is there stays. Evidence and trades then "
    "know that they are of other rules"
)
M5 = Timeframe.M5
BARS = 18_000
SIDES: tuple[TradeSide, ...] = ("long", "short")


def made(seed: int) -> Candles:
    """Return candles on a grid of 1/64, with trends and quiet times."""
    drawn = numbers(seed)
    rows, close, trend, pace = [], 64 * 1024, 0, 1
    for bar in range(BARS):
        if bar % 40 == 0:
            trend, pace = next(drawn) % 41 - 20, 1 + next(drawn) % 12
        opened, close = close, max(2000, close + trend + pace * (next(drawn) % 41 - 20))
        high = max(opened, close) + pace * (next(drawn) % 20)
        low = min(opened, close) - pace * (next(drawn) % 20)
        rows.append((opened / 64, high / 64, low / 64, close / 64, 1.0 + next(drawn)))
    table = np.array(rows)
    times = START_MS + np.arange(BARS, dtype=np.int64) * M5.ms
    return Candles.of(times, *table.T)


def longer(candles: Candles, timeframe: Timeframe) -> Candles:
    """Return the same in longer candles; what is over does not count."""
    per = timeframe.ms // M5.ms
    whole = candles[slice(0, len(candles) // per * per)]
    open_, high, low, close, volume = (
        getattr(whole, name).reshape(-1, per) for name in ("open", "high", "low", "close", "volume")
    )
    return Candles.of(
        whole.open_time_ms[::per], open_[:, 0], high.max(axis=1), low.min(axis=1), close[:, -1],
        volume.sum(axis=1),
    )  # fmt: skip


SERIES = {
    symbol: {timeframe: longer(made(seed), timeframe) for timeframe in Timeframe}
    for seed, symbol in enumerate(("AUSDT", "BUSDT", "CUSDT"), 1)
}
CLOSES = [START_MS + n * M5.ms for n in range(BARS - 2880, BARS, 48)]


def windows(symbol: str, close_ms: int) -> CoinWindows:
    found = {t: window_at(c, t, close_ms, symbol=symbol) for t, c in SERIES[symbol].items()}
    return CoinWindows(symbol, found)


class Close(NamedTuple):
    """What is decided on: coins and signals, and the signals of the candle before."""

    at_ms: int
    coins: list[CoinAtClose]
    signals: dict[str, TaSignal]
    before: dict[str, TaSignal]


@pytest.fixture(scope="module")
def scored() -> list[Close]:
    asked = [
        (windows(symbol, close_ms - ago_ms), close_ms - ago_ms)
        for close_ms in CLOSES
        for ago_ms in (0, M5.ms)
        for symbol in SERIES
    ]
    found = signals_at(asked, IndicatorsSection())
    assert all(isinstance(signal, TaSignal) for signal in found)
    groups = [
        {signal.symbol: signal for signal in found[start : start + len(SERIES)]
         if isinstance(signal, TaSignal)}
        for start in range(0, len(found), len(SERIES))
    ]  # fmt: skip
    return [
        Close(
            close_ms,
            coins_at_close([windows(symbol, close_ms) for symbol in SERIES], 500, close_ms),
            groups[2 * place],
            groups[2 * place + 1],
        )
        for place, close_ms in enumerate(CLOSES)
    ]


def results(scored: Sequence[Close], settings: TraderSection) -> Iterator[str]:
    """Yield what the rules make of the made series, a line each."""
    for close_ms, coins, signals, before in scored:
        for coin in coins:
            assert not isinstance(coin.now, Exception)
            points = [coin.now.score(side) for side in SIDES]
            bonus = signals[coin.symbol].composite_score_adjustment
            yield f"{coin.symbol} {points} {bonus.long_bonus} {bonus.short_bonus}"
        for with_bonus in (False, True):
            rules = Rules(
                replace(settings, use_ta_signals=with_bonus), cycle_ms=close_ms, now_ms=close_ms,
                source="sim",
            )  # fmt: skip
            found, refused = candidates(coins, signals, rules, signals_before=before)
            yield from (planned(each, rules.settings) for each in found)
            yield f"refused {[(each.symbol, each.side) for each in refused]}"
    yield from exits()
    yield from breakers(settings)


def planned(candidate: Candidate, settings: TraderSection) -> str:
    symbol, tick = candidate.symbol, Decimal("0.01")
    price = candidate.close.quantize(tick)
    at = {name: replace(value, symbol=symbol) for name, value in market().items()
          if name not in ("account", "book", "ticker")}  # fmt: skip
    plan = plan_entry(
        candidate,
        **at,
        account=market()["account"],
        book=OrderBook(
            symbol=symbol, bids=book_levels((str(price - tick), "3"), (str(price - 1), "9")),
            asks=book_levels((str(price + tick), "3"), (str(price + 1), "9")), updated_ms=None,
        ),
        ticker=Ticker(symbol=symbol, last=price, mark=price, index=price),
        settings=settings,
        now_ms=candidate.closed_until_ms,
    )  # fmt: skip
    decided = f"{symbol} {candidate.side} {candidate.base} {candidate.bonus} {candidate.total}"
    if not isinstance(plan, EntryPlan):
        return f"{decided} refused"
    prices = plan.limit_price, plan.entry_price, plan.stop, plan.target
    return f"{decided} {plan.size} {' '.join(map(str, prices))} {plan.leverage}"


def exits() -> Iterator[str]:
    for step, side in enumerate(SIDES * 20, 1):
        entry, tick = Decimal(37 * step) / 7, Decimal("0.05")
        entry = entry.quantize(Decimal("0.0001"))
        found = levels(side, entry, Decimal(step) / 1000, Decimal(2 * step) / 1000, tick)
        mark = found.stop + (step % 3 - 1) * tick
        beyond, overdue = is_beyond(side, mark, found.stop), is_overdue(0, 1_800_000 * step, 9.5)
        yield f"{side} {found.stop} {found.target} {beyond} {overdue}"


def breakers(settings: TraderSection) -> Iterator[str]:
    drawn, equity = numbers(9), Decimal(10_000)
    ledger = observed(None, equity, Decimal(0), settings, START_MS)
    for hour in range(1, 300):
        now_ms = START_MS + hour * 3_600_000
        pnl = Decimal(next(drawn) % 201 - 104)
        equity += pnl
        ledger = closed(
            observed(ledger, equity, Decimal(0), settings, now_ms), pnl, settings, now_ms
        )
        latched = [latch.breaker for latch in ledger.latches]
        yield f"{ledger.day_pnl} {ledger.peak} {ledger.losses} {latched}"


def digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.fixture(scope="module")
def lines(scored: list[Close]) -> list[str]:
    return list(results(scored, SETTINGS))


def test_results_are_those_of_the_rules_of_this_number(lines: list[str]) -> None:
    digests: dict[str, Any] = GOLDEN["digests"]
    assert digests.get(str(RULES)) == digest(lines), CHANGED
    assert sorted(map(int, digests)) == list(range(1, RULES + 1)), CHANGED
    assert len(set(digests.values())) == RULES, CHANGED


def test_the_made_series_calls_for_every_kind_of_decision(lines: list[str]) -> None:
    entries = [line.split() for line in lines if line.split()[1] in SIDES]
    planned_, refused = (
        [e for e in entries if (e[-1] == "refused") is is_one] for is_one in (False, True)
    )
    assert len(planned_) > 20 and refused
    assert {e[1] for e in planned_} == set(SIDES)
    assert any(int(e[3]) for e in planned_)  # with a bonus
    assert {b for line in lines for b in ("daily loss", "drawdown", "losses in") if b in line} == {
        "daily loss", "drawdown", "losses in"
    }  # fmt: skip


@pytest.mark.parametrize("change", [{"stop_atr": 1.01}, {"entry_score": 56}, {"max_losses": 4}])
def test_digest_sees_a_small_change(
    change: dict[str, Any], scored: list[Close], lines: list[str]
) -> None:
    """As the settings are those of the file, a changed one stands for a changed rule."""
    assert digest(list(results(scored, replace(SETTINGS, **change)))) != digest(lines)


def test_identity_of_the_built_in_strategy_changes_with_the_number() -> None:
    assert BASE.version == str(RULES)
    assert BASE.hash == hashlib.sha256(f"base {RULES}".encode()).hexdigest()
