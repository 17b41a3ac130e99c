"""Every error this project raises on purpose, and what an exit code means.

    PlatformError
    ├── TransientError          try again later, with capped jitter
    │   ├── BusUnavailable      Redis does not answer
    │   │   ├── BusNotServing   Redis answers, but refuses us or all writes: carries its code
    │   │   │   ├── BusFull     maxmemory is reached
    │   │   │   └── BusDenied   it does not accept our user or its password
    │   │   └── BusRefused      Redis answers, but refuses this one command (wrong type)
    │   ├── ExchangeUnavailable 5xx, timeout, cut connection, a body that is no JSON
    │   ├── RateLimited         429, 418, 403, 451: nothing may be sent before `until_ms`
    │   ├── VenueUnavailable    the venue does not answer, answers nonsense, or is frozen
    │   ├── OutcomeUnknown      an order was sent, and the venue may have accepted it
    │   └── JournalUnavailable  the trader's journal cannot be written: no entries
    ├── PermanentError          the same input will fail again: exit 125, quarantined
    │   ├── NotInstalled        a package that running does not need is missing
    │   ├── ConfigError         exit 78; carries every fault found
    │   └── UnknownSymbol       the exchange does not list this coin
    ├── VenueRefused            the venue refused a request: carries its code
    │   └── VenueDenied         it does not accept our keys, our address or our account
    ├── BadMessage              bytes on the bus or a pipe that do not decode
    ├── BadCandle               an impossible kline row
    └── NoCandles               a coin without any closed candle

Anything else is a bug: it ends the actor, and the supervisor starts it again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from shared.clock import utc_text

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_SUPERVISOR = 3
EXIT_BAD_CONFIG = 78
EXIT_PERMANENT = 125
EXIT_INTERRUPTED = 130


def count(number: int, thing: str) -> str:
    """Return `1 fault`, `2 faults`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def shortened(text: str, most: int = 60) -> str:
    """Return a text cut to `most` characters, its line ends and control characters escaped."""
    shown = escaped(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def escaped(text: str) -> str:
    """Return a text on one line: what moves a cursor or forges a line is written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean X?" with the nearest known word, in any case; "" if none is near."""
    by_fold = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1)
    return f"did you mean {by_fold[near[0]]}?" if near else ""


class PlatformError(Exception):
    """Root of the errors this project raises on purpose."""


class TransientError(PlatformError):
    """Something outside failed; a retry may succeed."""


class BusUnavailable(TransientError):
    """Redis could not be reached, or did not answer in time."""


class BusNotServing(BusUnavailable):
    """Redis answers, but refuses us or all writes.

    Args:
        code: First word of its error, such as READONLY, LOADING or NOPERM.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BusFull(BusNotServing):
    """Redis has reached its maxmemory and refuses writes."""


class BusDenied(BusNotServing):
    """Redis rejects our login: no such user, a wrong password, or none given."""


class BusRefused(BusUnavailable):
    """Redis refuses this one command: a key of another type, or bad arguments."""


class ExchangeUnavailable(TransientError):
    """The exchange failed, or its answer cannot be parsed."""


class RateLimited(TransientError):
    """The exchange forbids all requests until a given time.

    Args:
        until_ms: Epoch ms of our own clock before which nothing may be sent.
        status: The HTTP status that says so.
    """

    KINDS: Final = {
        403: "address refused by the exchange's firewall",
        418: "address banned",
        429: "request limit broken",
        451: "address refused for its place",
    }

    def __init__(self, until_ms: int, *, status: int) -> None:
        kind = self.KINDS[status]
        super().__init__(f"{kind} (HTTP {status}): no request before {utc_text(until_ms)}")
        self.until_ms = until_ms
        self.status = status


class VenueUnavailable(TransientError):
    """The venue failed, its answer cannot be parsed, or its data is frozen."""


class OutcomeUnknown(TransientError):
    """An order was sent and may have been accepted: never resend it, look it up by its id.

    Args:
        why: What happened instead of an answer.
    """

    def __init__(self, client_id: str, why: str) -> None:
        super().__init__(f"order {client_id}: outcome unknown ({why})")
        self.client_id = client_id
        self.why = why


class DuplicateOrder(OutcomeUnknown):
    """The venue has an order of this client id already, which can only be ours."""

    def __init__(self, client_id: str, why: str) -> None:
        super().__init__(client_id, f"the venue has an order of this id already: {why}")


class JournalUnavailable(TransientError):
    """The trader's journal cannot be read or written just now (disk full, disk failing)."""


class VenueRefused(PlatformError):
    """The venue refused a request.

    Args:
        code: The venue's; 0 if the request was not sent.
        why: The venue's message, or ours.
    """

    def __init__(self, code: int, why: str) -> None:
        refusal = f"the venue refuses (code {code})" if code else "the venue is not asked"
        super().__init__(f"{refusal}: {why}")
        self.code = code
        self.why = why


class VenueDenied(VenueRefused):
    """The venue does not accept our keys, our address or our account."""


class PermanentError(PlatformError):
    """A retry with the same input fails again."""


class NotInstalled(PermanentError):
    """A package that running does not need is missing; the message says what installs it."""


class ConfigError(PermanentError):
    """The configuration is wrong; `faults` has every fault found, one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class UnknownSymbol(PermanentError):
    """The exchange does not list this symbol (any more)."""


class BadMessage(PlatformError):
    """A message that is not of the type its key or channel requires.

    Args:
        where: Key, channel or pipe it came from.
        field: Dotted path of the offending field, or "" for the whole message.
        why: What was found and what was expected.
    """

    def __init__(self, where: str, field: str, why: str) -> None:
        super().__init__(f"{where}: {field + ': ' if field else ''}{why}")
        self.where = where
        self.field = field
        self.why = why


class BadCandle(PlatformError):
    """An impossible kline row, named by symbol, timeframe and open time."""


class NoCandles(PlatformError):
    """A coin has no closed candle to compute from (yet)."""
