"""Who may read, change or lock the platform's files: their owner, and nobody else."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shared.errors import escaped

OTHERS = 0o077
"""Bits of a mode that concern group and others."""

MOST_SHOWN = 12
TO_CORRECT = "the next start corrects"
KINDS = frozenset({stat.S_IFDIR, stat.S_IFREG, stat.S_IFSOCK, stat.S_IFIFO, stat.S_IFLNK})
ENDLESS = frozenset({stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO})
DEEPEST = 32
"""Levels of directories that are looked into; what lies below is reached by nobody either."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was not as it should be in a directory, each as `name (mode ...)`.

    Attributes:
        wrong: Open to others, or closed to ourselves.
        foreign: Of another user.
        endless: FIFOs, links to them, and devices: who opens or reads one may wait for ever.
    """

    top: Path
    wrong: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    endless: list[str] = field(default_factory=list)

    def in_words(self, done: str) -> dict[Literal["wrong", "foreign"], str]:
        """Return a text for each kind that was found; `done` says what becomes of the wrong."""
        texts: dict[Literal["wrong", "foreign"], str] = {}
        if self.wrong:
            texts["wrong"] = (
                f"{self.top} is for its owner alone, directories 700 and files 600; {done}: "
                f"{_listed(self.wrong)}"
            )
        if self.foreign:
            texts["foreign"] = (
                f"{self.top} is for its owner alone, and this belongs to others, who may change "
                f"it, or it cannot be used: {_listed(self.foreign)}; look at it first, then, as "
                f"root: chown -Rh {os.geteuid()} {self.top}"
            )
        return texts

    def fault(self) -> str:
        """Return why nothing may be started on the directory; "" if it may."""
        return "" if not self.endless else (
            f"state_dir: found FIFOs or devices in {self.top}: whoever opens one would wait "
            f"for ever; remove them: {_listed(self.endless)}"
        )  # fmt: skip


def be_private() -> None:
    """Close what this process and its children make from now on to everybody else."""
    os.umask(OTHERS)


def close_to_others(
    top: Path, *, renewed: Collection[str] = (), kept: int = 0, dry: bool = False
) -> Findings:
    """Make a directory and what is in it readable and writable for its owner alone.

    Directories get mode 700, files 600 (700 where the owner may execute them). Symbolic links are
    not followed; devices are left alone.

    Args:
        top: A path without symbolic links; there may be nothing.
        renewed: Files in `top` that are made anew when they are gone: secrets, which are removed
            if others could read them.
        kept: Bits that may stay as they are below `top`.
        dry: Change nothing.
    """
    found = Findings(top)
    _close(found, str(top), None, str(top), dry=dry)
    if not os.access(top, os.R_OK | os.X_OK):
        return found
    with contextlib.suppress(OSError):  # it is gone meanwhile
        # a directory is entered after the pass that has opened it to us
        for folder, directories, files, fd in os.fwalk(top):
            for name in (*directories, *files):
                secret = name in renewed and folder == str(top)
                _close(found, name, fd, f"{folder}/{name}", remove=secret, kept=kept, dry=dry)
            if folder.count("/") - str(top).count("/") >= DEEPEST:
                directories.clear()
    return found


def _close(
    found: Findings, name: str, dir_fd: int | None, path: str, *,
    remove: bool = False, kept: int = 0, dry: bool,
) -> None:  # fmt: skip
    try:
        # the mode is changed of what was looked at, whatever takes its name meanwhile
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:  # gone meanwhile, or in a directory that is not ours, which is named
        return
    try:
        kind = os.fstat(fd)
        is_ours, is_link = kind.st_uid == os.geteuid(), stat.S_ISLNK(kind.st_mode)
        if stat.S_IFMT(kind.st_mode) in ENDLESS or (is_link and _leads_to_fifo(name, dir_fd)):
            found.endless.append(_shown(path, found.top))
        mode = stat.S_IMODE(kind.st_mode)
        own = 0o700 if stat.S_ISDIR(kind.st_mode) else 0o600
        wanted = mode if is_link else (mode | own) & ~(OTHERS & ~kept)
        if stat.S_IFMT(kind.st_mode) not in KINDS or (is_ours and mode == wanted):
            return
        what, remove = f"mode {mode:03o}", remove and is_ours and bool(mode & OTHERS)
        if not is_ours:
            what = f"a link of user {kind.st_uid}" if is_link else f"{what}, of user {kind.st_uid}"
        if remove:
            what += ", a secret: made anew"
        try:
            if remove and not dry:
                os.unlink(name, dir_fd=dir_fd)
            elif mode != wanted and not dry:
                Path(f"/proc/self/fd/{fd}").chmod(wanted)
        except OSError as error:
            what += f": {error.strerror}"
        (found.wrong if is_ours else found.foreign).append(f"{_shown(path, found.top)} ({what})")
    finally:
        os.close(fd)


def _leads_to_fifo(name: str, dir_fd: int | None) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(name, dir_fd=dir_fd).st_mode)
    except OSError:  # a link to nothing
        return False


def _shown(path: str, top: Path) -> str:
    name = top.name if path == str(top) else os.path.relpath(path, top)
    return escaped(name.encode("utf-8", "backslashreplace").decode())


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_SHOWN
    return ", ".join(names[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
