"""The simulated venue's persistent state and its file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from shared import codec
from shared.clock import utc_text
from shared.errors import BadMessage
from shared.exchanges.sim.account import SimAccount
from shared.exchanges.sim.orders import SimOrders
from shared.files import write_atomically
from shared.messages.trading import TradeSide

VERSION = 2
START_USDT = Decimal(10_000)


@dataclass(slots=True, kw_only=True)
class VenueState:
    """The account, its orders, and the time up to which the venue has advanced.

    Attributes:
        rates: Funding rates set by the operator, by market.
    """

    version: int = VERSION
    at_ms: int
    account: SimAccount
    orders: SimOrders
    rates: dict[str, Decimal] = field(default_factory=dict)

    def busy(self) -> list[str]:
        """Return the markets with a position or a resting order."""
        resting = (order.market for order in self.orders.pending)
        return list(dict.fromkeys((*self.account.positions, *resting)))

    def side(self, market: str) -> TradeSide | None:
        """Return the side of a market's position; None without one."""
        position = self.account.positions.get(market)
        return None if position is None else position.side


_WORDS = {
    b'"latest_price"': b'"last"', b'"mark_price"': b'"mark"', b'"index_price"': b'"index"',
    b'"stop_loss"': b'"stop"', b'"take_profit"': b'"target"', b'"liq"': b'"liquidation"',
    b'"version":1,': b'"version":2,',
}  # fmt: skip
"""Words of version 1, each by that of version 2; none is a name or a key there."""


def _decoded(raw: bytes, where: str) -> VenueState:
    """Return a state of this version or the one before.

    Raises:
        BadMessage: It is unreadable.
    """
    if b'"version":1,' in raw:
        for old, new in _WORDS.items():
            raw = raw.replace(old, new)
    return codec.decode(VenueState, raw, where)


def markets_in_use(path: Path) -> set[str]:
    """Return the markets with a position or a resting order in a file; none if it is unusable."""
    try:
        return set(_decoded(path.read_bytes(), str(path)).busy())
    except (OSError, BadMessage):  # the simulator reports it
        return set()


def fresh_state(now_ms: int) -> VenueState:
    """Return the state of a new account."""
    account = SimAccount()
    account.transfer(START_USDT, now_ms)
    return VenueState(at_ms=now_ms, account=account, orders=SimOrders())


class VenueFile:
    """Loads and saves the state."""

    def __init__(self, path: Path, log: logging.Logger | None = None) -> None:
        self.path = path
        self._log = log or logging.getLogger(__name__)

    def load(self, now_ms: int) -> VenueState:
        """Return the saved state, or a fresh account.

        An unusable file is renamed, and logged.

        Raises:
            OSError: The file exists, but can be neither read nor renamed.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return fresh_state(now_ms)
        try:
            state = _decoded(raw, str(self.path))
            if state.version != VERSION:
                why = f"found {state.version}, expected {VERSION}"
                raise BadMessage(str(self.path), "version", why)
        except BadMessage as error:
            aside = self.path.with_name(f"{self.path.name}.broken-{now_ms}")
            self.path.rename(aside)
            self._log.error(
                "simulated venue: %s; the file is kept as %s, and the account begins anew with "
                "%s USDT. To restore the old one: stop, fix the file, rename it to %s",
                error, aside, START_USDT, self.path,
            )  # fmt: skip
            return fresh_state(now_ms)
        self._log.info(
            "simulated venue: account of %s, %d positions, %d orders",
            utc_text(state.at_ms), len(state.account.positions), len(state.orders.pending),
        )  # fmt: skip
        return state

    def save(self, state: VenueState) -> None:
        """Write the state; it is on disk when this returns.

        Raises:
            OSError: It is not; the old file is unchanged.
        """
        write_atomically(self.path, codec.encode(state))
