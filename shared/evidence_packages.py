"""Packages that only what judges recorded candles needs: Parquet, plots, statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from shared.errors import NotInstalled


@contextlib.contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Import such a package within this, to say what installs it where it is missing.

    Raises:
        NotInstalled: An import failed.
    """
    try:
        yield
    except ImportError as error:
        raise NotInstalled(
            f"{what} needs a package that is not installed ({error}): `make install-evidence`"
        ) from None
