"""Host names: in Host and Origin headers, and in the addresses of our own servers."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # compared with, not bound


def host_port(host: str, port: int) -> str:
    """Return `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def base_url(host: str, port: int) -> str:
    """Return the URL under which this machine reaches a server of ours that listens on `host`."""
    return f"http://{host_port(_EVERYWHERE.get(host, host), port)}"


def host_name(host: str) -> str | None:
    """Return the lower-case name in a Host header, without port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return parts.hostname


def is_loopback(name: str) -> bool:
    """Return whether a host name always means the local machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether `origin` is on `host`; an opaque origin is not."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
