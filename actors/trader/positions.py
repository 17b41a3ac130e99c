"""How journal and venue compare: what is ours, what is foreign, what has gone. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.exchanges.venue import OpenPosition
from shared.journal.rows import OwnPosition
from shared.messages.trading import TradeSide


@dataclass(frozen=True, slots=True)
class MatchedPosition:
    """A position of ours, by the journal and as the venue shows it."""

    own: OwnPosition
    at_venue: OpenPosition


@dataclass(frozen=True, slots=True)
class ForeignPosition:
    """A position that is not ours, or not all of it; never touched. `why` is for people."""

    at_venue: OpenPosition
    why: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every position there is, once.

    Attributes:
        ending: Positions of ours that the venue does not show (any more), or shows as another's.
        positions: As the venue told them, ours and foreign.
    """

    ours: tuple[MatchedPosition, ...]
    foreign: tuple[ForeignPosition, ...]
    ending: tuple[OwnPosition, ...]
    positions: tuple[OpenPosition, ...]

    def matched(self, symbol: str) -> MatchedPosition | None:
        """Return the position of ours in a coin."""
        return next((matched for matched in self.ours if matched.own.symbol == symbol), None)

    def at_venue(self, symbol: str) -> OpenPosition | None:
        """Return the position in a coin, whoever's it is."""
        return next((each for each in self.positions if each.symbol == symbol), None)


def compare(owned: Iterable[OwnPosition], positions: Sequence[OpenPosition]) -> Reconciliation:
    """Return how the journal's open positions and the venue's stand to each other.

    A position that is smaller than the journal says is ours: part of it was closed elsewhere. One
    that is larger, on the other side, or has another number is foreign as a whole.
    """
    own_by_symbol = {own.symbol: own for own in owned}
    ours, foreign = [], []
    for position in positions:
        own = own_by_symbol.get(position.symbol)
        why = _foreign(own, position)
        if own is None or why:
            foreign.append(ForeignPosition(position, why))
        else:
            ours.append(MatchedPosition(own, position))
            del own_by_symbol[position.symbol]
    return Reconciliation(
        tuple(ours), tuple(foreign), tuple(own_by_symbol.values()), tuple(positions)
    )


def _foreign(own: OwnPosition | None, position: OpenPosition) -> str:
    if own is None or not own.size:
        return "not in our journal"
    if own.side != position.side:
        return f"ours is {own.side}"
    if own.venue_id not in (None, position.position_id):
        return "opened after ours had ended"
    if position.size > own.size:
        return f"larger than ours, which is {own.size}"
    return ""


def differs(own: OwnPosition, position: OpenPosition | None) -> bool:
    """Tell whether the venue must have executed something that the journal does not know."""
    size = position.size if position is not None and position.side == own.side else 0
    return not own.is_complete or own.size != size or own.venue_id is None


def client_id_of(cycle_ms: int, symbol: str, side: TradeSide, purpose: str) -> str:
    """Return the id of an order: the same decision made twice has the same id.

    Args:
        cycle_ms: Close that was decided on; for closes, when the position was opened.
        purpose: `entry`, or `close` and the number of the attempt.
    """
    text = f"{cycle_ms} {symbol} {side} {purpose}"
    return "t" + hashlib.blake2s(text.encode(), digest_size=12).hexdigest()
