"""Whether a venue is live: after an exchange has closed, its servers may still answer."""

from __future__ import annotations

from shared.clock import utc_text
from shared.exchanges.venue import MarketRule, OrderBook, Ticker

OLDEST_BOOK_MS = 60_000


def frozen(
    rule: MarketRule | None,
    book: OrderBook,
    ticker: Ticker | None,
    now_ms: int,
    oldest_ms: int = OLDEST_BOOK_MS,
) -> str:
    """Return why the venue counts as down in one market, or "".

    Args:
        rule: None if the venue does not list the market.
        ticker: None if the venue has no prices.
        now_ms: Venue time.
        oldest_ms: Greatest age of a live book.
    """
    symbol = book.symbol
    if rule is None:
        return f"{symbol}: not listed by the venue"
    if not rule.available:
        return f"{symbol}: the venue says that the market cannot be traded"
    empty = " and ".join(name for name, side in (("bids", book.bids), ("asks", book.asks))
                         if not side)  # fmt: skip
    if empty:
        return f"{symbol}: the book has no {empty}"
    if book.updated_ms is not None and now_ms - book.updated_ms > oldest_ms:
        age_s = (now_ms - book.updated_ms) // 1000
        return (
            f"{symbol}: the book has not changed for {age_s} s, since {utc_text(book.updated_ms)}"
        )
    if ticker is None or ticker.index <= 0 or ticker.mark <= 0:
        return f"{symbol}: the venue has no index or mark price"
    return ""
