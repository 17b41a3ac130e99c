"""Ports that a supervisor chooses for its listeners, on the real kernel."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from shared.config.ports import choose, free_port, is_free, taken


def test_a_free_port_is_none_that_the_kernel_gives_to_outgoing_connections() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = [free_port(rng=random.Random(seed)) for seed in range(50)]
    assert not [port for port in found if first <= port <= last]
    assert all(is_free(port) for port in found)


def test_a_port_that_is_held_or_promised_is_not_chosen() -> None:
    with socket.socket() as holder:
        held = free_port(rng=random.Random(1))
        holder.bind(("127.0.0.1", held))
        holder.listen()
        second = free_port(rng=random.Random(1))
        assert second != held
        assert free_port(rng=random.Random(1), exclude={second}) not in (held, second)


def test_each_listener_gets_a_port_of_its_own_and_keeps_it() -> None:
    wanted = {name: ("127.0.0.1", 0) for name in ("health", "dashboard", "exchange-sim")}
    chosen = choose(wanted, {})
    assert len(set(chosen.values())) == 3
    assert choose(wanted, chosen) == chosen
    assert choose({**wanted, "health": ("127.0.0.1", 8894)}, chosen)["health"] == 8894


@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_port_is_chosen_and_found_taken_on_ipv6_too(host: str) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    (port,) = choose({"health": (host, 0)}, {}).values()
    with socket.socket(socket.AF_INET6) as holder:
        holder.bind(("::1", port))
        holder.listen()
        (fault,) = taken({"health": (host, port)})
        assert fault.startswith(f"health.port: {port} on {host} is held by ")
        assert is_free(port, "127.0.0.1")


def test_a_host_that_is_none_of_this_machine_is_named() -> None:
    (fault,) = taken({"trader-api": ("2001:db8::1", 8895)})
    assert fault.startswith("trader_api.host, trader_api.port: [2001:db8::1]:8895 cannot be used (")
    (fault,) = taken({"health": ("no.such.host.invalid", 8894)})
    assert fault.startswith("health.host, health.port: no.such.host.invalid:8894 cannot be used (")
