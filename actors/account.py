"""Tells everyone what the account holds at the venue; changes nothing there.

Every `account.interval_s`, and when somebody asks on `account:refresh`, writes `state:positions`
and `state:balance`. A look that fails leaves the last values, and their time, with the reason
beside them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import aiohttp

from actors.base import Actor, Context
from shared import codec, schema
from shared.config.sections import AccountSection, VenueSection
from shared.errors import VenueRefused, VenueUnavailable
from shared.exchanges.liveness import frozen
from shared.exchanges.ports import Venue
from shared.exchanges.venue import AccountBalance, OpenPosition, Ticker
from shared.exchanges.venues import open_venue, shown_name
from shared.messages.trading import Balance, Position, Positions

SHARE = 0.2
"""Of the account's request limits; the trader needs the rest."""

WITNESSES = 2
"""Markets that tell whether the venue lives: one alone may have been halted."""

LEAST_S = 1.0
"""Between looks, however often somebody asks for one."""

CURRENCY = "USDT"
NO_KEYS = (
    "no keys: give COINEX_ACCESS_ID and COINEX_SECRET_KEY in the environment, or the systemd "
    "credentials venue_access_id and venue_secret_key"
)


class Account(Actor):
    """Publishes positions and balance."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(AccountSection, section["account"], "config: account")
        self._venue_settings = codec.from_plain(VenueSection, section["venue"], "config: venue")
        self._witnesses: list[str] = list(section["symbols"][:WITNESSES])
        self._session: aiohttp.ClientSession | None = None
        self._venue: Venue
        self._positions: Positions
        self._balance: Balance
        self._bare: frozenset[str] = frozenset()
        self._looked_s = float("-inf")
        self._reason = ""

    async def setup(self) -> None:
        """Take up the last values where they were left, and begin to listen.

        Raises:
            ConfigError: The venue's address is not what it needs.
            BusUnavailable: Redis does not answer.
        """
        await self.teardown()
        self._session = aiohttp.ClientSession()
        self._venue = open_venue(
            self._venue_settings,
            self._session,
            clock=self.clock,
            keys=self.context.keys,
            share=SHARE,
            log=self.log,
        )
        name = shown_name(self._venue, self.context.mode)
        self._positions = Positions(as_of_ms=0, venue=name, positions=[])
        self._balance = Balance(
            as_of_ms=0, venue=name, currency=CURRENCY, equity_quote=None, available_quote=None,
            frozen_quote=None, margin_quote=None, unrealized_pnl_quote=None,
        )  # fmt: skip
        positions, balance = (
            await self.bus.get(schema.POSITIONS),
            await self.bus.get(schema.BALANCE),
        )
        # What was said of another account is no memory of this one.
        if positions is not None and positions.venue == name:
            self._positions = positions
        if balance is not None and balance.venue == name:
            self._balance = balance
        self.detail["venue"] = name
        self.background(self._listen(), "refresh")

    async def teardown(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def step(self) -> float:
        """Look at the venue once and publish what it says, or why it does not.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        left_s = self._looked_s + LEAST_S - self.clock.monotonic()
        if left_s > 0:
            return left_s
        self.doing("looking at the venue")
        reason = NO_KEYS if self.context.keys is None else await self._look()
        self._looked_s = self.clock.monotonic()
        self._positions = dataclasses.replace(self._positions, reason=reason)
        self._balance = dataclasses.replace(self._balance, reason=reason)
        batch = self.bus.batch()
        batch.put(schema.POSITIONS, self._positions)
        batch.put(schema.BALANCE, self._balance)
        await batch.send()
        self._tell(reason)
        self.ready()
        return self._settings.interval_s

    async def _look(self) -> str:
        """Ask the venue and keep what it says; return why it could not be asked, or ""."""
        try:
            await self._ask()
        except (VenueUnavailable, VenueRefused) as error:  # denied, too: keys may be mended
            return f"{self._venue.name}: {error}"
        return ""

    async def _ask(self) -> None:
        venue, now_ms = self._venue, self.clock.now_ms()
        await venue.server_time()
        held = await venue.positions()
        balances = await venue.balance()
        tickers = await venue.tickers(
            sorted({*self._witnesses, *(position.symbol for position in held)})
        )
        await self._find_alive(tickers)
        self._positions = dataclasses.replace(
            self._positions,
            as_of_ms=now_ms,
            positions=[_position(each, tickers) for each in sorted(held, key=_by_symbol)],
        )
        self._balance = _balance(self._balance, balances, now_ms)

    async def _find_alive(self, tickers: Mapping[str, Ticker]) -> None:
        """See that the venue lives in one market at least: it may answer from memory.

        Raises:
            VenueUnavailable: It does not.
        """
        rules = await self._venue.markets(self._witnesses)
        reasons = []
        for symbol in self._witnesses:
            book = await self._venue.book(symbol)
            now_ms = self._venue.now_ms()
            why = frozen(rules.get(symbol), book, tickers.get(symbol), now_ms)
            if not why:
                return
            reasons.append(why)
        raise VenueUnavailable(f"answers, but stands still: {'; '.join(reasons)}")

    def _tell(self, reason: str) -> None:
        held = self._positions.positions
        bare = frozenset(each.symbol for each in held if each.stop_loss is None)
        # One look may fall between a fill and its stop; two in a row do not.
        unprotected = sorted(bare & self._bare)
        if not reason:
            self._bare = bare
        if reason != self._reason:
            if reason:
                self.log.warning("the account cannot be told: %s", reason)
            else:
                self.log.info("the account can be told again")
            self._reason = reason
        self.doing(reason or f"{len(held)} position{'' if len(held) == 1 else 's'} open")
        self.detail |= {
            "positions": len(held),
            "as_of_ms": self._positions.as_of_ms,
            "trouble": reason,
            "unprotected": unprotected,
        }

    async def _listen(self) -> None:
        async with self.bus.subscribe(schema.ACCOUNT_REFRESH.name()) as deliveries:
            async for delivery in deliveries:
                # Without a channel it is the word that the subscription stands (again): whoever
                # asked in the meantime was not heard.
                if delivery.channel:
                    asked = self.bus.decode(schema.ACCOUNT_REFRESH, delivery.raw, delivery.channel)
                    if asked is None:
                        continue
                self.wake()


