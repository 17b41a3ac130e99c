"""Ports for the actors that listen: free ones chosen once, taken ones reported."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil

UNPRIVILEGED = range(10_240, 65_536)
"""Where free ports are looked for: above those that services are known by."""

_TRIES = 100


def choose(wanted: Mapping[str, tuple[str, int]], kept: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each listener.

    Args:
        wanted: Host and configured port of each; 0 means any free one.
        kept: Ports chosen before, kept where the configuration still says 0.
    """
    chosen: dict[str, int] = {}
    for name, (host, port) in wanted.items():
        but = {*chosen.values(), *kept.values(), *(fixed for _, fixed in wanted.values())}
        chosen[name] = port or kept.get(name) or free_port(host, but=but)
    return chosen


def taken(wanted: Mapping[str, tuple[str, int]]) -> list[str]:
    """Return a fault for each fixed port that cannot be had."""
    faults = []
    for name, (host, port) in wanted.items():
        refusal = _refusal(host, port) if port else None
        if refusal is not None:
            faults.append(_fault(name, host, port, refusal))
    return faults


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen there now."""
    return _refusal(host, port) is None


def _refusal(host: str, port: int) -> OSError | None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            return error
    return None


def free_port(
    host: str = "127.0.0.1", *, but: Collection[int] = (), rng: random.Random | None = None
) -> int:
    """Return a port nobody holds now, and that no outgoing connection will be given later.

    The kernel hands out ports of one range to connections, ours to Redis among them; a server
    told to listen on one of those may find it taken.

    Args:
        but: Ports not to return.
        rng: Where to look first; two supervisors that start at once look in different places.
    """
    rng = rng or random.Random()
    handed_out = _handed_out()
    for _ in range(_TRIES):
        port = rng.choice(UNPRIVILEGED)
        if port not in but and port not in handed_out and is_free(port, host):
            return port
    with socket.socket() as trial:
        trial.bind((host, 0))
        last_resort: int = trial.getsockname()[1]
        return last_resort


def _handed_out() -> range:
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return range(int(first), int(last) + 1)
    except (OSError, ValueError):
        return range(32_768, 61_000)


def _fault(name: str, host: str, port: int, error: OSError) -> str:
    section = {"exchange-sim": "simulator"}.get(name, name.replace("-", "_"))
    if error.errno != errno.EADDRINUSE:
        return f"{section}.host, {section}.port: {host}:{port} cannot be used ({error.strerror})"
    return (
        f"{section}.port: {port} on {host} is held by {holder(port)}; "
        f"end that, or choose another port or 0 (any free one)"
    )


def holder(port: int) -> str:
    """Return who listens on a port of this machine, in words."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # not allowed to look
    return "another process"
