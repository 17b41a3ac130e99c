"""Keeps a stop on every position of ours, and closes those that have none or are overdue."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Concatenate

from actors.trader.journal_thread import JournalThread
from actors.trader.orders import OrderSender
from actors.trader.positions import MatchedPosition, Reconciliation, client_id_of
from actors.trader.retries import FAILED, Retries, situation
from shared.clock import Clock
from shared.config.sections import TraderSection
from shared.errors import JournalUnavailable, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import CLOSES, MarketRule, OpenPosition, Ticker
from shared.journal.journal import Journal
from shared.journal.rows import OPEN_STATES, EndedBy, Intent, OwnPosition
from shared.messages.trading import TradeEvent, trade_event
from shared.trading.entries import OTHER
from shared.trading.exits import Levels, is_beyond, is_overdue, levels


class Protection:
    """Protects our positions, independently of each other.

    Attributes:
        failures: By coin, what failed; retried on the next call.
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        orders: OrderSender,
        retries: Retries,
        *,
        settings: TraderSection,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._orders = orders
        self._retries = retries
        self._settings = settings
        self._clock = clock
        self._log = log
        self._rules: dict[str, MarketRule] = {}
        self._closed = False
        self._unwritten: dict[int, dict[str, Any]] = {}
        self._closes: dict[int, list[Intent]] = {}
        self.failures: dict[str, str] = {}

    async def rule(self, symbol: str) -> MarketRule:
        """Return the rules of a market, as last read.

        Raises:
            VenueUnavailable: They are unknown, and cannot be read now.
        """
        if symbol not in self._rules:
            await self.read_rules([symbol])
        if symbol not in self._rules:
            raise VenueUnavailable(f"{symbol}: the venue does not list this market")
        return self._rules[symbol]

    async def read_rules(self, symbols: list[str]) -> Mapping[str, MarketRule]:
        """Read the rules of markets, and return those the venue lists."""
        found = await self._venue.markets(symbols)
        self._rules |= found
        return found

    async def protect(self, reconciled: Reconciliation) -> bool:
        """Set missing stops and targets, close what must be closed; return if a close was sent."""
        self._closed = False
        marks: Mapping[str, Ticker] = {}
        if reconciled.ours:
            try:
                marks = await self._venue.tickers(
                    [matched.own.symbol for matched in reconciled.ours]
                )
            except (VenueUnavailable, VenueRefused) as error:
                # stops can be set without the mark
                self._log.warning("no mark prices: %s", error)
        failures = {}
        for matched in reconciled.ours:
            symbol = matched.own.symbol
            try:
                await self.protect_one(matched, marks.get(symbol))
            except (VenueUnavailable, VenueRefused, JournalUnavailable, ValueError) as error:
                failures[symbol] = str(error)
                if symbol not in self.failures:
                    self._log.warning("%s: not protected: %s", symbol, error)
            if refusals := self._retries.in_words(symbol):
                failures[symbol] = "; ".join(filter(None, (refusals, failures.get(symbol))))
        self.failures = failures
        await self._retries.keep(
            {own.own_id for own in (*(m.own for m in reconciled.ours), *reconciled.ending)}
        )
        return self._closed

    async def protect_one(self, matched: MatchedPosition, ticker: Ticker | None) -> None:
        """Set a missing stop or target, or close the position.

        Raises:
            VenueUnavailable, VenueRefused: The venue did not do it; to be retried.
        """
        matched = await self._remembered(matched)
        own, position = matched.own, matched.at_venue
        now_ms = self._venue.now_ms()
        if own.closing:
            taken = await self.close(matched, own.closing, own.closing_by or "protection")
            if not taken and position.stop_loss is None:
                # the close was refused, or may have been
                await self._set_stop(matched, (await self._levels(matched)).stop)
        elif is_overdue(own.opened_ms, now_ms, self._settings.max_hold_h):
            why = f"time stop: held for {self._settings.max_hold_h:g} h"
            await self.close(matched, why, "time")
        elif position.stop_loss is None:
            await self._set_missing_stop(matched, ticker, now_ms)
        elif ticker is not None and is_beyond(own.side, ticker.mark, position.stop_loss):
            why = f"mark {ticker.mark} is beyond the stop {position.stop_loss}"
            await self.close(matched, why, "stop")
        else:
            if own.unprotected_ms is not None:
                await self._protected(matched, position)
            elif (own.stop, own.target) != (position.stop_loss, position.take_profit):
                await self._note_triggers(own, position)
            await self._set_missing_target(matched, ticker)

    async def _set_missing_stop(
        self, matched: MatchedPosition, ticker: Ticker | None, now_ms: int
    ) -> None:
        own, position = matched.own, matched.at_venue
        since_ms = own.unprotected_ms
        if since_ms is None:
            since_ms = now_ms
            event = self._event("warning", position, "has no stop any more; it is set again")
            await self._note(
                own, {"unprotected_ms": since_ms}, Journal.set_unprotected, own.own_id, since_ms,
                event,
            )  # fmt: skip
        if now_ms - since_ms > self._settings.unprotected_s * 1000:
            without_s = (now_ms - since_ms) / 1000
            await self.close(matched, f"without a stop for {without_s:.0f} s", "protection")
            return
        wanted = await self._levels(matched)
        if ticker is not None and is_beyond(own.side, ticker.mark, wanted.stop):
            why = f"mark {ticker.mark} is beyond the stop {wanted.stop}"
            await self.close(matched, why, "stop")
            return
        found = await self._set_stop(matched, wanted.stop)
        if found is None:
            return
        if found.stop_loss is None:
            raise VenueUnavailable(f"{own.symbol}: the venue accepted a stop and shows none")
        await self._protected(matched, found)
        await self._set_missing_target(MatchedPosition(own, found), ticker)

    async def _set_stop(self, matched: MatchedPosition, price: Decimal) -> OpenPosition | None:
        return await self._ask(
            "stop", matched, lambda: self._venue.set_stop_loss(matched.own.symbol, price)
        )

    async def _ask(
        self, what: str, matched: MatchedPosition, ask: Callable[[], Awaitable[OpenPosition]]
    ) -> OpenPosition | None:
        """Ask for a stop or target; None if the venue refuses, now or a moment ago.

        Raises:
            VenueUnavailable: It is not known whether the venue did it.
        """
        key, position = f"{what} {matched.own.own_id}", matched.at_venue
        if await self._retries.wait_s(key, situation(position)):
            return None
        try:
            found = await ask()
        except VenueRefused as error:
            band = await self._retries.band(matched)
            if await self._retries.refused(key, str(error), situation(position), band=band):
                bare = "" if position.stop_loss is not None else ", it is WITHOUT A STOP"
                event = self._event("refused", position, f"{what} refused{bare}: {error}")
                await self._note(matched.own, {}, Journal.add_events, event)
            return None
        await self._retries.accepted(key)
        return found

    async def _protected(self, matched: MatchedPosition, position: OpenPosition) -> None:
        event = self._event("stop", position, f"has a stop at {position.stop_loss}")
        await self._note(
            matched.own, {"unprotected_ms": None}, Journal.set_unprotected,
            matched.own.own_id, None, event,
        )  # fmt: skip
        await self._note_triggers(matched.own, position)

    async def _note_triggers(self, own: OwnPosition, position: OpenPosition) -> None:
        await self._note(
            own, {}, Journal.set_triggers, own.own_id, position.stop_loss, position.take_profit
        )

    async def _set_missing_target(self, matched: MatchedPosition, ticker: Ticker | None) -> None:
        own, position = matched.own, matched.at_venue
        if position.take_profit is not None:
            return
        wanted = await self._levels(matched)
        if ticker is not None and is_beyond(OTHER[own.side], ticker.mark, wanted.target):
            why = f"mark {ticker.mark} has reached the target {wanted.target}"
            await self.close(matched, why, "target")
            return
        found = await self._ask(
            "target", matched, lambda: self._venue.set_take_profit(own.symbol, wanted.target)
        )
        if found is None:
            return
        event = self._event("target", position, f"has a target at {found.take_profit}")
        await self._note(
            own, {}, Journal.set_triggers, own.own_id, found.stop_loss, found.take_profit, event
        )

    async def _levels(self, matched: MatchedPosition) -> Levels:
        rule = await self.rule(matched.own.symbol)
        return levels(
            matched.own.side,
            matched.at_venue.entry_price,
            matched.own.stop_fraction,
            matched.own.target_fraction,
            rule.tick,
        )

    async def close(
        self, matched: MatchedPosition, why: str, by: EndedBy, *, at_once: bool = False
    ) -> bool:
        """Close our position as the venue shows it; it stays marked until closed.

        Args:
            at_once: Also right after a refusal.

        Returns:
            Whether the venue accepted the close; none is sent while an earlier one is unsettled,
            or was refused a moment ago.
        """
        own, position = matched.own, matched.at_venue
        earlier = await self._closes_of(own.own_id)
        if any(intent.state in OPEN_STATES for intent in earlier):
            return False
        await self.mark_closing(own, why, by)
        key = _close_key(matched)
        await self._count_earlier(matched, earlier)
        if await self._retries.wait_s(key, situation(position)) and not at_once:
            return False
        attempt = f"close {len(earlier)}"
        client_id = client_id_of(
            self._journal.identity, own.opened_ms, own.symbol, own.side, attempt
        )
        # The size as read, so that what others add in the meantime stays theirs; below the
        # smallest order only the whole position can be closed.
        size = None if await self._is_dust(position) else position.size
        intent = Intent(
            client_id=client_id,
            symbol=own.symbol,
            side=own.side,
            purpose="close",
            order_side=CLOSES[own.side],
            kind="market",
            size=size,
            price=None,
            cycle_ms=self._venue.now_ms(),
            sent_ms=self._venue.now_ms(),
            why=why,
            own_id=own.own_id,
        )
        try:
            order = await self._orders.send(
                intent,
                lambda: self._venue.close_position(own.symbol, client_id, size),
                refused_before=await self._retries.run(key),
            )
        except VenueRefused as error:  # of a close that could not be journalled
            await self._refused_close(matched, str(error))
            return False
        self._closed = True
        if order is not None:
            await self._retries.accepted(key)
            return True
        sent = await self._journal.do(Journal.intent, client_id)
        if sent is not None and sent.state in FAILED:
            await self._refused_close(matched, sent.end, client_id)
        return False

    async def _count_earlier(self, matched: MatchedPosition, closes: Sequence[Intent]) -> None:
        """Count the last close if it failed uncounted: it was in doubt, or its process died."""
        last, run = (closes[-1] if closes else None), await self._retries.run(_close_key(matched))
        if last is None or last.state not in FAILED:
            return
        if run is None or (run.client_id != last.client_id and run.last_ms < last.sent_ms):
            await self._refused_close(matched, last.end, last.client_id)

    async def _refused_close(self, matched: MatchedPosition, why: str, client_id: str = "") -> None:
        await self._retries.refused(
            _close_key(matched), why, situation(matched.at_venue),
            band=await self._retries.band(matched), client_id=client_id,
        )  # fmt: skip

    async def _closes_of(self, own_id: int) -> list[Intent]:
        """Return all close intents of a position, also those not journalled yet."""
        try:
            self._closes[own_id] = await self._journal.do(Journal.closes_of, own_id)
        except JournalUnavailable as error:
            self._log.error("closes of position %s from memory: %s", own_id, error)
        found = self._closes.get(own_id, [])
        known = {intent.client_id for intent in found}
        unjournalled = self._orders.unjournalled(own_id)
        return found + [each for each in unjournalled if each.client_id not in known]

    async def _is_dust(self, position: OpenPosition) -> bool:
        """Return whether a position is below the smallest order; False if rules are unknown."""
        try:
            rule = await self.rule(position.symbol)
        except (VenueUnavailable, VenueRefused) as error:
            self._log.warning("%s: closed without its rules: %s", position.symbol, error)
            return False
        return position.size < rule.min_size

    async def mark_closing(self, own: OwnPosition, why: str, by: EndedBy) -> None:
        """Journal that a position is to be closed; the first reason stays."""
        if not own.closing:
            change = {"closing": why, "closing_by": by}
            await self._note(own, change, Journal.set_closing, own.own_id, why, by)

    async def _note[**P](
        self,
        own: OwnPosition,
        change: dict[str, Any],
        call: Callable[Concatenate[Journal, P], None],
        *args: P.args,
        **named: P.kwargs,
    ) -> None:
        """Journal a step of protection; what cannot be journalled is remembered.

        Args:
            change: The fields of the position that it changes.
        """
        try:
            await self._journal.do(call, *args, **named)
            left = self._unwritten.pop(own.own_id, {})
            if left := {name: value for name, value in left.items() if name not in change}:
                self._unwritten[own.own_id] = left
        except JournalUnavailable as error:
            self._unwritten[own.own_id] = self._unwritten.get(own.own_id, {}) | change
            self._log.error("protected without a journal: %s", error)

    def is_closing(self, own: OwnPosition) -> bool:
        """Return whether a position is to be closed, journalled or not."""
        return bool(own.closing or self._unwritten.get(own.own_id, {}).get("closing"))

    async def _remembered(self, matched: MatchedPosition) -> MatchedPosition:
        """Return the position with what the journal could not take; write it if that works now."""
        own = matched.own
        change = self._unwritten.get(own.own_id, {})
        if not change:
            return matched
        if not self._journal.trouble:
            if closing := change.get("closing"):
                by = change["closing_by"]
                written = {"closing": closing, "closing_by": by}
                await self._note(own, written, Journal.set_closing, own.own_id, closing, by)
            if "unprotected_ms" in change:
                since_ms = change["unprotected_ms"]
                await self._note(
                    own, {"unprotected_ms": since_ms}, Journal.set_unprotected, own.own_id, since_ms
                )
        return replace(matched, own=replace(own, **change))

    def _event(self, kind: str, position: OpenPosition, text: str) -> TradeEvent:
        symbol, side, size = position.symbol, position.side, position.size
        text = f"{symbol}: {side} {size} {text}"
        return trade_event(self._clock.now_ms(), kind, text, symbol, side, size_base=size)


def _close_key(matched: MatchedPosition) -> str:
    return f"close {matched.own.own_id}"
