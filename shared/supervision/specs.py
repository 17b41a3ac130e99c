"""Which actors a configuration asks for, in which order, and what each is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.config.sections import Config
from shared.supervision.restart import Policy

TRADER_STOP_S = 25.0
TRADER_BACKOFF_CAP_S = 2.0
ACCOUNT_REQUESTS = 8
"""How many requests in a row one look at an account may take; see `actors/account.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """In what the supervisor treats one actor otherwise than the rest. Units: seconds.

    Attributes:
        backoff_cap_s: Longest pause before it is started again; None: as the rest.
        stop_s: Time it has to stop by itself; None: as the rest.
        reduces: Instead of being quarantined it is started in mode `reducing`.
        spared: Others are ended first when memory runs out.
        yields: Others have the processor first.
    """

    backoff_cap_s: float | None = None
    stop_s: float | None = None
    reduces: bool = False
    spared: bool = False
    yields: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How one actor is started and watched.

    Attributes:
        code: Where its class is, as `module:Class`.
        section: Its part of the configuration, as plain values.
        level: Order of start, and in reverse of stop.
        needs: Actors that should be ready first (waited for, but not for ever).
        step_budget_s: Seconds without a finished step after which it counts as stalled.
        port: Where it listens, if it does.
        signs: Whether it signs requests to the venue; only such an actor is given the keys.
        tells: Whether it tells people outside; only such an actor is given the services' URLs.
        care: How it is treated otherwise than the rest.
    """

    name: str
    code: str
    section: Mapping[str, Any]
    level: int
    needs: tuple[str, ...] = ()
    step_budget_s: float
    port: int | None = None
    signs: bool = False
    tells: bool = False
    care: Treatment = Treatment()


def trades(config: Config) -> bool:
    """Tell whether there is a trader: as configured, or else in demo mode only."""
    enabled = config.trader.enabled
    return config.mode == "demo" if enabled is None else enabled


def child_specs(config: Config, ports: Mapping[str, int]) -> list[ChildSpec]:
    """Return the actors of a configuration, in order of start.

    Args:
        config: The validated configuration.
        ports: The port each listening actor was given (a configured 0 already replaced).
    """
    plain = dataclasses.asdict(config)
    symbols = [symbol for group in config.groups.values() for symbol in group]
    binance, venue = dict(plain["binance"]), dict(plain["venue"])
    specs = []
    simulated: tuple[str, ...] = ()
    if config.mode != "live":
        simulated = ("exchange-sim",)
        port = ports["exchange-sim"]
        address = f"http://{config.simulator.host}:{port}"
        venue["base_url"] = f"{address}/v2"
        if config.mode == "demo":
            binance |= {"base_url": address, "stream_url": None}
        specs.append(
            ChildSpec(
                name="exchange-sim",
                code="actors.exchange_sim.actor:ExchangeSim",
                section={"simulator": {**plain["simulator"], "port": port}, "symbols": symbols},
                level=0,
                step_budget_s=60,
                port=port,
            )
        )
    long_step = max(config.fetcher.interval_s, 4 * config.fetcher.request_timeout_s)
    specs.append(
        ChildSpec(
            name="fetcher",
            code="actors.fetcher.actor:Fetcher",
            section={"fetcher": plain["fetcher"], "binance": binance, "symbols": symbols},
            level=1,
            needs=simulated if config.mode == "demo" else (),
            step_budget_s=2 * config.fetcher.interval_s + long_step,
        )
    )
    for group, coins in config.groups.items():
        specs.append(
            ChildSpec(
                name=f"indicators-{group}",
                code="actors.indicators.actor:Indicators",
                section={
                    "group": group,
                    "symbols": coins,
                    "indicators": plain["indicators"],
                    "testing": plain["testing"],
                },
                level=2,
                step_budget_s=3 * config.indicators.interval_s,
            )
        )
    specs.append(
        ChildSpec(
            name="scanner",
            code="actors.scanner:Scanner",
            section={
                "scanner": plain["scanner"],
                "history": config.indicators.history,
                "symbols": symbols,
            },
            level=3,
            step_budget_s=3 * config.scanner.interval_s,
        )
    )
    if config.auditor.enabled:
        specs.append(
            ChildSpec(
                name="auditor",
                code="actors.auditor.actor:Auditor",
                section={
                    "auditor": plain["auditor"],
                    "indicators": plain["indicators"],
                    "symbols": symbols,
                },
                level=3,
                # a minute on top for loading pandas-ta on a machine that has better to do
                step_budget_s=2 * config.auditor.interval_s + 60,
                care=Treatment(yields=True),
            )
        )
    specs.append(
        ChildSpec(
            name="account",
            code="actors.account:Account",
            section={"account": plain["account"], "venue": venue, "symbols": symbols},
            level=3,
            needs=simulated,
            step_budget_s=2 * config.account.interval_s
            + ACCOUNT_REQUESTS * config.venue.request_timeout_s,
            signs=True,
        )
    )
    if trades(config):
        specs += _traders(config, plain, binance, venue, ports)
    if config.alerts.enabled:
        specs.append(
            ChildSpec(
                name="alerts",
                code="actors.alerts.actor:Alerts",
                section={"alerts": plain["alerts"]},
                level=3,
                # half a minute on top for loading the services on a machine that has better to do
                step_budget_s=60,
                tells=True,
            )
        )
    names = [spec.name for spec in specs] + ["health", "dashboard"]
    specs.append(
        ChildSpec(
            name="health",
            code="actors.health.actor:Health",
            section={
                "health": {**plain["health"], "port": ports["health"]},
                "symbols": symbols,
                "actors": names,
                "fetcher": plain["fetcher"],
                "account": plain["account"],
            },
            level=3,
            step_budget_s=30,
            port=ports["health"],
        )
    )
    specs.append(
        ChildSpec(
            name="dashboard",
            code="actors.dashboard.actor:Dashboard",
            section={
                "dashboard": {**plain["dashboard"], "port": ports["dashboard"]},
                "namespace": config.redis.namespace,
                "groups": plain["groups"],
                "actors": names,
                "binance": binance,
                "fetcher": plain["fetcher"],
                "account": plain["account"],
                "indicators": plain["indicators"],
            },
            level=4,
            step_budget_s=30,
            port=ports["dashboard"],
        )
    )
    return specs


def _traders(
    config: Config,
    plain: Mapping[str, Any],
    binance: Mapping[str, Any],
    venue: Mapping[str, Any],
    ports: Mapping[str, int],
) -> list[ChildSpec]:
    """Return the trader, which waits for nobody, and its API."""
    symbols = [symbol for group in config.groups.values() for symbol in group]
    trader = ChildSpec(
        name="trader",
        code="actors.trader.actor:Trader",
        section={
            "trader": {**plain["trader"], "enabled": True},
            "venue": venue,
            "binance": binance,
            "history": config.indicators.history,
            "symbols": symbols,
        },
        level=4,
        step_budget_s=30,
        signs=True,
        care=Treatment(
            backoff_cap_s=TRADER_BACKOFF_CAP_S,
            stop_s=min(TRADER_STOP_S, config.supervisor.stop_all_s),
            reduces=True,
            spared=True,
        ),
    )
    api = ChildSpec(
        name="trader-api",
        code="actors.trader_api.actor:TraderApi",
        section={
            "trader_api": {**plain["trader_api"], "port": ports["trader-api"]},
            "symbols": symbols,
        },
        level=5,
        step_budget_s=30,
        port=ports["trader-api"],
    )
    return [trader, api]


def listeners(config: Config) -> dict[str, tuple[str, int]]:
    """Return host and configured port (0: any) of each actor that listens."""
    found = {
        "health": (config.health.host, config.health.port),
        "dashboard": (config.dashboard.host, config.dashboard.port),
    }
    if config.mode != "live":
        found["exchange-sim"] = (config.simulator.host, config.simulator.port)
    if trades(config):
        found["trader-api"] = (config.trader_api.host, config.trader_api.port)
    return found


def configured_ports(config: Config) -> dict[str, int]:
    """Return the configured port (0: any) of each actor that listens."""
    return {name: port for name, (_, port) in listeners(config).items()}


def code_modules(config: Config) -> list[str]:
    """Return the modules that actors of this configuration are made of, and what warms them."""
    modules = {
        spec.code.partition(":")[0] for spec in child_specs(config, configured_ports(config))
    }
    return ["actors.__main__", "shared.supervision.preload", *sorted(modules)]


def policy(config: Config) -> Policy:
    """Return the restart policy of the configuration, as most actors have it."""
    s = config.supervisor
    return Policy(
        healthy_s=s.healthy_s,
        max_deaths=s.max_deaths,
        window_s=s.window_s,
        quarantine_s=s.quarantine_s,
    )


def policy_of(spec: ChildSpec, common: Policy) -> Policy:
    """Return the restart policy of one actor."""
    cap_s = spec.care.backoff_cap_s
    return dataclasses.replace(
        common,
        backoff_cap_s=common.backoff_cap_s if cap_s is None else cap_s,
        reduces=spec.care.reduces,
    )
