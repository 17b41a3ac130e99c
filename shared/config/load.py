"""Load `config.yaml` and `--set` into a `Config`, or report every fault at once."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from shared.config.defaults import Mode
from shared.config.rules import breaches, group_breaches, hidden_password
from shared.config.sections import Config
from shared.config.yaml_document import ConfigFault, Document, KeyPath, dotted, parse_yaml
from shared.errors import ConfigError, did_you_mean, shortened
from shared.strategy.source import beside

_SECRET_WORDS = ("password", "secret", "token", "api_key", "access_id")


def load(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    mode: Mode | str | None = None,
    to_run: bool = True,
) -> Config:
    """Read, check and freeze the configuration.

    Args:
        path: The YAML file.
        overrides: `key.path=value` each, values in YAML; a later one wins.
        mode: Replaces the file's `mode`.
        to_run: Whether a platform is to run with it; other commands do not need a safe state_dir.

    Raises:
        ConfigError: With every fault found, each as
            `file:line key.path: what was found, what was expected, what to do`.
    """
    document = _read(path)
    for override in overrides:
        _apply(document, override)
    _start_paths_at(document, path.parent)
    if mode is not None:
        document.root["mode"] = mode
        document.origins["mode",] = "--mode"
    config, faults = _validated(document, to_run=to_run)
    reported = {fault.path for fault in document.faults}
    faults = document.faults + [fault for fault in faults if fault.path not in reported]
    if config is None or faults:
        raise ConfigError([str(fault) for fault in sorted(faults, key=_reading_order)])
    return config


def overridden(overrides: Sequence[str], origin: str = "--set") -> dict[str, Any]:
    """Return the values of `--set`, without a file.

    Args:
        origin: The option that they were given with.

    Raises:
        ConfigError: An unknown key, or a value of the wrong type; texts as of `load`.
    """
    document = Document("", root={})
    for override in overrides:
        _apply(document, override, origin)
    _, faults, _ = _typed(document, document.root)
    faults = document.faults + [fault for fault in faults if fault.origin == origin]
    if faults:
        raise ConfigError([str(fault) for fault in faults])
    found: dict[str, Any] = document.root
    return found


def configured_strategy(path: Path, overrides: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return `strategy` and `strategy_parameters`, whether or not that strategy can be used.

    Raises:
        ConfigError: They are of the wrong type; texts as of `load`.
    """
    document = _read(path)
    for override in overrides:
        _apply(document, override)
    _start_paths_at(document, path.parent)
    own = {name: value for name, value in document.root.items() if name.startswith("strategy")}
    config, faults, _ = _typed(document, {"groups": {}, **own})
    if config is None:
        raise ConfigError([str(fault) for fault in sorted(faults, key=_reading_order)])
    return config.strategy, config.strategy_parameters


def _start_paths_at(document: Document, folder: Path) -> None:
    """Have the relative paths of a strategy and of evidence start at the configuration's folder."""
    reference, trader = document.root.get("strategy"), document.root.get("trader")
    if isinstance(reference, str) and reference:
        document.root["strategy"] = beside(reference, folder)
    evidence = trader.get("evidence_file") if isinstance(trader, dict) else None
    if isinstance(evidence, str) and evidence:
        trader["evidence_file"] = str(folder.resolve() / evidence)


def _reading_order(fault: ConfigFault) -> tuple[int, int]:
    _, _, line = fault.origin.rpartition(":")
    return (0, int(line)) if line.isdecimal() else (1, 0)


