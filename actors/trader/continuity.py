"""Whether the journal is the one our orders are in: not new, not older, not another trader's.

Two independent memories confirm it. The witness, a small file beside the journal, knows the
journal's identity, its newest order and the commands carried out. The venue knows our orders, whose
ids begin with the identity. Where they contradict the journal, nothing is entered until an operator
accepts it.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from actors.trader.journal_thread import JournalThread
from actors.trader.positions import Reconciliation, is_client_id
from shared import codec
from shared.clock import Clock, utc_text
from shared.errors import BadMessage, JournalUnavailable, VenueRefused
from shared.exchanges.ports import Venue
from shared.exchanges.venue import PlacedOrder
from shared.files import write_atomically
from shared.journal.journal import Journal
from shared.journal.rows import Intent
from shared.messages.trading import TraderCommand

WITNESS = "trader.witness"
"""Not `trader.db...`: whoever copies the journal back must not copy its witness along."""

LOOK_BACK_MS = 30 * 86_400_000
MOST_ORDERS = 20
"""Unknown orders looked up per coin, the newest first."""

MOST_COMMANDS = 200

BEFORE_MS = 1_000

TO_DO = (
    "stop the trader and put the right trader.db in its place; or go on with this one: "
    "`coinex trader accept-journal`. Positions it does not know stay foreign, and breakers count "
    "from what it has"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What the witness knows of the journal.

    Attributes:
        last: Client id of the newest order; None before the first.
        last_ms: When it was decided, venue time.
        commands: Ids of the newest commands that were carried out.
        before_ms: Commands given before this, our clock, are not carried out any more.
    """

    identity: str
    last: str | None = None
    last_ms: int = 0
    commands: list[str] = dataclasses.field(default_factory=list)
    before_ms: int = 0


