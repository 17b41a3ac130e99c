"""CoinEx's reply format: numbers as strings, times in ms, "0" and "" for none."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

from shared.exchanges.sim.account import (
    NOTHING,
    PriceKind,
    SimClosedPosition,
    SimFill,
    SimPosition,
    Trigger,
)
from shared.exchanges.sim.book import SimBook
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.prices import Day
from shared.exchanges.sim.rules import (
    FUNDING_LIMIT,
    FUNDING_MS,
    MAKER_FEE,
    QUOTE_CCY,
    TAKER_FEE,
    VenueRule,
    next_funding_ms,
)
from shared.exchanges.sim.venue import SimVenue

Row = dict[str, Any]

PRICE_KINDS: dict[PriceKind, str] = {
    "last": "latest_price", "mark": "mark_price", "index": "index_price"
}  # fmt: skip
FINISHED = {"stop": "stop_loss", "target": "take_profit", "liquidation": "liq"}
_MARKET_TYPE = "FUTURES"
_DAY_S = 86_400
_SHOWN = Decimal("1e-20")


def number(value: Decimal) -> str:
    """Return a number as text, without exponent and needless zeros."""
    if value == 0:
        return "0"
    text = format(value.quantize(_SHOWN) if abs(value) < 1 else value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def market_row(rule: VenueRule, *, is_open: bool) -> Row:
    """Return one entry of `/futures/market`."""
    return {
        "market": rule.market,
        "contract_type": "linear",
        "maker_fee_rate": number(MAKER_FEE),
        "taker_fee_rate": number(TAKER_FEE),
        "min_amount": number(rule.least),
        "base_ccy": rule.base_ccy,
        "quote_ccy": QUOTE_CCY,
        "base_ccy_precision": rule.size_digits,
        "quote_ccy_precision": rule.price_digits,
        "tick_size": number(rule.tick),
        "leverage": [str(leverage) for leverage in rule.leverages],
        "open_interest_volume": "0",
        "is_market_available": is_open,
        "is_copy_trading_available": False,
        "is_api_trading_available": is_open,
        "status": "online",
        "delisted_at": 0,
    }


def ticker_row(market: str, price: Decimal, day: Day | None) -> Row:
    """Return one entry of `/futures/ticker`; mark and index are the last price."""
    day = day or Day(open=price, high=price, low=price, volume=NOTHING, value=NOTHING)
    return {
        "market": market,
        "last": number(price),
        "open": number(day.open),
        "close": number(price),
        "high": number(max(day.high, price)),
        "low": number(min(day.low, price)),
        "volume": number(day.volume),
        "value": number(day.value),
        "volume_sell": number(day.volume / 2),
        "volume_buy": number(day.volume / 2),
        "index_price": number(price),
        "mark_price": number(price),
        "open_interest_volume": "0",
        "period": _DAY_S,
    }


def index_row(market: str, price: Decimal, moved_ms: int) -> Row:
    """Return one entry of `/futures/index`."""
    return {"market": market, "created_at": moved_ms, "price": number(price), "sources": []}


def depth_reply(market: str, book: SimBook, levels: int, last: Decimal, updated_ms: int) -> Row:
    """Return the reply of `/futures/depth`."""
    bids, asks = (
        [[number(level.price), number(level.size)] for level in side[:levels]]
        for side in (book.bids, book.asks)
    )
    words = ":".join(text for row in (*bids, *asks) for text in row)
    return {
        "market": market,
        "is_full": True,
        "depth": {
            "asks": asks,
            "bids": bids,
            "last": number(last),
            "updated_at": updated_ms,
            "checksum": zlib.crc32(words.encode()) if words else 0,
        },
    }


def funding_row(venue: SimVenue, market: str) -> Row:
    """Return one entry of `/futures/funding-rate`."""
    next_ms = next_funding_ms(venue.now_ms)
    latest_ms = next_ms - FUNDING_MS
    return {
        "market": market,
        "mark_price": number(venue.mark(market)),
        "latest_funding_rate": number(venue.funding_rate(market, latest_ms)),
        "next_funding_rate": number(venue.funding_rate(market, next_ms)),
        "max_funding_rate": number(FUNDING_LIMIT),
        "min_funding_rate": number(-FUNDING_LIMIT),
        "latest_funding_time": latest_ms,
        "next_funding_time": next_ms,
    }


def level_row(rule: VenueRule) -> Row:
    """Return one entry of `/futures/position-level`."""
    tiers = [
        {
            "amount": number(tier.amount),
            "leverage": str(tier.leverage),
            "maintenance_margin_rate": number(tier.maintenance_rate),
            "min_initial_margin_rate": number(tier.initial_rate),
        }
        for tier in rule.tiers
    ]
    return {"market": rule.market, "level": tiers}


def balance_rows(venue: SimVenue) -> list[Row]:
    """Return the reply of `/assets/futures/balance`."""
    account = venue.account
    available = venue.available
    return [
        {
            "ccy": QUOTE_CCY,
            "available": number(available),
            "frozen": number(venue.state.orders.frozen),
            "margin": number(account.margin),
            "transferrable": number(max(available, NOTHING)),
            "unrealized_pnl": number(account.unrealized(venue.marks())),
        }
    ]


def order_row(order: SimOrder) -> Row:
    """Return an order as placing, cancelling and the lists show it."""
    return {
        "order_id": order.order_id,
        "market": order.market,
        "market_type": _MARKET_TYPE,
        "side": order.side,
        "type": order.kind,
        "amount": number(order.amount),
        "price": number(order.price or NOTHING),
        "client_id": order.client_id,
        "created_at": order.created_ms,
        "updated_at": order.updated_ms,
        "unfilled_amount": number(order.unfilled),
        "filled_amount": number(order.filled),
        "filled_value": number(order.value),
        "fee": number(order.fee),
        "fee_ccy": QUOTE_CCY,
        "maker_fee_rate": number(MAKER_FEE),
        "taker_fee_rate": number(TAKER_FEE),
        "last_filled_amount": number(order.last_amount),
        "last_filled_price": number(order.last_price),
        "realized_pnl": number(order.realized),
    }


def deal_row(deal: SimFill) -> Row:
    """Return one entry of `/futures/user-deals`."""
    return {
        "deal_id": deal.deal_id,
        "created_at": deal.at_ms,
        "market": deal.market,
        "side": deal.side,
        "order_id": deal.order_id,
        "position_id": deal.position_id,
        "price": number(deal.price),
        "amount": number(deal.amount),
        "role": deal.role,
        "fee": number(deal.fee),
        "fee_ccy": QUOTE_CCY,
    }


def position_row(venue: SimVenue, position: SimPosition) -> Row:
    rule, mark = venue.rule(position.market), venue.mark(position.market)
    rate = rule.maintenance_rate(position.size)
    value, unrealized = mark * position.size, position.unrealized(mark)
    liquidation = position.liquidation_price(rate)
    return {
        **_position(position),
        "close_avbl": number(venue.closable(position)),
        "unrealized_pnl": number(unrealized),
        "settle_price": number(mark),
        "settle_value": number(value),
        "position_margin_rate": number((position.margin + unrealized) / value),
        "maintenance_margin_rate": number(rate),
        "maintenance_margin_value": number(rate * value),
        "liq_price": number(liquidation or NOTHING),
        "bkr_price": number(max(position.bankruptcy_price(), NOTHING)),
        "adl_level": 1,
    }


def ended_row(ended: SimClosedPosition) -> Row:
    """Return one entry of `/futures/finished-position`."""
    return {
        **_position(ended.position),
        "finished_type": FINISHED.get(ended.how, ended.how),
        "close_avbl": "0",
        "unrealized_pnl": "0",
        "settle_price": "0",
        "settle_value": "0",
        "position_margin_rate": "0",
        "maintenance_margin_rate": "0",
        "maintenance_margin_value": "0",
        "liq_price": "0",
        "bkr_price": "0",
        "adl_level": 1,
    }


def _position(position: SimPosition) -> Row:
    return {
        "position_id": position.position_id,
        "market": position.market,
        "market_type": _MARKET_TYPE,
        "side": position.side,
        "margin_mode": "isolated",
        "open_interest": number(position.size),
        "ath_position_amount": number(position.most_size),
        "realized_pnl": number(position.realized),
        "avg_entry_price": number(position.entry_price),
        "cml_position_value": number(position.opened_value),
        "max_position_value": number(position.most_value),
        "created_at": position.created_ms,
        "updated_at": position.updated_ms,
        "leverage": str(position.leverage),
        "margin_avbl": number(position.margin),
        "ath_margin_size": number(position.most_margin),
        **_first_trigger("take_profit", position.targets),
        **_first_trigger("stop_loss", position.stops),
        "stop_loss_list": [_trigger_row(position, stop) for stop in position.stops],
        "take_profit_list": [_trigger_row(position, target) for target in position.targets],
    }


def _first_trigger(name: str, triggers: list[Trigger]) -> Row:
    whole = next((t for t in triggers if t.amount is None), None)
    return {
        f"{name}_price": number(whole.price) if whole else "0",
        f"{name}_type": PRICE_KINDS[whole.kind] if whole else "",
    }


def _trigger_row(position: SimPosition, trigger: Trigger) -> Row:
    return {
        "id": trigger.trigger_id,
        "price": number(trigger.price),
        "type": PRICE_KINDS[trigger.kind],
        "amount": number(position.size if trigger.amount is None else trigger.amount),
        "is_all": trigger.amount is None,
        "created_at": trigger.created_ms,
    }
