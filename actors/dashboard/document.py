"""Builds the page's JSON document from the latest messages. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.dashboard.outside import guest_balance, guest_event, guest_positions, guest_trader
from actors.dashboard.prices import CoinPrices
from actors.dashboard.trading import shown_balance, shown_equity, shown_positions, shown_trader
from shared.health.verdict import NOT_DONE, Limits, Snapshot, is_fresh, is_starting, judge
from shared.indicators.frames import WARM_BARS
from shared.market import Timeframe
from shared.messages.actors import ActorStatus, Heartbeat, Quarantine
from shared.messages.guests import GuestEvent
from shared.messages.signals import (
    CoinScore,
    InputState,
    LabelChange,
    ScanResult,
    ScorePart,
    TaSignal,
)
from shared.messages.trading import TradeEvent, TraderConfig


@dataclass(slots=True, kw_only=True)
class PageInputs:
    """Everything the document is built from.

    Attributes:
        snapshot: Shared with `/health`; the page shows the same problems.
        prices: By symbol.
        assets: Symbol -> base and quote asset, as last known.
        scan: The newest scores, while they are on the bus.
        history: Newest first.
        trader_config: As last published by the trader.
        events, guest_events: Of the trader, own or outside, newest first.
        fallback: Prices come from the exchange, as Redis is down.
        fallback_troubles: By symbol, why the exchange gave none.
        banned_until_ms: As this process knows, besides the ban on the bus.
    """

    snapshot: Snapshot
    source: str
    namespace: str
    groups: Mapping[str, Sequence[str]]
    limits: Limits
    prices: dict[str, CoinPrices]
    assets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    scan: ScanResult | None = None
    scores: dict[str, CoinScore] = field(default_factory=dict)
    history: list[LabelChange] = field(default_factory=list)
    trader_config: TraderConfig | None = None
    events: list[TradeEvent] = field(default_factory=list)
    guest_events: list[GuestEvent] = field(default_factory=list)
    fallback: bool = False
    fallback_troubles: dict[str, str] = field(default_factory=dict)
    banned_until_ms: int | None = None


def document(inputs: PageInputs, now_ms: int) -> dict[str, Any]:
    """Return the data of a snapshot message. Time alone changes only verdicts on age."""
    snapshot = inputs.snapshot
    signals: dict[str, TaSignal | None] = {
        # A signal that cannot be renewed is shown as unavailable, not as neutral.
        symbol: None
        if inputs.fallback or _is_over(snapshot, symbol)
        else snapshot.signals.get(symbol)
        for symbol in snapshot.symbols
    }
    return {
        "mode": snapshot.mode,
        "source": inputs.source,
        "asOf": now_ms,
        "namespace": inputs.namespace,
        "groups": inputs.groups,
        "coinData": [
            _coin(inputs, group, symbol, signals[symbol], now_ms)
            for group, symbols in inputs.groups.items()
            for symbol in symbols
        ],
        "taSignals": signals,
        **_trading(inputs),
        "signalHistory": [_label_change(change) for change in inputs.history],
        "actors": [_actor(snapshot, name) for name in snapshot.actor_names],
        "redis": {
            "status": snapshot.redis.status,
            "sinceMs": snapshot.redis.since_ms,
            "reason": snapshot.redis.reason,
            "fallback": inputs.fallback,
        },
        "exchange": _exchange(inputs, now_ms),
        "errors": judge(snapshot, now_ms, inputs.limits).problems,
    }


def _trading(inputs: PageInputs) -> dict[str, Any]:
    snapshot, limits = inputs.snapshot, inputs.limits.trading
    shown: dict[str, Any] = {"traderKind": snapshot.trader_kind}
    if snapshot.trader_kind == "outside":
        return shown | {
            "positions": guest_positions(snapshot.guest, limits),
            "balance": guest_balance(snapshot.guest, limits),
            "trader": None,
            "outside": guest_trader(snapshot.guest, limits),
            "tradeEvents": [guest_event(event) for event in inputs.guest_events],
            "equity": [],
        }
    return shown | {
        "positions": shown_positions(snapshot.trading, snapshot.actors, limits),
        "balance": shown_balance(snapshot.trading, limits),
        "trader": shown_trader(snapshot.trading, inputs.trader_config, snapshot.actors, limits),
        "outside": None,
        "tradeEvents": [dataclasses.asdict(event) for event in inputs.events],
        "equity": shown_equity(snapshot.trading),
    }


def _coin(
    inputs: PageInputs, group: str, symbol: str, signal: TaSignal | None, now_ms: int
) -> dict[str, Any]:
    prices = inputs.prices[symbol]
    score = None if inputs.fallback else inputs.scores.get(symbol)
    quarantine = _quarantine(inputs.snapshot, symbol, now_ms)
    state, reason = _state(inputs, symbol, signal, quarantine, now_ms)
    change = score.change_24h_pct if score is not None else None
    base_asset, quote_asset = inputs.assets.get(symbol, (None, None))
    is_traded = _is_traded(inputs.snapshot, symbol)
    return {
        "symbol": symbol,
        "baseAsset": base_asset,
        "quoteAsset": quote_asset,
        "group": group,
        "price": prices.price,
        "priceAtMs": prices.price_at_ms,
        "tick": prices.tick,
        "change24hPct": (prices.change_24h_pct if change is None else change)
        if is_traded
        else None,
        "spark": prices.spark,
        "closedUntilMs": prices.closed_until_ms,
        "fetchedAtMs": prices.fetched_at_ms,
        "nextCloseMs": Timeframe.M5.open_at(now_ms) + Timeframe.M5.ms if is_traded else None,
        "computedAtMs": None if signal is None else signal.computed_at_ms,
        "state": state,
        "stateReason": reason,
        "base": _base(score) if score is not None and score.long.parts else None,
        "bonus": None if signal is None else _bonus(signal),
        "quarantine": quarantine,
    }


def _state(
    inputs: PageInputs,
    symbol: str,
    signal: TaSignal | None,
    quarantine: Mapping[str, Any] | None,
    now_ms: int,
) -> tuple[str, str]:
    """Return the coin's worst state and the reason, without ages, which would keep changing."""
    snapshot = inputs.snapshot
    if inputs.fallback:
        return "unavailable", inputs.fallback_troubles.get(symbol) or "Redis does not answer"
    listing = snapshot.listings.get(symbol)
    if listing is not None and not listing.is_traded:
        return listing.state, listing.text
    if quarantine is not None:
        return "quarantined", str(quarantine["reason"])
    trouble = str(_fetcher_says(snapshot, "coins").get(symbol, ""))
    if listing is not None and (signal is None or is_fresh(signal, now_ms, inputs.limits)):
        return listing.state, listing.text
    if signal is not None:
        state, reason = _state_of(signal, trouble, now_ms, inputs.limits)
        broke = str(_fetcher_says(snapshot, "scale_breaks").get(symbol, ""))
        return ("warming", broke) if broke and state in ("warming", "live") else (state, reason)
    if inputs.prices[symbol].price is None:
        return "loading", trouble or "waiting for the first data"
    if is_starting(snapshot, now_ms, inputs.limits):
        return "warming", trouble or "waiting for the first signal"
    return "stale", trouble or "no signal"


