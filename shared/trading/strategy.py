"""What scores the entries."""

from __future__ import annotations

import hashlib

from shared.messages.trading import StrategyIdentity

RULES = 2
"""Raised with every change of rules that changes a score, a plan or an exit, as
`tests/unit/shared/trading/test_rules_number.py` demands: evidence of before is of other rules."""

BASE = StrategyIdentity(
    name="base", version=str(RULES), hash=hashlib.sha256(f"base {RULES}".encode()).hexdigest()
)
"""The built-in one: the base score."""
