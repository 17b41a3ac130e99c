"""Programs that may do no more with files than an ordinary user, also where root runs the tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import pytest

UNPRIVILEGED = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
ANOTHER_USER = 12345


def as_ordinary_user() -> Sequence[str]:
    """Return what is put before a command that is to have no rights but those of its user."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root would hide it, and there is no setpriv")
    return UNPRIVILEGED


def need_another_user() -> None:
    """Skip where no file can be given to somebody else."""
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
