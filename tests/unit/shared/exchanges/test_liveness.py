"""A venue that answers is not always one that lives."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from shared.exchanges.liveness import OLDEST_BOOK_MS, frozen
from shared.exchanges.venue import BookLevel, MarketRule, OrderBook, Ticker

NOW = 1_790_132_349_768
RULE = MarketRule(
    symbol="BTCUSDT",
    min_size=Decimal("0.0001"),
    size_step=Decimal("0.0001"),
    min_value=None,
    tick=Decimal(1),
    maker_fee=Decimal("0.0003"),
    taker_fee=Decimal("0.0005"),
    leverages=(1, 3),
    available=True,
)
LEVELS = (BookLevel(price=Decimal(85618), size=Decimal(1)),)
BOOK = OrderBook(symbol="BTCUSDT", bids=LEVELS, asks=LEVELS, updated_ms=NOW - 1000)
TICKER = Ticker(symbol="BTCUSDT", last=Decimal(1), mark=Decimal(1), index=Decimal(1))


def test_venue_that_trades_is_alive() -> None:
    assert frozen(RULE, BOOK, TICKER, NOW) == ""


def test_venue_that_does_not_date_its_books_is_alive() -> None:
    assert frozen(RULE, replace(BOOK, updated_ms=None), TICKER, NOW) == ""


@pytest.mark.parametrize(
    ("rule", "book", "ticker", "words"),
    [
        (None, BOOK, TICKER, "BTCUSDT: not listed"),
        (replace(RULE, available=False), BOOK, TICKER, "BTCUSDT: the venue says that the market"),
        (RULE, replace(BOOK, bids=(), asks=()), TICKER, "BTCUSDT: the book has no bids and asks"),
        (RULE, replace(BOOK, bids=()), TICKER, "BTCUSDT: the book has no bids"),
        (RULE, replace(BOOK, asks=()), TICKER, "BTCUSDT: the book has no asks"),
        (RULE, BOOK, None, "BTCUSDT: the venue has no index or mark price"),
        (RULE, BOOK, replace(TICKER, index=Decimal(0)), "no index or mark price"),
        (RULE, BOOK, replace(TICKER, mark=Decimal(0)), "no index or mark price"),
        (
            RULE,
            replace(BOOK, updated_ms=NOW - OLDEST_BOOK_MS - 1),
            TICKER,
            "BTCUSDT: the book has not changed for 60 s, since 2026-09-23T02:58:09Z",
        ),
    ],
)
def test_venue_that_only_answers_is_down_and_words_say_why(
    rule: MarketRule | None, book: OrderBook, ticker: Ticker | None, words: str
) -> None:
    assert words in frozen(rule, book, ticker, NOW)


def test_book_is_believed_up_to_its_oldest_age() -> None:
    at_limit = replace(BOOK, updated_ms=NOW - OLDEST_BOOK_MS)
    assert frozen(RULE, at_limit, TICKER, NOW) == ""
    assert frozen(RULE, at_limit, TICKER, NOW, oldest_ms=OLDEST_BOOK_MS - 1) != ""
