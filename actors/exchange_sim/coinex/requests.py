"""Checks requests to the simulated venue: signatures, parameters, rate limits."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

import orjson

from shared.decimals import decimal_of, whole_of
from shared.exchanges.sim.account import PriceKind
from shared.exchanges.sim.errors import (
    BAD_ARGUMENT,
    BAD_KEY,
    BAD_SIGN,
    EXPIRED,
    MALFORMED_SIGN,
    SimRefused,
    invalid,
)
from shared.exchanges.venue import OrderKind, OrderSide
from shared.exchanges.venue_keys import VenueKeys
from shared.token_bucket import TokenBucket

DEFAULT_WINDOW_MS = 5000
MOST_NAMES = 10
MOST_WHOLE = 10**18
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
        SimRefused: 4005, 4006, 4008 or 4017.
    """
    if keys is None or headers.get("X-COINEX-KEY") != keys.access_id:
        raise SimRefused(*BAD_KEY)
    signature = headers.get("X-COINEX-SIGN", "")
    stamp = headers.get("X-COINEX-TIMESTAMP", "")
    window = headers.get("X-COINEX-WINDOWTIME", str(DEFAULT_WINDOW_MS))
    stamp_ms, window_ms = whole_of(stamp), whole_of(window)
    if not _SIGN.fullmatch(signature) or stamp_ms is None or window_ms is None:
        raise SimRefused(*MALFORMED_SIGN)
    prepared = request_line.encode() + body + stamp.encode()
    if not hmac.compare_digest(signature, keys.sign(prepared)):
        raise SimRefused(*BAD_SIGN)
    if abs(now_ms - stamp_ms) > window_ms:
        raise SimRefused(*EXPIRED)


class Buckets:
    """Requests per second, by group of endpoints: token buckets, full at first."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, group: str, rate: int, now_s: float) -> int | None:
        """Take a token and return how many are left; None when there was none."""
        bucket = self._buckets.setdefault(group, TokenBucket(rate))
        return int(bucket.tokens) if bucket.allows(now_s) else None


class Parameters:
    """The parameters of one request, from its query or its JSON body.

    Every method raises SimRefused for what is missing or malformed.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    @classmethod
    def of_body(cls, body: bytes) -> Parameters:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise SimRefused(*BAD_ARGUMENT) from None
        if not isinstance(document, dict):
            raise SimRefused(*BAD_ARGUMENT)
        return cls(document)

    def moved(self, names: Sequence[str], by_ms: int) -> Parameters:
        """Return a copy with some times shifted."""
        given = dict(self._given)
        for name in names:
            if (value := self.maybe_whole(name)) is not None:
                given[name] = value + by_ms
        return Parameters(given)

    def futures(self) -> None:
        if self._given.get("market_type") != "FUTURES":
            raise SimRefused(*BAD_ARGUMENT)

    def text(self, name: str) -> str:
        value = self._given.get(name)
        if not isinstance(value, str) or not value:
            raise invalid(f"{name} is missing or no text")
        return value

    def maybe(self, name: str) -> str | None:
        return self.text(name) if self._given.get(name) not in (None, "") else None

    def names(self) -> list[str] | None:
        """Return the requested markets; None for all."""
        text = self.maybe("market")
        if text is None:
            return None
        names = text.split(",")
        if len(names) > MOST_NAMES:
            raise SimRefused(*BAD_ARGUMENT)
        return names

    def amount(self, name: str) -> Decimal:
        """Return a required decimal number, sent as a string."""
        number = decimal_of(self.text(name))
        if number is None:
            raise invalid(f"{name} is no decimal number")
        return number

    def maybe_amount(self, name: str) -> Decimal | None:
        return self.amount(name) if self._given.get(name) not in (None, "") else None

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number, sent as a number or a string."""
        value = self._given.get(name, default)
        number = whole_of(value) if isinstance(value, str) else value
        if type(number) is not int or abs(number) >= MOST_WHOLE:
            raise invalid(f"{name} is missing or no whole number")
        return number

    def maybe_whole(self, name: str) -> int | None:
        return self.whole(name) if self._given.get(name) not in (None, "") else None

    def wholes(self, name: str) -> list[int]:
        value = self._given.get(name)
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise invalid(f"{name} is missing or no list of numbers")
        return value

    def page(self) -> tuple[int, int]:
        page, limit = self.whole("page", 1), self.whole("limit", DEFAULT_LIMIT)
        if page < 1 or not 1 <= limit <= MOST_LIMIT:
            raise SimRefused(*BAD_ARGUMENT)
        return page, limit

    def side(self) -> OrderSide:
        side: OrderSide = self._among("side", OrderSide)
        return side

    def maybe_side(self) -> OrderSide | None:
        return self.side() if self._given.get("side") not in (None, "") else None

    def kind(self) -> OrderKind:
        kind: OrderKind = self._among("type", OrderKind)
        return kind

    def price_kind(self, name: str) -> PriceKind:
        """Return the price that triggers a stop or a target."""
        kind: PriceKind = self._among(name, PriceKind)
        return kind

    def client_id(self) -> str:
        """Return the client's id of an order, "" for none."""
        text = self.maybe("client_id") or ""
        if text and not _CLIENT_ID.fullmatch(text):
            raise invalid("client_id is not 1 to 32 of letters, digits, - and _")
        return text

    def _among(self, name: str, choices: Any) -> Any:
        value = self.text(name)
        if value not in get_args(choices):
            raise invalid(f"{name} is not one of {', '.join(get_args(choices))}")
        return value
