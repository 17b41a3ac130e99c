"""Which files have passed `coinex strategy check`, with which parameters, as kept in `state_dir`.

The supervisor reads this instead of running a strategy.
"""

from __future__ import annotations

import json
import operator
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shared import codec
from shared.errors import BadMessage, did_you_mean, shortened
from shared.evidence.hashes import canonical
from shared.messages.trading import StrategyIdentity
from shared.strategy.source import StrategyFile, StrategySection

FILE = "strategies.json"
KEPT = 200
MOST_BYTES = 4 * 1024 * 1024
MOST_LETTERS = 200
"""Of parameters in a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecord:
    """The outcome of checking one class of one file with one set of parameters.

    Attributes:
        digest: SHA-256 of the file's bytes.
        name, version: The strategy's own.
        checked_ms: Epoch ms.
        broken: By law, how it was broken; empty when it passed.
        is_whole_equal: Whether one call over a whole series gives what live calls give.
        parameters: Of each parameter what JSON Schema says of it.
        tried: The parameters it was checked with, defaults filled in; None in an older record,
            which did not note them.
    """

    path: str
    class_name: str
    digest: str
    name: str
    version: str
    checked_ms: int
    broken: dict[str, str]
    is_whole_equal: bool
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    tried: dict[str, Any] | None = None


def read_records(state_dir: Path) -> list[CheckRecord]:
    """Return all records, the oldest first; none if there is no file.

    Raises:
        BadMessage: It cannot be read.
    """
    path = state_dir / FILE
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        found = json.loads(raw)["checks"]
        return [codec.from_plain(CheckRecord, each, str(path)) for each in found]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadMessage(str(path), "", f"not readable: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadMessage(str(path), "", f"no records of checks: {error}") from None


def with_record(records: list[CheckRecord], newest: CheckRecord) -> bytes:
    """Return the file's content with one more record, in place of an earlier one of its kind."""
    others = [each for each in records if _key(each) != _key(newest)]
    kept = [*others, newest][-KEPT:]
    return json.dumps({"checks": [asdict(each) for each in kept]}, indent=1).encode()


def _key(record: CheckRecord) -> tuple[str, str, str]:
    return record.digest, record.class_name, _as_text(record.tried)


def _as_text(parameters: Mapping[str, Any] | None) -> str:
    """Return parameters in the one form that is compared: 3.0 is 3, and true is not 1."""
    return json.dumps(None if parameters is None else canonical(parameters), sort_keys=True)


def _records_of(state_dir: Path, file: StrategyFile) -> list[CheckRecord]:
    own = file.digest, file.class_name
    return [r for r in read_records(state_dir) if (r.digest, r.class_name) == own]


def record_of(state_dir: Path, file: StrategyFile) -> CheckRecord | None:
    """Return the newest record of a strategy with the very same bytes, whichever its parameters.

    Raises:
        BadMessage: The records cannot be read.
    """
    return next(reversed(_records_of(state_dir, file)), None)


def records_for(
    state_dir: Path, file: StrategyFile, sets: Iterable[Mapping[str, Any]]
) -> list[CheckRecord]:
    """Return for each set of parameters the record of its check, else a strategy's newest one.

    None at all if the strategy was never checked.

    Raises:
        BadMessage: The records cannot be read.
    """
    found = _records_of(state_dir, file)
    if not found:
        return []
    newest = found[-1]
    tried = {_as_text(each.tried): each for each in found if each.tried is not None}
    return [tried.get(_as_text(filled(newest.parameters, each)), newest) for each in sets]


def with_parameters(
    found: Sequence[CheckRecord], parameters: Mapping[str, Any]
) -> CheckRecord | None:
    """Return the newest of a strategy's records whose check tried just these; None if none did."""
    for record in reversed(found):
        wanted = _as_text(filled(record.parameters, parameters))
        if record.tried is not None and _as_text(record.tried) == wanted:
            return record
    return None


