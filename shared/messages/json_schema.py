"""JSON Schema of our message types."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

PLACE = "#/components/schemas/"
_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


def schemas_of(*kinds: type[Any]) -> dict[str, Any]:
    """Return the schemas of dataclasses, nested ones included, by name.

    Every field is required, because all are always encoded; no others are allowed.

    Raises:
        TypeError: A field's type cannot be encoded.
    """
    found: dict[str, Any] = {}
    for kind in kinds:
        _add(kind, found)
    return found


def reference(kind: type[Any]) -> dict[str, Any]:
    """Return a `$ref` to the schema of a dataclass."""
    return {"$ref": PLACE + kind.__name__}


def _add(kind: type[Any], found: dict[str, Any]) -> None:
    if kind.__name__ in found:
        return
    found[kind.__name__] = {}  # a name that stands keeps a type that holds itself from looping
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    found[kind.__name__] = {
        "type": "object",
        "description": summary,
        "properties": {name: _schema(hints[name], found) for name in fields},
        "required": fields,
        "additionalProperties": False,
    }


def _schema(hint: Any, found: dict[str, Any]) -> dict[str, Any]:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if dataclasses.is_dataclass(hint):
        kind = typing.cast(type[Any], hint)
        _add(kind, found)
        return reference(kind)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"type": "string", "enum": list(args)}
    if origin is list:
        return {"type": "array", "items": _schema(args[0], found)}
    if origin is tuple:
        items = [_schema(each, found) for each in args]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(args[1], found)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each, found) for each in args]}
    raise TypeError(f"{hint!r} does not travel")
