"""Which sides of which coins to enter now, by their scores. Pure.

Two scores of a side matter. The *base* comes from its candles. The *total* is the base, and with
`use_ta_signals` the bonus of the coin's signal on top, capped, if the base is at least
`base_floor`. Without `use_ta_signals` the total is the base.

A side is entered on the bar that *crosses* `entry_score`, not on every bar above it:

- the base crosses: it was below on the candle before and is not now. That is enough, with or
  without signals, so that a trader that loses its signals goes on as one without;
- or, with signals, the total crosses: it was below on the candle before and is not now. The total
  before is known from the signal of that candle, or without it if no bonus could have lifted it.
  If it is unknown, there is no entry.

If the base on the candle before is unknown (not scored, a part missing), there is no entry either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from shared.clock import utc_text
from shared.config.sections import TraderSection
from shared.market import Timeframe
from shared.messages.candles import Source
from shared.messages.signals import CompositeScoreAdjustment, TaSignal
from shared.messages.trading import TradeSide
from shared.strategy.live import Scored
from shared.trading.amounts import exact
from shared.trading.coin_state import CoinAtClose
from shared.trading.plan import Candidate, Refusal

SIDES: tuple[TradeSide, ...] = ("long", "short")
OTHER: Mapping[TradeSide, TradeSide] = {"long": "short", "short": "long"}
MAX_BONUS = 45
"""Of a signal for one side; a signal with more is malformed."""

Signals = Mapping[str, TaSignal | Exception]
_NONE: Signals = MappingProxyType({})
_MIN_MS = 60_000


class Rules(NamedTuple):
    """What a cycle decides by, for all coins.

    Attributes:
        cycle_ms: The close of 5m candles to decide on.
        now_ms: Time of the decision, for cool-downs.
        source: Required source of candles and signals in this mode.
    """

    settings: TraderSection
    cycle_ms: int
    now_ms: int
    source: Source


def candidates(
    coins: Iterable[CoinAtClose],
    signals: Signals,
    rules: Rules,
    *,
    signals_before: Signals = _NONE,
    occupied: Collection[str] = (),
    last_losses: Mapping[tuple[str, TradeSide], int] | None = None,
) -> tuple[list[Candidate], list[Refusal]]:
    """Return the sides to enter, best first, and why others are not.

    Candidates are ranked by total, then base, then symbol. A side below `entry_score` is neither
    candidate nor refusal; a side that reaches it and is not entered is refused, with all reasons;
    a coin that cannot be scored is refused as a whole.

    Args:
        signals: By symbol; those of another close, or malformed, give no bonus.
        signals_before: Those of the candle before, as far as known.
        occupied: Coins with a position, ours or foreign, or an entry in flight.
        last_losses: Time at which the last loss in a coin and side was closed.
    """
    found: list[Candidate] = []
    refused: list[Refusal] = []
    for coin in coins:
        why = _unfit(coin, rules)
        if isinstance(coin.now, Exception) or why:
            refused.append(Refusal(symbol=coin.symbol, side=None, why=why))
            continue
        signal = _counted(signals, coin.symbol, rules, rules.cycle_ms)
        for side in SIDES:
            points = _points(coin.now, side, signal, rules.settings)
            if points.total < rules.settings.entry_score:
                continue
            faults = [
                *_crossing(coin, side, points, signals_before, rules),
                *_objections(
                    coin, side, points, rules, occupied=occupied, last_losses=last_losses or {}
                ),
            ]
            if faults:
                refused.append(Refusal(symbol=coin.symbol, side=side, why="; ".join(faults)))
            else:
                found.append(_candidate(coin, coin.now, side, points))
    return sorted(found, key=_rank), sorted(refused, key=lambda r: r.symbol)


class _Points(NamedTuple):
    base: int
    bonus: int
    total: int
    lead: int


def _rank(candidate: Candidate) -> tuple[int, int, str, str]:
    return -candidate.total, -candidate.base, candidate.symbol, candidate.side


def _unfit(coin: CoinAtClose, rules: Rules) -> str:
    """Return why a coin cannot be decided on, or ""."""
    foreign = sorted(coin.sources - {rules.source})
    if isinstance(coin.now, Exception):
        return f"not scored: {coin.now}"
    if foreign:
        return f"candles come from {', '.join(foreign)}, expected {rules.source} in this mode"
    if coin.now.closed_until_ms != rules.cycle_ms:
        return (
            f"the 5m candle that closed at {utc_text(rules.cycle_ms)} is not there, the newest "
            f"closed at {utc_text(coin.now.closed_until_ms)}"
        )
    if coin.now.coverage < 1:
        return f"not fully scored: {coin.now.fault}"
    return ""


def _counted(signals: Signals, symbol: str, rules: Rules, close_ms: int) -> TaSignal | None:
    """Return a coin's signal if it is valid for the candle that closed then."""
    signal = signals.get(symbol)
    if not rules.settings.use_ta_signals or not isinstance(signal, TaSignal):
        return None
    bonus: Any = signal.composite_score_adjustment
    fits = (
        (signal.symbol, signal.source, signal.closed_until_ms) == (symbol, rules.source, close_ms)
        and isinstance(bonus, CompositeScoreAdjustment)
        and all(
            type(p) is int and 0 <= p <= MAX_BONUS for p in (bonus.long_bonus, bonus.short_bonus)
        )
    )
    return signal if fits else None


