"""Account and trader on the page: their messages, and the ages from which these are old."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from shared.health.trading_verdict import ACCOUNT, TRADER, TradingLimits, TradingView
from shared.messages.trading import Position, TraderConfig


def shown_positions(
    view: TradingView, actors: Collection[str], limits: TradingLimits
) -> dict[str, Any] | None:
    """Return `Positions` as on the bus, each with `foreign` and since when it has no stop.

    `foreign` is null until the trader has looked; without a trader no position is foreign.
    The last positions of an account that is no longer watched are shown without alarms.
    """
    message = view.positions
    if message is None:
        return None
    if ACCOUNT not in actors and TRADER not in actors:
        view = dataclasses.replace(view, bare_since_ms={})
    has_trader = TRADER in actors or view.status is not None
    return dataclasses.asdict(message) | {
        "old_after_ms": _ms(limits.account_s),
        "positions": [
            _position(view, position, limits)
            | {"foreign": has_trader and view.is_foreign(position)}
            for position in message.positions
        ],
    }


def _position(view: TradingView, position: Position, limits: TradingLimits) -> dict[str, Any]:
    bare_ms = view.bare_since_ms.get(position.symbol)
    return dataclasses.asdict(position) | {
        "bare_since_ms": bare_ms,
        "bare_alarm_ms": None if bare_ms is None else bare_ms + _ms(limits.bare_s),
    }


def shown_balance(view: TradingView, limits: TradingLimits) -> dict[str, Any] | None:
    """Return `Balance` as on the bus, with the age from which it is old."""
    if view.balance is None:
        return None
    return dataclasses.asdict(view.balance) | {"old_after_ms": _ms(limits.account_s)}


def shown_trader(
    view: TradingView, config: TraderConfig | None, actors: Collection[str], limits: TradingLimits
) -> dict[str, Any] | None:
    """Return status without equity, and settings, as on the bus; None without a trader.

    `silent_after_ms` is the age from which the status is old; `timer_s` the time between the runs
    of a timer that trades, null without one.
    """
    if not view.has_trader(actors) and view.status is None:
        return None
    silent_ms, status = _ms(limits.trader_s), None
    if view.status is not None:
        if view.timer_s is not None:  # whatever a timer left, one that stays renews it
            silent_ms = view.status.current_until_ms(silent_ms) - view.status.as_of_ms
        status = dataclasses.asdict(view.status)
        del status["equity"]
    return {
        "status": status,
        "config": None if config is None else dataclasses.asdict(config),
        "silent_after_ms": silent_ms,
        "timer_s": view.timer_s,
    }


def shown_equity(view: TradingView) -> list[tuple[int, str]]:
    """Return (epoch ms, equity) of the newest cycles, oldest first."""
    return [] if view.status is None else view.status.equity


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
