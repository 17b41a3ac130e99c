"""Stands where pip looks for a build backend, and says how this project is installed instead.

It runs from its checkout: actors are started from there, the page's chart library comes from npm,
and every dependency is pinned. A package would put modules called supervisor, actors and shared
beside everybody else's, over those of supervisord among others.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def refuse(*_: object, **__: object) -> NoReturn:
    """End with one sentence."""
    sys.exit(
        "coinex-platform is no package: it runs from its checkout; run `make install` there, "
        "then .venv/bin/coinex, or deploy/install.sh for a service"
    )


get_requires_for_build_wheel = get_requires_for_build_sdist = refuse
get_requires_for_build_editable = build_wheel = build_sdist = build_editable = refuse
