"""What account and trader publish: messages with sensible values, each changed by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.messages.trading import (
    Balance,
    Position,
    Positions,
    TradeEvent,
    TraderConfig,
    TraderLimit,
    TraderStatus,
)
from tests.support.sightings import NOW_MS


def position(symbol: str = "BTCUSDT", **change: Any) -> Position:
    """Return a long position in profit, with stop and target."""
    held = Position(
        symbol=symbol,
        side="long",
        size_base="0.05",
        entry_price="60000",
        mark_price="61000",
        stop_loss="59780",
        take_profit="63440",
        liquidation_price="42700",
        leverage=5,
        margin_quote="600",
        unrealized_pnl_quote="50",
        realized_pnl_quote="-1.9",
        opened_ms=NOW_MS - 7_200_000,
    )
    return replace(held, **change)


def positions(*held: Position, as_of_ms: int = NOW_MS, reason: str = "") -> Positions:
    """Return what the account's publisher says of positions."""
    return Positions(as_of_ms=as_of_ms, venue="sim", positions=list(held), reason=reason)


def balance(as_of_ms: int = NOW_MS, **change: Any) -> Balance:
    """Return what the account's publisher says of money."""
    told = Balance(
        as_of_ms=as_of_ms,
        venue="sim",
        currency="USDT",
        equity_quote="10050",
        available_quote="9400",
        frozen_quote="0",
        margin_quote="600",
        unrealized_pnl_quote="50",
    )
    return replace(told, **change)


def limit(name: str = "daily loss", state: str = "ok", **change: Any) -> TraderLimit:
    """Return a limit a quarter of which is used."""
    found = TraderLimit(name=name, used="50", limit="200", unit="USDT", state=state)  # type: ignore[arg-type]
    return replace(found, **change)


def trader_status(as_of_ms: int = NOW_MS, **change: Any) -> TraderStatus:
    """Return a trader that is enabled and well."""
    told = TraderStatus(
        as_of_ms=as_of_ms,
        mode="enabled",
        reason="",
        venue="sim",
        cycle_ms=as_of_ms - as_of_ms % 300_000,
        next_cycle_ms=as_of_ms - as_of_ms % 300_000 + 303_000,
        candles_from="redis",
        trouble="",
        last_trade_ms=None,
        use_ta_signals=False,
        ours=[],
        foreign=[],
        unprotected=[],
        limits=[],
        skipped={},
        pnl_today_quote="12.5",
        fees_today_quote="3.21",
        equity=[(as_of_ms - 300_000, "10000"), (as_of_ms, "10050")],
        started_ms=as_of_ms - 3_600_000,
        uptime_s=3_600.0,
        looked_ms=as_of_ms,
        pnl_as_of_ms=as_of_ms,
    )
    return replace(told, **change)


def trader_config(**settings: Any) -> TraderConfig:
    """Return the settings in force."""
    return TraderConfig(as_of_ms=NOW_MS, venue="sim", settings=settings)


def trade_event(event_id: int = 1, at_ms: int = NOW_MS, **change: Any) -> TradeEvent:
    """Return a filled entry."""
    told = TradeEvent(
        event_id=event_id,
        at_ms=at_ms,
        kind="fill",
        text="long 0.05 at 60000",
        symbol="BTCUSDT",
        side="long",
        client_id="a-1",
        size_base="0.05",
        price="60000",
        fee_quote="1.5",
    )
    return replace(told, **change)
