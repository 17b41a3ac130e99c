"""The trader's hands: entering, closing, adopting, and looking after what is open.

Everything here goes through the venue's port and the journal, one thing at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from actors.trader.journal_thread import JournalThread
from actors.trader.orders import OrderSender
from actors.trader.positions import MatchedPosition, Reconciliation, client_id_of
from actors.trader.protection import Protection
from actors.trader.reconciler import Reconciler
from shared.clock import Clock
from shared.config.sections import TraderSection
from shared.errors import JournalUnavailable, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import OPENS, AccountBalance, MarketRule, OrderRequest, PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import ZERO, Intent, OwnPosition
from shared.messages.trading import trade_event
from shared.trading.amounts import exact
from shared.trading.exits import levels
from shared.trading.exposure import Exposure, Holding, exposure
from shared.trading.plan import EntryPlan

CURRENCY = "USDT"

PRICED_S = 30.0
"""How old the prices of a plan may be when its order is sent."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The account at one moment.

    Attributes:
        unknown: Coins with an order of ours whose outcome is not known.
        pnl: All that positions of ours have won so far, open ones at the mark. Quote currency.
    """

    reconciled: Reconciliation
    balance: AccountBalance
    exposure: Exposure
    unknown: frozenset[str]
    pnl: Decimal


class Execution:
    """Carries out what was decided, and keeps what is open protected.

    Args:
        objection: Asked at the last moment before an entry is sent: why it must not be, or "".

    Attributes:
        reconciled: How journal and venue stood at the last look; None before the first.
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
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._objection = objection
        self._orders = OrderSender(venue, journal, clock, log)
        self._reconciler = Reconciler(venue, journal, self._orders, clock, log)
        self.protection = Protection(
            venue, journal, self._orders, settings=settings, clock=clock, log=log
        )
        self._turn = asyncio.Lock()
        self._is_ending = False
        self.reconciled: Reconciliation | None = None

    async def protect(self) -> Reconciliation:
        """Reconcile, then look after every position of ours.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: Nothing could be looked at.
        """
        async with self._turn:
            reconciled = await self._look()
            # what cannot be journalled or explained keeps no position from being protected
            closed = await self.protection.look_after(reconciled)
            if self._reconciler.lacking is not None:
                raise self._reconciler.lacking
            return await self._reconcile() if closed else reconciled

    async def rest(self) -> None:
        """Wait for what is under way, begin nothing more, and leave no position bare if possible.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: As for `protect`.
        """
        self._is_ending = True
        await self._turn.acquire()  # for good
        if not await self._is_protected():
            await self.protection.look_after(await self._look())

    async def _is_protected(self) -> bool:
        """Tell whether nothing is in doubt, and the last look showed a stop for all that is ours.

        An order may have been filled since that look.
        """
        matched = () if self.reconciled is None else self.reconciled.ours
        stopped = {each.own.own_id for each in matched if each.at_venue.stop_loss is not None}
        owned = await self._journal.do(Journal.own_positions)
        in_doubt = await self._journal.do(Journal.open_intents)
        return not in_doubt and stopped.issuperset(own.own_id for own in owned)

    async def account(self) -> AccountSnapshot:
        """Reconcile and return the account as it is now.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: It could not be read.
        """
        async with self._turn:
            reconciled = await self._reconcile()
            balances = await self._venue.balance()
        balance = next((each for each in balances if each.currency == CURRENCY), None)
        if balance is None:
            # an account taken for empty would forget what its breakers had counted
            raise VenueUnavailable(f"the venue tells no balance in {CURRENCY}: nothing is entered")
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
            total += _earned(matched.own) + matched.at_venue.unrealized_pnl
        return total + sum(map(_earned, reconciled.ending), ZERO)

    async def enter(self, plan: EntryPlan, cycle_ms: int, priced_ms: int) -> str:
        """Send an entry and protect what it filled; return why nothing was entered, or "".

        The same decision is sent once, whoever died in between.

        Args:
            priced_ms: Venue time at which the prices of the plan began to be read.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: The venue or the journal failed
                around it; what was filled is found by the next look.
        """
        client_id = client_id_of(cycle_ms, plan.symbol, plan.side, "entry")
        async with self._turn:
            if self._is_ending:
                return "the trader is stopping"
            if await self._journal.do(Journal.intent, client_id) is not None:
                return "decided in this cycle already"
            why = await self._hindrance(plan) or await self._set_leverage(plan)
            why = why or self._objection() or self._too_late(priced_ms)
            if why:
                return why
            intent = self._entry(plan, client_id, cycle_ms)
            request = OrderRequest(
                symbol=plan.symbol,
                side=intent.order_side,
                kind="ioc",
                size=plan.size,
                price=plan.limit_price,
                client_id=client_id,
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
                await self._stop_unjournalled(plan, placed)
                raise
            matched = reconciled.matched(plan.symbol)
            if matched is not None:
                await self._settle_in(matched)
            return ""

    def _too_late(self, priced_ms: int) -> str:
        """Return why prices are too old to be traded on, or "": this process may have slept."""
        age_s = (self._venue.now_ms() - priced_ms) / 1000
        if age_s <= PRICED_S:
            return ""
        return f"its prices are {age_s:.0f} s old, at most {PRICED_S:.0f} are allowed"

    async def _stop_unjournalled(self, plan: EntryPlan, placed: Sequence[PlacedOrder]) -> None:
        """Set the stop of what was filled and cannot be told from another's without a journal."""
        for price in filter(None, (order.average_price for order in placed)):
            rule = await self.protection.rule(plan.symbol)
            wanted = levels(plan.side, price, plan.stop_fraction, plan.target_fraction, rule.tick)
            await self._venue.set_stop_loss(plan.symbol, wanted.stop)

    async def _hindrance(self, plan: EntryPlan) -> str:
        reconciled = await self._reconcile()
        if reconciled.at_venue(plan.symbol) is not None:
            return "there is a position in this coin"
        if any(own.symbol == plan.symbol for own in reconciled.ending):
            return "the last position in this coin is not settled yet"
        if pending := await self._orders.in_doubt(plan.symbol):
            coins = ", ".join(sorted({intent.symbol for intent in pending}))
            return f"the outcome of an order in {coins} is not known yet"
        return ""

    async def _set_leverage(self, plan: EntryPlan) -> str:
        """Set the leverage of a coin without a position; return why it is not in force, or ""."""
        try:
            leverage = await self._venue.set_leverage(plan.symbol, plan.leverage)
        except VenueRefused as error:
            return f"leverage {plan.leverage}: {error}"
        if leverage != plan.leverage:
            return f"leverage is {leverage}, asked for {plan.leverage}"
        return ""

    def _entry(self, plan: EntryPlan, client_id: str, cycle_ms: int) -> Intent:
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
        )

    async def _settle_in(self, matched: MatchedPosition) -> None:
        """Protect what was just entered, and read back that it is; close what cannot stay."""
        symbol = matched.own.symbol
        rule = await self.protection.rule(symbol)
        tickers = await self._venue.tickers([symbol])
        why = self._unfit(matched, rule)
        if why:
            await self.protection.close(matched, why)
        else:
            await self.protection.look_after_one(matched, tickers.get(symbol))
        again = (await self._reconcile()).matched(symbol)
        if again is not None and not again.own.closing and again.at_venue.stop_loss is None:
            raise VenueUnavailable(f"{symbol}: the stop that was set is not there")

    def _unfit(self, matched: MatchedPosition, rule: MarketRule) -> str:
        """Return why a position that was just entered cannot stay, or ""."""
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
        """Close the position of ours in a coin; return what became of it, in words.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: As for `protect`; it is closed as
                soon as that is possible.
        """
        async with self._turn:
            reconciled = await self._look()
            matched = reconciled.matched(symbol)
            if matched is None:
                other = any(each.at_venue.symbol == symbol for each in reconciled.foreign)
                return "foreign: not touched" if other else "no position of ours"
            await self.protection.close(matched, why)
            reconciled = await self._reconcile()
            return "closed" if reconciled.matched(symbol) is None else "being closed"

    async def close_all(self, why: str) -> dict[str, str]:
        """Close every position of ours; return what became of each, by coin."""
        async with self._turn:
            reconciled = await self._look()
            # all are wanted closed before the first is tried: a failure keeps none of them open
            for matched in reconciled.ours:
                await self.protection.want_closed(matched.own, why)
            found = {}
            for matched in reconciled.ours:
                try:
                    await self.protection.close(matched, why)
                except (VenueUnavailable, VenueRefused, JournalUnavailable) as error:
                    found[matched.own.symbol] = f"being closed ({error})"
            again = await self._reconcile()
            left = {matched.own.symbol for matched in again.ours}
            return {
                symbol: found.get(symbol, "being closed") if symbol in left else "closed"
                for symbol in sorted(matched.own.symbol for matched in reconciled.ours)
            }

    async def adopt(self, symbol: str, stop_fraction: Decimal, target_fraction: Decimal) -> str:
        """Call a foreign position ours, and protect it; return what became of it, in words.

        Args:
            stop_fraction, target_fraction: For a stop and a target it does not have.
        """
        async with self._turn:
            reconciled = await self._reconcile()
            position = reconciled.at_venue(symbol)
            if position is None:
                return "no position in this coin"
            if reconciled.matched(symbol) is not None:
                return "ours already"
            if any(i.symbol == symbol for i in await self._journal.do(Journal.open_intents)):
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
            await self.protection.look_after(await self._reconcile())
            return "adopted"

    async def _look(self) -> Reconciliation:
        """Reconcile as far as that is possible: enough to protect and to close."""
        self.reconciled = await self._reconciler.reconcile()
        return self.reconciled

    async def _reconcile(self) -> Reconciliation:
        reconciled = await self._look()
        if self._reconciler.lacking is not None:
            raise self._reconciler.lacking
        return reconciled


def _earned(own: OwnPosition) -> Decimal:
    return own.price_pnl - own.fees + own.funding
