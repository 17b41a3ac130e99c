"""Addresses of our own servers, as a person or a client may use them."""

from __future__ import annotations

import pytest

from shared.web.hosts import base_url, host_name, host_port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8892"),
        ("0.0.0.0", "http://127.0.0.1:8892"),
        ("::1", "http://[::1]:8892"),
        ("::", "http://[::1]:8892"),
        ("vm.example", "http://vm.example:8892"),
    ],
)
def test_the_address_of_a_server_can_be_opened(host: str, url: str) -> None:
    assert base_url(host, 8892) == url


def test_an_ipv6_address_is_told_from_its_port() -> None:
    assert host_port("2001:db8::1", 80) == "[2001:db8::1]:80"
    assert host_name(host_port("::1", 80)) == "::1"
