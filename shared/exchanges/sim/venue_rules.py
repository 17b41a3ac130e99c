"""What the simulated venue allows in each market: steps, minimum, leverage, maintenance margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

TAKER_FEE = Decimal("0.0005")
MAKER_FEE = Decimal("0.0003")
FUNDING_LIMIT = Decimal("0.00375")
HOUR_MS = 3_600_000
FUNDING_MS = 8 * HOUR_MS
QUOTE_CCY = "USDT"

_LEVERAGES = (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100)
_FINEST_TICK = 5e-5  # of the price; coarser ticks would make the spread the greatest of costs
_LEAST_NOTIONAL = 5.0
# As recorded; for others about as much money.
_LEAST_AMOUNTS = {
    "BTCUSDT": "0.0001", "ETHUSDT": "0.005", "LTCUSDT": "0.05",
    "XRPUSDT": "5", "ADAUSDT": "10", "TRXUSDT": "50",
}  # fmt: skip
_DEEPEST = ("BTCUSDT", "ETHUSDT")
# Notional in USDT up to which a tier goes, its highest leverage, its maintenance margin rate.
_TIERS = ((1e6, 100, "0.005"), (5e6, 50, "0.01"), (2e7, 20, "0.025"), (1e8, 10, "0.05"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Positions up to `amount` may have that leverage and need that maintenance margin."""

    amount: Decimal
    leverage: int
    maintenance_rate: Decimal

    @property
    def initial_rate(self) -> Decimal:
        """Return the least initial margin as a share of the value."""
        return 1 / Decimal(self.leverage)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRule:
    """The rules of one market; prices are whole ticks, sizes whole steps."""

    market: str
    tick: Decimal
    step: Decimal
    least: Decimal
    leverages: tuple[int, ...]
    tiers: tuple[Tier, ...]

    @property
    def base_ccy(self) -> str:
        """Return the currency sizes are in."""
        return self.market.removesuffix(QUOTE_CCY)

    @property
    def price_digits(self) -> int:
        """Return the decimals of prices."""
        return decimals(self.tick)

    @property
    def size_digits(self) -> int:
        """Return the decimals of sizes."""
        return decimals(self.step)

    def maintenance_rate(self, size: Decimal) -> Decimal:
        """Return the maintenance margin rate of a position so large."""
        fitting = (t.maintenance_rate for t in self.tiers if size < t.amount)
        return next(fitting, self.tiers[-1].maintenance_rate)


def rule_of(market: str, price: float, price_digits: int) -> VenueRule:
    """Return the rules of a market whose price is usually about `price`.

    Args:
        price_digits: Decimals prices have at least; ticks are finer where they would be coarse.
    """
    digits = price_digits
    while 10.0**-digits > _FINEST_TICK * price:
        digits += 1
    least = Decimal(_LEAST_AMOUNTS.get(market) or _round_amount(_LEAST_NOTIONAL / price))
    tiers = _TIERS if market in _DEEPEST else _TIERS[1:]
    return VenueRule(
        market=market,
        tick=Decimal(1).scaleb(-digits),
        step=Decimal(1).scaleb(-decimals(least)),
        least=least,
        leverages=tuple(x for x in _LEVERAGES if x <= tiers[0][1]),
        tiers=tuple(
            Tier(
                amount=Decimal(_round_amount(notional / price)),
                leverage=leverage,
                maintenance_rate=Decimal(rate),
            )
            for notional, leverage, rate in tiers
        ),
    )


def decimals(number: Decimal) -> int:
    """Return how many decimals a number is written with."""
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "finite"
    return max(0, -exponent)


def next_funding_ms(at_ms: int) -> int:
    """Return the first 00, 08 or 16 o'clock UTC after a time."""
    return at_ms - at_ms % FUNDING_MS + FUNDING_MS


def _round_amount(amount: float) -> str:
    """Return the next 1, 2 or 5 with zeros, before or behind the point."""
    power = math.floor(math.log10(amount))
    digit = next(d for d in (1, 2, 5, 10) if d >= amount / 10.0**power - 1e-9)
    return format(Decimal(digit).scaleb(power).quantize(
        Decimal(1).scaleb(min(power, 0)), ROUND_CEILING), "f")  # fmt: skip
