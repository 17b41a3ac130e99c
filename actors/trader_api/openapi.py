"""The OpenAPI 3.1 document of the trader's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from actors.trader_api.answers import (
    CommandAnswer,
    CommandBody,
    EquitiesAnswer,
    EventsAnswer,
    ProblemBody,
    StatusAnswer,
    TradesAnswer,
)
from shared.messages.json_schema import reference, schemas_of
from shared.messages.trading import WITH_SYMBOL, Balance, Positions, TraderConfig, TraderVerb
from shared.symbols import SYMBOL_LENGTHS

LARGEST_BODY = 65_536
LONGEST_TEXT = 200
MOST_ROWS = 1000
USUAL_ROWS = 100
SYMBOL = rf"[^\x00-\x2f\x3a-\x40\x5b-\x7f]{{{SYMBOL_LENGTHS[0]},{SYMBOL_LENGTHS[1]}}}"
"""Of ASCII, capital letters and digits only."""

LARGEST_NUMBER = 2**53

VERBS: tuple[TraderVerb, ...] = get_args(TraderVerb)

_BEFORE = ("before_id", 1, LARGEST_NUMBER, None, "only those with a smaller number")
_LIMIT = ("limit", 1, MOST_ROWS, USUAL_ROWS, "how many at most")

# path -> (summary, type of the answer, query parameters, may be without it for now)
READS: Mapping[str, tuple[str, type[Any], tuple[tuple[str, int, int, int | None, str], ...]]] = {
    "/status": ("The trader's status and its lock", StatusAnswer, ()),
    "/config": ("The current settings", TraderConfig, ()),
    "/positions": ("Every open position of the account", Positions, ()),
    "/balance": ("The account's balance", Balance, ()),
    "/trades": ("Own positions, open and ended", TradesAnswer, (_LIMIT, _BEFORE)),
    "/events": ("The trader's events", EventsAnswer, (_LIMIT, _BEFORE)),
    "/equity": (
        "The account after each cycle",
        EquitiesAnswer,
        (_LIMIT, ("since_ms", 0, LARGEST_NUMBER, 0, "only cycles from this time on, epoch ms")),
    ),
}

SAYS: Mapping[TraderVerb, str] = {
    "enable": "Open and manage positions again; ends a disable, never a kill",
    "disable": "No new entries until enabled; open positions are still managed",
    "reduce": "No new entries until enabled; open positions are still managed",
    "close": "Close the trader's position in one coin",
    "flatten": "Kill, then close every position of the trader's",
    "kill": "No new entries until released; closes nothing",
    "release": "End a kill, a disable and every latched limit",
    "adopt": "Make a foreign position the trader's own",
    "accept-journal": "Go on with a journal that may not be the one our orders are in",
}

_REFUSALS: Mapping[int, str] = {
    400: "Malformed request",
    401: "No token, or a wrong one",
    403: "Cross-site request",
    404: "Not found",
    405: "Method not allowed",
    409: "The trader refuses the command",
    413: f"A body of more than {LARGEST_BODY} bytes",
    415: "The content type is not JSON",
    421: "The Host header names another server",
    422: "Valid JSON, but not of the schema",
    429: "Too many wrong tokens",
    500: "A fault of this server, or its journal is damaged",
    503: "Redis or the journal does not answer, or nothing was published yet",
}
_EVERYWHERE = (400, 401, 403, 413, 421, 429, 500)


def document() -> dict[str, Any]:
    paths: dict[str, Any] = {
        path: {"get": _read(path, summary, kind, parameters)}
        for path, (summary, kind, parameters) in READS.items()
    }
    for verb in VERBS:
        named = verb in WITH_SYMBOL
        paths[f"/{verb}/{{symbol}}" if named else f"/{verb}"] = {"post": _command(verb, named)}
    paths["/openapi.json"] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "security": [],
            "responses": {
                "200": _json("The document", {"type": "object"}),
                **_refusals(400, 403, 413, 421, 500),
            },
        }
    }
    kinds = [StatusAnswer, TraderConfig, Positions, Balance, TradesAnswer, EventsAnswer]
    schemas = schemas_of(*kinds, EquitiesAnswer, CommandAnswer, ProblemBody)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trader",
            "version": "1",
            "description": "Watch and steer the trader. Amounts are decimal numbers as text.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What stands in state_dir/api.token",
                }
            },
            "responses": {str(status): _problem(words) for status, words in _REFUSALS.items()},
            "schemas": {**schemas, "CommandBody": _BODY},
        },
    }


_BODY = {
    "type": "object",
    "description": (CommandBody.__doc__ or "").strip(),
    "properties": {
        "reason": {"type": "string", "maxLength": LONGEST_TEXT},
        "who": {"type": "string", "maxLength": LONGEST_TEXT},
    },
    "additionalProperties": False,
}


def _json(words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _problem(words: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": reference(ProblemBody)}}
    return {"description": words, "content": content}


def _refusals(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _read(
    path: str,
    summary: str,
    kind: type[Any],
    parameters: tuple[tuple[str, int, int, int | None, str], ...],
) -> dict[str, Any]:
    return {
        "operationId": path.removeprefix("/"),
        "summary": summary,
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": words,
                "schema": {
                    "type": "integer",
                    "minimum": least,
                    "maximum": most,
                    **({} if usual is None else {"default": usual}),
                },
            }
            for name, least, most, usual, words in parameters
        ],
        "responses": {"200": _json(summary, reference(kind)), **_refusals(*_EVERYWHERE, 503)},
    }


def _command(verb: TraderVerb, named: bool) -> dict[str, Any]:
    symbol = {
        "name": "symbol",
        "in": "path",
        "required": True,
        "description": "a coin of the configuration, or one with a position",
        "example": "BTCUSDT",
        "schema": {"type": "string", "pattern": f"^{SYMBOL}$"},
    }
    return {
        "operationId": verb,
        "summary": SAYS[verb],
        "parameters": [symbol] if named else [],
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/CommandBody"}}
            },
        },
        "responses": {
            "200": _json("Done; the answer says what happened", reference(CommandAnswer)),
            "202": _json("The trader has not answered in time", reference(CommandAnswer)),
            **_refusals(*_EVERYWHERE, *((404,) if named else ()), 409, 415, 422, 503),
        },
    }
