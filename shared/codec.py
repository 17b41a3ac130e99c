"""Encode frozen dataclasses as JSON; decode them, checking every name and type.

Messages (`shared/messages/`) are frozen and typed, with units in the names; null only where the
type allows it. Candle windows encode themselves, because they are sent as arrays.

Not pydantic: building its validators would cost a restarted actor tens of milliseconds.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson

from shared.decimals import decimal_of
from shared.errors import BadMessage, shortened

MOST_DIGITS = 120  # sums of exact products have twice the digits of a price
_Check = Callable[[Any, str], Any]


class _Fault(Exception):
    def __init__(self, field: str, why: str) -> None:
        self.field, self.why = field, why


def prepare(kind: type) -> None:
    """Build the checks of type `kind` now rather than on its first message."""
    _check_for(kind)


def number(value: float) -> float | None:
    """Return a float as it is sent: NaN and infinities become None.

    The only place that does so: orjson would silently write null for NaN, even where the type
    requires a number.
    """
    value = float(value)
    return value if math.isfinite(value) else None


def encode(message: Any) -> bytes:
    """Return the JSON bytes of a dataclass (or of plain dicts and lists), Decimals as strings."""
    return orjson.dumps(message, default=_text)


def decode[T](kind: type[T], raw: bytes | str, where: str) -> T:
    """Return the message of type `kind` in `raw`.

    Unknown fields are ignored, so that additions do not break readers.

    Raises:
        BadMessage: Not JSON, a field missing, or a value of the wrong type.
    """
    return from_plain(kind, _json(raw, where), where)


def json_object(raw: bytes | str, where: str) -> dict[str, Any]:
    """Return the JSON object in `raw`, its fields unchecked.

    Raises:
        BadMessage: Not JSON, or no object.
    """
    document = _json(raw, where)
    if type(document) is not dict:
        raise BadMessage(where, "", "expected an object")
    return document


def _json(raw: bytes | str, where: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadMessage(where, "", f"not JSON ({error})") from None


def from_plain[T](kind: type[T], document: Any, where: str) -> T:
    """Return the message of type `kind` built from dicts and lists.

    Raises:
        BadMessage: As for `decode`.
    """
    try:
        return typing.cast(T, _check_for(typing.cast(typing.Hashable, kind))(document, ""))
    except _Fault as fault:
        raise BadMessage(where, fault.field, fault.why) from None


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"messages may not hold {value!r}")


def _shown(value: Any) -> str:
    return shortened(repr(value))


def _exactly(kind: type, name: str) -> _Check:
    def check(value: Any, path: str) -> Any:
        if type(value) is not kind:
            raise _Fault(path, f"expected {name}, found {_shown(value)}")
        return value

    return check


def _float(value: Any, path: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise _Fault(path, f"expected a number, found {_shown(value)}")
    if not math.isfinite(value):
        raise _Fault(path, f"expected a finite number, found {_shown(value)}")
    return float(value)


def _decimal(value: Any, path: str) -> Decimal:
    number = None
    if type(value) is str:
        number = decimal_of(value, exponent=True, digits=MOST_DIGITS)
    if number is None:
        raise _Fault(path, f"expected a decimal number as text, found {_shown(value)}")
    return number


def _literal(choices: tuple[Any, ...]) -> _Check:
    def check(value: Any, path: str) -> Any:
        if value not in choices:
            raise _Fault(
                path, f"expected one of {', '.join(map(repr, choices))}, found {_shown(value)}"
            )
        return value

    return check


def _list(item: _Check) -> _Check:
    def check(value: Any, path: str) -> Any:
        if type(value) is not list:
            raise _Fault(path, f"expected a list, found {_shown(value)}")
        return [item(element, f"{path}[{i}]") for i, element in enumerate(value)]

    return check


def _pair(items: tuple[_Check, ...]) -> _Check:
    def check(value: Any, path: str) -> Any:
        if type(value) not in (list, tuple) or len(value) != len(items):
            raise _Fault(path, f"expected {len(items)} values, found {_shown(value)}")
        return tuple(
            item(element, f"{path}[{i}]")
            for i, (item, element) in enumerate(zip(items, value, strict=True))
        )

    return check


def _mapping(item: _Check) -> _Check:
    def check(value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise _Fault(path, f"expected an object, found {_shown(value)}")
        return {key: item(element, f"{path}.{key}") for key, element in value.items()}

    return check


def _optional(inner: _Check) -> _Check:
    def check(value: Any, path: str) -> Any:
        return None if value is None else inner(value, path)

    return check


def _record(kind: type) -> _Check:
    hints = typing.get_type_hints(kind)
    fields = [
        (
            f.name,
            _check_for(hints[f.name]),
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
        )
        for f in dataclasses.fields(kind)
    ]

    def check(value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise _Fault(path, f"expected an object, found {_shown(value)}")
        found = {}
        for name, inner, required in fields:
            at = f"{path}.{name}" if path else name
            if name in value:
                found[name] = inner(value[name], at)
            elif required:
                raise _Fault(at, "missing")
        return kind(**found)

    return check


def _choice(kind: type[StrEnum]) -> _Check:
    choices = " or ".join(str(each) for each in kind)

    def check(value: Any, path: str) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise _Fault(path, f"expected {choices}, found {_shown(value)}") from None

    return check


def _any(value: Any, path: str) -> Any:
    return value


@functools.cache
def _check_for(hint: Any) -> _Check:
    simple: dict[Any, _Check] = {
        int: _exactly(int, "a whole number"),
        str: _exactly(str, "a text"),
        bool: _exactly(bool, "true or false"),
        float: _float,
        Decimal: _decimal,
        Any: _any,
    }
    if hint in simple:
        return simple[hint]
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _literal(args)
    if origin is list:
        return _list(_check_for(args[0]))
    if origin is tuple:
        return _pair(tuple(_check_for(a) for a in args))
    if origin is dict:
        return _mapping(_check_for(args[1]))
    if origin in (typing.Union, types.UnionType) and len(args) == 2 and type(None) in args:
        return _optional(_check_for(next(a for a in args if a is not type(None))))
    raise TypeError(f"messages may not hold {hint!r}")
