"""The simulated order book and the rules of its markets."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from shared.exchanges.sim.book import BookMaker, Level, total, walk
from shared.exchanges.sim.rules import decimals, next_funding_ms, rule_of, usual_digits, usual_price

BTC = rule_of("BTCUSDT", 78_000, 2)
NOW = 1_735_000_000_000
COINS = ["BTCUSDT", "ETHUSDT", "XRPUSDT", "DOGEUSDT", "TRXUSDT", "INJUSDT", "ICPUSDT", "BCHUSDT"]


@pytest.mark.parametrize("coin", COINS)
def test_every_level_is_whole_ticks_and_steps_on_its_side_of_the_price(coin: str) -> None:
    price = usual_price(coin)
    assert price is not None
    rule = rule_of(coin, price, usual_digits(coin))
    middle = D(str(price))
    book = BookMaker().book(rule, middle, NOW, D(1))
    for level in (*book.bids, *book.asks):
        assert level.price % rule.tick == 0
        assert level.size % rule.step == 0
        assert level.size > 0
    assert book.bids[0].price < middle < book.asks[0].price
    assert list(book.bids) == sorted(book.bids, reverse=True)
    assert list(book.asks) == sorted(book.asks)
    assert (book.asks[0].price - book.bids[0].price) / middle < D("0.0002")


@pytest.mark.parametrize("coin", COINS)
def test_value_of_any_fill_has_no_more_digits_than_money(coin: str) -> None:
    price = usual_price(coin)
    assert price is not None
    rule = rule_of(coin, price, usual_digits(coin))
    assert rule.price_digits + rule.size_digits <= 12
    assert rule.least % rule.step == 0
    assert 4 < rule.least * D(str(price)) < 16


def test_recorded_minima_are_kept() -> None:
    assert (BTC.least, BTC.tick, BTC.leverages[-1]) == (D("0.0001"), D("0.01"), 100)
    assert rule_of("XRPUSDT", 2.2, 4).least == 5


@pytest.mark.parametrize(
    ("size", "rate"), [("1", "0.005"), ("30", "0.01"), ("100", "0.025"), ("99999", "0.05")]
)
def test_larger_positions_need_more_maintenance_margin(size: str, rate: str) -> None:
    assert BTC.maintenance_rate(D(size)) == D(rate)


def test_what_an_order_took_is_missing_until_it_is_refilled() -> None:
    maker, price = BookMaker(), D(78000)
    first = maker.book(BTC, price, NOW, D(1)).asks
    maker.take("BTCUSDT", "buy", walk(first, first[0].size + first[1].size / 2, None), NOW)
    second = maker.book(BTC, price, NOW + 1999, D(1))
    assert second.asks[0].price == first[1].price
    assert second.asks[0].size == first[1].size - first[1].size / 2
    assert second.bids == maker.book(BTC, price, NOW + 5000, D(1)).bids
    assert maker.book(BTC, price, NOW + 2000, D(1)).asks == first


def test_walk_ends_with_the_size_or_the_limit_or_the_book() -> None:
    asks = [Level(D(100), D(1)), Level(D(101), D(2)), Level(D(102), D(3))]
    assert walk(asks, D("1.5"), None) == [(D(100), D(1)), (D(101), D("0.5"))]
    assert walk(asks, D(9), ("buy", D(101))) == asks[:2]
    assert total(walk(asks, D(9), None)) == 6
    bids = [Level(D(99), D(1)), Level(D(98), D(2))]
    assert walk(bids, D(9), ("sell", D(99))) == bids[:1]


def test_thin_book_is_thin_and_a_share_of_zero_is_empty() -> None:
    maker = BookMaker()
    usual, thin = (maker.book(BTC, D(78000), NOW, D(share)) for share in ("1", "0.01"))
    assert total(thin.asks) < total(usual.asks) / 50
    empty = maker.book(BTC, D(78000), NOW, D(0))
    assert (empty.bids, empty.asks) == ((), ())


def test_funding_is_at_0_8_and_16_o_clock_utc() -> None:
    midnight = 1_735_689_600_000
    hours = [(next_funding_ms(midnight + ms) - midnight) / 3_600_000 for ms in (0, 1, 28_800_000)]
    assert hours == [8, 8, 16]
    assert next_funding_ms(midnight - 1) == midnight


def test_decimals_of_a_number() -> None:
    assert [decimals(D(t)) for t in ("1", "50", "0.10", "1E-7")] == [0, 0, 1, 7]
