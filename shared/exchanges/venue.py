"""What a venue tells and takes: markets, prices, positions, orders, fills. Whichever venue it is.

Money is `Decimal`, as the venue wrote it; sizes are in the base currency, prices and amounts of
money in the quote currency, times in epoch ms of the venue's clock. None is "there is none".
The protocol that speaks these is `Venue` in `shared/exchanges/ports.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.messages.trading import TradeSide

OrderSide = Literal["buy", "sell"]
OrderKind = Literal["limit", "market", "ioc", "fok", "maker_only"]
OrderState = Literal["open", "part_filled", "filled", "part_canceled", "canceled"]
Role = Literal["maker", "taker"]

OPENS: dict[TradeSide, OrderSide] = {"long": "buy", "short": "sell"}
CLOSES: dict[TradeSide, OrderSide] = {"long": "sell", "short": "buy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRule:
    """What the venue allows in one market.

    Attributes:
        min_size: Smallest order, in base currency.
        size_step: Orders are whole multiples of this, in base currency.
        tick: Prices are whole multiples of this.
        leverages: Those that may be set, ascending.
        available: False when the venue says that the market cannot be traded now.
    """

    symbol: str
    min_size: Decimal
    size_step: Decimal
    tick: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    leverages: tuple[int, ...]
    available: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """Prices of one market now."""

    symbol: str
    last: Decimal
    mark: Decimal
    index: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BookLevel:
    """Size that rests at a price."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """The order book of one market, best price first; empty sides are possible.

    `updated_ms`: when the venue last changed it; None where it does not say.
    """

    symbol: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    updated_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Funding of one market. Rates are fractions per interval; a positive one is paid by longs."""

    symbol: str
    latest_rate: Decimal
    latest_ms: int | None
    next_rate: Decimal
    next_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """One currency of the account. Equity = available + frozen + margin + unrealized PnL."""

    currency: str
    available: Decimal
    frozen: Decimal
    margin: Decimal
    unrealized_pnl: Decimal

    @property
    def equity(self) -> Decimal:
        """Return what the account would be worth if all were closed at the mark."""
        return self.available + self.frozen + self.margin + self.unrealized_pnl


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPosition:
    """The one net position of a market.

    Attributes:
        realized_pnl: Of this position so far, fees and funding included.
        stop_loss, take_profit: Trigger prices for the whole position.
        liquidation_price: None where it cannot be liquidated.
    """

    position_id: int
    symbol: str
    side: TradeSide
    size: Decimal
    entry_price: Decimal
    leverage: int
    margin_mode: Literal["isolated", "cross"]
    margin: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    liquidation_price: Decimal | None
    opened_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPosition:
    """A position that ended. `how` is the venue's own word for it."""

    position_id: int
    symbol: str
    side: TradeSide
    entry_price: Decimal
    realized_pnl: Decimal
    opened_ms: int
    closed_ms: int
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order we want. `client_id`: 1 to 32 of letters, digits, `-` and `_`, ours for ever.

    `price` is None for market orders only.
    """

    symbol: str
    side: OrderSide
    kind: OrderKind
    size: Decimal
    price: Decimal | None
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOrder:
    """An order the venue took. `price` is None for market orders.

    `state` is None where the reply does not tell it.
    """

    order_id: int
    client_id: str
    symbol: str
    side: OrderSide
    kind: OrderKind
    size: Decimal
    price: Decimal | None
    filled_size: Decimal
    filled_value: Decimal
    fee: Decimal
    fee_currency: str
    state: OrderState | None
    created_ms: int
    updated_ms: int

    @property
    def average_price(self) -> Decimal | None:
        """Return the mean price of what was filled; None where nothing was."""
        return self.filled_value / self.filled_size if self.filled_size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What was executed at once, at one price.

    `fee_currency` is empty, and `fee` 0, where the venue does not tell the fee.
    """

    fill_id: int
    order_id: int
    position_id: int | None
    symbol: str
    side: OrderSide
    price: Decimal
    size: Decimal
    role: Role | None
    fee: Decimal
    fee_currency: str
    at_ms: int
