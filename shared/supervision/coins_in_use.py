"""The coins in which the account has something open, whatever the configuration lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.config.sections import Config
from shared.errors import PlatformError


@dataclass(frozen=True, slots=True)
class CoinsInUse:
    """Coins with an open position or an unsettled order.

    Attributes:
        own: By the trader's journal.
        at_venue: At the simulated venue, foreign ones too; none in live mode.
        unknown: Why the journal could not be read; "" if it could.
    """

    own: frozenset[str] = frozenset()
    at_venue: frozenset[str] = frozenset()
    unknown: str = ""

    @property
    def all(self) -> frozenset[str]:
        return self.own | self.at_venue


def coins_in_use(config: Config) -> CoinsInUse:
    """Return the coins in use by the files of a configuration's `state_dir`."""
    # only here: SQLite and the simulated account are needed at a start and a reload alone
    from shared.exchanges.sim.save_file import markets_in_use  # noqa: PLC0415
    from shared.journal.journal import Journal  # noqa: PLC0415

    state_dir, own, unknown = Path(config.state_dir).resolve(), frozenset[str](), ""
    try:
        own = Journal.symbols_in_use(state_dir / "trader.db")
    except FileNotFoundError:
        pass
    except PlatformError as error:
        unknown = str(error)
    at_venue = set() if config.mode == "live" else markets_in_use(state_dir / "venue.json")
    return CoinsInUse(own, frozenset(at_venue), unknown)


def kept(config: Config, in_use: CoinsInUse, before: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the coins that are managed although no group lists them.

    Args:
        before: Those managed until now: all of them are kept if it is not known which are in use.
    """
    wanted = in_use.all | (set(before) if in_use.unknown else set())
    return tuple(sorted(wanted.difference(config.symbols)))


def in_words(config: Config, in_use: CoinsInUse, coins: Iterable[str]) -> Iterator[str]:
    """Yield what an operator must know about the coins that are kept.

    Args:
        coins: As returned by `kept`.
    """
    names = ", ".join(coins)
    if names:
        yield (
            f"{names}: in no group, but with an open position or order: candles and protection go "
            "on until it ends (and the next reload), entries do not"
        )
    if in_use.unknown:
        yield f"positions in other coins are not known: {in_use.unknown}"
    kind = config.trader.kind
    off = "trader.enabled is false" if kind == "own" else f"trader.kind is {kind}"
    if in_use.own and (kind != "own" or config.trader.enabled is False):
        yield (
            f"{off}, with open positions in {', '.join(sorted(in_use.own))}: "
            "their stops stay at the venue, nothing else is done for them"
        )
