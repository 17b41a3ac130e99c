"""However a body is compressed and cut up, it arrives whole, or is refused at its limit."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.http_client import Body, ReplyRefused, document_of
from tests.support.reply_bodies import any_body

MOST = 1000
PLAIN = st.binary(max_size=50) | st.builds(
    lambda part, times: part * times, st.binary(min_size=1, max_size=8), st.integers(1, 2 * MOST)
)
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def parts_of(body: bytes, lengths: list[int]) -> Iterator[bytes]:
    """Cut a body into parts of these lengths, over and over."""
    at = 0
    for length in itertools.cycle(lengths):
        if at >= len(body):
            return
        yield body[at : at + length]
        at += length


def received(body: bytes, lengths: list[int], encoding: str) -> bytes:
    reader = Body(MOST, encoding)
    for part in parts_of(body, lengths):
        reader.add(part)
    return reader.whole()


@given(plain=PLAIN, lengths=CUTS, level=st.sampled_from((None, 0, 1, 9)))
@example(plain=b"x" * MOST, lengths=[7], level=9)
@example(plain=b"x" * (MOST + 1), lengths=[7], level=9)
@example(plain=b"x" * 10**7, lengths=[5000], level=9)
def test_a_body_is_whole_or_refused(plain: bytes, lengths: list[int], level: int | None) -> None:
    sent = plain if level is None else gzip.compress(plain, level)
    encoding = "" if level is None else "gzip"
    if len(plain) <= MOST and len(sent) <= MOST:
        assert received(sent, lengths, encoding) == plain
        return
    with pytest.raises(ReplyRefused, match=f"at most {MOST:,} are read"):
        received(sent, lengths, encoding)


@given(raw=st.binary(max_size=80), lengths=CUTS)
@example(raw=gzip.compress(b"abc")[:-1], lengths=[9])
@example(raw=gzip.compress(b"abc") * 2, lengths=[9])
@example(raw=gzip.compress(b"") + b"\0", lengths=[99])
@example(raw=zlib.compress(b"abc"), lengths=[99])
def test_what_is_no_single_whole_gzip_stream_is_refused(raw: bytes, lengths: list[int]) -> None:
    try:
        found = received(raw, lengths, "gzip")
    except ReplyRefused as error:
        assert len(str(error)) < 200
    else:
        assert found == (zlib.decompress(raw, wbits=31) if raw else b"")


@given(encoding=st.text(max_size=200))
def test_another_encoding_is_named_and_refused(encoding: str) -> None:
    if encoding.lower() in ("", "identity", "gzip", "x-gzip"):
        Body(MOST, encoding)
        return
    with pytest.raises(ReplyRefused) as refused:
        Body(MOST, encoding)
    assert len(str(refused.value)) < 200 and str(refused.value).isprintable()


@any_body
def test_any_body_is_a_document_or_refused(body: bytes) -> None:
    try:
        document_of(body)
    except ReplyRefused as error:
        assert "lists and objects" in str(error)
