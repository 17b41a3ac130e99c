"""Whatever arrives, it is a reply or an error to be shown."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import PlatformError
from shared.exchanges.coinex.replies import read_reply


@given(body=st.binary(max_size=60) | st.text('[]{}":,1e9-. \x1b', max_size=60).map(str.encode))
@example(body=b"[" * 1025 + b"]" * 1025)
@example(body=b'{"code":' + b"9" * 5000 + b"}")
@example(body=b'{"code":1e999999}')
@example(body=b'{"code":NaN}')
@example(body=b"[" + b"[]," * 70_000 + b"[]]")
def test_any_body_is_a_reply_or_a_short_printable_error(body: bytes) -> None:
    try:
        read_reply("somewhere", 200, body)
    except PlatformError as error:
        assert len(str(error)) < 700 and str(error).isprintable()
