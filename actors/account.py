"""Publishes the account's positions and balance at the venue; changes nothing there.

Every `account.interval_s`, and on a message on `account:refresh`, writes `state:positions` and
`state:balance`. After a failed read both keep their last values and time, and give the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from actors.base import Actor, Context
from shared import codec, schema
from shared.config.secrets import HOW_TO_SET_KEYS
from shared.config.sections import AccountSection, VenueSection
from shared.errors import VenueRefused, VenueUnavailable
from shared.exchanges.liveness import frozen
from shared.exchanges.ports import Venue
from shared.exchanges.venue import AccountBalance, MarketRule, OpenPosition, Ticker
from shared.exchanges.venues import open_venue, shown_name
from shared.http_client import open_session
from shared.messages.trading import Balance, Position, Positions

SHARE = 0.2
"""Of the account's request limits; the trader needs the rest."""

PROBED_MARKETS = 2
"""Markets checked to see whether the venue is live: a single one may be halted."""

MIN_INTERVAL_S = 1.0
"""Between two reads, however often a refresh is requested."""

NO_KEYS = f"no keys: {HOW_TO_SET_KEYS}"


class Account(Actor):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(AccountSection, section["account"], "config: account")
        self._venue_settings = codec.from_plain(VenueSection, section["venue"], "config: venue")
        self._symbols: list[str] = list(section["symbols"])
        self._probed = self._symbols[:PROBED_MARKETS]
        self._venue: Venue
        self._positions: Positions
        self._balance: Balance
        self._without_stop: frozenset[str] = frozenset()
        self._read_s = float("-inf")
        self._reason = ""

    async def setup(self) -> None:
        """Load the last published values and subscribe to refresh requests.

        Raises:
            ConfigError: The venue's address is malformed.
            BusUnavailable: Redis does not answer.
        """
        session = await self.resources.enter_async_context(open_session())
        self._venue = open_venue(
            self._venue_settings,
            session,
            clock=self.clock,
            keys=self.context.keys,
            share=SHARE,
            log=self.log,
        )
        name = shown_name(self._venue_settings, self.context.mode)
        currency = self._venue.currency
        self._positions = Positions(as_of_ms=0, venue=name, positions=[])
        self._balance = Balance(
            as_of_ms=0, venue=name, currency=currency, equity_quote=None, available_quote=None,
            frozen_quote=None, margin_quote=None, unrealized_pnl_quote=None,
        )  # fmt: skip
        positions, balance = (
            await self.bus.get(schema.POSITIONS),
            await self.bus.get(schema.BALANCE),
        )
        # Values of another venue's account do not apply.
        if positions is not None and positions.venue == name:
            self._positions = positions
        if balance is not None and balance.venue == name:
            self._balance = balance
        self.detail["venue"] = name
        self.background(self._listen(), "refresh")

    async def step(self) -> float:
        """Read the account once and publish it, or why it could not be read.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        left_s = self._read_s + MIN_INTERVAL_S - self.clock.monotonic()
        if left_s > 0:
            return left_s
        self.doing("reading the account")
        reason = NO_KEYS if self.context.keys is None else await self._refresh()
        self._read_s = self.clock.monotonic()
        self._positions = dataclasses.replace(self._positions, reason=reason)
        self._balance = dataclasses.replace(self._balance, reason=reason)
        batch = self.bus.batch()
        batch.put(schema.POSITIONS, self._positions)
        batch.put(schema.BALANCE, self._balance)
        await batch.send()
        self._report(reason)
        self.ready()
        return self._settings.interval_s

    async def _refresh(self) -> str:
        """Read the account; return why it could not be read, or ""."""
        try:
            await self._read_venue()
        except (VenueUnavailable, VenueRefused) as error:  # denied, too: keys may be fixed
            return f"{self._venue.name}: {error}"
        return ""

    async def _read_venue(self) -> None:
        venue, now_ms = self._venue, self.clock.now_ms()
        await venue.server_time()
        positions = await venue.positions()
        balances = await venue.balance()
        rules = await self._listed()
        tickers = await venue.tickers(
            sorted({*rules, *(position.symbol for position in positions)})
        )
        await self._require_alive(rules, tickers)
        self._positions = dataclasses.replace(
            self._positions,
            as_of_ms=now_ms,
            positions=[_position(each, tickers) for each in sorted(positions, key=_by_symbol)],
        )
        self._balance = _balance(self._balance, balances, now_ms)

    async def _listed(self) -> Mapping[str, MarketRule]:
        """Return the rules of the first few coins that the venue lists."""
        rules = await self._venue.markets(self._probed)
        if not rules:
            rules = await self._venue.markets(self._symbols)
            self._probed = [s for s in self._symbols if s in rules][:PROBED_MARKETS]
        if not self._probed:
            self._probed = self._symbols[:PROBED_MARKETS]
            raise VenueUnavailable("lists none of our coins")
        return {symbol: rules[symbol] for symbol in self._probed if symbol in rules}

    async def _require_alive(
        self, rules: Mapping[str, MarketRule], tickers: Mapping[str, Ticker]
    ) -> None:
        """Raise VenueUnavailable unless one market at least is live: it may only answer."""
        reasons = []
        for symbol, rule in rules.items():
            book = await self._venue.book(symbol)
            now_ms = self._venue.now_ms()
            why = frozen(rule, book, tickers.get(symbol), now_ms)
            if not why:
                return
            reasons.append(why)
        raise VenueUnavailable(f"answers, but is frozen: {'; '.join(reasons)}")

    def _report(self, reason: str) -> None:
        positions = self._positions.positions
        without_stop = frozenset(each.symbol for each in positions if each.stop_loss is None)
        # One read may fall between a fill and its stop; two in a row do not.
        unprotected = sorted(without_stop & self._without_stop)
        if not reason:
            self._without_stop = without_stop
        if reason != self._reason:
            if reason:
                self.log.warning("the account cannot be read: %s", reason)
            else:
                self.log.info("the account can be read again")
            self._reason = reason
        self.doing(reason or f"{len(positions)} position{'' if len(positions) == 1 else 's'} open")
        self.detail |= {
            "positions": len(positions),
            "as_of_ms": self._positions.as_of_ms,
            "trouble": reason,
            "unprotected": unprotected,
        }

    async def _listen(self) -> None:
        async with self.bus.subscribe(schema.ACCOUNT_REFRESH.name()) as deliveries:
            async for delivery in deliveries:
                # A delivery without a channel reports a (re)subscription: requests in between
                # were lost.
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
        realized_pnl_quote=_text(position.realized_pnl),
        opened_ms=position.opened_ms,
    )


def _balance(before: Balance, balances: Sequence[AccountBalance], now_ms: int) -> Balance:
    """Return the balance in the settlement currency; a missing one is zero."""
    zero = Decimal(0)
    currency = before.currency
    found = next(
        (each for each in balances if each.currency == currency),
        AccountBalance(
            currency=currency, available=zero, frozen=zero, margin=zero, unrealized_pnl=zero
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
