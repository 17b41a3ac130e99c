"""The child specs of a configuration, in order of start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.config.sections import Config
from shared.config.venue_catalog import venue_catalog
from shared.evidence.hashes import tested_indicators
from shared.strategy.source import StrategySection
from shared.supervision.restart import Policy
from shared.web.hosts import base_url

TRADER_STOP_S = 25.0
TRADER_BACKOFF_CAP_S = 2.0
ACCOUNT_REQUESTS = 8
"""Most requests in a row of one step of `actors/account.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """Settings of one actor that differ from the rest. Units: seconds.

    Attributes:
        backoff_cap_s: Longest pause before a restart; None: as the rest.
        stop_s: Time from SIGTERM to SIGKILL; None: as the rest.
        reduces: Instead of being quarantined it is restarted in mode `reducing`.
        oom_protected: The kernel kills others first when memory runs out.
        low_priority: Its nice value is raised.
    """

    backoff_cap_s: float | None = None
    stop_s: float | None = None
    reduces: bool = False
    oom_protected: bool = False
    low_priority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How one actor is started and watched.

    Attributes:
        code: Its class, as `module:Class`.
        section: Its part of the configuration, as plain values.
        level: Order of start; stop in reverse.
        needs: Actors that should be ready first (awaited with a timeout).
        step_budget_s: Seconds without a finished step after which it counts as stalled.
        port: Port it listens on, if it does.
        signs: It signs requests to the venue, or is the simulated one that checks them; only such
            an actor gets the keys.
        alerts: It sends alerts; only such an actor gets the services' URLs.
    """

    name: str
    code: str
    section: Mapping[str, Any]
    level: int
    needs: tuple[str, ...] = ()
    step_budget_s: float
    port: int | None = None
    signs: bool = False
    alerts: bool = False
    treatment: Treatment = Treatment()


def trades(config: Config) -> bool:
    """Return whether there is a trader of our own: as configured, by default in demo mode only."""
    enabled = config.trader.enabled
    is_on = config.mode == "demo" if enabled is None else enabled
    return config.trader.kind == "own" and is_on


def timer_min(config: Config) -> int | None:
    """Return the minutes between the runs of a timer that trades; None without one."""
    return config.trader.timer_min if trades(config) else None


def child_specs(
    config: Config,
    ports: Mapping[str, int],
    kept: Sequence[str] = (),
    strategy: StrategySection | None = None,
    *,
    evidence: str = "",
    once: bool = False,
) -> list[ChildSpec]:
    """Return the actors of a configuration, in order of start.

    Args:
        ports: The port of each listening actor (a configured 0 already replaced).
        kept: Coins in no group that need candles, as something is open in them.
        strategy: The configured strategy, if it is a file of the user.
        evidence: The digest of the trader's evidence, so that a reload sees a change.
        once: For a single run, as a timer's: the trader is among them in any case.
    """
    given = _Given(config, ports, kept, strategy, evidence)
    specs = [
        *([_exchange_sim(given)] if config.mode != "live" else []),
        _fetcher(given),
        *(_indicators(given, group) for group in config.groups),
        _scanner(given),
        *([_auditor(given)] if config.auditor.enabled else []),
        *([_account(given)] if config.trader.kind == "own" else []),
        *([_guests(given)] if config.trader.kind == "outside" else []),
        *([_trader(given)] if trades(config) and (once or timer_min(config) is None) else []),
        *([_trader_api(given)] if trades(config) else []),
        *([_alerts(given)] if config.alerts.enabled else []),
    ]
    names = [spec.name for spec in specs] + ["health", "dashboard"]
    return [*specs, _health(given, names), _dashboard(given, names)]


class _Given:
    """Inputs of the actors' specs."""

    def __init__(
        self,
        config: Config,
        ports: Mapping[str, int],
        kept: Sequence[str],
        strategy: StrategySection | None,
        evidence: str,
    ) -> None:
        self.config = config
        self.evidence = evidence
        self.strategy = None if strategy is None else dataclasses.asdict(strategy)
        self.plain = dataclasses.asdict(config)
        self.ports = ports
        self.symbols = config.symbols
        self.kept = list(kept)
        self.binance, self.venue = dict(self.plain["binance"]), dict(self.plain["venue"])
        venue = venue_catalog()[config.venue.name]
        if config.mode == "live":
            self.venue["base_url"] = config.venue.base_url or venue.urls[config.venue.environment]
        else:
            address = base_url(config.simulator.host, ports["exchange-sim"])
            self.venue["base_url"] = f"{address}{venue.path}"
            if config.mode == "demo":
                self.binance |= {"base_url": address, "stream_url": None}

    @property
    def whose_trader(self) -> dict[str, Any]:
        """What those who judge the trader's keys must know of its settings."""
        trader = self.config.trader
        return {"kind": trader.kind, "outside_every_s": trader.outside_every_s}

    def with_port(self, section: str, name: str) -> dict[str, Any]:
        """Return a section with its actor's port."""
        return {**self.plain[section], "port": self.ports[name]}


def _exchange_sim(given: _Given) -> ChildSpec:
    simulator = given.with_port("simulator", "exchange-sim")
    return ChildSpec(
        name="exchange-sim",
        code="actors.exchange_sim.actor:ExchangeSim",
        section={
            "simulator": simulator,
            "venue": given.config.venue.name,
            "symbols": given.symbols,
        },
        level=0,
        step_budget_s=60,
        port=given.ports["exchange-sim"],
        signs=True,
    )


def _fetcher(given: _Given) -> ChildSpec:
    fetcher = given.config.fetcher
    long_step = max(fetcher.interval_s, 4 * fetcher.request_timeout_s)
    return ChildSpec(
        name="fetcher",
        code="actors.fetcher.actor:Fetcher",
        section={
            "fetcher": given.plain["fetcher"],
            "binance": given.binance,
            "symbols": [*given.symbols, *given.kept],
        },
        level=1,
        needs=("exchange-sim",) if given.config.mode == "demo" else (),
        step_budget_s=2 * fetcher.interval_s + long_step,
    )


def _indicators(given: _Given, group: str) -> ChildSpec:
    return ChildSpec(
        name=f"indicators-{group}",
        code="actors.indicators.actor:Indicators",
        section={
            "group": group,
            "symbols": given.config.groups[group],
            "indicators": given.plain["indicators"],
            "testing": given.plain["testing"],
        },
        level=2,
        step_budget_s=3 * given.config.indicators.interval_s,
    )


def _scanner(given: _Given) -> ChildSpec:
    return ChildSpec(
        name="scanner",
        code="actors.scanner:Scanner",
        section={
            "scanner": given.plain["scanner"],
            "strategy": given.strategy,
            "history": given.config.indicators.history,
            "symbols": given.symbols,
        },
        level=3,
        step_budget_s=3 * given.config.scanner.interval_s + _strategy_s(given),
    )


def _strategy_s(given: _Given) -> float:
    """Return how much longer a step may take: a strategy's process starts, and is asked."""
    return 0.0 if given.strategy is None else 60 + 4 * given.config.strategy_timeout_s


def _auditor(given: _Given) -> ChildSpec:
    return ChildSpec(
        name="auditor",
        code="actors.auditor.actor:Auditor",
        section={
            "auditor": given.plain["auditor"],
            "indicators": given.plain["indicators"],
            "symbols": given.symbols,
        },
        level=3,
        # a minute on top for loading pandas-ta on a busy machine
        step_budget_s=2 * given.config.auditor.interval_s + 60,
        treatment=Treatment(low_priority=True),
    )


def _account(given: _Given) -> ChildSpec:
    config = given.config
    return ChildSpec(
        name="account",
        code="actors.account:Account",
        section={
            "account": given.plain["account"],
            "venue": given.venue,
            "symbols": given.symbols,
        },
        level=3,
        needs=("exchange-sim",) if config.mode != "live" else (),
        step_budget_s=2 * config.account.interval_s
        + ACCOUNT_REQUESTS * config.venue.request_timeout_s,
        signs=True,
    )


def _guests(given: _Given) -> ChildSpec:
    return ChildSpec(
        name="guests", code="actors.guests:Guests", section={}, level=3, step_budget_s=30
    )


def _trader(given: _Given) -> ChildSpec:
    """Return the trader, which waits for no other actor."""
    return ChildSpec(
        name="trader",
        code="actors.trader.actor:Trader",
        section={
            "trader": {**given.plain["trader"], "enabled": True},
            "evidence": given.evidence,
            "strategy": given.strategy,
            "venue": given.venue,
            "binance": given.binance,
            "indicators": tested_indicators(given.config.indicators),
            "symbols": given.symbols,
        },
        level=4,
        step_budget_s=30,
        signs=True,
        treatment=Treatment(
            backoff_cap_s=TRADER_BACKOFF_CAP_S,
            stop_s=min(TRADER_STOP_S, given.config.supervisor.stop_all_s),
            reduces=True,
            oom_protected=True,
        ),
    )


def _trader_api(given: _Given) -> ChildSpec:
    return ChildSpec(
        name="trader-api",
        code="actors.trader_api.actor:TraderApi",
        section={
            "trader_api": given.with_port("trader_api", "trader-api"),
            "symbols": given.symbols,
            "timer_min": timer_min(given.config),
        },
        level=5,
        step_budget_s=30,
        port=given.ports["trader-api"],
    )


def _alerts(given: _Given) -> ChildSpec:
    return ChildSpec(
        name="alerts",
        code="actors.alerts.actor:Alerts",
        section={"alerts": given.plain["alerts"]},
        level=3,
        # half a minute on top for loading the services on a busy machine
        step_budget_s=60,
        alerts=True,
    )


def _health(given: _Given, names: list[str]) -> ChildSpec:
    return ChildSpec(
        name="health",
        code="actors.health.actor:Health",
        section={
            "health": given.with_port("health", "health"),
            "symbols": given.symbols,
            "actors": names,
            "fetcher": given.plain["fetcher"],
            "account": given.plain["account"],
            "trader": given.whose_trader,
            "timer_min": timer_min(given.config),
        },
        level=3,
        step_budget_s=30,
        port=given.ports["health"],
    )


def _dashboard(given: _Given, names: list[str]) -> ChildSpec:
    plain = given.plain
    return ChildSpec(
        name="dashboard",
        code="actors.dashboard.actor:Dashboard",
        section={
            "dashboard": given.with_port("dashboard", "dashboard"),
            "namespace": given.config.redis.namespace,
            "groups": plain["groups"],
            "actors": names,
            "binance": given.binance,
            "fetcher": plain["fetcher"],
            "account": plain["account"],
            "trader": given.whose_trader,
            "indicators": plain["indicators"],
            "timer_min": timer_min(given.config),
        },
        level=4,
        step_budget_s=30,
        port=given.ports["dashboard"],
    )


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
    """Return the modules that the app zygote loads for the actors of a configuration."""
    modules = {
        spec.code.partition(":")[0] for spec in child_specs(config, configured_ports(config))
    }
    return ["actors.__main__", "shared.supervision.preload", *sorted(modules)]


def policy(config: Config) -> Policy:
    """Return the restart policy of actors without a treatment of their own."""
    s = config.supervisor
    return Policy(
        healthy_s=s.healthy_s,
        max_deaths=s.max_deaths,
        window_s=s.window_s,
        quarantine_s=s.quarantine_s,
    )


def policy_of(spec: ChildSpec, common: Policy) -> Policy:
    """Return the restart policy of one actor."""
    cap_s = spec.treatment.backoff_cap_s
    return dataclasses.replace(
        common,
        backoff_cap_s=common.backoff_cap_s if cap_s is None else cap_s,
        reduces=spec.treatment.reduces,
    )
