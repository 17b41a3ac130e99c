"""A user's strategy as a file: where it is, who may write it, what it holds; it is never run here.

`strategy` of the configuration names it as `FILE.py:Class`.
"""

from __future__ import annotations

import ast
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config.defaults import BUILT_IN
from shared.errors import PlatformError, did_you_mean
from shared.messages.trading import StrategyIdentity

MOST_BYTES = 256 * 1024


class BadStrategy(PlatformError):
    """A file cannot be taken as a strategy; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFile:
    """A strategy's text, as read once. `digest`: SHA-256 of the file's bytes."""

    path: str
    class_name: str
    source: str
    digest: str

    @property
    def label(self) -> str:
        """Its short name for people, while its own is not known."""
        return f"{Path(self.path).name}:{self.class_name}"

    def identity(self, name: str = "", version: str = "") -> StrategyIdentity:
        """Return what scores by it; its class stands for a name that is not known yet."""
        return StrategyIdentity(
            name=name or self.class_name,
            version=version,
            hash=self.digest,
            class_name=self.class_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySection:
    """A user's strategy in the section of an actor: a file that changes counts after a reload."""

    file: StrategyFile
    parameters: dict[str, Any]
    timeout_s: float


def beside(reference: str, folder: Path) -> str:
    """Return a reference whose path starts from a folder; the built-in one stays as it is."""
    return reference if reference == BUILT_IN else str(folder.resolve() / reference)


def read_strategy(reference: str) -> StrategyFile:
    """Read the file of `FILE.py:Class`; without a class, its only one with a `score`.

    Raises:
        BadStrategy: It cannot be used.
    """
    name, colon, class_name = reference.rpartition(":")
    if not colon or "/" in class_name:
        name, class_name = reference, ""
    try:
        path = Path(name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadStrategy(f"found {reference!r:.80}, which is no path ({error})") from None
    if path.suffix != ".py":
        raise BadStrategy(
            f"found {reference!r:.200}, expected {BUILT_IN}, or FILE.py:Class with a strategy "
            "of your own; correct it"
        )
    raw = _read(path)
    try:
        source = raw.decode()
        found = _classes(ast.parse(source, str(path)))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise BadStrategy(f"{path}{line}: no Python ({error}); correct it") from None
    if not class_name and len(found) == 1:
        class_name = found[0]
    if class_name not in found:
        named = f"no class {class_name} with a score()" if class_name else "no single strategy"
        hint = did_you_mean(class_name, found) if class_name else "name one as FILE.py:Class"
        raise BadStrategy(
            f"{path}: {named}; classes with one: {', '.join(found) or 'none'}"
            + (f"; {hint}" if hint else "")
        )
    return StrategyFile(
        path=str(path),
        class_name=class_name,
        source=source,
        digest=hashlib.sha256(raw).hexdigest(),
    )


def _read(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait
    except OSError as error:
        raise BadStrategy(f"{path}: not readable ({error.strerror}); correct the path") from None
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise BadStrategy(f"{path}: no file; name one that ends in .py")
        mode = stat.S_IMODE(found.st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BadStrategy(
                f"{path}: found mode {mode:03o}, expected 644: others may put their code into it; "
                "chmod go-w it, once you know that nobody did"
            )
        if found.st_uid not in (0, os.geteuid()):
            raise BadStrategy(
                f"{path}: belongs to user {found.st_uid}, expected {os.geteuid()} or root: its "
                "owner may change what trades; chown it, once you have read it"
            )
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise BadStrategy(f"{path}: longer than {MOST_BYTES // 1024} kB; shorten it")
    return raw


def _classes(tree: ast.Module) -> list[str]:
    """Return the classes of a module that have a `score`."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(each, ast.FunctionDef) and each.name == "score" for each in node.body)
    ]
