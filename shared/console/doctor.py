"""`coinex doctor`: finds what keeps the platform from running well on this machine."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from shared.api.token import token_path
from shared.clock import SystemClock
from shared.config import ports
from shared.config.load import load
from shared.config.running import RunningPlatform, find_running
from shared.config.secrets import Secrets
from shared.config.sections import Config
from shared.console import probes
from shared.console.probes import Finding
from shared.errors import EXIT_FAILED, EXIT_OK, BusUnavailable, ConfigError, PlatformError, count
from shared.redis.connections import probe, server_version
from shared.redis.files import RedisFiles
from shared.redis.server import choose_binary, starts_own
from shared.redis.users import Users
from shared.schema import Role
from shared.supervision import preflight
from shared.supervision.control_client import ask_status
from shared.supervision.launch import ROOT
from shared.supervision.specs import listeners
from shared.web.chart_library import chart_library
from shared.web.hosts import is_loopback

Logins = tuple[Secrets, Users | None]
UNITS = Path("/etc/systemd/system")
SYSTEMD = Path("/run/systemd/system")
INSTALLED = Path("/etc/coinex")
ANSWER_S = 5.0
TIME_ERROR = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `doctor`."""
    parser.add_argument(
        "--ask-exchange", action="store_true", help="compare the clock with Binance's, too"
    )


def doctor(options: argparse.Namespace) -> int:
    """Print a line for each part of the environment; return failure if one is wrong."""
    wrong = 0
    for finding in _findings(options):
        print(f"{finding.verdict:<6} {finding.part}: {finding.text}", flush=True)
        wrong += finding.verdict == "wrong"
    print(f"{wrong} wrong" if wrong else "nothing is wrong")
    return EXIT_FAILED if wrong else EXIT_OK


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    running = find_running(Path(options.config), options.set)
    state_dir = running.state_dir
    yield probes.python(sys.version_info[:3])
    config: Config | None = None
    try:
        config = load(Path(options.config), options.set, mode=options.mode)
        yield Finding("configuration", "ok", f"{options.config}, mode {config.mode}")
    except ConfigError as error:
        found = count(len(error.faults), "fault")
        text = f"{found}, the first: {error.faults[0]}; `coinex check` shows all"
        yield Finding("configuration", "wrong", text)
    own, finding = _platform(running)
    yield finding
    if config is None:
        yield Finding("redis, ports", "note", "unknown until the configuration can be read")
    else:
        logins, finding = _logins(config, options.environment)
        yield finding
        yield _redis(config, state_dir, options.environment, logins)
        yield from probes.ports(listeners(config), own, ports.taken)
    yield _clock(config if options.ask_exchange else None, state_dir)
    there, is_writable = probes.can_write(state_dir)
    yield from probes.disk(state_dir, shutil.disk_usage(there).free, is_writable)
    yield from probes.permissions(
        (Path(options.config), state_dir),
        _secret_files(Path(options.config), state_dir, config),
        state_dir.parents,
        preflight.still_open(state_dir),
    )
    states = _unit_states(Path(options.config))
    yield from probes.units(SYSTEMD.is_dir(), states)
    yield probes.charts(chart_library(ROOT))


def _platform(running: RunningPlatform) -> tuple[dict[str, int | None], Finding]:
    """Return the ports of a running platform's actors, and the finding about it."""
    if not preflight.is_running(running.state_dir):
        return {}, Finding(
            "platform", "ok", f"none runs on {running.state_dir}; `coinex run` starts it"
        )
    try:
        body = ask_status(running.socket, ANSWER_S)
    except (OSError, PlatformError) as error:
        text = (
            f"a supervisor holds {running.state_dir} and does not answer ({error}); look at its log"
        )
        return {}, Finding("platform", "wrong", text)
    own = {row["name"]: row["port"] for row in body["actors"]}
    pid = body["supervisor"]["pid"]
    return own, Finding("platform", "ok", f"runs on {running.state_dir}, pid {pid}")


def _logins(config: Config, environment: MutableMapping[str, str]) -> tuple[Logins | None, Finding]:
    """Return the secrets and Redis users, None if they are wrong, and the finding about them."""
    try:
        secrets, users = preflight.take_logins(config, environment)
    except ConfigError as error:
        return None, Finding("secrets", "wrong", "; ".join(error.faults))
    if renamed := secrets.renamed():
        return (secrets, users), Finding("secrets", "note", "; ".join(renamed))
    return (secrets, users), Finding("secrets", "ok", "none is malformed")


