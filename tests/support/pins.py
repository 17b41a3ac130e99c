"""The pins of a requirements file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT


@dataclass(frozen=True)
class Pin:
    """One package: its requirement, and what follows it on the line."""

    requirement: Requirement
    hashes: list[str]


def lines_of(file: str) -> list[str]:
    """Return what a file says, without comments, what continues on the next line joined."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def pinned(file: str) -> dict[str, Pin]:
    """Return the pins of one file, without those of a file that it includes."""
    found: dict[str, Pin] = {}
    for line in lines_of(file):
        if not line.startswith("-r "):
            name, *hashes = re.split(r"\s+--hash=", line)
            requirement = Requirement(name)
            found[canonicalize_name(requirement.name)] = Pin(requirement, hashes)
    return found
