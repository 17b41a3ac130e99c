"""The JSON Schemas in `docs/schemas/`: of what a guest writes, and of what it reads.

`python -m shared.guests.schemas docs/schemas` writes them; a test fails when they are stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from shared import schema
from shared.guests import shapes
from shared.guests.examples import SCAN_EXAMPLE, TA_EXAMPLE, WINDOW_EXAMPLE
from shared.guests.shape import Shape
from shared.market import COLUMNS, Timeframe
from shared.messages.json_schema import PLACE, schemas_of
from shared.schema import Entry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
WRITTEN = {
    "state-positions": (schema.GUEST_POSITIONS, shapes.POSITIONS),
    "state-balance": (schema.GUEST_BALANCE, shapes.BALANCE),
    "state-trader-status": (schema.GUEST_STATUS, shapes.STATUS),
    "trader-events": (schema.GUEST_EVENTS, shapes.EVENT),
}
"""By file: the key or channel, and its shape."""


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by the name of its file, without `.json`."""
    found = {name: _written(entry, shape) for name, (entry, shape) in WRITTEN.items()}
    found["state-trader-config"] = _head(schema.GUEST_CONFIG) | {
        "description": shapes.CONFIG_TEXT,
        "type": "object",
        "examples": [dict(each) for each in shapes.CONFIG_EXAMPLES],
    }
    found["ta-latest"] = _read(schema.TA_LATEST, TA_EXAMPLE)
    found["scan-latest"] = _read(schema.SCAN_LATEST, SCAN_EXAMPLE)
    found["cache-candles"] = _candles()
    return found


def _head(*entries: Entry[Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": ", ".join(entry.pattern for entry in entries)}


def _written(entry: Entry[Any], shape: Shape[Any]) -> dict[str, Any]:
    return _head(entry) | shape.object_schema() | {"examples": [*map(dict, shape.examples)]}


def _read(entry: Entry[Any], example: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a message of ours; later versions may add to it."""
    found: dict[str, Any] = _open(schemas_of(entry.message))
    own: dict[str, Any] = found.pop(entry.message.__name__)
    return _head(entry) | own | {"$defs": found, "examples": [example]}


def _open(value: Any) -> Any:
    if isinstance(value, list):
        return [_open(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: inner.replace(PLACE, "#/$defs/") if name == "$ref" else _open(inner)
        for name, inner in value.items()
        if (name, inner) != ("additionalProperties", False)
    }


def _candles() -> dict[str, Any]:
    number, whole = {"type": "number"}, {"type": "integer"}
    columns = {
        name: {"type": "array", "items": whole if name == "open_time_ms" else number}
        for name in COLUMNS
    }
    properties: dict[str, Any] = {
        "symbol": {"type": "string"},
        "timeframe": {"type": "string", "enum": [str(each) for each in Timeframe]},
        "closed_until_ms": whole,
        "fetched_at_ms": whole,
        "source": {"type": "string", "enum": ["binance", "sim"]},
        "absent": {"type": "array", "items": {"type": "array", "prefixItems": [whole, whole]}},
        "begins_ms": whole,
        "v": whole,
        **columns,
    }
    return _head(*schema.CANDLES.values()) | {
        "type": "object",
        "description": "The newest candles of one coin, oldest first, stamped by open time; one is "
        "closed when its open time and length are at most closed_until_ms.",
        "properties": properties,
        "required": list(properties),
        "examples": [WINDOW_EXAMPLE],
    }


def text_of(found: dict[str, Any]) -> str:
    """Return a schema as the text of its file."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, found in schemas().items():
        (Path(sys.argv[1]) / f"{name}.json").write_text(text_of(found), encoding="utf-8")
