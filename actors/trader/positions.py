"""Compares journal and venue: which positions are ours, foreign or gone. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.exchanges.venue import OpenPosition
from shared.journal.rows import OwnPosition
from shared.messages.trading import TradeSide


@dataclass(frozen=True, slots=True)
class MatchedPosition:
    """A position of ours in the journal and at the venue."""

    own: OwnPosition
    at_venue: OpenPosition


@dataclass(frozen=True, slots=True)
class ForeignPosition:
    """A position that is not, or not wholly, ours; never touched. `why` is for people."""

    at_venue: OpenPosition
    why: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every position there is, once.

    Attributes:
        ending: Positions of ours that are not at the venue (any more), or foreign there.
        positions: As read from the venue, ours and foreign.
    """

    ours: tuple[MatchedPosition, ...]
    foreign: tuple[ForeignPosition, ...]
    ending: tuple[OwnPosition, ...]
    positions: tuple[OpenPosition, ...]

    def matched(self, symbol: str) -> MatchedPosition | None:
        return next((matched for matched in self.ours if matched.own.symbol == symbol), None)

    def at_venue(self, symbol: str) -> OpenPosition | None:
        return next((each for each in self.positions if each.symbol == symbol), None)


def compare(owned: Iterable[OwnPosition], positions: Sequence[OpenPosition]) -> Reconciliation:
    """Match the journal's open positions with the venue's.

    A position smaller than in the journal is ours: part of it was closed elsewhere. One that is
    larger, on the other side, or has another number is foreign as a whole.
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
    """Return whether the venue may have executed something that is not in the journal.

    Where the venue numbers no positions, one that began after ours had ended shows by its price.
    """
    size = position.size if position is not None and position.side == own.side else 0
    if not own.is_complete or own.size != size:
        return True
    if position is None or position.position_id is None:
        return position is not None and not _is_near(own.entry_price, position.entry_price)
    return own.venue_id is None


SAME_PRICE = Decimal("0.000001")
"""Average prices that differ by a smaller share are one price, rounded in two ways."""


def _is_near(ours: Decimal | None, theirs: Decimal) -> bool:
    return ours is not None and abs(ours - theirs) <= SAME_PRICE * theirs


def client_id_of(journal: str, cycle_ms: int, symbol: str, side: TradeSide, purpose: str) -> str:
    """Return the id of an order: the same decision made twice has the same id.

    Args:
        journal: The identity of the journal that has it.
        cycle_ms: The close decided on; for closes, when the position was opened.
        purpose: `entry`, or `close` and the number of the attempt.
    """
    text = f"{cycle_ms} {symbol} {side} {purpose}"
    return f"t{journal}{hashlib.blake2s(text.encode(), digest_size=10).hexdigest()}"


def is_client_id(text: str) -> bool:
    """Return whether an id is of the form of ours; those of older releases have no identity."""
    return _CLIENT_ID.fullmatch(text) is not None


_CLIENT_ID = re.compile(r"t([0-9a-f]{24}|[0-9a-f]{28})")
