"""`coinex check`: every fault of configuration and environment at once, with nothing started."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from shared.clock import SystemClock
from shared.config import ports
from shared.config.load import load
from shared.config.sections import Config
from shared.errors import EXIT_OK, ConfigError, count
from shared.evidence.fits import demanded, missing, refusal
from shared.evidence.record import record_or_why
from shared.permissions import TO_CORRECT
from shared.strategy.records import checked_identity, effective_parameters, objection
from shared.supervision import preflight
from shared.supervision.coins_in_use import coins_in_use, in_words, kept
from shared.supervision.launch import strategy_section
from shared.supervision.specs import listeners, trades
from shared.trading.strategy import BASE

WITHOUT = {
    "outside": "outside (docs/guests.md): no keys of the venue are wanted, and the other settings "
    "of trader but outside_every_s have no effect",
    "none": "none: no keys of the venue are wanted, other settings of trader have no effect",
}
NO_URLS = (
    "enabled, but no service URL is given here, in COINEX_ALERT_URLS or the systemd credential "
    "alert_urls; without one the actor ends"
)


def check(options: argparse.Namespace) -> int:
    """Check configuration and environment as `run` does.

    Raises:
        ConfigError: `run` would fail.
    """
    config = load(Path(options.config), options.set, mode=options.mode)
    secrets, users = preflight.take_logins(config, options.environment)
    urls = secrets.alert_services()
    if urls:
        from shared.alert_urls import parse_urls  # noqa: PLC0415  # takes a second or two

        parse_urls(urls)
    state_dir = Path(config.state_dir).resolve()
    found = preflight.still_open(state_dir)
    if not preflight.is_running(state_dir):
        faults = [*filter(None, [found.fault()]), *ports.taken(listeners(config))]
        redis = preflight.redis_server(
            config, secrets, users, clock=SystemClock(), environment=options.environment
        )
        try:
            asyncio.run(redis.check())
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
    print(
        f"{options.config}: fine; mode {config.mode}, {len(config.symbols)} coins in "
        f"{len(config.groups)} groups"
    )
    if config.trader.kind != "own":
        print(f"trader: {WITHOUT[config.trader.kind]}")
    for why in filter(None, _refusals(config, state_dir)):
        print(f"note: the trader enters nothing: {why}")
    if config.alerts.enabled:
        services = f"{count(len(urls), 'service URL')}, well formed" if urls else NO_URLS
        print(f"alerts: {services}")
    for text in (*secrets.renamed(), *found.in_words(TO_CORRECT).values()):
        print(f"note: {text}")
    in_use = coins_in_use(config)
    for remark in in_words(config, in_use, kept(config, in_use)):
        print(f"note: {remark}")
    return EXIT_OK


def _refusals(config: Config, state_dir: Path) -> Iterator[str]:
    """Yield why a trader would enter nothing, in its own words, as far as files say."""
    if not trades(config):
        return
    strategy = strategy_section(config)
    if strategy is not None:
        yield objection(state_dir, strategy)
    settings = config.trader
    demand = demanded(settings, config.mode, config.venue.environment)
    if demand != "require" or settings.accept_without_evidence:
        return
    record = record_or_why(settings.evidence_file)
    if isinstance(record, str):
        yield refusal([record])
        return
    identity, parameters = BASE, {}
    if strategy is not None:
        identity = checked_identity(state_dir, strategy.file)
        parameters = effective_parameters(asdict(strategy), state_dir)
    yield refusal(
        missing(record, settings, identity, parameters, config.indicators, taker_fee=None)
    )