def _points(
    score: Scored, side: TradeSide, signal: TaSignal | None, settings: TraderSection
) -> _Points:
    """Return one side's points; its lead is over the other's base with its full bonus."""
    bonus = {each: min(_bonus(signal, each), settings.bonus_cap) for each in SIDES}
    base, other = score.score(side), OTHER[side]
    counted = bonus[side] if base >= settings.base_floor else 0
    total = base + counted
    return _Points(base, counted, total, total - (score.score(other) + bonus[other]))


def _bonus(signal: TaSignal | None, side: TradeSide) -> int:
    if signal is None:
        return 0
    given = signal.composite_score_adjustment
    return given.long_bonus if side == "long" else given.short_bonus


def _crossing(
    coin: CoinAtClose, side: TradeSide, points: _Points, signals_before: Signals, rules: Rules
) -> Iterator[str]:
    """Yield why this bar does not cross, if so."""
    entry_score, before_ms = rules.settings.entry_score, rules.cycle_ms - Timeframe.M5.ms
    before = coin.before
    unknown = ""
    if isinstance(before, Exception):
        unknown = f"not scored: {before}"
    elif before.closed_until_ms != before_ms:
        unknown = "the candle is missing"
    elif before.coverage < 1:
        unknown = f"not fully scored: {before.fault}"
    if isinstance(before, Exception) or unknown:
        yield f"whether this bar crosses is not known, the candle before has no score: {unknown}"
        return
    if before.score(side) < entry_score <= points.base:
        return
    signal = _counted(signals_before, coin.symbol, rules, before_ms)
    least = _points(before, side, signal, rules.settings).total
    if least >= entry_score:
        yield f"stood at {least} one candle before: this bar does not cross {entry_score}"
    elif signal is None and before.score(side) >= rules.settings.base_floor:
        most = before.score(side) + rules.settings.bonus_cap
        if most >= entry_score:
            yield (
                f"whether this bar crosses is not known: the candle before had {least}, up to "
                f"{most} with a signal, and its signal is not known"
            )


def _objections(
    coin: CoinAtClose,
    side: TradeSide,
    points: _Points,
    rules: Rules,
    *,
    occupied: Collection[str],
    last_losses: Mapping[tuple[str, TradeSide], int],
) -> Iterator[str]:
    if points.lead < rules.settings.margin:
        yield f"leads {OTHER[side]} by {points.lead}, expected {rules.settings.margin}"
    if not coin.volume > 0:
        yield "the last candle has no volume"
    if coin.atr_1h is None or not coin.atr_1h > 0:
        yield "the 1h ATR is not known"
    if coin.symbol in occupied:
        yield "there is a position in this coin, or an entry under way"
    lost_ms = last_losses.get((coin.symbol, side))
    if lost_ms is not None:
        until_ms = lost_ms + round(rules.settings.cooldown_min * _MIN_MS)
        if rules.now_ms < until_ms:
            yield f"cools down after a loss until {utc_text(until_ms)}"


def _candidate(coin: CoinAtClose, score: Scored, side: TradeSide, points: _Points) -> Candidate:
    return Candidate(
        symbol=coin.symbol,
        side=side,
        base=points.base,
        bonus=points.bonus,
        total=points.total,
        lead=points.lead,
        close=exact(score.close),
        atr_1h=exact(coin.atr_1h or 0.0),
        closed_until_ms=score.closed_until_ms,
        stop=None if coin.stop is None else exact(coin.stop),
    )
