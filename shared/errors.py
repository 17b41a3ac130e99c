"""Every error this project raises on purpose, and what an exit code means.

    PlatformError
    ├── TransientError          try again later, with capped jitter
    │   ├── BusUnavailable      Redis does not answer
    │   │   ├── BusFull         Redis answers, but refuses writes (maxmemory, disk)
    │   │   ├── BusDenied       Redis answers, but does not accept our user or its password
    │   │   └── BusRefused      Redis answers, but refuses this command (no right, wrong type)
    │   ├── ExchangeUnavailable 5xx, timeout, cut connection, a body that is no JSON
    │   ├── RateLimited         429 or 418: nothing may be sent before `until_ms`
    │   ├── VenueUnavailable    the venue does not answer, answers nonsense, or is frozen
    │   ├── OutcomeUnknown      an order was sent, and nobody knows whether it was taken
    │   └── JournalUnavailable  the trader's journal cannot be written: nothing is entered
    ├── PermanentError          the same input will fail again: exit 125, quarantined
    │   ├── ConfigError         exit 78; carries every fault found
    │   └── UnknownSymbol       the exchange does not list this coin
    ├── VenueRefused            the venue understood, and says no: carries its code
    │   └── VenueDenied         it does not accept our keys, our address or our account
    ├── BadMessage              bytes on the bus or a pipe that are not what they claim
    ├── BadCandle               a kline row that cannot be true
    └── NoCandles               a coin without one closed candle to compute from

Anything else is a bug: it ends the actor, and the supervisor starts it again.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_SUPERVISOR = 3
EXIT_BAD_CONFIG = 78
EXIT_PERMANENT = 125


def shortened(text: str, most: int = 60) -> str:
    """Return a text cut to what an error has room for."""
    return text if len(text) <= most else text[: most - 3] + "..."


class PlatformError(Exception):
    """Root of the errors this project raises on purpose."""


class TransientError(PlatformError):
    """Something outside failed in a way that time may mend."""


class BusUnavailable(TransientError):
    """Redis could not be reached, or did not answer in time."""


class BusFull(BusUnavailable):
    """Redis answers but refuses writes."""


class BusDenied(BusUnavailable):
    """Redis answers but does not let us in: no such user, a wrong password, or none given."""


class BusRefused(BusUnavailable):
    """Redis answers but refuses this one command: no right to it, or a key of another kind."""


class ExchangeUnavailable(TransientError):
    """The exchange failed, or answered something that cannot be read."""


class RateLimited(TransientError):
    """The exchange forbids all requests until a given time.

    Args:
        until_ms: Epoch milliseconds of our own clock before which nothing may be sent.
        banned: True for 418 (address banned), False for 429 (limit broken).
    """

    def __init__(self, until_ms: int, *, banned: bool) -> None:
        kind = "address banned (418)" if banned else "request limit broken (429)"
        super().__init__(f"{kind}: no request before {until_ms} ms")
        self.until_ms = until_ms
        self.banned = banned


class VenueUnavailable(TransientError):
    """The venue failed, answered something that cannot be read, or answers but is frozen."""


class OutcomeUnknown(TransientError):
    """An order was sent and may have been taken: never send it again, look for it by its id.

    Args:
        client_id: The order's own.
        why: What was seen instead of an answer.
    """

    def __init__(self, client_id: str, why: str) -> None:
        super().__init__(f"order {client_id}: outcome unknown ({why})")
        self.client_id = client_id
        self.why = why


class JournalUnavailable(TransientError):
    """The trader's journal cannot be read or written just now (disk full, disk failing)."""


class VenueRefused(PlatformError):
    """The venue understood and refused.

    Args:
        code: The venue's own; 0 where it was not even asked.
        why: Its words, or ours.
    """

    def __init__(self, code: int, why: str) -> None:
        said = f"the venue refuses (code {code})" if code else "the venue is not asked"
        super().__init__(f"{said}: {why}")
        self.code = code
        self.why = why


class VenueDenied(VenueRefused):
    """The venue does not accept our keys, our address or our account."""


class PermanentError(PlatformError):
    """Trying again with the same input fails again."""


class ConfigError(PermanentError):
    """The configuration is wrong; `faults` holds every fault found, one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class UnknownSymbol(PermanentError):
    """The exchange does not list this symbol (any more)."""


class BadMessage(PlatformError):
    """A message that is not what its key or channel promises.

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
    """A kline row that cannot be true: named by symbol, timeframe and open time."""


class NoCandles(PlatformError):
    """A coin has not one closed candle to compute from (yet)."""
