"""Which prices the simulated venue trades at."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from actors.base import Context
from actors.exchange_sim.actor import ExchangeSim
from actors.exchange_sim.market.price_paths import MarketPrices
from shared.bus import Bus
from shared.config.defaults import UNNAMED_VENUE
from shared.exchanges.sim.adverse_prices import AdversePrices
from shared.exchanges.sim.save_file import VenueFile
from shared.supervision.status_pipe import StatusPipe
from tests.support.manual_clock import ManualClock
from tests.support.venue import KEYS


@pytest.mark.parametrize(
    ("simulator", "kind"),
    [({}, MarketPrices), ({"path": "by_body"}, MarketPrices), ({"path": "adverse"}, AdversePrices)],
)
async def test_venue_follows_the_path_of_the_configuration(
    tmp_path: Path, simulator: dict[str, Any], kind: type
) -> None:
    clock = ManualClock()
    context = Context(
        name="exchange-sim", mode="demo", source="sim", state_dir=tmp_path, clock=clock, keys=KEYS,
        section={"simulator": simulator, "symbols": ["BTCUSDT"], "venue": UNNAMED_VENUE},
        bus=Bus("unix:///nonexistent/redis.sock", name="exchange-sim", clock=clock),
        log=logging.getLogger("exchange-sim"), rng=random.Random(1), status=StatusPipe(None),
        probation=False, quarantined_coins={},
    )  # fmt: skip
    actor = ExchangeSim(context)
    file = VenueFile(tmp_path / "venue.json")
    actor._serve_market(web.Application(), file, file.load(clock.now_ms()), ["BTCUSDT"])
    assert actor._venue_wire is not None
    venue = actor._venue_wire.venue
    assert type(venue.feed) is kind
    order = venue.place("BTCUSDT", "buy", "market", venue.rule("BTCUSDT").least, None)
    assert venue.state.side("BTCUSDT") == "long"
    assert order.filled
    for task in actor._tasks:
        task.cancel()