def _by_symbol(position: OpenPosition) -> str:
    return position.symbol


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _position(position: OpenPosition, tickers: Mapping[str, Ticker]) -> Position:
    ticker = tickers.get(position.symbol)
    return Position(
        symbol=position.symbol,
        side=position.side,
        size_base=f"{position.size:f}",
        entry_price=f"{position.entry_price:f}",
        mark_price=None if ticker is None else f"{ticker.mark:f}",
        stop_loss=_text(position.stop_loss),
        take_profit=_text(position.take_profit),
        liquidation_price=_text(position.liquidation_price),
        leverage=position.leverage,
        margin_quote=f"{position.margin:f}",
        unrealized_pnl_quote=f"{position.unrealized_pnl:f}",
        realized_pnl_quote=f"{position.realized_pnl:f}",
        opened_ms=position.opened_ms,
    )


def _balance(before: Balance, balances: Sequence[AccountBalance], now_ms: int) -> Balance:
    """Return the balance of the currency that everything is settled in; none of it is zero."""
    zero = Decimal(0)
    found = next(
        (each for each in balances if each.currency == CURRENCY),
        AccountBalance(
            currency=CURRENCY, available=zero, frozen=zero, margin=zero, unrealized_pnl=zero
        ),
    )
    amounts: dict[str, Any] = {
        "equity_quote": f"{found.equity:f}",
        "available_quote": f"{found.available:f}",
        "frozen_quote": f"{found.frozen:f}",
        "margin_quote": f"{found.margin:f}",
        "unrealized_pnl_quote": f"{found.unrealized_pnl:f}",
    }
    return dataclasses.replace(before, as_of_ms=now_ms, **amounts)
