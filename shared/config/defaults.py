"""Defaults of the configuration that are read without loading the validator."""

from __future__ import annotations

from typing import Literal

Mode = Literal["demo", "paper", "live"]

STATE_DIR = "var"
REDIS_URL = "redis://127.0.0.1:6379/0"
NAMESPACE = ""

OWN = "own"
"""The trader that is this platform's."""

UNNAMED_VENUE = "coinex"
"""The venue of a configuration, of keys or of a journal that do not name one."""

BUILT_IN = "base"
"""The strategy that is no file."""