def filled(known: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with defaults filled in.

    Args:
        known: What JSON Schema says of each.
    """
    return {name: of["default"] for name, of in known.items() if "default" in of} | dict(given)


def in_words(parameters: Mapping[str, Any]) -> str:
    """Return parameters for people, such as "bars 24, fast true"."""
    texts = (f"{name} {json.dumps(value)}" for name, value in sorted(parameters.items()))
    return shortened(", ".join(texts), MOST_LETTERS) or "none"


def objection(state_dir: Path, section: StrategySection) -> str:
    """Return why nothing may be traded by a strategy with its parameters, or "".

    A law such as truncation may hold with one set of parameters and not with another.
    """
    file, given = section.file, section.parameters
    to_do = f"`coinex strategy check {shlex.quote(f'{file.path}:{file.class_name}')}"
    if given:
        to_do += f" --set {shlex.quote(f'strategy_parameters={json.dumps(given)}')}"
    to_do += " --candles STORE`"
    try:
        found = _records_of(state_dir, file)
    except BadMessage as error:
        return (
            f"whether the strategy {file.label} passed its check is not known ({error}): correct "
            f"or remove that file, {to_do}"
        )
    if not found:
        return f"the strategy {file.label} has not passed its check as it is now: {to_do}"
    record = with_parameters(found, given)
    if record is None:
        tried = found[-1].tried
        before = "ones that were not noted" if tried is None else in_words(tried)
        now = in_words(filled(found[-1].parameters, given))
        return (
            f"the strategy {file.label} has not passed its check with these parameters ({now}; "
            f"checked with {before}): {to_do}"
        )
    if record.broken:
        laws = "; ".join(f"{law}: {how}" for law, how in record.broken.items())
        return f"the strategy {file.label} was refused by its check ({laws}): correct it, {to_do}"
    return ""


class PassedCheck:
    """Watches whether a strategy has passed its check.

    Args:
        state_dir: Has the records.
    """

    def __init__(self, state_dir: Path, section: StrategySection) -> None:
        self._state_dir = state_dir
        self._section = section
        self._seen: tuple[int, ...] | None = None
        self.objection = f"whether the strategy {section.file.label} passed its check is being read"
        """As the function of that name, when it was last looked."""
        self.parameters: Mapping[str, Any] = section.parameters
        """As of `effective_parameters`, when it was last looked."""

    def look(self) -> None:
        """Read the records again if they have changed; waits for the disk."""
        try:
            found = (self._state_dir / FILE).stat()
            seen: tuple[int, ...] = (found.st_mtime_ns, found.st_ino, found.st_size)
        except OSError:
            seen = ()
        if seen != self._seen:
            self.objection, self._seen = objection(self._state_dir, self._section), seen
            self.parameters = _effective(self._section, self._state_dir)


def passed_check(section: Mapping[str, Any] | None, state_dir: Path) -> PassedCheck | None:
    """Return the watch for an actor's section; None: the built-in strategy needs no check."""
    if section is None:
        return None
    return PassedCheck(state_dir, codec.from_plain(StrategySection, section, "config: strategy"))


def checked_identity(state_dir: Path, file: StrategyFile) -> StrategyIdentity:
    """Return a strategy's identity as its check noted it, else its class and no version."""
    try:
        record = record_of(state_dir, file)
    except BadMessage:  # whether it passed its check is not known either
        record = None
    return file.identity() if record is None else file.identity(record.name, record.version)


def effective_parameters(section: Mapping[str, Any] | None, state_dir: Path) -> dict[str, Any]:
    """Return a strategy's parameters, defaults filled in as far as its check has noted them.

    Args:
        section: Of an actor; None: the built-in strategy, which takes none.
    """
    if section is None:
        return {}
    return _effective(codec.from_plain(StrategySection, section, "config: strategy"), state_dir)


def _effective(section: StrategySection, state_dir: Path) -> dict[str, Any]:
    try:
        record = record_of(state_dir, section.file)
    except BadMessage:  # whether it passed its check is not known either
        record = None
    return filled({} if record is None else record.parameters, section.parameters)


_LIMITS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "maximum": ("at most", operator.le),
    "exclusiveMinimum": ("more than", operator.gt),
    "exclusiveMaximum": ("less than", operator.lt),
}
_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
    "string": ("a text", (str,)),
}


def parameter_faults(
    known: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield each parameter that a strategy would not take, and why.

    Args:
        known: What JSON Schema says of each, from a record; whatever else a strategy asks of its
            parameters, its process says when it starts.
    """
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"expected one of {', '.join(known) or 'none'}"
            yield name, f"no parameter of this strategy; {hint}"
            continue
        schema = known[name]
        words, types = _TYPES.get(schema.get("type", ""), ("", ()))
        is_odd = isinstance(value, bool) and bool not in types
        if types and (is_odd or not isinstance(value, types)):
            yield name, f"found {value!r}, expected {words}; correct it"
            continue
        if "enum" in schema and value not in schema["enum"]:
            yield name, f"found {value!r}, expected one of {schema['enum']}; correct it"
        for limit, (text, holds) in _LIMITS.items():
            if types and limit in schema and not holds(value, schema[limit]):
                yield name, f"found {value!r}, expected {text} {schema[limit]}; correct it"
