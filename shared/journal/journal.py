"""The trader's journal of its orders: synced to disk before anything is sent.

One file, `state_dir/trader.db`, written by the trader alone (SQLite, WAL, `synchronous=FULL`);
others open it with `Journal.read_only`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from shared.exchanges.venue import CLOSES, Fill, OpenPosition, PlacedOrder
from shared.journal.database import JournalFile
from shared.journal.rows import (
    OPEN_STATES,
    ZERO,
    CommandRow,
    EndedBy,
    EquityRow,
    Intent,
    IntentState,
    JournalFill,
    OwnPosition,
    Plan,
)
from shared.messages.trading import TradeEvent, TradeSide, trade_event

HERE = "venue = ? AND environment = ?"


class Journal(JournalFile):
    """The trader's intents, orders, fills, positions and P&L."""

    _owned: tuple[tuple[int, int], list[OwnPosition]] | None = None

    # Intents and orders

    def intend(self, intent: Intent, *events: TradeEvent) -> None:
        """Record an order before it is sent.

        Raises:
            ValueError: Its `client_id` was used before.
        """
        with self.writing():
            if self.intent(intent.client_id) is not None:
                raise ValueError(f"intent {intent.client_id} is in the journal already")
            row = dataclasses.asdict(intent)
            plan = row.pop("plan")
            self._insert("intents", row)
            if plan is not None:
                self._insert("plans", {"client_id": intent.client_id, **plan})
            self._add_events(events)

    def intent(self, client_id: str) -> Intent | None:
        return next(iter(self._intents("client_id = ?", client_id)), None)

    def newest_intent(self) -> Intent | None:
        """Return the intent journalled last."""
        return next(iter(self._intents("rowid = (SELECT max(rowid) FROM intents)")), None)

    def open_intents(self) -> list[Intent]:
        """Return the intents whose outcome is unknown, oldest first."""
        return self._intents(f"state IN {OPEN_STATES!r}")

    def closes_of(self, own_id: int) -> list[Intent]:
        """Return all close intents of an own position, oldest first."""
        return self._intents("own_id = ?", own_id)

    def last_trade_ms(self) -> int | None:
        """Return the venue time of the newest fill."""
        ((newest,),) = self._rows("SELECT max(at_ms) FROM fills")
        return None if newest is None else int(newest)

    def _intents(self, where: str, *values: Any) -> list[Intent]:
        names = [name for name in _names(Intent) if name != "plan"]
        rows = self._rows(
            f"SELECT {', '.join(names)} FROM intents WHERE {where} ORDER BY rowid", *values
        )
        return [Intent(**_typed(Intent, dict(zip(names, row, strict=True)))) for row in rows]

    def settle(
        self,
        client_id: str,
        state: IntentState,
        *events: TradeEvent,
        end: str = "",
        sent_ms: int | None = None,
        order_id: str | None = None,
    ) -> None:
        """Record the state of an intent that was not taken (yet)."""
        with self.writing():
            self._db.execute(
                "UPDATE intents SET state = ?, end = ?, sent_ms = coalesce(?, sent_ms), "
                "order_id = coalesce(?, order_id) WHERE client_id = ?",
                (state, end, sent_ms, order_id, client_id),
            )
            self._add_events(events)

    def take(self, order: PlacedOrder, *events: TradeEvent, is_over: bool = True) -> None:
        """Record an own order that the venue accepted; again, if it has filled further.

        Args:
            is_over: Whether nothing of it can be filled any more; until then its outcome is
                unknown.
        """
        with self.writing():
            known = self._rows(
                f"SELECT filled_size FROM orders WHERE symbol = ? AND order_id = ? AND {HERE}",
                order.symbol,
                order.order_id,
                *self._here,
            )
            if known and Decimal(known[0][0]) > order.filled_size:
                return  # an older state of it
            intent = self.intent(order.client_id)
            if intent is None:
                raise ValueError(f"order {order.order_id}: no intent {order.client_id!r}")
            row = dataclasses.asdict(order)
            row["venue"], row["environment"] = self._here
            self._insert("orders", row, "INSERT OR REPLACE")
            self._db.execute(
                "UPDATE intents SET state = ?, end = '', order_id = ? WHERE client_id = ?",
                ("taken" if is_over else "unknown", order.order_id, order.client_id),
            )
            if intent.purpose == "entry" and order.filled_size:
                self._begin_position(intent, order.created_ms)
            self._add_events(events)

    def _begin_position(self, intent: Intent, opened_ms: int) -> None:
        row = {
            "symbol": intent.symbol, "side": intent.side, "entry_id": intent.client_id,
            "opened_ms": opened_ms, "why": intent.why, "stop_fraction": intent.stop_fraction,
            "target_fraction": intent.target_fraction, "unprotected_ms": opened_ms,
        }  # fmt: skip
        self._insert("positions", row | self._place(), "INSERT OR IGNORE")

    @property
    def _here(self) -> tuple[str, str]:
        """Return within what ids of a market are unique."""
        return self.owner.venue, self.owner.environment

    def _place(self) -> dict[str, str]:
        owner = self.owner
        return {
            "venue": owner.venue, "environment": owner.environment, "currency": owner.currency
        }  # fmt: skip

    def order_client(self, symbol: str, order_id: str) -> str | None:
        """Return the `client_id` of an own order; None for any other."""
        rows = self._rows(
            f"SELECT client_id FROM orders WHERE symbol = ? AND order_id = ? AND {HERE}",
            symbol,
            order_id,
            *self._here,
        )
        return rows[0][0] if rows else None

    def filled_of(self, client_id: str) -> Decimal:
        """Return the filled size that is recorded of an own order."""
        rows = self._rows("SELECT filled_size FROM orders WHERE client_id = ?", client_id)
        return Decimal(rows[0][0]) if rows else ZERO

    # Fills and positions

    def add_fills(self, fills: Iterable[JournalFill], at_ms: int) -> int:
        """Add new fills, each with its event; return how many were new."""
        added = 0
        with self.writing():
            for each in fills:
                row = dataclasses.asdict(each.fill)
                row |= {"own_id": each.own_id, "client_id": each.client_id}
                row["venue"], row["environment"] = self._here
                if self._insert("fills", row, "INSERT OR IGNORE"):
                    added += 1
                    self._add_events([_fill_event(each, at_ms, self.owner.currency)])
        return added

    def own_positions(self) -> list[OwnPosition]:
        """Return the open own positions, oldest first."""
        state = self._state()
        if self._owned is None or self._owned[0] != state or self._db.in_transaction:
            found = [self._position(row) for row in self._positions("closed_ms IS NULL")]
            if self._db.in_transaction:  # it may be rolled back
                return found
            self._owned = state, found
        return list(self._owned[1])

    def own_of_entry(self, client_id: str) -> int | None:
        """Return the number of the position that an entry opened."""
        rows = self._rows("SELECT own_id FROM positions WHERE entry_id = ?", client_id)
        return rows[0][0] if rows else None

    def closed(self, limit: int, before_id: int | None = None) -> list[OwnPosition]:
        """Return own positions that ended, newest first.

        Args:
            before_id: Only those with a smaller `own_id`.
        """
        found = self._positions(
            "closed_ms IS NOT NULL AND own_id < ? ORDER BY own_id DESC LIMIT ?",
            2**62 if before_id is None else before_id,
            limit,
        )
        return [self._position(row) for row in found]

    def closed_pnl(self) -> Decimal:
        """Return the P&L of all positions that ended at this venue, in its currency."""
        rows = self._rows(
            f"SELECT pnl FROM positions WHERE closed_ms IS NOT NULL AND {HERE} AND currency = ?",
            *self._here,
            self.owner.currency,
        )
        return sum((Decimal(pnl) for (pnl,) in rows), ZERO)

    def unjudged(self) -> list[OwnPosition]:
        """Return the ended positions that no breaker has counted, in order of their end."""
        found = self._positions("closed_ms IS NOT NULL AND NOT judged ORDER BY closed_ms, own_id")
        return [self._position(row) for row in found]

    def judge(self, own_ids: Sequence[int], ledger: Any, *events: TradeEvent) -> None:
        """Record the breakers' ledger, and which ended positions it has counted."""
        with self.writing():
            for own_id in own_ids:
                self._db.execute("UPDATE positions SET judged = 1 WHERE own_id = ?", (own_id,))
            self.set_note("ledger", ledger)
            self._add_events(events)

    def last_losses(self, since_ms: int) -> dict[tuple[str, TradeSide], int]:
        """Return the venue time of the last loss by coin and side, for losses since a time."""
        rows = self._rows(
            "SELECT symbol, side, closed_ms, pnl FROM positions WHERE closed_ms >= ? "
            "ORDER BY closed_ms",
            since_ms,
        )
        return {(symbol, side): at for symbol, side, at, pnl in rows if Decimal(pnl) < 0}

    def sent_since(self, sent_ms: int, *, failed: bool = False) -> tuple[int, ...]:
        """Return the send times of orders since a venue time, oldest first.

        Args:
            failed: Those that the venue certainly did not accept, instead of all others.
        """
        rows = self._rows(
            "SELECT sent_ms FROM intents WHERE sent_ms > ? "
            "AND (state IN ('refused', 'not_taken')) = ? ORDER BY sent_ms",
            sent_ms,
            failed,
        )
        return tuple(at for (at,) in rows)

    def fees_since(self, at_ms: int) -> Decimal:
        """Return the fees of fills since a venue time, in the settlement currency."""
        rows = self._rows(
            f"SELECT fee FROM fills WHERE at_ms >= ? AND fee_currency IN ('', ?) AND {HERE}",
            at_ms,
            self.owner.currency,
            *self._here,
        )
        return sum((Decimal(fee) for (fee,) in rows), ZERO)

    def _positions(self, where: str, *values: Any) -> list[dict[str, Any]]:
        plan = ", ".join(f"plans.{name} AS plan_{name}" for name in _names(Plan))
        return self._dicts(
            f"SELECT positions.*, {plan} FROM positions "
            f"LEFT JOIN plans ON plans.client_id = positions.entry_id WHERE {where}",
            *values,
        )

    def _position(self, row: dict[str, Any]) -> OwnPosition:
        own_id, entry_id = row["own_id"], row["entry_id"]
        names = _names(Fill)
        filled = self._rows(
            f"SELECT {', '.join(names)}, client_id IS NULL AND NOT EXISTS (SELECT 1 FROM orders "
            "WHERE orders.venue = fills.venue AND orders.environment = fills.environment "
            "AND orders.symbol = fills.symbol AND orders.order_id = fills.order_id) "
            "FROM fills WHERE own_id = ? ORDER BY at_ms, rowid",
            own_id,
        )
        fills = [
            Fill(**_typed(Fill, dict(zip(names, found[:-1], strict=True)))) for found in filled
        ]
        # the entry order; close orders sent for it; fills of the venue's own closing orders
        ordered = self._rows(
            "SELECT client_id, filled_size FROM orders WHERE client_id = ? "
            "OR client_id IN (SELECT client_id FROM intents WHERE own_id = ?)",
            entry_id,
            own_id,
        )
        ordered_in = [Decimal(size) for client_id, size in ordered if client_id == entry_id]
        ordered_out = [Decimal(size) for client_id, size in ordered if client_id != entry_id]
        ordered_out += [
            fill.size
            for fill, (*_, is_by_venue) in zip(fills, filled, strict=True)
            if is_by_venue and fill.side == CLOSES[row["side"]]
        ]
        funding = self._rows("SELECT amount FROM funding WHERE own_id = ?", own_id)
        columns = {name: row[name] for name in _names(OwnPosition) if name in row}
        plan = {name: row[f"plan_{name}"] for name in _names(Plan)}
        return OwnPosition(
            **_typed(OwnPosition, columns),
            plan=None if plan["strategy"] is None else Plan(**_typed(Plan, plan)),
            ordered_in=sum(ordered_in, ZERO),
            ordered_out=sum(ordered_out, ZERO),
            fills=tuple(fills),
            funding=sum((Decimal(amount) for (amount,) in funding), ZERO),
        )

    def seen_at_venue(self, own_id: int, venue_id: str) -> None:
        """Record the venue's id of an own position."""
        with self.writing():
            self._db.execute(
                "UPDATE positions SET venue_id = ? WHERE own_id = ?", (venue_id, own_id)
            )

    def set_closing(self, own_id: int, why: str, by: EndedBy, *events: TradeEvent) -> None:
        """Record why an own position is to be closed, until it is."""
        with self.writing():
            self._db.execute(
                "UPDATE positions SET closing = ?, closing_by = ? WHERE own_id = ?",
                (why, by, own_id),
            )
            self._add_events(events)

    def set_unprotected(self, own_id: int, since_ms: int | None, *events: TradeEvent) -> None:
        """Record since when (venue time) a position has had no stop; None: it has one."""
        with self.writing():
            self._db.execute(
                "UPDATE positions SET unprotected_ms = ? WHERE own_id = ?", (since_ms, own_id)
            )
            self._add_events(events)

    def set_triggers(
        self, own_id: int, stop: Decimal | None, target: Decimal | None, *events: TradeEvent
    ) -> None:
        """Record the stop and target that a position has at the venue."""
        with self.writing():
            self._db.execute(
                "UPDATE positions SET stop = ?, target = ? WHERE own_id = ?",
                (_text(stop), _text(target), own_id),
            )
            self._add_events(events)

    def add_funding(self, own_id: int, amount: Decimal, at_ms: int, *events: TradeEvent) -> None:
        """Add funding that a position has received or paid."""
        with self.writing():
            self._insert("funding", {"own_id": own_id, "at_ms": at_ms, "amount": amount})
            self._add_events(events)

    def end_position(
        self, own_id: int, *, closed_ms: int, pnl: Decimal, by: EndedBy, how: str,
        events: Sequence[TradeEvent],
    ) -> None:  # fmt: skip
        """Record the end of an own position, and its P&L."""
        with self.writing():
            self._db.execute(
                "UPDATE positions SET closed_ms = ?, pnl = ?, ended_by = ?, how = ?, "
                "unprotected_ms = NULL WHERE own_id = ?",
                (closed_ms, str(pnl), by, how, own_id),
            )
            self._add_events(events)

    def adopt(
        self, position: OpenPosition, *, stop_fraction: Decimal, target_fraction: Decimal,
        at_ms: int, events: Sequence[TradeEvent],
    ) -> None:  # fmt: skip
        """Record a position at the venue as our own; an own one it replaces ends."""
        with self.writing():
            for own in self.own_positions():
                if own.symbol == position.symbol:
                    self.end_position(
                        own.own_id, closed_ms=at_ms, by="outside", how="adopted anew",
                        pnl=own.price_pnl - own.fees + own.funding, events=(),
                    )  # fmt: skip
            row = {
                "symbol": position.symbol, "side": position.side, "venue_id": position.position_id,
                "opened_ms": at_ms, "why": "adopted", "stop_fraction": stop_fraction,
                "target_fraction": target_fraction,
                "unprotected_ms": None if position.stop_loss is not None else at_ms,
                "adopted_size": position.size, "adopted_price": position.entry_price,
                "adopted_pnl": position.realized_pnl,
            }  # fmt: skip
            self._insert("positions", row | self._place())
            self._add_events(events)

    # Equity and commands

    def add_equity(self, row: EquityRow) -> None:
        """Record the account after a cycle; a repeated cycle replaces its row."""
        with self.writing():
            self._insert("equity", dataclasses.asdict(row) | self._place(), "INSERT OR REPLACE")

    def equity(self, since_ms: int = 0, limit: int = 10_000) -> list[EquityRow]:
        """Return the newest rows since a cycle at this venue, oldest first."""
        names = ", ".join(_names(EquityRow))
        rows = self._dicts(
            f"SELECT {names} FROM equity WHERE cycle_ms >= ? AND {HERE} AND currency = ? "
            "ORDER BY cycle_ms DESC LIMIT ?",
            since_ms,
            *self._here,
            self.owner.currency,
            limit,
        )
        return [EquityRow(**_typed(EquityRow, row)) for row in reversed(rows)]

    def begin_command(self, row: CommandRow) -> CommandRow:
        """Record a command as accepted; return its row, the earlier one if there is one."""
        with self.writing():
            self._insert("commands", dataclasses.asdict(row), "INSERT OR IGNORE")
            (found,) = self._dicts("SELECT * FROM commands WHERE id = ?", row.id)
            return CommandRow(**found)

    def command(self, command_id: str) -> CommandRow | None:
        rows = self._dicts("SELECT * FROM commands WHERE id = ?", command_id)
        return CommandRow(**rows[0]) if rows else None

    def begun_commands(self) -> list[CommandRow]:
        """Return the commands accepted but not finished, oldest first."""
        rows = self._dicts("SELECT * FROM commands WHERE outcome IS NULL ORDER BY rowid")
        return [CommandRow(**row) for row in rows]

    def end_command(self, row: CommandRow, *events: TradeEvent) -> None:
        with self.writing():
            self._db.execute(
                "UPDATE commands SET outcome = ?, text = ? WHERE id = ?",
                (row.outcome, row.text, row.id),
            )
            self._add_events(events)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _money(kind: Any) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(kind) if "Decimal" in str(f.type))


def _typed(kind: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its money as Decimal."""
    money = _money(kind)
    return {
        name: Decimal(value) if name in money and value is not None else value
        for name, value in row.items()
    }


def _fill_event(each: JournalFill, at_ms: int, currency: str) -> TradeEvent:
    fill = each.fill
    by = "" if each.client_id else ", by the venue"
    is_ours = fill.fee_currency in ("", currency)
    fee = f"{fill.fee}" if is_ours else f"{fill.fee} {fill.fee_currency}, which no P&L here counts"
    text = f"{fill.symbol}: {fill.side} {fill.size} at {fill.price} filled, fee {fee}{by}"
    return trade_event(
        at_ms, "fill", text, fill.symbol, client_id=each.client_id, size_base=fill.size,
        price=fill.price, fee_quote=fill.fee if is_ours else None,
    )  # fmt: skip
