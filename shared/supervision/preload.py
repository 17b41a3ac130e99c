"""Imported by the app zygote to build the message checks once for all actors forked from it.

Building them takes a few ms, which would delay a forked actor's first heartbeat.
"""

from __future__ import annotations

import dataclasses

from shared import codec
from shared.config.sections import Config
from shared.messages.candles import CandleWindow
from shared.schema import TABLE

for _kind in {Config, *(entry.message for entry in TABLE)}:
    if isinstance(_kind, type) and dataclasses.is_dataclass(_kind) and _kind is not CandleWindow:
        codec.prepare(_kind)
