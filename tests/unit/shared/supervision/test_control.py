"""Control messages: what is refused, and in which words."""

from __future__ import annotations

import pytest

from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control import parse

MALFORMED = [
    (b"", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"restart fetcher", "not JSON"),
    (b"[1,2]", "expected an object"),
    (b'{"command":"status"}', "id: expected"),
    (b'{"id":7,"command":"status"}', "id: expected"),
    (b'{"id":"a b","command":"status"}', "id: expected"),
    (b'{"id":"' + b"x" * 65 + b'","command":"status"}', "id: expected"),
    (b'{"id":"1"}', "command: expected one of"),
    (b'{"id":"1","command":"restrat","actor":"fetcher"}', "did you mean 'restart'"),
    (b'{"id":"1","command":["restart"]}', "command: expected one of"),
    (b'{"id":"1","command":"restart"}', "actor: missing"),
    (b'{"id":"1","command":"restart","actor":5}', "actor: expected a text"),
    (b'{"id":"1","command":"status","extra":true}', "unknown field 'extra'"),
]


@pytest.mark.parametrize(("raw", "why"), MALFORMED)
def test_a_malformed_message_gets_an_error_reply_that_says_why(raw: bytes, why: str) -> None:
    reply = parse(raw)
    assert isinstance(reply, ControlReply)
    assert reply.outcome == "error"
    assert why in reply.reason
    assert len(reply.reason) < 400


def test_a_reply_goes_to_the_id_of_the_message_if_it_has_a_usable_one() -> None:
    assert parse(b'{"id":"abc-1","command":"nope"}').id == "abc-1"
    assert parse(b'{"id":"*","command":"nope"}').id == "invalid"


def test_a_good_message_becomes_a_command() -> None:
    parsed = parse(b'{"id":"1","command":"restart","actor":"indicators-*"}')
    assert parsed == ControlCommand(id="1", command="restart", actor="indicators-*")
