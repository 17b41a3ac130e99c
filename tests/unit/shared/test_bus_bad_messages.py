"""What is kept and logged of bad messages is bounded, whatever their number and their names."""

from __future__ import annotations

import logging

import pytest

from shared import schema
from shared.bus import Bus
from tests.support.manual_clock import ManualClock


def test_many_bad_messages_of_ever_other_long_names_are_counted_and_little_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = Bus("unix:///none", name="test", clock=ManualClock(), log=logging.getLogger("test"))
    for number in range(5000):
        assert bus.decode(schema.TA_LATEST, b"nonsense", f"{number}{'x' * 10_000}") is None
    assert bus.bad_messages == 5000
    assert len(bus.bad_message) <= 400
    assert len(caplog.messages) <= 1000
    assert max(map(len, caplog.messages)) < 500
