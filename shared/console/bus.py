"""`coinex bus`: shows what is on Redis, and removes a key."""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import logging
import sys
from pathlib import Path

import orjson

from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.running import RunningPlatform, find_running
from shared.errors import EXIT_FAILED, EXIT_OK, BusNotServing, BusRefused, BusUnavailable
from shared.redis.server import read_operator_url
from shared.schema import TABLE

CHANNELS = [entry.glob() for entry in TABLE if entry.kind == "channel"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `bus`."""
    parser.add_argument("action", choices=("get", "watch", "keys", "forget"))
    parser.add_argument("name", metavar="KEY|PATTERN", help="such as ta:latest:BTCUSDT or 'ta:*'")


def bus(options: argparse.Namespace) -> int:
    """Print a key, the names of keys, or messages as they come; or remove a key."""
    running = find_running(Path(options.config), options.set)
    try:
        return asyncio.run(_bus(options, running))
    except (BusNotServing, BusRefused) as error:
        not_allowed = isinstance(error, BusNotServing) and error.code == "NOPERM"
        rights = (
            "; the operator may look at what docs/redis.md lists, and remove all of it but "
            "trader:kill (see `coinex trader release`) and supervisor:lease"
        )
        print(f"{error}{rights if not_allowed else ''}", file=sys.stderr)
        return EXIT_FAILED
    except BusUnavailable as error:
        print(f"Redis does not answer: {error}", file=sys.stderr)
        return EXIT_FAILED


def _expiry(left_ms: int | None) -> str:
    if left_ms is None:
        return "not ours to look at"
    return {-1: "never expires", -2: "gone"}.get(left_ms, f"expires in {left_ms / 1000:.0f} s")


async def _bus(options: argparse.Namespace, running: RunningPlatform) -> int:
    url = read_operator_url(running.state_dir) or running.redis_url
    log = logging.getLogger("bus")
    log.addHandler(logging.NullHandler())  # what is refused is said once, by us
    bus = Bus(url, name="operator", clock=SystemClock(), namespace=running.namespace, log=log)
    try:
        if options.action == "keys":
            names = await bus.names(options.name)
            for name, left_ms in zip(names, await bus.expiries(names), strict=True):
                print(f"{name:<{max(map(len, names))}}  {_expiry(left_ms)}")
        elif options.action == "get":
            value = await bus.show(options.name)
            if value is None:
                print(f"no key {options.name!r}; `bus keys '*'` lists them", file=sys.stderr)
                return EXIT_FAILED
            print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        elif options.action == "forget":
            if not await bus.forget(options.name):
                print(f"no key {options.name!r}; `bus keys '*'` lists them", file=sys.stderr)
                return EXIT_FAILED
            print(f"{options.name} is removed; whoever owns it writes it anew when it next does")
        else:
            await bus.ping()
            # not the pattern itself: the ACL allows only those of the table
            async with bus.subscribe(patterns=CHANNELS) as subscription:
                async for delivery in subscription:
                    if fnmatch.fnmatchcase(delivery.channel, options.name):
                        print(delivery.channel, delivery.raw.decode("utf-8", "replace"), flush=True)
    finally:
        await bus.close()
    return EXIT_OK
