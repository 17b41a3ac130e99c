"""What guests write: programs of the user's on the bus, such as a trader of his own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared.messages.trading import Amount, TraderMode, TradeSide


@dataclass(frozen=True, slots=True)
class GuestValue:
    """The bytes of a guest's key or message, whatever they are; `shared/guests/` reads them."""

    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPosition:
    """One open position as the guest tells it; None: it does not tell."""

    symbol: str
    side: TradeSide
    size_base: Amount
    entry_price: Amount
    mark_price: Amount | None = None
    stop_loss: Amount | None = None
    take_profit: Amount | None = None
    liquidation_price: Amount | None = None
    leverage: Amount | None = None
    margin_quote: Amount | None = None
    unrealized_pnl_quote: Amount | None = None
    realized_pnl_quote: Amount | None = None
    opened_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPositions:
    """Every open position of the guest's account. `as_of_ms`: the guest's clock."""

    as_of_ms: int
    positions: list[GuestPosition]
    venue: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestBalance:
    """The balance of the guest's account; None: it does not tell."""

    as_of_ms: int
    equity_quote: Amount
    currency: str = ""
    available_quote: Amount | None = None
    frozen_quote: Amount | None = None
    margin_quote: Amount | None = None
    unrealized_pnl_quote: Amount | None = None
    venue: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestStatus:
    """How the guest's trader is. `trouble`: what it cannot do; "" if nothing."""

    as_of_ms: int
    mode: TraderMode
    reason: str = ""
    trouble: str = ""
    venue: str = ""
    uptime_s: float | None = None
    last_trade_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestConfig:
    """The settings of the guest's trader, flat: dotted names, values as text."""

    as_of_ms: int | None = None
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestEvent:
    """One event of the guest's trader. `id`: the guest's own, by which it is kept once only."""

    at_ms: int
    kind: str
    text: str
    id: str | None = None
    symbol: str | None = None
    side: TradeSide | None = None
    size_base: Amount | None = None
    price: Amount | None = None
    fee_quote: Amount | None = None
    pnl_quote: Amount | None = None

    @property
    def identity(self) -> tuple[Any, ...]:
        """What two copies of one event have in common."""
        return (self.id,) if self.id is not None else (self.at_ms, self.kind, self.text)
