"""Bars and coins in Binance's wire format."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.exchange_sim.market.bars import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTE,
    QUOTE_DIGITS,
    TAKER_BASE,
    TAKER_QUOTE,
    TIME,
    TRADES,
    VOLUME,
    Bars,
    Integers,
    Scale,
)
from shared.market import CandleLength, Timeframe

_QUOTE_ASSETS = ("FDUSD", "USDT", "USDC", "USD1", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "U")


def kline_rows(bars: Bars, scale: Scale, timeframe: CandleLength) -> list[bytes]:
    """Return each bar as the JSON text of its 12-field row."""
    price, base = _decimal(scale.price_digits), _decimal(scale.volume_digits)
    quote = _decimal(QUOTE_DIGITS)
    template = (
        f'[%d,{price},{price},{price},{price},{base},%d,{quote},%d,{base},{quote},"0"]'
    ).encode()
    columns: list[list[int]] = [bars[TIME].tolist()]
    for field in (OPEN, HIGH, LOW, CLOSE):
        columns += _split(bars, field, scale.price_digits)
    columns += _split(bars, VOLUME, scale.volume_digits)
    columns.append((bars[TIME] + timeframe.ms - 1).tolist())
    columns += _split(bars, QUOTE, QUOTE_DIGITS)
    columns.append(bars[TRADES].tolist())
    columns += _split(bars, TAKER_BASE, scale.volume_digits)
    columns += _split(bars, TAKER_QUOTE, QUOTE_DIGITS)
    return [template % row for row in zip(*columns, strict=True)]


def kline_event(
    bar: Integers,
    scale: Scale,
    *,
    symbol: str,
    timeframe: Timeframe,
    event_ms: int,
    is_closed: bool,
) -> bytes:
    """Return one bar as the JSON text of a kline event."""
    price, base = _decimal(scale.price_digits), _decimal(scale.volume_digits)
    quote = _decimal(QUOTE_DIGITS)
    template = (
        f'{{"e":"kline","E":%d,"s":"{symbol}","k":{{"t":%d,"T":%d,"s":"{symbol}",'
        f'"i":"{timeframe}","f":%d,"L":%d,"o":{price},"c":{price},"h":{price},"l":{price},'
        f'"v":{base},"n":%d,"x":%s,"q":{quote},"V":{base},"Q":{quote},"B":"0"}}}}'
    )
    open_ms, trades = int(bar[TIME]), int(bar[TRADES])
    first = open_ms if trades else -1
    return (
        template
        % (
            event_ms,
            open_ms,
            open_ms + timeframe.ms - 1,
            first,
            first + max(trades - 1, 0),
            *(part for field in (OPEN, CLOSE, HIGH, LOW)
              for part in divmod(int(bar[field]), 10**scale.price_digits)),
            *divmod(int(bar[VOLUME]), 10**scale.volume_digits),
            trades,
            "true" if is_closed else "false",
            *divmod(int(bar[QUOTE]), 10**QUOTE_DIGITS),
            *divmod(int(bar[TAKER_BASE]), 10**scale.volume_digits),
            *divmod(int(bar[TAKER_QUOTE]), 10**QUOTE_DIGITS),
        )
    ).encode()  # fmt: skip


def symbol_entry(symbol: str, scale: Scale, status: str) -> dict[str, Any]:
    """Return a coin's entry in exchangeInfo."""
    quote = next((q for q in _QUOTE_ASSETS if symbol.endswith(q) and symbol != q), symbol[-4:])
    tick, step = _unit(scale.price_digits), _unit(scale.volume_digits)
    return {
        "symbol": symbol,
        "status": status,
        "baseAsset": symbol.removesuffix(quote),
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": step,
                "maxQty": "90000000.00000000",
                "stepSize": step,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _decimal(digits: int) -> str:
    return f'"%d.%0{digits}d{"0" * (8 - digits)}"'


def _split(bars: Bars, field: int, digits: int) -> list[list[int]]:
    whole, rest = np.divmod(bars[field], 10**digits)
    return [whole.tolist(), rest.tolist()]


def _unit(digits: int) -> str:
    return f"0.{'1'.rjust(digits, '0').ljust(8, '0')}"