def _read(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        why = error.strerror or error
        raise ConfigError([f"{path}: not readable ({why}); name the file with --config"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 ({error}); save it as UTF-8 text"]) from None
    document = parse_yaml(text, str(path))
    if document.root is None and document.faults:  # no further checks are possible
        raise ConfigError([str(fault) for fault in document.faults])
    if document.root is None:
        document.root = {}
    if not isinstance(document.root, dict):
        raise ConfigError(
            [f"{path}:1: found {_shown(document.root)}, expected sections such as `groups:`"]
        )
    return document


def _apply(document: Document, override: str, origin: str = "--set") -> None:
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals or not name:
        shown = override if not _looks_secret(override) else "..."
        document.faults.append(
            document.fault(
                (),
                f"found {shown!r}, expected key.path=value, as in fetcher.interval_s=20",
                origin=origin,
            )
        )
        return
    at: KeyPath = tuple(name.split("."))
    if _hint_at(at) is None:
        document.faults.append(document.fault(at, _unknown_key(at, "leave it out"), origin=origin))
        return
    parsed = parse_yaml(text, origin)
    if parsed.faults:
        document.faults += [
            document.fault(at + fault.path, fault.text, origin=origin) for fault in parsed.faults
        ]
        return
    section = document.root
    for step in at[:-1]:
        if not isinstance(section.get(step), dict):
            section[step] = {}
        section = section[step]
    section[at[-1]] = parsed.root
    for below in [known for known in document.origins if known[: len(at)] == at]:
        del document.origins[below]
    document.origins[at] = origin


@functools.cache
def _adapter() -> TypeAdapter[Config]:
    # Built on first use: it takes tens of milliseconds, and actors never need it.
    return TypeAdapter(Config)


def _validate(root: dict[str, Any]) -> Config:
    # Strict validation takes sections from JSON only; Python's JSON keeps NaN and long integers,
    # so that they are refused as what they are.
    return _adapter().validate_json(json.dumps(root))


def _validated(document: Document, *, to_run: bool) -> tuple[Config | None, list[ConfigFault]]:
    sound = copy.deepcopy(document.root)
    config, faults, faulty = _typed(document, sound)
    # the rules check groups as a whole
    faults = [fault for fault in faults if fault.path != ("groups",)]
    if faulty:
        for path in faulty:
            _remove(sound, path)
        sound.setdefault("groups", {})
    groups = document.root.get("groups")
    faults += [document.fault(b.path, b.text) for b in group_breaches(groups)]
    faults += [
        document.fault(b.path, b.text)
        for b in breaches(config or _validate(sound), frozenset(faulty), to_run=to_run)
    ]
    return config, faults


def _typed(
    document: Document, root: dict[str, Any]
) -> tuple[Config | None, list[ConfigFault], set[KeyPath]]:
    """Return `root` as a configuration, or a fault for each value of the wrong type."""
    try:
        return _validate(root), [], set()
    except ValidationError as error:
        faults: list[ConfigFault] = []
        faulty: set[KeyPath] = set()
        for found in error.errors(include_url=False, include_context=False):
            path = tuple(step for step in found["loc"] if step != "[key]")
            bad_key = len(path) < len(found["loc"])
            faulty.add(path)
            faults.append(_type_fault(document, path, found["type"], bad_key=bad_key))
        return None, faults, faulty


def _remove(root: dict[str, Any], path: KeyPath) -> None:
    """Remove the value at `path`, or the list it is in, from `root`."""
    steps = [step for step in path[: _first_index(path)] if isinstance(step, str)]
    section: Any = root
    for step in steps[:-1]:
        section = section.get(step)
        if not isinstance(section, dict):
            return
    section.pop(steps[-1], None)


def _first_index(path: KeyPath) -> int:
    return next((i for i, step in enumerate(path) if isinstance(step, int)), len(path))


def _type_fault(document: Document, path: KeyPath, kind: str, *, bad_key: bool) -> ConfigFault:
    if kind == "unexpected_keyword_argument":
        return document.fault(path, _unknown_key(path, "correct or remove it"))
    hint = _hint_at(path)
    if kind in ("missing", "missing_argument"):
        return document.fault(path, f"missing, expected {_described(hint)}; add it")
    value: Any = _value_at(document.root, path)
    if bad_key:
        value, hint = path[-1], get_args(_bare(_hint_at(path[:-1])))[0]
        return document.fault(path, f"found {value!r}, expected {_described(hint)}; rename it")
    shown = _shown(value)
    if path == ("redis", "url") and isinstance(value, str):
        shown = repr(hidden_password(value))
    return document.fault(
        path, f"found {shown}, expected {_described(hint)}; {_remedy(path, hint, value)}"
    )


def _value_at(root: Any, path: KeyPath) -> Any:
    for step in path:
        root = root[step]
    return root


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"a section (keys {shortened(', '.join(map(str, value))) or 'none'})"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return shortened(repr(value))


def _remedy(path: KeyPath, hint: Any, value: Any) -> str:
    bare = _bare(hint)
    if value is None:
        return "give it a value or remove the line"
    if get_origin(bare) is Literal and isinstance(value, str):
        near = did_you_mean(value, map(str, get_args(bare)))
        if near:
            return near
    if bare in (int, float, bool) and isinstance(value, str):
        plain = parse_yaml(value, "").root
        if not isinstance(plain, str) and plain is not None:
            return "write it without quotes"
    if bare is str and isinstance(value, int | float):
        return "write it in quotes"
    if isinstance(value, str) and value.upper() != value and path[:1] == ("groups",):
        return "write it in capital letters without separators"
    default = _default_at(path)
    if isinstance(default, str | int | float):
        return f"correct it (the default is {default!r})"
    return "correct it"


def _default_at(path: KeyPath) -> Any:
    found: Any = Config(groups={})
    for step in path:
        found = getattr(found, step, None) if isinstance(step, str) else None
    return found


# Types, in words


def _bare(hint: Any) -> Any:
    """Return the hint without `Annotated` and without `| None`."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType):
        return _bare(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint


@functools.cache
def _fields(section: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(section, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(section)}


def _hint_at(path: KeyPath) -> Any:
    """Return the type expected at `path`, or None where no such key exists."""
    hint: Any = Config
    for step in path:
        hint = _bare(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            hint = _fields(hint).get(str(step))
        elif get_origin(hint) is dict and isinstance(step, str):
            hint = get_args(hint)[1]
        elif get_origin(hint) is list and isinstance(step, int):
            hint = get_args(hint)[0]
        else:
            return None
        if hint is None:
            return None
    return hint


def _described(hint: Any) -> str:
    if get_origin(hint) in (typing.Union, types.UnionType):
        some = next(arg for arg in get_args(hint) if arg is not type(None))
        return f"{_described(some)}, or nothing"
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        limits = next((extra for extra in extras if isinstance(extra, FieldInfo)), None)
        if limits is None:
            return _described(base)
        return limits.description or _described(base) + _range(limits)
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is list:
        return f"a list, each item {_described(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        name, value = get_args(hint)
        return f"a section, each key {_described(name)}, each value {_described(value)}"
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return f"a section with the keys {', '.join(_fields(hint))}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return words[hint]


def _range(limits: FieldInfo) -> str:
    words = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
    found = [
        f"{word} {getattr(limit, name):g}"
        for limit in limits.metadata
        for name, word in words.items()
        if getattr(limit, name, None) is not None
    ]
    return "".join(f" {part}" for part in found)


# Nearest spelling


def _unknown_key(path: KeyPath, remedy: str) -> str:
    if _looks_secret(str(path[-1])):
        return (
            "unknown key, and secrets never stand in the configuration: remove it, and give the "
            "secret in the environment (COINEX_REDIS_PASSWORD) or as a systemd credential"
        )
    rest: KeyPath = ()
    while len(path) > 1 and _hint_at(path[:-1]) is None:
        path, rest = path[:-1], (path[-1], *rest)
    section = _bare(_hint_at(path[:-1]))
    if not (dataclasses.is_dataclass(section) and isinstance(section, type)):
        return f"{dotted(path[:-1])} has no keys, it is {_described(section)}; give it as a whole"
    near = [dotted(at + rest if _hint_at(at + rest) is not None else at) for at in _nearest(path)]
    if near:
        return f"unknown key; did you mean {' or '.join(near)}? Otherwise {remedy}"
    return f"unknown key, expected one of {', '.join(_fields(section))}; {remedy}"


def _looks_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def _nearest(path: KeyPath) -> list[KeyPath]:
    """Return the keys most likely meant: a sibling, the same name elsewhere, a like path."""
    known = list(_every_path(Config, ()))
    above, leaf = path[:-1], str(path[-1]).casefold()
    siblings = {str(p[-1]): p for p in known if p[:-1] == above}
    close = difflib.get_close_matches(leaf, siblings, n=1)
    if close:
        return [siblings[close[0]]]
    same = [p for p in known if p[-1] == leaf]
    if same:
        return same[:2]
    by_text = {dotted(p): p for p in known}
    return [by_text[text] for text in difflib.get_close_matches(dotted(path), by_text, n=1)]


def _every_path(section: type, above: KeyPath) -> Iterator[KeyPath]:
    for name, hint in _fields(section).items():
        yield (*above, name)
        inner = _bare(hint)
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            yield from _every_path(inner, (*above, name))
