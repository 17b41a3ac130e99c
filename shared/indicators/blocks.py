"""Computes many coins together, in blocks that fit the CPU cache, with errors kept per coin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

BLOCK_ROWS = 192
"""Rows computed together. With fewer, the loops over bars dominate; with more, the arrays of
500 bars (0.8 MB each at 192 rows) no longer fit the cache. Measured: `benchmarks/kernels.py`.
"""

_KEPT_BYTES = 31 * 2**20


def blocks(rows: int) -> Iterator[slice]:
    """Yield slices that together cover `rows` rows."""
    # Freeing one mmapped block raises glibc's mmap threshold, so that smaller blocks are reused:
    # without this, a third of the time goes into fetching the same memory from the kernel again.
    np.empty(_KEPT_BYTES, dtype=np.uint8)
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows))


def results_of[A, P, R](
    asked: Sequence[A], prepare: Callable[[A], P], compute: Callable[[Sequence[P]], Sequence[R]]
) -> list[R | Exception]:
    """Return the result or the error of each, in the order given.

    All are computed together. If that fails, each is computed alone to find the cause.

    Raises:
        RuntimeError: All fail together, though each succeeds alone.
    """
    results: dict[int, R | Exception] = {}
    prepared: dict[int, P] = {}
    for place, each in enumerate(asked):
        try:
            prepared[place] = prepare(each)
        except Exception as error:  # noqa: BLE001  # one coin's error must not stop the others
            results[place] = error
    try:
        results |= zip(prepared, compute(list(prepared.values())), strict=True)
    except Exception as together:
        guilty = False
        for place, one in prepared.items():
            try:
                results[place] = compute([one])[0]
            except Exception as alone:  # noqa: BLE001  # returned in its place
                results[place] = alone
                guilty = True
        if not guilty:
            raise RuntimeError(
                f"{len(prepared)} coins fail together, though each succeeds alone"
            ) from together
    return [results[place] for place in range(len(asked))]
