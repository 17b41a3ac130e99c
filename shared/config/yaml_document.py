"""YAML as plain values with their line numbers.

Stricter than `yaml.safe_load`, which silently keeps the last of two equal keys, turns bare dates
into objects, and drops line numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from shared.errors import shortened

# the C parser is about ten times faster, and not in every build of PyYAML
LOADER: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)

_MAPPING = "tag:yaml.org,2002:map"
_SEQUENCE = "tag:yaml.org,2002:seq"

# More than any configuration has. The C parser crashes at some ten thousand levels, and nested
# aliases expand a few lines to more values than there is memory.
DEEPEST = 20
MOST_VALUES = 10_000

type KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFault:
    """One thing wrong with the configuration.

    Attributes:
        path: Key path, empty for the document as a whole.
        origin: Its source: `config.yaml:12`, `--set`, `--mode`.
        text: What was found, what was expected and what to do.
    """

    path: KeyPath
    origin: str
    text: str

    def __str__(self) -> str:
        shown = dotted(self.path)
        return f"{self.origin} {shown}: {self.text}" if shown else f"{self.origin}: {self.text}"


@dataclass(slots=True)
class Document:
    """Plain values, the origin of each, and the faults of the text itself."""

    label: str
    root: Any = None
    origins: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[ConfigFault] = field(default_factory=list)

    def origin(self, path: KeyPath) -> str:
        """Return the origin of `path`, or else of the nearest section around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return self.label

    def fault(self, path: KeyPath, text: str, *, origin: str = "") -> ConfigFault:
        return ConfigFault(path=path, origin=origin or self.origin(path), text=text)


def dotted(path: KeyPath) -> str:
    """Return a key path as people write it: `simulator.faults[0].kind`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            is_plain = step.isprintable() and step == step.strip() != ""
            shown = shortened(step if is_plain else repr(step))
            text += f".{shown}" if text else shown
    return text


def parse_yaml(text: str, label: str) -> Document:
    """Return the one YAML document in `text`; see its `faults`.

    Args:
        label: The name of the source in origins and faults.
    """
    document = Document(label)
    try:
        deep = _too_deep_at(text)
        if deep is not None:
            document.faults.append(
                document.fault(
                    (),
                    f"nested deeper than {DEEPEST} levels, expected sections, keys and lists; "
                    "check the brackets on this line",
                    origin=f"{label}:{deep}",
                )
            )
            return document
        loader = LOADER(text)
    except yaml.YAMLError as error:
        document.faults.append(_syntax_fault(error, text, document))
        return document
    try:
        node = loader.get_single_node()
        if node is not None:
            document.root = _Reader(loader, document).value(node, (), ())
    except yaml.YAMLError as error:
        document.faults.append(_syntax_fault(error, text, document))
    finally:
        loader.dispose()
    return document


def _too_deep_at(text: str) -> int | None:
    """Return the line from which on it is nested too deep, without building the values."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                mark = event.start_mark
                return mark.line + 1 if mark is not None else 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


class _Reader:
    def __init__(self, loader: yaml.SafeLoader | yaml.CSafeLoader, document: Document) -> None:
        self._loader = loader
        self._document = document
        self._left = MOST_VALUES

    def value(self, node: yaml.Node, path: KeyPath, above: tuple[int, ...]) -> Any:
        if id(node) in above:
            self._fault(node, path, "an alias inside its own anchor; write the value out")
            return None
        self._left -= 1
        if self._left <= 0:
            if self._left == 0:
                why = f"more than {MOST_VALUES} values, aliases written out; remove some"
                self._fault(node, path, why)
            return None
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, path, _SEQUENCE)
            found = []
            for index, item in enumerate(node.value):
                self._document.origins[*path, index] = self._at(item)
                found.append(self.value(item, (*path, index), above))
            return found
        return self._scalar(node, path)

    def _mapping(
        self, node: yaml.MappingNode, path: KeyPath, above: tuple[int, ...]
    ) -> dict[str, Any]:
        self._refuse_tag(node, path, _MAPPING)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, "a key that is no text; write a plain key name")
                continue
            # the text as written, so that a key such as `on` or `5` keeps its spelling
            key = key_node.value
            at = (*path, key)
            if key in found:
                self._fault(
                    key_node,
                    at,
                    f"written twice (first at {self._document.origins[at]}); remove one of them",
                )
                continue
            self._document.origins[at] = self._at(key_node)
            found[key] = self.value(value_node, at, above)
        return found

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
            why = getattr(error, "problem", None) or error
            shown = shortened(repr(node.value))
            self._fault(node, path, f"found {shown}, which is no plain value ({why})")
            return None
        if isinstance(value, int) and abs(value) >= 2**63:
            shown = shortened(node.value)
            self._fault(node, path, f"found {shown}, expected a number of at most 18 digits")
            return None
        # dates, times and binaries have no use here and stay text
        return value if value is None or isinstance(value, str | int | float) else node.value

    def _refuse_tag(self, node: yaml.Node, path: KeyPath, expected: str) -> None:
        if node.tag != expected:
            self._fault(node, path, f"found the tag {shortened(repr(node.tag))}; remove it")

    def _at(self, node: yaml.Node) -> str:
        return f"{self._document.label}:{node.start_mark.line + 1}"

    def _fault(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        fault = self._document.fault(path, text, origin=self._at(node))
        self._document.faults.append(fault)


def _syntax_fault(error: yaml.YAMLError, text: str, document: Document) -> ConfigFault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        why = " ".join(str(error).split())
        return document.fault((), f"not readable as YAML: {why}; save the file as plain text")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    why = ", ".join(
        part for part in (getattr(error, "context", ""), getattr(error, "problem", "")) if part
    )
    remedy = (
        "the line holds a tab: indent with spaces"
        if "\t" in line
        else "check indentation, colons, brackets and quotes on this line and the one before"
    )
    return document.fault(
        (), f"not readable as YAML: {why}; {remedy}", origin=f"{document.label}:{mark.line + 1}"
    )
