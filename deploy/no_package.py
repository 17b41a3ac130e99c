"""A build backend for pip that refuses, naming how to install this project instead.

Actors run from the checkout, the page's chart library comes from npm, every dependency is pinned.
A package would install top-level modules called supervisor, actors and shared, which collide with
others', supervisord's among them.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def refuse(*_: object, **__: object) -> NoReturn:
    sys.exit(
        "coinex-platform is no package: it runs from its checkout; run `make install` there, "
        "then .venv/bin/coinex, or deploy/install.sh for a service"
    )


get_requires_for_build_wheel = get_requires_for_build_sdist = refuse
get_requires_for_build_editable = build_wheel = build_sdist = build_editable = refuse
