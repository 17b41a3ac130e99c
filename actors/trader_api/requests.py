"""Parses requests to the trader's API, and refuses unknown parameters."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from aiohttp import web

from actors.trader_api.answers import CommandBody
from actors.trader_api.openapi import LONGEST_TEXT
from shared import codec
from shared.decimals import whole_of
from shared.errors import BadMessage

FIELDS = ("reason", "who")
JSON = "application/json"


def numbers_of(
    request: web.Request, parameters: Sequence[tuple[str, int, int, int | None, str]]
) -> dict[str, int | None]:
    """Return the query's whole numbers by name, with defaults.

    Args:
        parameters: Name, smallest, largest, default and meaning of each.

    Raises:
        web.HTTPBadRequest: An unknown or duplicate name, or no such number.
    """
    known = {name: (least, most) for name, least, most, _, _ in parameters}
    found: dict[str, int | None] = {name: usual for name, _, _, usual, _ in parameters}
    for name in set(request.query):
        if name not in known:
            expected = ", ".join(known) or "none"
            raise web.HTTPBadRequest(text=f"{name[:40]!r}: unknown, expected {expected}")
        given, (least, most) = request.query.getall(name), known[name]
        number = whole_of(given[0])
        if len(given) != 1 or number is None or not least <= number <= most:
            raise web.HTTPBadRequest(
                text=f"{name}: found {', '.join(given)[:40]!r}, expected one whole number from "
                f"{least} to {most}"
            )
        found[name] = number
    return found


async def body_of(request: web.Request) -> CommandBody:
    """Return the optional body of a command.

    Raises:
        web.HTTPException: 413 too large, 415 wrong content type, 400 not JSON, 422 wrong fields.
    """
    raw = await request.read()
    if not raw:
        return CommandBody()
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(
            text=f"found {request.content_type[:60]!r}, expected {JSON}"
        )
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"not JSON: {error}") from None
    if isinstance(document, dict):
        unknown = sorted(set(document) - set(FIELDS))
        if unknown:
            raise web.HTTPUnprocessableEntity(
                text=f"{unknown[0][:40]!r}: unknown, expected {' and '.join(FIELDS)}"
            )
    try:
        body = codec.from_plain(CommandBody, document, "body")
    except BadMessage as error:
        raise web.HTTPUnprocessableEntity(text=str(error)) from None
    for name in FIELDS:
        if len(getattr(body, name)) > LONGEST_TEXT:
            raise web.HTTPUnprocessableEntity(
                text=f"{name}: expected at most {LONGEST_TEXT} characters"
            )
    return CommandBody(reason=_one_line(body.reason), who=_one_line(body.who))


def _one_line(text: str) -> str:
    """Replace what could forge a log line or move a cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
