"""What a guest may write: shapes of JSON objects, each a lenient reader and a JSON Schema.

Of a shape only the required members must be there, others may be left out or null, and unknown ones
are ignored. Every text is escaped, so that none moves a cursor or forges a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from shared.clock import LATEST_MS
from shared.decimals import decimal_of
from shared.errors import BadMessage, escaped, shortened
from shared.symbols import SYMBOL_WORDS, is_symbol

SECONDS_BELOW = 100_000_000_000
"""A time below it in ms is in 1973: it was meant in seconds."""


LARGEST = 262_144
"""Bytes of a key's value."""

DEEPEST = 100
"""Levels of lists and objects in one another; orjson reads 1024, but writes 254 only."""


class Unfit(Exception):
    """A value is not of its kind; the text is what to do about it, or ""."""


@dataclass(frozen=True, slots=True)
class ValueKind:
    """Values of one kind.

    Attributes:
        words: What is expected.
        schema: The same as JSON Schema.
        read: Returns the value as it is kept; raises Unfit.
    """

    words: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a shape.

    Attributes:
        name: Of the field that it fills.
        also: Other names it may have; the first one found counts.
        kind: Of its value; a shape: of each item of a list of at most `most`.
        text: What it is.
    """

    name: str
    kind: ValueKind | Shape[Any]
    text: str
    also: tuple[str, ...] = ()
    required: bool = False
    most: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.also)

    def schema(self) -> dict[str, Any]:
        if isinstance(self.kind, Shape):
            items = self.kind.object_schema()
            found = {"type": "array", "items": items, "maxItems": self.most}
        elif self.required:
            found = dict(self.kind.schema)
        else:
            found = {"anyOf": [dict(self.kind.schema), {"type": "null"}]}
        return found | {"description": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape[T]:
    """A JSON object of a guest's.

    Attributes:
        build: What is made of it.
        largest: Bytes it may have.
        examples: What a guest might write.
    """

    build: type[T]
    text: str
    members: Sequence[Member]
    largest: int = LARGEST
    examples: Sequence[Mapping[str, Any]] = field(default=())

    def read(self, raw: bytes, where: str) -> T:
        """Return what a guest wrote.

        Raises:
            BadMessage: It is too large, no JSON object, or a member is missing or unfit.
        """
        return self.of(document_of(raw, where, self.largest), where)

    def of(self, document: Any, where: str, path: str = "") -> T:
        """As `read`, from a decoded document.

        Args:
            path: Of the document in a larger one.
        """
        if type(document) is not dict:
            why = f"found {shown(document)}, expected an object such as {self._sample()}"
            raise BadMessage(where, path, why)
        found = {}
        for member in self.members:
            name = next((name for name in member.names if document.get(name) is not None), None)
            at = f"{path}.{name or member.name}" if path else name or member.name
            if name is not None:
                found[member.name] = _value(member, document[name], where, at)
            elif member.required:
                expected = " or ".join(member.names)
                raise BadMessage(where, at, f"missing, expected {expected}: {member.text}")
        return self.build(**found)

    def object_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the object, without examples."""
        found: dict[str, Any] = {"type": "object", "description": self.text}
        found["properties"] = {
            name: member.schema() for member in self.members for name in member.names
        }
        required = [member for member in self.members if member.required]
        found["required"] = [member.name for member in required if not member.also]
        choices = [
            {"anyOf": [{"required": [name]} for name in member.names]}
            for member in required
            if member.also
        ]
        return found | ({"allOf": choices} if choices else {})

    def _sample(self) -> str:
        sample = {m.name: "..." for m in self.members if m.required}
        return orjson.dumps(sample).decode()


def document_of(raw: bytes, where: str, largest: int) -> Any:
    """Return the JSON value in `raw`.

    Raises:
        BadMessage: It is none, has more bytes than `largest`, or more than `DEEPEST` levels.
    """
    if len(raw) > largest:
        raise BadMessage(where, "", f"found {len(raw):,} bytes, expected at most {largest:,}")
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        why = f"found {shown(raw.decode('utf-8', 'replace'))}, expected JSON ({error})"
        raise BadMessage(where, "", why) from None
    check_depth(document, where)
    return document


