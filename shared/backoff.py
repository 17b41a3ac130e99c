"""How long to wait before trying again. Pure: failures and randomness are arguments."""

from __future__ import annotations


def backoff_s(failures: int, first_s: float, cap_s: float, luck: float) -> float:
    """Return the pause after `failures` in a row: 0 after none, then doubled up to a cap.

    "Equal jitter": half of the pause is fixed, so that no retry is immediate; half is random,
    so that clients which lost the same server spread out.

    Args:
        first_s: Longest pause after the first failure.
        luck: Uniform in [0, 1).
    """
    if failures < 1:
        return 0.0
    return (0.5 + 0.5 * luck) * min(cap_s, first_s * 2.0 ** min(failures - 1, 30))
