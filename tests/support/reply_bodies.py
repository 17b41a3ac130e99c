"""Bodies that a server may send, most of them no JSON."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

HOSTILE = (
    b"[" * 1025 + b"]" * 1025,
    b'{"code":' + b"9" * 5000 + b"}",
    b'{"code":1e999999}',
    b'{"code":NaN}',
    b"[" + b"[]," * 70_000 + b"[]]",
)


def any_body(law: Callable[[bytes], None]) -> Callable[[], None]:
    """Hold a law against random bodies, and each of `HOSTILE`."""
    for body in HOSTILE:
        law = example(body=body)(law)
    drawn = st.binary(max_size=60) | st.text('[]{}":,1e9-. \x1b', max_size=60).map(str.encode)
    return given(body=drawn)(law)
