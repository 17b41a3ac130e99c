"""What happens to a simulated coin and stays in its history."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Halt:
    """Trading stops at `from_ms`; flat bars without volume follow, then none until `until_ms`."""

    from_ms: int
    flat_until_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Redenomination:
    """From `at_ms`, on the 5m grid, prices are `factor` times what they were."""

    at_ms: int
    factor: float


@dataclass(frozen=True, slots=True)
class Wick:
    """In the 5m bar that opens at `open_ms` the price touches `factor` times its close."""

    open_ms: int
    factor: float


@dataclass(frozen=True, slots=True)
class Correction:
    """From `known_ms` the 5m bar of `open_ms` has a higher high and twice the volume."""

    open_ms: int
    known_ms: int


Event = Halt | Redenomination | Wick | Correction
