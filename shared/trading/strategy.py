"""What scores the entries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyIdentity:
    """A strategy, for what is kept of its trades. `hash`: SHA-256 of what decides its scores."""

    name: str
    version: str
    hash: str


RULES = 1
"""Raised with every change of rules that changes a score, a plan or an exit."""

BASE = StrategyIdentity(
    name="base", version=str(RULES), hash=hashlib.sha256(f"base {RULES}".encode()).hexdigest()
)
"""The built-in one: the base score."""