def _state_of(signal: TaSignal, trouble: str, now_ms: int, limits: Limits) -> tuple[str, str]:
    m5 = signal.inputs.get(Timeframe.M5)
    if not is_fresh(signal, now_ms, limits):
        return "stale", trouble or "no new signal"
    if m5 is None or m5.fetched_at_ms is None:
        return "stale", trouble or "no 5m candles"
    if m5.stale or _lag_s(signal, m5) > limits.candles_s[Timeframe.M5]:
        return "stale", trouble or "5m candles are stale"
    if not m5.warm:
        return "warming", f"{m5.bars} of {WARM_BARS} closed 5m candles"
    if m5.unfilled_gap:
        return "warming", "5m candles have a gap"
    return "live", trouble


def _lag_s(signal: TaSignal, state: InputState) -> float:
    return (signal.computed_at_ms - (state.fetched_at_ms or 0)) / 1000


def _is_traded(snapshot: Snapshot, symbol: str) -> bool:
    listing = snapshot.listings.get(symbol)
    return listing is None or listing.is_traded


def _is_over(snapshot: Snapshot, symbol: str) -> bool:
    """Return whether signals of a coin say nothing any more, or yet; a halted one's do."""
    return not _is_traded(snapshot, symbol) and snapshot.listings[symbol].state != "halted"


