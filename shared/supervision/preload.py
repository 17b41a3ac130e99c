"""Made once, by the app zygote that imports this, for all actors forked from it.

Working out from annotations how messages are checked takes a few ms, for which a forked actor's
first heartbeat would wait.
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
