"""The venues there are adapters for, each described by a file of its own beside its adapter."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Environment = Literal["live", "testnet", "demo"]

EXCHANGES = Path(__file__).resolve().parent.parent / "exchanges"
DESCRIPTION = "venue.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueDescription:
    """What can be known of a venue without its adapter.

    Attributes:
        name: In the configuration; also its directory.
        title: For people.
        urls: Its environments, each with its address.
        currencies: Settlement currencies that an account may have.
        path: Of the protocol at the simulated venue, such as `/v2`.
        closed: Why it takes no entries until an operator enables them; "" when it does.
        old_names: Per secret the credential and the variable of earlier releases, still read.
    """

    name: str
    title: str
    urls: Mapping[str, str]
    currencies: Sequence[str]
    path: str
    closed: str = ""
    old_names: Mapping[str, Sequence[str]] = field(default_factory=dict)


@functools.cache
def venue_catalog() -> Mapping[str, VenueDescription]:
    """Return every venue by its name."""
    found = {}
    for file in sorted(EXCHANGES.glob(f"*/{DESCRIPTION}")):
        name = file.parent.name
        with file.open("rb") as opened:
            found[name] = VenueDescription(name=name, **tomllib.load(opened))
    return found
