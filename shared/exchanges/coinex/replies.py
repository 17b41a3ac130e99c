"""CoinEx's replies: the envelope, and the meaning of error codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import VenueDenied, VenueRefused, VenueUnavailable
from shared.exchanges.coinex.rows import Row, Unreadable, rows_of
from shared.exchanges.excerpts import excerpt, excerpt_of
from shared.http_client import ReplyRefused, document_of

# Busy, unavailable, timed out or internal error: an order may have been accepted anyway.
UNSURE = frozenset({3008, 4001, 4002, 4003})
TOO_MANY = frozenset({4123, 4213})
EXPIRED = frozenset({4010, 4017})
# A market that is not listed: on public calls, and on all others.
UNLISTED = frozenset({4004, 3639})
# Keys, signature, address, account: a retry does not help.
DENIED = frozenset({4005, 4006, 4007, 4008, 4011, 4115, 4117, 4130, 4158, 4159, 4512})


class TooMany(VenueUnavailable):
    """Refused by the rate limit; certainly not carried out."""


class Expired(VenueUnavailable):
    """Refused for its timestamp; certainly not carried out."""


@dataclass(frozen=True, slots=True)
class CoinExReply:
    """A good reply, unparsed; `endpoint` is for errors."""

    endpoint: str
    data: Any
    pagination: Any

    def row(self) -> Row:
        """Return `data`, which must be an object."""
        return Row(self.data, self.endpoint, "data")

    def rows(self) -> list[Row]:
        """Return `data`, which must be a list of objects."""
        return rows_of(self.data, self.endpoint, "data")

    def has_next(self) -> bool:
        """Return whether there is another page."""
        return Row(self.pagination, self.endpoint, "pagination").flag("has_next")


def read_reply(
    endpoint: str, status: int, body: bytes, hide: Callable[[str], str] = str
) -> CoinExReply:
    """Parse a response.

    Args:
        endpoint: For errors.
        hide: Removes secrets from texts of a venue or gateway.

    Raises:
        Unreadable: The request may have been carried out: internal error, or no reply of the API.
        TooMany, Expired: It was not, and may be retried.
        VenueDenied, VenueRefused: It was not.
    """
    try:
        document = document_of(body)
    except ReplyRefused as error:
        raise Unreadable(f"{endpoint}: {error}") from None
    code = document.get("code") if isinstance(document, dict) else None
    beginning = hide(excerpt(body))
    if status == 429:
        raise TooMany(f"{endpoint}: HTTP 429, asked too often: {beginning}")
    if type(code) is not int or (status != 200 and (code == 0 or status >= 500)):
        raise Unreadable(f"{endpoint}: HTTP {status}, {_meaning(status)}: {beginning}")
    assert isinstance(document, dict)
    if code == 0:
        if "data" not in document:
            raise Unreadable(f"{endpoint}: data: missing: {beginning}")
        return CoinExReply(endpoint, document["data"], document.get("pagination"))
    raise _refusal(endpoint, code, hide(_words(document)))


def _words(document: Mapping[str, Any]) -> str:
    message = document.get("message", "")
    return excerpt(message.encode()) if type(message) is str else excerpt_of(message)


def _refusal(endpoint: str, code: int, words: str) -> VenueUnavailable | VenueRefused:
    why = f"{endpoint}: {words}"
    if code in UNSURE:
        return Unreadable(f"{endpoint}: code {code}, the venue has a fault: {words}")
    if code in TOO_MANY:
        return TooMany(f"{endpoint}: code {code}, asked too often: {words}")
    if code in EXPIRED:
        return Expired(f"{endpoint}: code {code}, our clock and the venue's differ: {words}")
    return VenueDenied(code, why) if code in DENIED else VenueRefused(code, why)


def _meaning(status: int) -> str:
    if status == 200:
        return "the body is no reply of the API (JSON with a whole number `code`)"
    if 300 <= status < 400:
        return "a redirect, which is never followed"
    if status in (401, 403, 451):
        return "refused before the API saw it"
    return "the venue has a fault" if status >= 500 else "not as documented"
