"""The simulated exchange as an actor: a market with Binance's wire, and a venue with its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from actors.base import Actor, Context
from actors.exchange_sim.binance.rest import BinanceWire
from actors.exchange_sim.fault_panel import FaultPanel
from actors.exchange_sim.faults import OF_THE_VENUE, FaultScript
from actors.exchange_sim.market.bars import DAY_MS
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.live_prices import LivePrices
from actors.exchange_sim.market.market import Market, PriceSource
from actors.exchange_sim.market.price_paths import MarketPrices
from actors.exchange_sim.market.recorded import RecordedPrices
from actors.exchange_sim.venue_panel import VenuePanel
from actors.exchange_sim.venue_wire import VenueWire, wire_of
from shared import codec
from shared.config.sections import SimulatorSection
from shared.errors import TransientError, UnknownSymbol
from shared.exchanges.sim.adverse_prices import AdversePrices
from shared.exchanges.sim.prices import PriceFeed
from shared.exchanges.sim.save_file import VenueFile, VenueState
from shared.exchanges.sim.venue import SimVenue
from shared.web.guard import Guard
from shared.web.listening import listen

STEP_S = 1.0


class ExchangeSim(Actor):
    """Serves the venue and `/sim/...`, in demo mode also `/api/v3/...`, `/ws` and `/stream`.

    Demo mode: prices are generated, or replayed from `simulator.candles_dir`, and the venue
    trades at them. Paper mode: only the venue is simulated, at the prices of the candles on the
    bus. The script of `simulator.faults` starts with this process; the venue's account is kept in
    `state_dir`.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._section = codec.from_plain(
            SimulatorSection, context.section["simulator"], "config: simulator"
        )
        self._configured: list[str] = list(context.section["symbols"])
        self._source: PriceSource | None = None
        self._wire: BinanceWire | None = None
        self._venue_wire: VenueWire | None = None
        self._script: FaultScript | None = None
        self._followed: LivePrices | None = None

    async def setup(self) -> None:
        """Build the market and the venue, and listen.

        Raises:
            ConfigError: The recorded candles cannot be used at all.
            TransientError: The port is taken, or the account's file cannot be read.
        """
        app = web.Application()
        Guard(
            [*self._section.allowed_hosts, self._section.host], setting="simulator.allowed_hosts"
        ).install(app)
        file = VenueFile(self.context.state_dir / "venue.json", self.log)
        state = self._load(file)
        # a market with something open stays, whatever the configuration says
        symbols = list(dict.fromkeys((*self._configured, *state.busy())))
        if self.context.mode == "paper":
            self._serve_venue_only(app, file, state, symbols)
        else:
            self._serve_market(app, file, state, symbols)
        runner = await listen(
            app,
            section="simulator",
            host=self._section.host,
            port=self._section.port,
            handler_cancellation=True,
        )
        self.resources.push_async_callback(runner.cleanup)
        self.detail["port"] = runner.addresses[0][1]
        if self._followed is not None:
            self.background(self._followed.follow(self.bus, self.wake), "prices")
        self.ready()

    async def step(self) -> float:
        """Advance the venue's time; report requests and injected faults."""
        if isinstance(self._source, RecordedPrices):
            self.detail["prices"] = f"recorded, moved by {self._source.shift_days} days"
            self.detail["unknown_coins"] = dict(self._source.faults)
        elif self._source is not None:
            self.detail["prices"] = f"generated, seed {self._section.seed}"
        else:
            self.detail["prices"] = f"{self.context.source} candles on the bus"
        if self._wire is not None:
            self.detail["requests"] = dict(self._wire.counts)
            self.detail["streams"] = {
                "connections": self._wire.stream.connections,
                **self._wire.stream.counts,
            }
            self.detail["used_weight"] = self._wire.limits.used
            self.detail["coins"] = len(self._wire.market.symbols())
        if self._script is not None:
            self.detail["faults"] = self._active_faults(self._script)
        if self._venue_wire is not None:
            self._venue_wire.pass_time()
            self.detail["venue"] = self._of_venue(self._venue_wire)
        return STEP_S

    def _load(self, file: VenueFile) -> VenueState:
        try:
            return file.load(self.clock.now_ms())
        except OSError as error:
            raise TransientError(
                f"{file.path}: the simulated venue's account cannot be read ({error}); fix the "
                "file's permissions, or move it away to start a new account"
            ) from error

    def _serve_market(
        self, app: web.Application, file: VenueFile, state: VenueState, symbols: Sequence[str]
    ) -> None:
        self._source = self._prices(symbols)
        market = Market(self._source)
        self._script = FaultScript(market)
        self._script.add(self._section.faults, self.clock.now_ms())
        self._wire = BinanceWire(market, self._script, self.clock, log=self.log)
        self._wire.add_routes(app)
        prices: PriceFeed = MarketPrices(market)
        if self._section.path == "adverse":
            prices = AdversePrices(prices, state.side)
        self._add_venue(app, file, SimVenue(prices, state), self._script)
        self.background(self._warm_up(market), "warm-up")

    async def _warm_up(self, market: Market) -> None:
        """Load each coin once: the first access takes long, and all of them at once too long."""
        for symbol in market.symbols():
            with contextlib.suppress(UnknownSymbol):  # the source logs it
                market.scale(symbol, self.clock.now_ms())
            await self.clock.sleep(0)

    def _serve_venue_only(
        self, app: web.Application, file: VenueFile, state: VenueState, symbols: Sequence[str]
    ) -> None:
        self._script = FaultScript(None)
        planned = [f for f in self._section.faults if f.kind.startswith(OF_THE_VENUE)]
        if len(planned) < len(self._section.faults):
            self.log.warning(
                "simulator.faults: %d of them concern the simulated market, which paper mode "
                "does not have; ignored",
                len(self._section.faults) - len(planned),
            )
        self._script.add(planned, self.clock.now_ms())
        FaultPanel(self._script, lambda: symbols, self.clock, log=self.log).add_routes(app)
        prices = self._followed = LivePrices(
            symbols,
            since_ms=state.at_ms,
            source=self.context.source,
            clock=self.clock,
            log=self.log,
        )
        self._add_venue(app, file, SimVenue(prices, state), self._script)

    def _add_venue(
        self, app: web.Application, file: VenueFile, venue: SimVenue, script: FaultScript
    ) -> None:
        self._venue_wire = wire_of(self.context.section["venue"])(
            venue, file, script, self.clock, keys=self.context.keys, log=self.log
        )
        self._venue_wire.add_routes(app)
        VenuePanel(self._venue_wire).add_routes(app)

    def _prices(self, symbols: Sequence[str]) -> PriceSource:
        if not self._section.candles_dir:
            return GeneratedPrices(symbols, self._section.seed)
        return RecordedPrices(
            Path(self._section.candles_dir),
            symbols,
            self.context.state_dir / "simulator.json",
            self.clock.now_ms() // DAY_MS,
            log=self.log,
        )

    def _of_venue(self, wire: VenueWire) -> dict[str, Any]:
        account = wire.venue.account
        return {
            "wallet": str(account.wallet),
            "positions": len(account.positions),
            "orders": len(wire.venue.state.orders.pending),
            "requests": wire.counts.total(),
            "unsaved": wire.unsaved,
        }

    def _active_faults(self, script: FaultScript) -> list[dict[str, Any]]:
        return [f for f in script.listed(self.clock.now_ms()) if f["active"]]
