"""Prices for the simulated venue, from the paths that the simulated candles are made of."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from actors.exchange_sim.market.bars import HIGH, LOW, OPEN, QUOTE, QUOTE_DIGITS, VOLUME
from actors.exchange_sim.market.market import Market
from shared.exchanges.sim.prices import Corner, Day, between
from shared.market import Timeframe


class MarketPrices:
    def __init__(self, market: Market) -> None:
        self._market = market

    def symbols(self) -> Sequence[str]:
        return self._market.symbols()

    def digits(self, symbol: str, at_ms: int) -> int:
        return self._market.scale(symbol, at_ms).price_digits

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        path = self.path(symbol, at_ms, at_ms)
        return path[-1].price if path else None

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        digits = self.digits(symbol, until_ms)
        corners = [
            Corner(at_ms, Decimal(price).scaleb(-digits))
            for at_ms, price in self._market.path(symbol, from_ms, until_ms)
        ]
        return between(corners, from_ms, until_ms, digits)

    def day(self, symbol: str, at_ms: int) -> Day | None:
        bars = self._market.bars(symbol, Timeframe.H1, at_ms, limit=24)
        if not bars.shape[1]:
            return None
        scale = self._market.scale(symbol, at_ms)

        def price(units: int) -> Decimal:
            return Decimal(int(units)).scaleb(-scale.price_digits)

        return Day(
            open=price(bars[OPEN, 0]),
            high=price(bars[HIGH].max()),
            low=price(bars[LOW].min()),
            volume=Decimal(int(bars[VOLUME].sum())).scaleb(-scale.volume_digits),
            value=Decimal(int(bars[QUOTE].sum())).scaleb(-QUOTE_DIGITS),
        )

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        return at_ms  # this market always moves

    def forget(self, before_ms: int) -> None:
        """Do nothing: this market keeps no prices."""