class Continuity:
    """Compares the journal with witness and venue, and keeps the witness up to date.

    Attributes:
        doubt: Why the journal may not be the one our orders are in; "" if nothing says so.
        is_compared: Whether that is decided; until then nothing is entered.
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        state_dir: Path,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._path = state_dir / WITNESS
        self._clock = clock
        self._log = log
        self._witness = Witness(identity=journal.identity)
        self.doubt = ""
        self.is_compared = False

    async def load(self) -> None:
        """Compare the journal with the witness.

        Raises:
            JournalUnavailable: The journal cannot be read or written now.
        """
        found, why = self._read()
        if found is None:
            self._log.info("%s: %s; the venue is asked instead", self._path, why)
            found = await self._from_journal()
        self._witness = found
        noted = await self._journal.do(Journal.note, "doubt")
        doubt = str(noted or "") or await self._contradiction()
        if doubt:
            await self._doubt(doubt)
        else:
            self.is_compared = not why and found.identity == self._journal.identity

    async def _contradiction(self) -> str:
        witness = self._witness
        if witness.last is None:
            return ""  # no order is known, so the venue has to say
        last = f"order {witness.last} of {utc_text(witness.last_ms)}, says {WITNESS}"
        if witness.identity != self._journal.identity:
            return (
                f"trader.db is journal {self._journal.identity}, and our orders are in journal "
                f"{witness.identity} (the last is {last})"
            )
        if await self._journal.do(Journal.intent, witness.last) is None:
            return f"trader.db is older than our last order ({last})"
        return ""

    async def compare(self, reconciled: Reconciliation) -> None:
        """Ask the venue for orders of ours that the journal does not have, unless that is decided.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: It cannot be decided now.
        """
        if self.is_compared:
            return
        order = await self._unknown_order(reconciled)
        if order is not None:
            await self._doubt(
                f"trader.db does not have order {order.client_id} of ours, which the venue has in "
                f"{order.symbol} ({utc_text(order.created_ms)})"
            )
            return
        self._witness = await self._from_journal()
        await self._write()
        self.is_compared = True

    async def _unknown_order(self, reconciled: Reconciliation) -> PlacedOrder | None:
        since_ms = self._venue.now_ms() - LOOK_BACK_MS
        accepted_ms = int(await self._journal.do(Journal.note, "accepted") or 0)
        traded = dict(await self._venue.traded_since(since_ms))
        for position in reconciled.positions:
            opened_ms = position.opened_ms - BEFORE_MS
            traded[position.symbol] = min(opened_ms, traded.get(position.symbol, opened_ms))
        for symbol, from_ms in traded.items():
            fills = await self._venue.fills(symbol, max(accepted_ms, from_ms))
            newest_first = dict.fromkeys(fill.order_id for fill in reversed(fills))
            unknown = [i for i in newest_first if await self._client_of(symbol, i) is None]
            for order_id in unknown[:MOST_ORDERS]:
                try:
                    order = await self._venue.order_status(symbol, order_id)
                except VenueRefused:
                    continue  # the venue forgot it
                if order.created_ms >= accepted_ms and await self._is_missing(order.client_id):
                    return order
        return None

    async def _is_missing(self, client_id: str) -> bool:
        if not is_client_id(client_id):
            return False
        return await self._journal.do(Journal.intent, client_id) is None

    async def _client_of(self, symbol: str, order_id: str) -> str | None:
        return await self._journal.do(Journal.order_client, symbol, order_id)

    async def _doubt(self, why: str) -> None:
        """Keep a doubt until it is accepted: what is journalled from now on would hide it."""
        if not self.doubt:
            self._log.error("%s: %s", why, TO_DO)
        self.doubt, self.is_compared = why, True
        if await self._journal.do(Journal.note, "doubt") != why:
            await self._journal.do(Journal.set_note, "doubt", why)

    async def accept(self) -> str:
        """Make this journal the one our orders are in, and say so.

        Raises:
            JournalUnavailable: It cannot be written; nothing was changed.
        """
        if not self.doubt:
            return "nothing to accept: no order of ours is missing in the journal"
        await self._journal.do(Journal.set_note, "accepted", self._venue.now_ms())
        await self._journal.do(Journal.set_note, "doubt", None)
        accepted, self.doubt = self.doubt, ""
        self._witness = await self._from_journal()
        await self._write()
        return f"journal {self._journal.identity} accepted, although {accepted}"

    # The witness

    async def saw_intent(self, intent: Intent) -> None:
        """Record an order that was journalled, before it is sent."""
        if self.is_compared and not self.doubt:
            self._witness = dataclasses.replace(
                self._witness, last=intent.client_id, last_ms=intent.sent_ms
            )
            await self._write()

    async def saw_command(self, command: TraderCommand) -> None:
        """Record a command that is carried out now."""
        ids = [*self._witness.commands, command.id]
        before_ms = self._witness.before_ms
        if len(ids) > MOST_COMMANDS:
            before_ms, ids = command.at_ms, [command.id]
        self._witness = dataclasses.replace(self._witness, commands=ids, before_ms=before_ms)
        await self._write()

    def objection(self, command: TraderCommand) -> str:
        """Return why a command that is not in the journal is not carried out, or ""."""
        if command.id in self._witness.commands:
            return "was carried out before, by a journal that is not this one"
        if command.at_ms < self._witness.before_ms:
            return "was given before this journal was in use"
        return ""

    async def _from_journal(self) -> Witness:
        newest = await self._journal.do(Journal.newest_intent)
        return Witness(
            identity=self._journal.identity,
            last=None if newest is None else newest.client_id,
            last_ms=0 if newest is None else newest.sent_ms,
            before_ms=self._clock.now_ms(),
        )

    def _read(self) -> tuple[Witness | None, str]:
        try:
            return codec.decode(Witness, self._path.read_bytes(), str(self._path)), ""
        except FileNotFoundError:
            return None, "there is none"
        except (BadMessage, OSError) as error:
            return None, f"unreadable ({error})"

    async def _write(self) -> None:
        """Write the witness; one that is behind the journal is not wrong."""
        try:
            await self._journal.do(_store, self._path, codec.encode(self._witness))
        except (JournalUnavailable, OSError) as error:
            self._log.warning("%s cannot be written: %s", self._path, error)


def _store(_: Journal, path: Path, content: bytes) -> None:
    write_atomically(path, content)
