"""CoinEx's rate limits: requests by group of calls, per account and second."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class LimitGroup(StrEnum):
    """Groups of calls that share a limit."""

    PUBLIC = "public"
    TRADE = "trade"
    CANCEL = "cancel"
    ORDERS = "orders"
    HISTORY = "history"
    ACCOUNT = "account"


# Allowed requests per second. Public calls have only the limit of 400 per address, of which the
# groups below use 130.
PER_S: Mapping[LimitGroup, int] = {
    LimitGroup.PUBLIC: 200,
    LimitGroup.TRADE: 20,
    LimitGroup.CANCEL: 40,
    LimitGroup.ORDERS: 50,
    LimitGroup.HISTORY: 10,
    LimitGroup.ACCOUNT: 10,
}
