"""How often an answer is made, however often it is asked for."""

from __future__ import annotations

from actors.health.response_cache import Response, ResponseCache
from tests.support.manual_clock import ManualClock


async def test_an_answer_is_made_once_within_its_time_and_anew_after_it() -> None:
    clock, made = ManualClock(), list[Response]()

    def make() -> Response:
        made.append(Response(body=b"%d" % len(made), status=200, content_type="text/plain"))
        return made[-1]

    held = ResponseCache(make, 0.25, clock)
    assert {held.get().body for _ in range(1000)} == {b"0"}
    await clock.advance(0.2)
    assert held.get().body == b"0"
    await clock.advance(0.05)
    assert held.get().body == b"1"
    assert len(made) == 2
