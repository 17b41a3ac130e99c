"""The parameters of one request to a simulated venue, checked as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self, get_args

import orjson

from shared.decimals import decimal_of, whole_of
from shared.exchanges.sim.errors import invalid

MOST_WHOLE = 10**18


class Parameters:
    """Those of a query or a JSON body; every method raises SimRefused for a bad one."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given

    @classmethod
    def of_body(cls, body: bytes) -> Self:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise invalid("the body is no JSON object")
        return cls(document)

    def text(self, name: str) -> str:
        value = self.given.get(name)
        if not isinstance(value, str) or not value:
            raise invalid(f"{name} is missing or no text")
        return value

    def maybe(self, name: str) -> str | None:
        return self.text(name) if self.given.get(name) not in (None, "") else None

    def amount(self, name: str) -> Decimal:
        """Return a required decimal number, sent as a string."""
        number = decimal_of(self.text(name))
        if number is None:
            raise invalid(f"{name} is no decimal number")
        return number

    def maybe_amount(self, name: str) -> Decimal | None:
        return self.amount(name) if self.given.get(name) not in (None, "") else None

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number, sent as a number or a string."""
        value = self.given.get(name, default)
        number = whole_of(value) if isinstance(value, str) else value
        if type(number) is not int or abs(number) >= MOST_WHOLE:
            raise invalid(f"{name} is missing or no whole number")
        return number

    def maybe_whole(self, name: str) -> int | None:
        return self.whole(name) if self.given.get(name) not in (None, "") else None

    def among(self, name: str, choices: Any) -> Any:
        value = self.text(name)
        if value not in get_args(choices):
            raise invalid(f"{name} is not one of {', '.join(get_args(choices))}")
        return value
