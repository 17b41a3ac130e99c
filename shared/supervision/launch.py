"""The launch message of an actor that the zygote forks: plain values, already validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.config.defaults import BUILT_IN, Mode
from shared.config.secrets import Secrets
from shared.config.sections import Config
from shared.errors import ConfigError
from shared.exchanges.sim.keys import KeyFile, SimKeys
from shared.schema import Role, role_of
from shared.strategy.source import BadStrategy, StrategySection, read_strategy
from shared.supervision.coins_in_use import coins_in_use, kept
from shared.supervision.specs import ChildSpec, child_specs, configured_ports
from shared.supervision.test_hooks import trial_folder

ROOT = Path(__file__).resolve().parents[2]
NO_SECRETS = Secrets()
ENTRY = "actors.__main__:live"
EXPENDABLE_OOM_SCORE_ADJ = 500
LOW_PRIORITY_NICE = 10


def launch_message(
    spec: ChildSpec,
    config: Config,
    redis_url: Callable[[Role], str],
    *,
    secrets: Secrets = NO_SECRETS,
    sim_keys: SimKeys | None = None,
    probation: bool = False,
    quarantined_coins: Mapping[str, int] | None = None,
    reducing_until_ms: int | None = None,
) -> dict[str, Any]:
    """Return the launch message of one actor.

    Args:
        redis_url: Returns the URL of a role. The message contains its password, so it is never
            logged, and only that actor's process reads it.
        secrets: An actor that signs gets the keys in live mode, and in no other; one that sends
            alerts gets the services' URLs.
        sim_keys: In demo and paper mode an actor that signs, and the simulated venue, get these
            instead.
        probation: Whether it must name each coin before computing it.
        quarantined_coins: Coins it must skip, with the epoch ms of their release.
        reducing_until_ms: Epoch ms until which it may only reduce; None: no restriction.
    """
    return {
        "root": str(ROOT),
        "name": spec.name,
        "entry": ENTRY,
        "code": spec.code,
        "mode": config.mode,
        "source": "sim" if config.mode == "demo" else "binance",
        "state_dir": str(Path(config.state_dir).resolve()),
        "redis_url": redis_url(role_of(spec.name)),
        "namespace": config.redis.namespace,
        "section": dict(spec.section),
        # when memory runs out, the kernel kills these before the one that manages open positions
        "oom_score_adj": None if spec.treatment.oom_protected else EXPENDABLE_OOM_SCORE_ADJ,
        "nice": LOW_PRIORITY_NICE if spec.treatment.low_priority else 0,
        "probation": probation,
        "quarantined_coins": dict(quarantined_coins or {}),
        "reducing_until_ms": reducing_until_ms,
        "once": False,
        "keys": _keys(config.mode, secrets, sim_keys) if spec.signs else None,
        "trial": _trial(spec, config),
        "alert_urls": secrets.alert_services() if spec.alerts else [],
    }


def missing_secrets(config: Config, secrets: Secrets) -> list[str]:
    """Return the secrets that actors of a configuration need and that are not given."""
    signs = config.mode == "live" and config.trader.kind == "own"
    no_keys = signs and secrets.venue_key is None
    no_urls = config.alerts.enabled and not secrets.alert_services()
    return [*(["venue_key"] if no_keys else []), *(["alert_urls"] if no_urls else [])]


def _trial(spec: ChildSpec, config: Config) -> dict[str, Any] | None:
    """Return the folder of the test hooks, and the name of the file that shifts its clock."""
    if not (config.mode == "demo" and config.testing.hooks):
        return None
    folder = trial_folder(Path(config.state_dir).resolve())
    clock = "exchange-clock" if spec.name == "exchange-sim" else "clock"
    return {"folder": str(folder), "clock": clock}


def _keys(mode: Mode, secrets: Secrets, sim_keys: SimKeys | None) -> dict[str, str] | None:
    if mode != "live":
        if sim_keys is None:
            return None
        return {"access_id": sim_keys.access_id, "secret": sim_keys.secret_key}
    if secrets.venue_key is None or secrets.venue_secret is None:
        return None
    return {"access_id": secrets.venue_key, "secret": secrets.venue_secret}


def strategy_section(config: Config) -> StrategySection | None:
    """Read the configured strategy, if it is a file of the user; it is not run.

    Raises:
        ConfigError: It cannot be used.
    """
    if config.strategy == BUILT_IN:
        return None
    try:
        file = read_strategy(config.strategy)
    except BadStrategy as error:
        raise ConfigError([f"strategy: {error}"]) from None
    return StrategySection(
        file=file, parameters=config.strategy_parameters, timeout_s=config.strategy_timeout_s
    )


def foreground_launch(
    name: str,
    config: Config,
    redis_url: Callable[[Role], str],
    *,
    secrets: Secrets = NO_SECRETS,
    once: bool = False,
) -> dict[str, Any]:
    """Return the launch message for an actor run by hand, on the configured ports.

    Raises:
        ConfigError: No such actor, it listens and its port is not fixed, or the simulated venue's
            keys cannot be read, or the strategy cannot be used.
    """
    ports = configured_ports(config)
    coins = kept(config, coins_in_use(config))
    strategy = strategy_section(config)
    specs = {spec.name: spec for spec in child_specs(config, ports, coins, strategy, once=once)}
    if name not in specs:
        raise ConfigError([f"no actor {name!r}: expected one of {', '.join(specs)}"])
    if ports.get(name) == 0:
        raise ConfigError([f"{name}: its port is 0; run by hand it needs a fixed one (--set)"])
    simulates = specs[name].signs and config.mode != "live"
    sim_keys = KeyFile(Path(config.state_dir)).read_or_make() if simulates else None
    message = launch_message(specs[name], config, redis_url, secrets=secrets, sim_keys=sim_keys)
    return {**message, "once": once}