def _redis(
    config: Config, state_dir: Path, environment: Mapping[str, str], logins: Logins | None
) -> Finding:
    def own() -> Finding:
        files, path = RedisFiles(state_dir / "redis"), os.get_exec_path(environment)
        return probes.embedded_redis(lambda: choose_binary(files, path, config.mode))

    section = config.redis
    is_own = starts_own(section, config.mode)
    if is_own:
        return own()
    if logins is None:
        return Finding("redis", "note", "unknown until its secrets can be read")
    secrets, users = logins
    url = secrets.into_url(section.url)
    if users is not None:
        url = users.into_url(url, Role.SUPERVISOR)
    given = urlsplit(url)
    failure, version = asyncio.run(_answer(url))
    may_start_one = is_own is None and is_loopback(given.hostname or "localhost")
    if failure is not None and may_start_one and ports.is_free(given.port or 6379):
        return own()
    return probes.external_redis(
        given.netloc.rpartition("@")[2] or given.path,
        failure,
        version,
        has_login=given.password is not None,
    )


async def _answer(url: str) -> tuple[BusUnavailable | None, tuple[int, int] | None]:
    failure = await probe(url, name="operator", timeout_s=ANSWER_S)
    version = None if failure else await server_version(url, timeout_s=ANSWER_S)
    return failure, version


def _clock(config: Config | None, state_dir: Path) -> Finding:
    """Check the clock; with a configuration, against its exchange's as well."""
    is_synchronised = kernel_says_synchronised()
    if config is None:
        return probes.clock(is_synchronised, None)
    clock = SystemClock()
    before_s = clock.monotonic()
    try:
        offset_ms = asyncio.run(exchange_offset_ms(config, state_dir, clock))
    except PlatformError as error:
        text = f"unknown whether it is right: the exchange does not tell the time ({error})"
        return Finding("clock", "note", text)
    return probes.clock(is_synchronised, -offset_ms, (clock.monotonic() - before_s) * 1000 / 2)


async def exchange_offset_ms(config: Config, state_dir: Path, clock: SystemClock) -> int:
    """Return the exchange's time minus our own, unless a ban forbids to ask."""
    from shared.exchanges.binance.ban import BanFile  # noqa: PLC0415  # costs start-up time
    from shared.exchanges.binance.client import BinanceClient  # noqa: PLC0415
    from shared.http_client import open_session  # noqa: PLC0415

    async with open_session() as session:
        return await BinanceClient(
            session,
            base_url=config.binance.base_url,
            clock=clock,
            ban=BanFile(state_dir / "binance-ban"),
            timeout_s=ANSWER_S,
        ).sync_time()


def kernel_says_synchronised() -> bool | None:
    """Return whether the kernel reports a synchronised clock; None if it reports nothing."""
    timex = ctypes.create_string_buffer(1024)  # all zero: only reads
    state: int = ctypes.CDLL(None).adjtimex(timex)
    return None if state < 0 else state != TIME_ERROR


def _secret_files(config_path: Path, state_dir: Path, config: Config | None) -> Iterator[Path]:
    yield token_path(state_dir)
    yield state_dir / "redis"
    yield state_dir / "simulator" / "venue-keys.json"
    if _instance(config_path):
        yield config_path.parent / "credentials"
    if config is not None and config.redis.users_file is not None:
        yield Path(config.redis.users_file)


def _instance(config_path: Path) -> str:
    """Return the installed instance that has this configuration; "" for a checkout's."""
    folder = config_path.resolve().parent
    return folder.name if folder.parent == INSTALLED else ""


def _unit_states(config_path: Path) -> dict[str, str]:
    """Return the state of the instance's unit, or of all installed ones for a checkout."""
    instance = _instance(config_path)
    states = {}
    for name in (instance,) if instance else ("dev", "prod", "demo"):
        unit = f"coinex-platform@{name}.service"
        if (UNITS / unit).exists() and SYSTEMD.is_dir():
            asked = subprocess.run(
                ["systemctl", "is-active", unit], capture_output=True, text=True, check=False
            )
            states[unit] = asked.stdout.strip() or f"unknown ({asked.stderr.strip()})"
    return states