def check_depth(document: Any, where: str) -> None:
    """Refuse what is nested too deeply to be shown.

    Raises:
        BadMessage: There are more than `DEEPEST` levels.
    """
    level, depth = [document], 0
    while level := [each for each in level if type(each) in (dict, list)]:
        depth += 1
        if depth > DEEPEST:
            why = f"found lists or objects {depth} deep, expected at most {DEEPEST}"
            raise BadMessage(where, "", why)
        level = [
            inner for each in level for inner in (each.values() if type(each) is dict else each)
        ]


def _value(member: Member, value: Any, where: str, at: str) -> Any:
    kind = member.kind
    if isinstance(kind, Shape):
        if type(value) is not list or len(value) > member.most:
            found = f"{len(value)} items" if type(value) is list else shown(value)
            why = f"found {found}, expected a list of at most {member.most}"
            raise BadMessage(where, at, why)
        return [kind.of(item, where, f"{at}[{i}]") for i, item in enumerate(value)]
    try:
        return kind.read(value)
    except Unfit as unfit:
        hint = f" ({unfit})" if str(unfit) else ""
        raise BadMessage(where, at, f"found {shown(value)}, expected {kind.words}{hint}") from None


def shown(value: Any) -> str:
    """Return a value as JSON, shortened and on one line."""
    try:
        return shortened(orjson.dumps(value).decode())
    except (orjson.JSONEncodeError, UnicodeError):  # as of a text with half a surrogate pair
        return shortened(repr(value))


def text_of(most: int, words: str = "", *, least: int = 1) -> ValueKind:
    """Return the kind of texts of `least` to `most` characters."""

    def read(value: Any) -> str:
        if type(value) is not str or not least <= len(value) <= most:
            raise Unfit
        return escaped(value)

    schema = {"type": "string", "minLength": least, "maxLength": most}
    return ValueKind(words or f"a text of {least} to {most} characters", schema, read)


def one_of(*words: str) -> ValueKind:
    """Return the kind of a few words."""

    def read(value: Any) -> str:
        if value not in words:
            raise Unfit
        return str(value)

    listed = " or ".join((", ".join(words[:-1]), words[-1]))
    return ValueKind(listed, {"type": "string", "enum": list(words)}, read)


def _amount(value: Any) -> str:
    is_number = type(value) in (int, float)
    text = repr(value) if is_number else value
    number = decimal_of(text, exponent=True) if type(text) is str else None
    if number is None:
        raise Unfit
    return f"{number:f}"


def _positive(value: Any) -> str:
    amount = _amount(value)
    if Decimal(amount) <= 0:
        raise Unfit
    return amount


def _moment(value: Any) -> int:
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            raise Unfit from None
        if moment.tzinfo is None:
            raise Unfit("without a time zone; end it in Z for UTC")
        value = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    if type(value) is not int or not 0 < value <= LATEST_MS:
        raise Unfit
    if value < SECONDS_BELOW:
        raise Unfit("it looks like seconds; write it times 1000")
    return value


def _symbol(value: Any) -> str:
    if type(value) is not str or not is_symbol(value):
        raise Unfit
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < Decimal("1e12"):
        raise Unfit
    return float(value)


_DECIMAL = r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$"
AMOUNT = ValueKind(
    "a number, or a decimal number as text",
    {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^-?{_DECIMAL}"}]},
    _amount,
)
POSITIVE = ValueKind(
    "a number above 0, or one as text",
    {"anyOf": [{"type": "number", "exclusiveMinimum": 0},
               {"type": "string", "pattern": f"^{_DECIMAL}"}]},
    _positive,
)  # fmt: skip
MOMENT = ValueKind(
    "epoch milliseconds, or a time such as 2026-03-01T12:00:00Z",
    {"anyOf": [{"type": "integer", "minimum": SECONDS_BELOW, "maximum": LATEST_MS},
               {"type": "string", "format": "date-time"}]},
    _moment,
)  # fmt: skip
SYMBOL = ValueKind(SYMBOL_WORDS, {"type": "string", "minLength": 2, "maxLength": 50}, _symbol)
SECONDS = ValueKind("seconds, 0 or more", {"type": "number", "minimum": 0}, _seconds)
