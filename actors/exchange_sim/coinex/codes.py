"""CoinEx's error codes, which come with HTTP 200, and its words for refusals."""

from __future__ import annotations

from shared.exchanges.sim.errors import Reason, SimRefused

BUSY = 3008, "service too busy"
INVALID = 3639
UNAVAILABLE = {4001: "service unavailable", 4002: "service timeout", 4003: "internal error"}
BAD_ARGUMENT = 4004, "invalid argument"
BAD_KEY = 4005, "access id not found"
BAD_SIGN = 4006, "signature incorrect"
BAD_METHOD = 4009, "bad request method"
MALFORMED_SIGN = 4008, "signature malformed"
EXPIRED = 4017, "signature expired"
RATE_LIMIT = 4213, "rate limit triggered"
NO_BALANCE = 3109, "balance not enough"

_REFUSALS: dict[Reason, tuple[int, str]] = {
    Reason.NO_BALANCE: NO_BALANCE,
    Reason.NO_ORDER: (3600, "Order not found"),
    Reason.NOT_MAKER: (3622, "The order could not be a maker's and was cancelled"),
    Reason.NOT_WHOLE: (3621, "The order could not be filled completely and was cancelled"),
    Reason.STOPPED: (3157, "Service has been stopped in this market"),
    Reason.TOO_FAR: (3606, "The price is too far from the index price"),
    Reason.TOO_SMALL: (3127, "The amount is less than the minimum"),
    Reason.TOO_THIN: (3620, "The market order was refused: too little depth"),
}


class WireRefused(Exception):
    """A request that never reaches the account, or an answer by a code of its own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def code_of(refused: SimRefused | WireRefused) -> tuple[int, str]:
    """Return code and message of a refusal."""
    if isinstance(refused, WireRefused):
        return refused.code, refused.text
    return _REFUSALS.get(refused.reason) or (INVALID, f"Invalid Parameter: {refused.text}")