def _quarantine(snapshot: Snapshot, symbol: str, now_ms: int) -> dict[str, Any] | None:
    found: list[Quarantine] = [
        q for (_, name), q in snapshot.quarantines.items() if name == symbol and q.until_ms > now_ms
    ]
    if found:
        longest = max(found, key=lambda q: q.until_ms)
        reason = f"{NOT_DONE[longest.stage]}, {longest.reason}"
        return {"stage": longest.stage, "reason": reason, "untilMs": longest.until_ms}
    for status in snapshot.statuses.values():
        until_ms = status.quarantined_coins.get(symbol, 0)
        if until_ms > now_ms:
            reason = f"{status.name} died while computing it"
            return {"stage": "compute", "reason": reason, "untilMs": until_ms}
    return None


def _base(score: CoinScore) -> dict[str, Any]:
    return {
        "long": score.long.score,
        "short": score.short.score,
        "longLabel": score.label_long,
        "shortLabel": score.label_short,
        "coverage": score.coverage,
        "fault": score.fault,
        "longParts": [_part(part) for part in score.long.parts],
        "shortParts": [_part(part) for part in score.short.parts],
    }


def _part(part: ScorePart) -> dict[str, Any]:
    return {"name": part.name, "points": part.points, "max": part.max, "text": part.text}


def _bonus(signal: TaSignal) -> dict[str, Any]:
    bonus = signal.composite_score_adjustment
    return {"long": bonus.long_bonus, "short": bonus.short_bonus, "reasoning": bonus.reasoning}


def _label_change(change: LabelChange) -> dict[str, Any]:
    return {
        "atMs": change.at_ms,
        "symbol": change.symbol,
        "side": change.side,
        "event": change.event,
        "label": change.label,
        "base": change.base,
        "bonus": change.bonus,
        "close": change.close,
    }


def _actor(snapshot: Snapshot, name: str) -> dict[str, Any]:
    status: ActorStatus | None = snapshot.statuses.get(name)
    heartbeat: Heartbeat | None = snapshot.heartbeats.get(name)
    shown: dict[str, Any] = {
        "name": name,
        "state": "unknown" if heartbeat is None else heartbeat.state,
        "pid": None if heartbeat is None else heartbeat.pid,
        "restarts": None,
        "sinceMs": None,
        "lastDeath": None,
        "doing": "",
        "reason": "",
        "beatAtMs": None if heartbeat is None else heartbeat.at_ms,
        "backoffUntilMs": None,
        "quarantinedCoins": {},
    }
    if status is None:
        return shown
    last = status.deaths[-1] if status.deaths else None
    return shown | {
        "state": status.state,
        "pid": status.pid,
        "restarts": status.restarts,
        "sinceMs": status.since_ms,
        "lastDeath": None
        if last is None
        else {"atMs": last.at_ms, "cause": last.cause, "lastWords": last.last_words},
        "doing": status.doing,
        "reason": status.reason,
        "backoffUntilMs": status.backoff_until_ms,
        "quarantinedCoins": status.quarantined_coins,
    }


def _fetcher_says(snapshot: Snapshot, what: str) -> Mapping[str, Any]:
    heartbeat = snapshot.heartbeats.get("fetcher")
    found = heartbeat.detail.get(what) if heartbeat else None
    return found if isinstance(found, dict) else {}


def _exchange(inputs: PageInputs, now_ms: int) -> dict[str, Any]:
    snapshot = inputs.snapshot
    ends = [snapshot.ban.until_ms if snapshot.ban else 0, inputs.banned_until_ms or 0]
    until_ms = max(ends)
    troubles = inputs.fallback_troubles if inputs.fallback else _fetcher_says(snapshot, "coins")
    return {
        "bannedUntilMs": until_ms if until_ms > now_ms else None,
        "troubles": dict(troubles),
    }
