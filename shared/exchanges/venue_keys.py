"""The keys of a venue account, which must not leak."""

from __future__ import annotations

import hashlib
import hmac
from typing import Never

HIDDEN = "hidden"


class VenueKeys:
    """A pair of keys that cannot be changed, printed, logged, copied or pickled.

    The secret itself is not kept, only the MAC made from it.

    Args:
        access_id: Identifies the account; sent with every signed request.
        secret: Signs; never sent.

    Raises:
        ValueError: One of them is empty, or has characters that no key has.
    """

    __slots__ = ("_access_id", "_mac")

    _access_id: str
    _mac: hmac.HMAC

    def __init__(self, access_id: str, secret: str) -> None:
        for name, key in (("access id", access_id), ("secret key", secret)):
            if not key:
                raise ValueError(f"the venue's {name} is empty")
            if not all("!" <= letter <= "~" for letter in key):
                raise ValueError(
                    f"the venue's {name} holds a blank, a line end or a letter outside ASCII"
                )
        object.__setattr__(self, "_access_id", access_id)
        object.__setattr__(self, "_mac", hmac.new(secret.encode(), digestmod=hashlib.sha256))

    @property
    def access_id(self) -> str:
        """Return the access id, for the request header only."""
        return self._access_id

    def sign(self, prepared: bytes) -> str:
        """Return the HMAC-SHA256 of `prepared`: 64 lower-case hexadecimal digits."""
        mac = self._mac.copy()
        mac.update(prepared)
        return mac.hexdigest()

    def hide(self, text: str) -> str:
        """Return `text` with the access id replaced: a venue may echo it."""
        return text.replace(self._access_id, HIDDEN)

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("keys do not change")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("keys do not change")

    def __repr__(self) -> str:
        return f"VenueKeys({HIDDEN})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("keys are neither copied nor pickled")

    def __getstate__(self) -> Never:
        raise TypeError("keys are neither copied nor pickled")
