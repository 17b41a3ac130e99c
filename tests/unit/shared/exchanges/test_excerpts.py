"""What an error shows of a body that was not what it should be."""

from __future__ import annotations

from typing import Any

import pytest

from shared.exchanges.excerpts import excerpt, excerpt_of


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
        (b"\x1b[31mred\x07\x00", r"\x1b[31mred\x07\x00"),
        (b"<title>\x1b[2J</title>", r"a web page, '\x1b[2J'"),
        ("a\u202eb".encode(), r"a\u202eb"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_one_short_line_without_markup_tells_what_came(body: bytes, shown: str) -> None:
    assert excerpt(body) == shown


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [nested(900), "x" * 10**6, [1] * 10**5, {"\x1b" * 10**5: "\n"}, 10**19, 1e308, None]
)
def test_a_document_is_shown_in_part_on_one_line(value: Any) -> None:
    shown = excerpt_of(value)
    assert shown and len(shown) <= 160 and shown.isprintable()
