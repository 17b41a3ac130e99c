"""Enters, closes, adopts and protects positions, one operation at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from actors.trader.journal_thread import JournalThread
from actors.trader.orders import OnIntent, OrderSender
from actors.trader.positions import MatchedPosition, Reconciliation, client_id_of
from actors.trader.protection import Protection
from actors.trader.reconciler import EXPECTED_ERRORS, Reconciler
from actors.trader.retries import Atr, Retries, no_atr
from shared.clock import Clock
from shared.config.sections import TraderSection
from shared.errors import JournalUnavailable, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import OPENS, AccountBalance, MarketRule, OrderRequest, PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import ZERO, Intent, OwnPosition, Plan
from shared.messages.trading import StrategyIdentity, trade_event
from shared.trading.amounts import exact
from shared.trading.exits import levels
from shared.trading.exposure import Exposure, Holding, exposure
from shared.trading.plan import EntryPlan
from shared.trading.strategy import BASE

PRICED_S = 30.0
"""How old the prices of a plan may be when its order is sent."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The account at one moment.

    Attributes:
        unknown: Coins with an order of ours whose outcome is unknown.
        pnl: Total of our positions so far, open ones at the mark. Quote currency.
    """

    reconciled: Reconciliation
    balance: AccountBalance
    exposure: Exposure
    unknown: frozenset[str]
    pnl: Decimal


class Execution:
    """Carries out decisions, and keeps open positions protected.

    Args:
        objection: Returns why no entry may be sent, or ""; called right before sending.
        on_intent: Called with each order that was journalled, before it is sent.
        atr: See `Retries`.
        strategy: Returns what scores the entries.

    Attributes:
        reconciled: The last reconciliation; None before the first.
        reconciled_ms: The venue's time just before it.
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        settings: TraderSection,
        *,
        clock: Clock,
        log: logging.Logger,
        objection: Callable[[], str],
        on_intent: OnIntent | None = None,
        atr: Atr = no_atr,
        strategy: Callable[[], StrategyIdentity] = lambda: BASE,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._objection = objection
        self._strategy = strategy
        self._retries = Retries(venue, journal, atr=atr, log=log)
        self._orders = OrderSender(venue, journal, self._retries, clock, log, on_intent=on_intent)
        self._reconciler = Reconciler(venue, journal, self._orders, clock, log)
        self.protection = Protection(
            venue, journal, self._orders, self._retries, settings=settings, clock=clock, log=log
        )
        self._turn = asyncio.Lock()
        self._is_draining = False
        self._unjournalled: tuple[EntryPlan, list[PlacedOrder]] | None = None
        self.reconciled: Reconciliation | None = None
        self.reconciled_ms: int | None = None

    async def protect(self) -> Reconciliation:
        """Reconcile, then protect every position of ours.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: Reading failed.
        """
        async with self._turn:
            reconciled = await self._reconcile_best_effort()
            # positions are protected even if the journal is incomplete
            closed = await self.protection.protect(reconciled)
            await self._protect_unjournalled(reconciled)
            if self._reconciler.first_error is not None:
                raise self._reconciler.first_error
            return await self._reconcile() if closed else reconciled

    async def drain(self) -> None:
        """Wait for what is in flight, start nothing more, and protect all positions if possible.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: As for `protect`.
        """
        self._is_draining = True
        await self._turn.acquire()  # never released
        if not await self._is_protected():
            await self.protection.protect(await self._reconcile_best_effort())

    async def _is_protected(self) -> bool:
        """Return whether no order is in doubt and the last read showed a stop for all positions.

        Compared with the journal: an order may have been filled since that read.
        """
        matched = () if self.reconciled is None else self.reconciled.ours
        stopped = {each.own.own_id for each in matched if each.at_venue.stop_loss is not None}
        try:
            owned = await self._journal.do(Journal.own_positions)
            in_doubt = await self._journal.do(Journal.open_intents)
        except JournalUnavailable:
            return False
        return not in_doubt and stopped.issuperset(own.own_id for own in owned)

    async def account(self) -> AccountSnapshot:
        """Reconcile and return the current account.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: It could not be read.
        """
        async with self._turn:
            reconciled = await self._reconcile()
            balances = await self._venue.balance()
        currency = self._venue.currency
        balance = next((each for each in balances if each.currency == currency), None)
        if balance is None:
            # a balance of 0 would reset the breakers
            raise VenueUnavailable(f"the venue has no balance in {currency}: nothing is entered")
        pending = await self._journal.do(Journal.open_intents)
        entries = [
            Holding(symbol=i.symbol, side=i.side, notional=(i.size or ZERO) * (i.price or ZERO))
            for i in pending
            if i.purpose == "entry"
        ]
        return AccountSnapshot(
            reconciled=reconciled,
            balance=balance,
            exposure=exposure(balance, reconciled.positions, entries),
            unknown=frozenset(intent.symbol for intent in pending),
            pnl=await self._pnl(reconciled),
        )

    async def _pnl(self, reconciled: Reconciliation) -> Decimal:
        total = await self._journal.do(Journal.closed_pnl)
        for matched in reconciled.ours:
            total += _realized(matched.own) + matched.at_venue.unrealized_pnl
        return total + sum(map(_realized, reconciled.ending), ZERO)

    async def enter(self, plan: EntryPlan, cycle_ms: int, priced_ms: int) -> str:
        """Send an entry and protect what it filled; return why nothing was entered, or "".

        The same decision is sent once, also across restarts.

        Args:
            priced_ms: Venue time before the plan's prices were read.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: The venue or the journal failed;
                the next reconciliation finds what was filled.
        """
        client_id = client_id_of(self._journal.identity, cycle_ms, plan.symbol, plan.side, "entry")
        async with self._turn:
            if self._is_draining:
                return "the trader is stopping"
            if await self._journal.do(Journal.intent, client_id) is not None:
                return "decided in this cycle already"
            why = await self._conflict(plan) or await self._set_leverage(plan)
            why = why or self._objection() or self._stale_prices(priced_ms)
            if why:
                return why
            intent = self._entry(plan, client_id, cycle_ms)
            rides = self._venue.protects_entry
            request = OrderRequest(
                symbol=plan.symbol,
                side=intent.order_side,
                kind="ioc",
                size=plan.size,
                price=plan.limit_price,
                client_id=client_id,
                stop_loss=plan.stop if rides else None,
                take_profit=plan.target if rides else None,
            )
            placed: list[PlacedOrder] = []

            async def place() -> PlacedOrder:
                placed.append(await self._venue.place_order(request))
                return placed[0]

            try:
                order = await self._orders.send(intent, place)
                if order is None:
                    settled = await self._journal.do(Journal.intent, client_id)
                    return settled.end if settled is not None else "not sent"
                if not order.filled_size:
                    return "nothing was filled at the limit"
                reconciled = await self._reconcile()
            except JournalUnavailable:
                self._unjournalled = plan, placed
                await self._stop_unjournalled(plan, placed)
                raise
            matched = reconciled.matched(plan.symbol)
            if matched is not None:
                await self._protect_new(matched)
            return ""

    def _stale_prices(self, priced_ms: int) -> str:
        """Return why prices are too old to trade on, or "".

        This process may have been paused, or its clock set.
        """
        age_s = (self._venue.now_ms() - priced_ms) / 1000
        if abs(age_s) <= PRICED_S:
            return ""
        return f"its prices are {age_s:.0f} s old, at most {PRICED_S:.0f} are allowed"

    async def _stop_unjournalled(self, plan: EntryPlan, placed: Sequence[PlacedOrder]) -> None:
        """Set the stop of a fill that, not being journalled, looks like a foreign position."""
        for price in filter(None, (order.average_price for order in placed)):
            await self._set_stop(plan, price)

    async def _set_stop(self, plan: EntryPlan, price: Decimal) -> None:
        rule = await self.protection.rule(plan.symbol)
        wanted = levels(plan.side, price, plan.stop_fraction, plan.target_fraction, rule.tick)
        await self._venue.set_stop_loss(plan.symbol, wanted.stop)

    async def _protect_unjournalled(self, reconciled: Reconciliation) -> None:
        """Keep a stop on the last fill until it is journalled: until then it looks foreign."""
        if self._unjournalled is None:
            return
        plan, placed = self._unjournalled
        position = reconciled.at_venue(plan.symbol)
        if position is None or reconciled.matched(plan.symbol) is not None:
            self._unjournalled = None
        elif position.stop_loss is None and position.side == plan.side and placed:
            await self._set_stop(plan, position.entry_price)

    async def _conflict(self, plan: EntryPlan) -> str:
        reconciled = await self._reconcile()
        if reconciled.at_venue(plan.symbol) is not None:
            return "there is a position in this coin"
        if any(own.symbol == plan.symbol for own in reconciled.ending):
            return "the last position in this coin is not settled yet"
        if pending := await self._orders.in_doubt(plan.symbol):
            coins = ", ".join(sorted({intent.symbol for intent in pending}))
            return f"the outcome of an order in {coins} is not known yet"
        if coins := ", ".join(self._retries.unmanaged()):
            return f"the venue refuses to close or to protect {coins}"
        return ""

    async def _set_leverage(self, plan: EntryPlan) -> str:
        """Set the leverage of a coin without a position; return why that failed, or ""."""
        try:
            leverage = await self._venue.set_leverage(plan.symbol, plan.leverage)
        except VenueRefused as error:
            return f"leverage {plan.leverage}: {error}"
        if leverage != plan.leverage:
            return f"leverage is {leverage}, asked for {plan.leverage}"
        return ""

    def _entry(self, plan: EntryPlan, client_id: str, cycle_ms: int) -> Intent:
        strategy = self._strategy()
        return Intent(
            client_id=client_id,
            symbol=plan.symbol,
            side=plan.side,
            purpose="entry",
            order_side=OPENS[plan.side],
            kind="ioc",
            size=plan.size,
            price=plan.limit_price,
            cycle_ms=cycle_ms,
            sent_ms=self._venue.now_ms(),
            why=plan.reason,
            stop_fraction=plan.stop_fraction,
            target_fraction=plan.target_fraction,
            leverage=plan.leverage,
            plan=Plan(
                strategy=strategy.name,
                strategy_version=strategy.version,
                strategy_hash=strategy.hash,
                base=plan.base,
                bonus=plan.bonus,
                entry_price=plan.entry_price,
                stop=plan.stop,
                target=plan.target,
                risk=plan.size * plan.entry_price * plan.stop_fraction,
            ),
        )

    async def _protect_new(self, matched: MatchedPosition) -> None:
        """Protect a new position and verify it by reading; close it if it is unfit."""
        symbol = matched.own.symbol
        rule = await self.protection.rule(symbol)
        tickers = await self._venue.tickers([symbol])
        why = self._unfit(matched, rule)
        if why:
            await self.protection.close(matched, why, "protection")
        else:
            await self.protection.protect_one(matched, tickers.get(symbol))
        again = (await self._reconcile()).matched(symbol)
        if again is not None and not again.own.closing and again.at_venue.stop_loss is None:
            why = self._retries.in_words(symbol) or "the stop that was set is not there"
            raise VenueUnavailable(f"{symbol}: {why}")

    def _unfit(self, matched: MatchedPosition, rule: MarketRule) -> str:
        """Return why a new position must be closed, or ""."""
        position, liquidation = matched.at_venue, matched.at_venue.liquidation_price
        if position.size < rule.min_size:
            return f"only {position.size} filled, below the smallest of {rule.min_size}"
        if liquidation is None:
            return ""
        room = abs(position.entry_price - liquidation) / position.entry_price
        if room < exact(self._settings.liquidation_stops) * matched.own.stop_fraction:
            return f"liquidation at {liquidation} is too near its entry at {position.entry_price}"
        return ""

    async def close(self, symbol: str, why: str) -> str:
        """Close our position in a coin, at once; return the outcome in words.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: As for `protect`; closing is
                retried.
        """
        async with self._turn:
            reconciled = await self._reconcile_best_effort()
            matched = reconciled.matched(symbol)
            if matched is None:
                other = any(each.at_venue.symbol == symbol for each in reconciled.foreign)
                return "foreign: not touched" if other else "no position of ours"
            await self.protection.close(matched, why, "command", at_once=True)
            reconciled = await self._reconcile()
            return "closed" if reconciled.matched(symbol) is None else self._being_closed(symbol)

    def _being_closed(self, symbol: str) -> str:
        refusals = self._retries.in_words(symbol)
        return f"being closed ({refusals})" if refusals else "being closed"

    async def close_all(self, why: str, *, at_once: bool = False) -> dict[str, str]:
        """Close every position of ours; return the outcomes by coin.

        Args:
            at_once: Also those whose close was refused a moment ago.
        """
        async with self._turn:
            reconciled = await self._reconcile_best_effort()
            # all are marked before the first is closed: a failure keeps none of them open
            for matched in reconciled.ours:
                await self.protection.mark_closing(matched.own, why, "command")
            found = {}
            for matched in reconciled.ours:
                try:
                    await self.protection.close(matched, why, "command", at_once=at_once)
                except EXPECTED_ERRORS as error:
                    found[matched.own.symbol] = f"being closed ({error})"
            again = await self._reconcile()
            left = {matched.own.symbol for matched in again.ours}
            return {
                symbol: found.get(symbol) or self._being_closed(symbol)
                if symbol in left
                else "closed"
                for symbol in sorted(matched.own.symbol for matched in reconciled.ours)
            }

    async def adopt(self, symbol: str, stop_fraction: Decimal, target_fraction: Decimal) -> str:
        """Make a foreign position ours, and protect it; return the outcome in words.

        Args:
            stop_fraction, target_fraction: For a missing stop or target.
        """
        async with self._turn:
            reconciled = await self._reconcile()
            position = reconciled.at_venue(symbol)
            if position is None:
                return "no position in this coin"
            if reconciled.matched(symbol) is not None:
                return "ours already"
            if await self._orders.may_arrive(symbol):
                return "an order of ours in this coin is not settled yet; try again"
            side, size = position.side, position.size
            text = f"{symbol}: {side} {size} is ours from now on"
            event = trade_event(
                self._clock.now_ms(), "adopted", text, symbol, side,
                size_base=size, price=position.entry_price,
            )  # fmt: skip
            await self._journal.do(
                Journal.adopt, position, stop_fraction=stop_fraction,
                target_fraction=target_fraction, at_ms=self._venue.now_ms(), events=[event],
            )  # fmt: skip
            await self.protection.protect(await self._reconcile())
            return "adopted"

    async def _reconcile_best_effort(self) -> Reconciliation:
        """Reconcile as far as possible: enough to protect and to close."""
        asked_ms = self._venue.now_ms()
        self.reconciled = await self._reconciler.reconcile()
        self.reconciled_ms = asked_ms
        return self.reconciled

    async def _reconcile(self) -> Reconciliation:
        reconciled = await self._reconcile_best_effort()
        if self._reconciler.first_error is not None:
            raise self._reconciler.first_error
        return reconciled


def _realized(own: OwnPosition) -> Decimal:
    return own.price_pnl - own.fees + own.funding
