"""Allowed hosts and security headers of the page. There is no login."""

from __future__ import annotations

from collections.abc import Sequence

from shared.web.guard import Guard

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Server": "dashboard",
}


def page_guard(allowed_hosts: Sequence[str]) -> Guard:
    """Return the guard of the page for `dashboard.allowed_hosts`."""
    return Guard(allowed_hosts, setting="dashboard.allowed_hosts", headers=HEADERS)
