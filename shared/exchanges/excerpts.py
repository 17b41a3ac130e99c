"""Excerpts of unexpected bodies, for one line of an error."""

from __future__ import annotations

import re
import reprlib
from typing import Any

from shared.errors import escaped

_SHOWN = 120
_SEARCHED = 4096
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<[^>]*(>|$)", re.IGNORECASE | re.DOTALL)
_BRIEFLY = reprlib.Repr(maxlevel=3, maxstring=_SHOWN, maxlong=_SHOWN)


def excerpt(body: bytes) -> str:
    """Return the first 120 bytes as one line of printable text, or "an empty body".

    For a web page (of a gateway, usually) return its title, or else its first 120 characters
    without markup.
    """
    start = body[:_SEARCHED]
    if start.lstrip()[:1] == b"<":
        return escaped(_of_page(start.decode("utf-8", "replace")))
    text = escaped(" ".join(body[:_SHOWN].decode("utf-8", "replace").split()))
    return text + (" ..." if len(body) > _SHOWN else "") if text else "an empty body"


def excerpt_of(value: Any) -> str:
    """Return the beginning of a parsed document, however large or deep it is."""
    return escaped(_BRIEFLY.repr(value)[:_SHOWN])


def _of_page(page: str) -> str:
    title = _TITLE.search(page)
    words = " ".join(_MARKUP.sub(" ", title[1] if title else page).split())
    if not words:
        return "a web page without a word"
    return f"a web page, '{words[:_SHOWN]}'" + (" ..." if len(words) > _SHOWN else "")
