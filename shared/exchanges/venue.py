"""Types of the port `Venue`: markets, prices, positions, orders, fills.

Money is `Decimal`, exactly as sent; sizes are in base currency, prices and money in the account's
settlement currency, times in epoch ms of the venue's clock. None is "there is none", or where it
says so "the venue does not tell". Ids of orders, fills and positions are opaque texts, unique
within one market only.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.messages.trading import TradeSide

OrderSide = Literal["buy", "sell"]
OrderKind = Literal["limit", "market", "ioc", "fok", "maker_only"]
OrderState = Literal[
    "accepted", "open", "part_filled", "filled", "part_canceled", "canceled", "rejected"
]
"""`accepted`: received, and what became of it is not known yet; `rejected`: received, and refused
afterwards."""

Role = Literal["maker", "taker"]

VenueEnd = Literal["stop", "target", "liquidation", "deleveraging"]
"""What at the venue may close a position, beside orders."""

OPENS: dict[TradeSide, OrderSide] = {"long": "buy", "short": "sell"}
CLOSES: dict[TradeSide, OrderSide] = {"long": "sell", "short": "buy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRule:
    """The rules of one market.

    Attributes:
        min_size: Smallest order, in base currency.
        size_step: Orders are whole multiples of this, in base currency.
        min_value: Smallest value of an order that opens, size times price; None without such a
            rule.
        tick: Prices are whole multiples of this.
        leverages: Those that may be set, ascending.
        available: False when the market cannot be traded now.
    """

    symbol: str
    min_size: Decimal
    size_step: Decimal
    min_value: Decimal | None
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
    """Resting size at a price."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """The order book of one market, best price first; sides may be empty.

    `updated_ms`: time of its last change; None if the venue does not report it.
    """

    symbol: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    updated_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Funding of one market. Rates are fractions per interval; longs pay a positive one."""

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
        """Return the value of the account if all were closed at the mark."""
        return self.available + self.frozen + self.margin + self.unrealized_pnl


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPosition:
    """The one net position of a market.

    Attributes:
        position_id: Tells it from an earlier one of the same market; None if the venue does not
            number positions.
        realized_pnl: Of this position so far, fees and funding included; None if the venue does
            not tell while it is open.
        stop_loss, take_profit: Trigger prices for the whole position.
        liquidation_price: None if it cannot be liquidated.
    """

    position_id: str | None
    symbol: str
    side: TradeSide
    size: Decimal
    entry_price: Decimal
    leverage: int
    margin_mode: Literal["isolated", "cross"]
    margin: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    liquidation_price: Decimal | None
    opened_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedPosition:
    """How a position ended.

    Attributes:
        realized_pnl: In all, fees and funding included.
        fees: Paid, above 0; None if the venue does not tell.
        funding: Received, negative when paid; None if the venue does not tell.
        by: What closed it; None for an order, or if the venue does not tell.
        how: The venue's own term.
    """

    realized_pnl: Decimal
    fees: Decimal | None
    funding: Decimal | None
    closed_ms: int
    by: VenueEnd | None
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order to place. `client_id`: 1 to 32 of letters, digits, `-` and `_`, never reused.

    `price` is None for market orders only.

    Attributes:
        stop_loss, take_profit: Trigger prices that the position gets with its first fill; only
            where `Venue.protects_entry`.
    """

    symbol: str
    side: OrderSide
    kind: OrderKind
    size: Decimal
    price: Decimal | None
    client_id: str
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOrder:
    """An order received by the venue. `price` is None for market orders.

    `why`: The venue's reason for a `rejected` one.
    """

    order_id: str
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
    state: OrderState
    created_ms: int
    updated_ms: int
    why: str = ""

    @property
    def average_price(self) -> Decimal | None:
        """Return the mean price of the fills; None without any."""
        return self.filled_value / self.filled_size if self.filled_size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """An execution at one price. Without a reported fee, `fee` is 0 and `fee_currency` empty."""

    fill_id: str
    order_id: str
    position_id: str | None
    symbol: str
    side: OrderSide
    price: Decimal
    size: Decimal
    role: Role | None
    fee: Decimal
    fee_currency: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCheck:
    """What was found of the account's set-up.

    Attributes:
        name: What was looked at, such as `isolated margin`.
        is_fit: False: nothing is entered until it is put right; None: the venue does not tell.
        text: What was found, and what to do about it.
    """

    name: str
    is_fit: bool | None
    text: str
