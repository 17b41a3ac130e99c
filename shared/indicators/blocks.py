"""Many coins computed together: in blocks that the cache holds, a fault staying with its coin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

BLOCK_ROWS = 192
"""Rows computed together. Fewer, and the loops over the bars dominate; more, and the arrays of
500 bars (0.8 MB each at 192 rows) no longer come from the cache. Measured: `benchmarks/kernels.py`.
"""

_KEPT_BYTES = 31 * 2**20


def blocks(rows: int) -> Iterator[slice]:
    """Yield slices that together cover `rows` rows."""
    # glibc gives blocks of this size straight back to the kernel, and after having freed one it
    # keeps smaller ones for the next use: without this, a third of the time goes into fetching
    # the same memory from the kernel again and again. The memory itself is never touched.
    np.empty(_KEPT_BYTES, dtype=np.uint8)
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows))


def results_of[A, P, R](
    asked: Sequence[A], prepare: Callable[[A], P], compute: Callable[[Sequence[P]], Sequence[R]]
) -> list[R | Exception]:
    """Return the result of each, or the error that kept it from having one, in the order given.

    All are computed together. Where that fails, each is computed alone to find whose fault it is.

    Raises:
        RuntimeError: They fail together, though each succeeds alone.
    """
    results: dict[int, R | Exception] = {}
    prepared: dict[int, P] = {}
    for place, each in enumerate(asked):
        try:
            prepared[place] = prepare(each)
        except Exception as error:  # noqa: BLE001  # one coin's fault stays with that coin
            results[place] = error
    try:
        results |= zip(prepared, compute(list(prepared.values())), strict=True)
    except Exception as together:
        guilty = False
        for place, one in prepared.items():
            try:
                results[place] = compute([one])[0]
            except Exception as alone:  # noqa: BLE001  # handed to the caller in its place
                results[place] = alone
                guilty = True
        if not guilty:
            raise RuntimeError(
                f"{len(prepared)} coins fail together, though each succeeds alone"
            ) from together
    return [results[place] for place in range(len(asked))]
