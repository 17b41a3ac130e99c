"""Checks requests to the simulated venue: signatures, parameters, rate limits."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from actors.exchange_sim.coinex.codes import (
    BAD_ARGUMENT,
    BAD_KEY,
    BAD_SIGN,
    EXPIRED,
    MALFORMED_SIGN,
    WireRefused,
)
from actors.exchange_sim.parameters import Parameters
from shared.decimals import whole_of
from shared.exchanges.sim.account import PriceKind
from shared.exchanges.sim.errors import SimRefused, invalid
from shared.exchanges.venue import OrderKind, OrderSide
from shared.exchanges.venue_keys import VenueKeys
from shared.token_bucket import TokenBucket

DEFAULT_WINDOW_MS = 5000
PRICE_KINDS: Mapping[str, PriceKind] = {
    "latest_price": "last", "mark_price": "mark", "index_price": "index"
}  # fmt: skip
MOST_NAMES = 10
DEFAULT_LIMIT, MOST_LIMIT = 10, 100
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SIGN = re.compile(r"[0-9a-f]{64}")


def check_signature(
    keys: VenueKeys | None, headers: Mapping[str, str], request_line: str, body: bytes, now_ms: int
) -> None:
    """Refuse a request whose key, signature or timestamp is wrong.

    Args:
        keys: Of the account; None: every request is refused.
        request_line: Method and path, concatenated as they are signed: the path as it was sent,
            with `/v2` and the query.
        now_ms: The venue's time.

    Raises:
        WireRefused: 4005, 4006, 4008 or 4017.
    """
    if keys is None or headers.get("X-COINEX-KEY") != keys.access_id:
        raise WireRefused(*BAD_KEY)
    signature = headers.get("X-COINEX-SIGN", "")
    stamp = headers.get("X-COINEX-TIMESTAMP", "")
    window = headers.get("X-COINEX-WINDOWTIME", str(DEFAULT_WINDOW_MS))
    stamp_ms, window_ms = whole_of(stamp), whole_of(window)
    if not _SIGN.fullmatch(signature) or stamp_ms is None or window_ms is None:
        raise WireRefused(*MALFORMED_SIGN)
    prepared = request_line.encode() + body + stamp.encode()
    if not hmac.compare_digest(signature, keys.sign(prepared)):
        raise WireRefused(*BAD_SIGN)
    if abs(now_ms - stamp_ms) > window_ms:
        raise WireRefused(*EXPIRED)


class Buckets:
    """Requests per second, by group of endpoints: token buckets, full at first."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, group: str, rate: int, now_s: float) -> int | None:
        """Take a token and return how many are left; None when there was none."""
        bucket = self._buckets.setdefault(group, TokenBucket(rate))
        return int(bucket.tokens) if bucket.allows(now_s) else None


class CoinexParameters(Parameters):
    """The parameters of one request, from its query or its JSON body.

    Every method raises SimRefused or WireRefused for what is missing or malformed.
    """

    @classmethod
    def of_body(cls, body: bytes) -> Self:
        try:
            return super().of_body(body)
        except SimRefused:
            raise WireRefused(*BAD_ARGUMENT) from None

    def moved(self, names: Sequence[str], by_ms: int) -> CoinexParameters:
        """Return a copy with some times shifted."""
        given = dict(self.given)
        for name in names:
            if (value := self.maybe_whole(name)) is not None:
                given[name] = value + by_ms
        return CoinexParameters(given)

    def futures(self) -> None:
        if self.given.get("market_type") != "FUTURES":
            raise WireRefused(*BAD_ARGUMENT)

    def names(self) -> list[str] | None:
        """Return the requested markets; None for all."""
        text = self.maybe("market")
        if text is None:
            return None
        names = text.split(",")
        if len(names) > MOST_NAMES:
            raise WireRefused(*BAD_ARGUMENT)
        return names

    def wholes(self, name: str) -> list[int]:
        value = self.given.get(name)
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise invalid(f"{name} is missing or no list of numbers")
        return value

    def page(self) -> tuple[int, int]:
        page, limit = self.whole("page", 1), self.whole("limit", DEFAULT_LIMIT)
        if page < 1 or not 1 <= limit <= MOST_LIMIT:
            raise WireRefused(*BAD_ARGUMENT)
        return page, limit

    def side(self) -> OrderSide:
        side: OrderSide = self.among("side", OrderSide)
        return side

    def maybe_side(self) -> OrderSide | None:
        return self.side() if self.given.get("side") not in (None, "") else None

    def kind(self) -> OrderKind:
        kind: OrderKind = self.among("type", OrderKind)
        return kind

    def price_kind(self, name: str) -> PriceKind:
        """Return the price that triggers a stop or a target."""
        word = self.among(name, Literal["latest_price", "mark_price", "index_price"])
        return PRICE_KINDS[word]

    def client_id(self) -> str:
        """Return the client's id of an order, "" for none."""
        text = self.maybe("client_id") or ""
        if text and not _CLIENT_ID.fullmatch(text):
            raise invalid("client_id is not 1 to 32 of letters, digits, - and _")
        return text
