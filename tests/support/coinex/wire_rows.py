"""Objects as CoinEx documents them, with made-up values; arguments replace fields."""

from __future__ import annotations

from typing import Any

AT_MS = 1_711_699_000_000


def market_row(**fields: Any) -> dict[str, Any]:
    """Return one market of `futures/market`."""
    return {
        "market": "BTCUSDT",
        "contract_type": "linear",
        "maker_fee_rate": "0.0003",
        "taker_fee_rate": "0.0005",
        "min_amount": "0.0001",
        "base_ccy": "BTC",
        "quote_ccy": "USDT",
        "base_ccy_precision": 4,
        "quote_ccy_precision": 2,
        "tick_size": "0.5",
        "leverage": ["1", "3", "100"],
        "is_market_available": True,
        "status": "online",
    } | fields


def ticker_row(**fields: Any) -> dict[str, Any]:
    """Return one market of `futures/ticker`."""
    return {
        "market": "BTCUSDT",
        "last": "62480.08",
        "index_price": "62443.05",
        "mark_price": "62443.1",
    } | fields


def position_row(**fields: Any) -> dict[str, Any]:
    return {
        "position_id": 1,
        "market": "BTCUSDT",
        "side": "long",
        "margin_mode": "isolated",
        "open_interest": "0.5",
        "unrealized_pnl": "1.5",
        "realized_pnl": "-0.2",
        "avg_entry_price": "62000",
        "take_profit_price": "0",
        "stop_loss_price": "0",
        "leverage": "3",
        "margin_avbl": "10000",
        "liq_price": "0",
        "created_at": AT_MS,
        "updated_at": AT_MS,
    } | fields


def order_row(**fields: Any) -> dict[str, Any]:
    return {
        "order_id": 1,
        "market": "BTCUSDT",
        "side": "buy",
        "type": "ioc",
        "amount": "0.5",
        "price": "62000",
        "client_id": "ours-1",
        "filled_amount": "0.5",
        "filled_value": "31000",
        "fee": "15.5",
        "fee_ccy": "USDT",
        "created_at": AT_MS,
        "updated_at": AT_MS,
    } | fields


def deal_row(**fields: Any) -> dict[str, Any]:
    return {
        "deal_id": 1,
        "created_at": AT_MS,
        "market": "BTCUSDT",
        "side": "buy",
        "order_id": 1,
        "position_id": 1,
        "price": "62000",
        "amount": "0.5",
        "role": "taker",
        "fee": "15.5",
        "fee_ccy": "USDT",
    } | fields
