"""Whatever arrives, it is a reply or an error to be shown."""

from __future__ import annotations

from shared.errors import PlatformError
from shared.exchanges.coinex.replies import read_reply
from tests.support.reply_bodies import any_body


@any_body
def test_any_body_is_a_reply_or_a_short_printable_error(body: bytes) -> None:
    try:
        read_reply("somewhere", 200, body)
    except PlatformError as error:
        assert len(str(error)) < 700 and str(error).isprintable()
