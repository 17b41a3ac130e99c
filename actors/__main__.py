"""`python -m actors NAME`: run one actor in the foreground, without a supervisor.

The zygote's children start in `live`.
"""

from __future__ import annotations

# built in, as in supervisor.py
import _signal  # type: ignore[import-not-found]

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until there is something to stop

import dataclasses
import importlib
import logging
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from actors.base import Actor, Context, run_actor
from shared import logs
from shared.bus import Bus
from shared.clock import SystemClock
from shared.descriptors import close_inherited, open_standard_streams
from shared.errors import (
    EXIT_BAD_CONFIG,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PERMANENT,
    EXIT_USAGE,
    ConfigError,
    PermanentError,
)
from shared.exchanges.venue_keys import VenueKeys
from shared.output import never_blocking
from shared.permissions import be_private
from shared.supervision.status_pipe import StatusPipe
from shared.supervision.test_hooks import Hooks, SteppedClock


def live(launch: Mapping[str, Any], status_fd: int | None) -> int:
    """Build and run the actor of a launch message; return its exit code.

    Args:
        launch: From `shared.supervision.launch.launch_message`.
        status_fd: Write end of the status pipe; None without a supervisor.
    """
    with never_blocking(launch["name"], private=status_fd is not None):
        log = logs.logger(launch["name"])
        try:
            run_actor(build(launch, status_fd, log))
        except ConfigError as error:
            log.error("bad config: %s", error)
            return EXIT_BAD_CONFIG
        except PermanentError as error:
            log.error("cannot go on, and trying again would not help: %s", error)
            return EXIT_PERMANENT
        except Exception:
            log.exception("ended by an error")
            return EXIT_FAILED
        return EXIT_OK


def build(launch: Mapping[str, Any], status_fd: int | None, log: logging.Logger) -> Actor:
    keys = launch.get("keys")
    module, _, kind = launch["code"].partition(":")
    trial: Mapping[str, Any] = launch.get("trial") or {}
    folder = Path(trial["folder"]) if trial else None
    clock = SteppedClock(folder, trial["clock"]) if folder else SystemClock()
    context = Context(
        name=launch["name"],
        mode=launch["mode"],
        source=launch["source"],
        state_dir=Path(launch["state_dir"]),
        section=launch["section"],
        bus=Bus(
            launch["redis_url"],
            name=launch["name"],
            clock=clock,
            namespace=launch["namespace"],
            log=log,
        ),
        clock=clock,
        log=log,
        rng=random.Random(),
        status=StatusPipe(status_fd),
        probation=launch["probation"],
        quarantined_coins=launch["quarantined_coins"],
        reducing_until_ms=launch.get("reducing_until_ms"),
        keys=None if keys is None else VenueKeys(**keys),
        alert_urls=tuple(launch.get("alert_urls", ())),
        once=launch.get("once", False),
        trial=None if folder is None else Hooks(folder, launch["name"], log),
    )
    actor: Actor = getattr(importlib.import_module(module), kind)(context)
    return actor


def main(arguments: list[str]) -> int:
    """Run `NAME` with the working directory's config; with `--once`, for one step."""
    from shared.config.load import load  # noqa: PLC0415  # validators cost a restart 80 ms
    from shared.config.secrets import credentials_folder, take_secrets  # noqa: PLC0415
    from shared.redis.files import foreground_url  # noqa: PLC0415
    from shared.supervision import preflight  # noqa: PLC0415
    from shared.supervision.launch import foreground_launch  # noqa: PLC0415

    be_private()
    open_standard_streams()
    logs.use_journal(os.environ.get("JOURNAL_STREAM", ""))
    once = "--once" in arguments
    name, *overrides = [each for each in arguments if each != "--once"] or [""]
    if not name or any(each.startswith("-") for each in (name, *overrides)):
        print("usage: python -m actors NAME [--once] [KEY.PATH=VALUE ...]", file=sys.stderr)
        return EXIT_USAGE
    try:
        config = load(Path("config.yaml"), overrides)
        credentials = credentials_folder(os.environ)
        secrets = take_secrets(os.environ, config.venue.name)
        preflight.close_to_others(Path(config.state_dir).resolve(), logs.logger(name))
        launch = foreground_launch(
            name,
            config,
            lambda role: foreground_url(
                Path(config.state_dir),
                dataclasses.replace(config.redis, url=secrets.into_url(config.redis.url)),
                role,
                credentials,
            ),
            secrets=secrets,
            once=once,
        )
    except ConfigError as error:
        logs.print_error(error)
        return EXIT_BAD_CONFIG
    close_inherited()
    setproctitle(f"coinex: {name}")
    return live(launch, None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
