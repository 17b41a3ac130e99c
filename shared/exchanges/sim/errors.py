"""Refusals of the simulated venue: CoinEx's error codes, which come with HTTP 200."""

from __future__ import annotations

BUSY = 3008, "service too busy"
NO_BALANCE = 3109, "balance not enough"
TOO_SMALL = 3127, "The amount is less than the minimum"
STOPPED = 3157, "Service has been stopped in this market"
NO_ORDER = 3600, "Order not found"
TOO_FAR = 3606, "The price is too far from the index price"
TOO_THIN = 3620, "The market order was refused: too little depth"
NOT_WHOLE = 3621, "The order could not be filled completely and was cancelled"
NOT_MAKER = 3622, "The order could not be a maker's and was cancelled"
INVALID = 3639
UNAVAILABLE = {4001: "service unavailable", 4002: "service timeout", 4003: "internal error"}
BAD_ARGUMENT = 4004, "invalid argument"
BAD_KEY = 4005, "access id not found"
BAD_SIGN = 4006, "signature incorrect"
BAD_METHOD = 4009, "bad request method"
MALFORMED_SIGN = 4008, "signature malformed"
EXPIRED = 4017, "signature expired"
RATE_LIMIT = 4213, "rate limit triggered"


class SimRefused(Exception):
    """A request the venue refuses."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def invalid(why: str) -> SimRefused:
    return SimRefused(INVALID, f"Invalid Parameter: {why}")


def no_market(market: str) -> SimRefused:
    return invalid(f"market {market} not found")
