"""What an error shows of a body that was not what it should be."""

from __future__ import annotations

import pytest

from shared.exchanges.excerpts import excerpt


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", "an empty body"),
        (b" \r\n ", "an empty body"),
        (b'{"code": 1,\n "a": 2}', '{"code": 1, "a": 2}'),
        (b"x" * 121, "x" * 120 + " ..."),
        (
            b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body>",
            "a web page, '502 Bad Gateway'",
        ),
        (
            b"<!DOCTYPE html><style>b { color: red }</style>\n<b>Just a\n moment</b>",
            "a web page, 'Just a moment'",
        ),
        (b"<p>one<script>two()", "a web page, 'one'"),
        (b"<title> </title><p>one</p>", "a web page without a word"),
        (b"<p>" + b"y" * 121, "a web page, '" + "y" * 120 + "' ..."),
        (b"<" * 10_000, "a web page without a word"),
    ],
)
def test_one_short_line_without_markup_tells_what_came(body: bytes, shown: str) -> None:
    assert excerpt(body) == shown
