"""The order of faults: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch

from tests.chaos.storm.kinds import BY_NAME, Kind, Pace

BLOWS = ("kill", "crash")
DOUBLED = ("redis-pause", "redis-full", "redis-refuses", "redis-hole", "exchange", "venue",
           "venue-doubt", "venue-refuses", "clock")  # fmt: skip
DOUBLE_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One planned fault.

    Attributes:
        victim: The actor it hits; "" if none in particular.
        way: The variant.
        lasts_s: Duration.
        quiet_s: Pause after recovery.
        also: An instant fault in the middle of it.
    """

    number: int
    kind: Kind
    victim: str = ""
    way: str = ""
    lasts_s: float = 0.0
    quiet_s: float = 0.0
    also: Planned | None = None

    def text(self) -> str:
        parts = [self.kind.name, self.way, self.victim and f"of {self.victim}"]
        lasting = [f"for {self.lasts_s:.1f} s"] if self.lasts_s else []
        middle = [f"with {self.also.text()} in the middle"] if self.also else []
        return " ".join([*filter(None, parts), *lasting, *middle])


def schedule(
    seed: int, kinds: Sequence[Kind], actors: Sequence[str], pace: Pace
) -> Iterator[Planned]:
    """Yield faults for ever: every kind once per round, in random order.

    Args:
        actors: Names of the running actors; kinds without a possible victim are left out.
    """
    rng = random.Random(seed)
    names = sorted(actors)
    usable = [kind for kind in kinds if not kind.aims or _targets(kind, names)]
    number = 0
    while usable:
        deck = list(usable)
        rng.shuffle(deck)
        for kind in deck:
            number += 1
            planned = _drawn(number, kind, names, pace, rng)
            if kind.name in DOUBLED and rng.random() < DOUBLE_SHARE:
                blow = _drawn(number, BY_NAME[rng.choice(BLOWS)], names, pace, rng)
                planned = replace(planned, also=blow)
            yield planned


def _drawn(
    number: int, kind: Kind, names: Sequence[str], pace: Pace, rng: random.Random
) -> Planned:
    targets = _targets(kind, names)
    return Planned(
        number=number,
        kind=kind,
        victim=rng.choice(targets) if targets else "",
        way=rng.choice(kind.ways),
        lasts_s=round(kind.lasting(pace, rng.random()), 1),
        quiet_s=round(rng.uniform(2, 5), 1),
    )


def _targets(kind: Kind, names: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatch(name, aim) for aim in kind.aims)]
