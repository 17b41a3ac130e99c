"""Ports of the actors that listen: choose free ones, report taken ones."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil

from shared.web.hosts import host_port

UNPRIVILEGED = range(10_240, 65_536)
"""Where to search for free ports: above well-known ones."""

_TRIES = 100


def choose(wanted: Mapping[str, tuple[str, int]], kept: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each listener.

    Args:
        wanted: Host and configured port of each; 0 means any free one.
        kept: Ports chosen before, kept if the configuration still has 0.
    """
    chosen: dict[str, int] = {}
    for name, (host, port) in wanted.items():
        exclude = {*chosen.values(), *kept.values(), *(fixed for _, fixed in wanted.values())}
        chosen[name] = port or kept.get(name) or free_port(host, exclude=exclude)
    return chosen


def taken(wanted: Mapping[str, tuple[str, int]]) -> list[str]:
    """Return a fault for each fixed port that cannot be bound."""
    faults = []
    for name, (host, port) in wanted.items():
        refusal = _refusal(host, port) if port else None
        if refusal is not None:
            faults.append(_fault(name, host, port, refusal))
    return faults


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen there now."""
    return _refusal(host, port) is None


def _refusal(host: str, port: int) -> OSError | None:
    try:
        _bound(host, port)
    except OSError as error:
        return error
    return None


def _bound(host: str, port: int) -> int:
    """Bind every address of a host, as a server does, and let go; return the port of the last."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)
            port = trial.getsockname()[1]
    return port


def free_port(
    host: str = "127.0.0.1", *, exclude: Collection[int] = (), rng: random.Random | None = None
) -> int:
    """Return a free port outside the kernel's range for outgoing connections.

    A port of that range may be taken by a connection, such as ours to Redis, before the server
    listens.

    Args:
        exclude: Ports not to return.
        rng: Chooses where to start, so that two supervisors that start at once rarely collide.
    """
    rng = rng or random.Random()
    ephemeral = _ephemeral()
    for _ in range(_TRIES):
        port = rng.choice(UNPRIVILEGED)
        if port not in exclude and port not in ephemeral and is_free(port, host):
            return port
    return _bound(host, 0)


def _ephemeral() -> range:
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return range(int(first), int(last) + 1)
    except (OSError, ValueError):
        return range(32_768, 61_000)


def _fault(name: str, host: str, port: int, error: OSError) -> str:
    section = {"exchange-sim": "simulator"}.get(name, name.replace("-", "_"))
    if error.errno != errno.EADDRINUSE:
        address = host_port(host, port)
        return f"{section}.host, {section}.port: {address} cannot be used ({error.strerror})"
    return (
        f"{section}.port: {port} on {host} is held by {holder(port)}; "
        f"end that, or choose another port or 0 (any free one)"
    )


def holder(port: int) -> str:
    """Return which process listens on a port of this machine, in words."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # not allowed to look
    return "another process"
