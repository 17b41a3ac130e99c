"""Market rules of the simulated venue: usual price, steps, leverage, maintenance margin."""

from __future__ import annotations

import hashlib
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
_FINEST_TICK = 5e-5  # of the price; with coarser ticks the spread would be the largest cost
_LEAST_NOTIONAL = 5.0
# As recorded; other markets get about the same notional.
_LEAST_AMOUNTS = {
    "BTCUSDT": "0.0001", "ETHUSDT": "0.005", "LTCUSDT": "0.05",
    "XRPUSDT": "5", "ADAUSDT": "10", "TRXUSDT": "50",
}  # fmt: skip
_DEEPEST = ("BTCUSDT", "ETHUSDT")
# Highest notional in USDT of a tier, its highest leverage, its maintenance margin rate.
_TIERS = ((1e6, 100, "0.005"), (5e6, 50, "0.01"), (2e7, 20, "0.025"), (1e8, 10, "0.05"))

# Level in USDT, decimals of price and of volume, USDT traded per 5m bar.
USUAL: dict[str, tuple[float, int, int, float]] = {
    "BTCUSDT": (78_000, 2, 5, 8e6), "ETHUSDT": (2_900, 2, 4, 5e6),
    "BNBUSDT": (640, 2, 3, 9e5), "SOLUSDT": (165, 2, 3, 2e6),
    "XRPUSDT": (2.2, 4, 1, 2e6), "DOGEUSDT": (0.15, 5, 1, 1e6),
    "ADAUSDT": (0.7, 4, 1, 6e5), "TRXUSDT": (0.24, 4, 1, 4e5),
    "LINKUSDT": (16, 2, 2, 4e5), "AVAXUSDT": (26, 2, 2, 3e5),
    "DOTUSDT": (5, 3, 2, 1.5e5), "LTCUSDT": (95, 2, 3, 3e5),
    "BCHUSDT": (380, 1, 3, 1.2e5), "UNIUSDT": (8, 3, 2, 1.5e5),
    "ATOMUSDT": (5, 3, 2, 8e4), "NEARUSDT": (3.2, 3, 1, 2e5),
    "ETCUSDT": (20, 2, 2, 8e4), "FILUSDT": (3.6, 3, 2, 8e4),
    "APTUSDT": (6.5, 3, 2, 1e5), "ARBUSDT": (0.45, 4, 1, 1.5e5),
    "OPUSDT": (1.0, 3, 2, 1.2e5), "SUIUSDT": (3.0, 4, 1, 8e5),
    "INJUSDT": (13, 2, 2, 1e5), "AAVEUSDT": (210, 2, 3, 2e5),
    "XLMUSDT": (0.3, 4, 1, 2e5), "HBARUSDT": (0.2, 5, 1, 2.5e5),
    "ICPUSDT": (6.5, 3, 2, 6e4), "TONUSDT": (3.6, 3, 2, 1e5),
    "SEIUSDT": (0.25, 4, 1, 1.2e5), "PEPEUSDT": (1e-5, 8, 1, 5e5),
    "1000SATSUSDT": (1.2e-4, 8, 1, 1e5),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Highest leverage and maintenance margin of positions up to `amount`."""

    amount: Decimal
    leverage: int
    maintenance_rate: Decimal

    @property
    def initial_rate(self) -> Decimal:
        """Return the minimum initial margin as a share of the value."""
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
        return self.market.removesuffix(QUOTE_CCY)

    @property
    def price_digits(self) -> int:
        return decimals(self.tick)

    @property
    def size_digits(self) -> int:
        return decimals(self.step)

    def maintenance_rate(self, size: Decimal) -> Decimal:
        """Return the maintenance margin rate of a position of this size."""
        fitting = (t.maintenance_rate for t in self.tiers if size < t.amount)
        return next(fitting, self.tiers[-1].maintenance_rate)


def usual_price(symbol: str) -> float | None:
    """Return the approximate price of a well-known coin in USDT; None for any other."""
    return USUAL[symbol][0] if symbol in USUAL else None


def usual_digits(symbol: str) -> int:
    """Return the price decimals of a well-known coin; 0 for any other."""
    return USUAL[symbol][1] if symbol in USUAL else 0


def rule_of(market: str, price: float, price_digits: int) -> VenueRule:
    """Return the rules of a market whose price is usually about `price`.

    Args:
        price_digits: Least number of price decimals; more if the tick would be too coarse.
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
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "finite"
    return max(0, -exponent)


def next_funding_ms(at_ms: int) -> int:
    """Return the next 00:00, 08:00 or 16:00 UTC after a time."""
    return at_ms - at_ms % FUNDING_MS + FUNDING_MS


def usual_funding_rate(market: str, at_ms: int) -> Decimal:
    """Return the rate paid at a funding time: a pure function."""
    digest = hashlib.blake2s(f"{market}/{at_ms}".encode(), digest_size=2).digest()
    return Decimal(int.from_bytes(digest, "little") % 40_001 - 20_000).scaleb(-8)


def _round_amount(amount: float) -> str:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = math.floor(math.log10(amount))
    digit = next(d for d in (1, 2, 5, 10) if d >= amount / 10.0**power - 1e-9)
    return format(Decimal(digit).scaleb(power).quantize(
        Decimal(1).scaleb(min(power, 0)), ROUND_CEILING), "f")  # fmt: skip
