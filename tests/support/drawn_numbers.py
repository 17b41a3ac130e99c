"""Numbers that look random and are the same with any library, for goldens."""

from __future__ import annotations

from collections.abc import Iterator


def numbers(seed: int) -> Iterator[int]:
    """Yield whole numbers from 0 to 1023 (Knuth's MMIX generator)."""
    while True:
        seed = (6364136223846793005 * seed + 1442695040888963407) % 2**64
        yield seed >> 54
