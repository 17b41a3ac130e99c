"""Refusals of the simulated venue; each wire has its own words and codes for them."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a request is refused."""

    INVALID = "invalid"
    NO_BALANCE = "the balance is not enough"
    NO_MARKET = "no such market"
    NO_ORDER = "no such order"
    NO_POSITION = "no such position"
    NOT_MAKER = "the order could not be a maker's and was cancelled"
    NOT_WHOLE = "the order could not be filled completely and was cancelled"
    STOPPED = "the market is stopped"
    TOO_FAR = "the price is too far from the index price"
    TOO_SMALL = "the amount is less than the smallest"
    TOO_THIN = "the book is too thin for a market order"


class SimRefused(Exception):
    """A request the venue refuses. `text`: for people; by default the reason's own words."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason, self.text = reason, text or reason.value


def invalid(why: str) -> SimRefused:
    return SimRefused(Reason.INVALID, why)
