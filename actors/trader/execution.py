"""The trader's hands: entering, closing, adopting, and looking after what is open.

Everything here goes through the venue's port and the journal, one thing at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from actors.trader.journal_thread import Scribe
from actors.trader.orders import Orders
from actors.trader.positions import Held, Standing, client_id_of
from actors.trader.protection import Protection
from actors.trader.reconciler import Books
from shared.clock import Clock
from shared.config.sections import TraderSection
from shared.errors import JournalUnavailable, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import OPENS, AccountBalance, MarketRule, OrderRequest, PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import ZERO, Intent, OwnPosition
from shared.messages.trading import TradeEvent
from shared.trading.amounts import exact
from shared.trading.exits import levels
from shared.trading.exposure import Exposure, Holding, exposure
from shared.trading.plan import EntryPlan

CURRENCY = "USDT"

PRICED_S = 30.0
"""How old the prices of a plan may be when its order is sent."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account at one moment.

    Attributes:
        unknown: Coins with an order of ours whose outcome is not known.
        pnl: All that positions of ours have won so far, open ones at the mark. Quote currency.
    """

    standing: Standing
    balance: AccountBalance
    exposure: Exposure
    unknown: frozenset[str]
    pnl: Decimal


class Desk:
    """Carries out what was decided, and keeps what is open protected.

    Args:
        objection: Asked at the last moment before an entry is sent: why it must not be, or "".

    Attributes:
        standing: How journal and venue stood at the last look; None before the first.
    """

    def __init__(
        self,
        venue: Venue,
        scribe: Scribe,
        settings: TraderSection,
        *,
        clock: Clock,
        log: logging.Logger,
        objection: Callable[[], str],
    ) -> None:
        self._venue = venue
        self._scribe = scribe
        self._settings = settings
        self._clock = clock
        self._objection = objection
        self._orders = Orders(venue, scribe, clock, log)
        self._books = Books(venue, scribe, self._orders, clock, log)
        self.protection = Protection(
            venue, scribe, self._orders, settings=settings, clock=clock, log=log
        )
        self._turn = asyncio.Lock()
        self._is_ending = False
        self.standing: Standing | None = None

    async def protect(self) -> Standing:
        """Reconcile, then look after every position of ours.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: Nothing could be looked at.
        """
        async with self._turn:
            standing = await self._look()
            # what cannot be journalled or explained keeps no position from being protected
            closed = await self.protection.look_after(standing)
            if self._books.lacking is not None:
                raise self._books.lacking
            return await self._reconcile() if closed else standing

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
        held = () if self.standing is None else self.standing.ours
        stopped = {each.own.own_id for each in held if each.at_venue.stop_loss is not None}
        owned = await self._scribe.do(Journal.own_positions)
        in_doubt = await self._scribe.do(Journal.open_intents)
        return not in_doubt and stopped.issuperset(own.own_id for own in owned)

    async def account(self) -> Account:
        """Reconcile and return the account as it is now.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: It could not be read.
        """
        async with self._turn:
            standing = await self._reconcile()
            balances = await self._venue.balance()
        balance = next((each for each in balances if each.currency == CURRENCY), None)
        if balance is None:
            # an account taken for empty would forget what its breakers had counted
            raise VenueUnavailable(f"the venue tells no balance in {CURRENCY}: nothing is entered")
        pending = await self._scribe.do(Journal.open_intents)
        entries = [
            Holding(symbol=i.symbol, side=i.side, notional=(i.size or ZERO) * (i.price or ZERO))
            for i in pending
            if i.purpose == "entry"
        ]
        return Account(
            standing=standing,
            balance=balance,
            exposure=exposure(balance, standing.positions, entries),
            unknown=frozenset(intent.symbol for intent in pending),
            pnl=await self._pnl(standing),
        )

    async def _pnl(self, standing: Standing) -> Decimal:
        total = await self._scribe.do(Journal.closed_pnl)
        for held in standing.ours:
            total += _earned(held.own) + held.at_venue.unrealized_pnl
        return total + sum(map(_earned, standing.ending), ZERO)

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
            if await self._scribe.do(Journal.intent, client_id) is not None:
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
                    settled = await self._scribe.do(Journal.intent, client_id)
                    return settled.end if settled is not None else "not sent"
                if not order.filled_size:
                    return "nothing was filled at the limit"
                standing = await self._reconcile()
            except JournalUnavailable:
                await self._stop_unjournalled(plan, placed)
                raise
            held = standing.held(plan.symbol)
            if held is not None:
                await self._settle_in(held)
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
        standing = await self._reconcile()
        if standing.at_venue(plan.symbol) is not None:
            return "there is a position in this coin"
        if any(own.symbol == plan.symbol for own in standing.ending):
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

    async def _settle_in(self, held: Held) -> None:
        """Protect what was just entered, and read back that it is; close what cannot stay."""
        symbol = held.own.symbol
        rule = await self.protection.rule(symbol)
        tickers = await self._venue.tickers([symbol])
        why = self._unfit(held, rule)
        if why:
            await self.protection.close(held, why)
        else:
            await self.protection.look_after_one(held, tickers.get(symbol))
        again = (await self._reconcile()).held(symbol)
        if again is not None and not again.own.closing and again.at_venue.stop_loss is None:
            raise VenueUnavailable(f"{symbol}: the stop that was set is not there")

    def _unfit(self, held: Held, rule: MarketRule) -> str:
        """Return why a position that was just entered cannot stay, or ""."""
        position, liquidation = held.at_venue, held.at_venue.liquidation_price
        if position.size < rule.min_size:
            return f"only {position.size} filled, below the smallest of {rule.min_size}"
        if liquidation is None:
            return ""
        room = abs(position.entry_price - liquidation) / position.entry_price
        if room < exact(self._settings.liquidation_stops) * held.own.stop_fraction:
            return f"liquidation at {liquidation} is too near its entry at {position.entry_price}"
        return ""

    async def close(self, symbol: str, why: str) -> str:
        """Close the position of ours in a coin; return what became of it, in words.

        Raises:
            VenueUnavailable, VenueRefused, JournalUnavailable: As for `protect`; it is closed as
                soon as that is possible.
        """
        async with self._turn:
            standing = await self._look()
            held = standing.held(symbol)
            if held is None:
                other = any(each.at_venue.symbol == symbol for each in standing.foreign)
                return "foreign: not touched" if other else "no position of ours"
            await self.protection.close(held, why)
            standing = await self._reconcile()
            return "closed" if standing.held(symbol) is None else "being closed"

    async def close_all(self, why: str) -> dict[str, str]:
        """Close every position of ours; return what became of each, by coin."""
        async with self._turn:
            standing = await self._look()
            # all are wanted closed before the first is tried: a failure keeps none of them open
            for held in standing.ours:
                await self.protection.want_closed(held.own, why)
            found = {}
            for held in standing.ours:
                try:
                    await self.protection.close(held, why)
                except (VenueUnavailable, VenueRefused, JournalUnavailable) as error:
                    found[held.own.symbol] = f"being closed ({error})"
            again = await self._reconcile()
            left = {held.own.symbol for held in again.ours}
            return {
                symbol: found.get(symbol, "being closed") if symbol in left else "closed"
                for symbol in sorted(held.own.symbol for held in standing.ours)
            }

    async def adopt(self, symbol: str, stop_fraction: Decimal, target_fraction: Decimal) -> str:
        """Call a foreign position ours, and protect it; return what became of it, in words.

        Args:
            stop_fraction, target_fraction: For a stop and a target it does not have.
        """
        async with self._turn:
            standing = await self._reconcile()
            position = standing.at_venue(symbol)
            if position is None:
                return "no position in this coin"
            if standing.held(symbol) is not None:
                return "ours already"
            if any(i.symbol == symbol for i in await self._scribe.do(Journal.open_intents)):
                return "an order of ours in this coin is not settled yet; try again"
            event = TradeEvent(
                event_id=0,
                at_ms=self._clock.now_ms(),
                kind="adopted",
                text=f"{symbol}: {position.side} {position.size} is ours from now on",
                symbol=symbol,
                side=position.side,
                size_base=str(position.size),
                price=str(position.entry_price),
            )
            await self._scribe.do(
                Journal.adopt, position, stop_fraction=stop_fraction,
                target_fraction=target_fraction, at_ms=self._venue.now_ms(), events=[event],
            )  # fmt: skip
            await self.protection.look_after(await self._reconcile())
            return "adopted"

    async def _look(self) -> Standing:
        """Reconcile as far as that is possible: enough to protect and to close."""
        self.standing = await self._books.reconcile()
        return self.standing

    async def _reconcile(self) -> Standing:
        standing = await self._look()
        if self._books.lacking is not None:
            raise self._books.lacking
        return standing


def _earned(own: OwnPosition) -> Decimal:
    return own.price_pnl - own.fees + own.funding
