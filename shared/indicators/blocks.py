"""Many rows, worked through in blocks that the processor's cache can hold."""

from __future__ import annotations

from collections.abc import Iterator

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
