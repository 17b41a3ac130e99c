"""`coinex check`: every fault of configuration and environment at once, with nothing started."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.config import ports
from shared.config.load import load
from shared.errors import EXIT_OK, ConfigError
from shared.supervision import preflight
from shared.supervision.specs import listeners


def check(options: argparse.Namespace) -> int:
    """Check configuration and environment as `run` does.

    Raises:
        ConfigError: `run` would fail.
    """
    config = load(Path(options.config), options.set, mode=options.mode)
    preflight.take_logins(config, options.environment)
    if not preflight.is_running(Path(config.state_dir).resolve()):
        faults = ports.taken(listeners(config))
        if faults:
            raise ConfigError(faults)
    coins = sum(len(group) for group in config.groups.values())
    print(
        f"{options.config}: fine; mode {config.mode}, {coins} coins in {len(config.groups)} groups"
    )
    return EXIT_OK
