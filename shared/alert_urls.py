"""The URLs of alert services: webhook, Telegram, Discord and everything else apprise supports."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.errors import ConfigError

if TYPE_CHECKING:
    from apprise import NotifyBase

# apprise and its HTTP libraries: their log lines may contain whole URLs.
_CHATTY = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "charset_normalizer")


def service_name(number: int, url: str) -> str:
    """Return how a service is called in logs: by number and scheme, without the secret URL."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", url)
    return f"{number} ({scheme[0].lower() if scheme else 'no scheme'})"


def parse_urls(urls: Sequence[str]) -> list[NotifyBase]:
    """Return a plugin per URL; nothing is sent. Blocks for a second or two to load the library.

    A plugin follows no redirect unless its URL says `redirect=yes`: most redirects turn a POST into
    a GET, which is answered 200 and delivers nothing.

    Raises:
        ConfigError: No service matches a URL. The text does not contain the URL.
    """
    for chatty in _CHATTY:
        log = logging.getLogger(chatty)
        log.propagate = False
        log.addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        # raised by the library and what its services import
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # noqa: PLC0415  # loaded by the few that need it

        asset = apprise.AppriseAsset(http_redirects=False)
        found = [apprise.Apprise.instantiate(url, asset=asset) for url in urls]
    faults = [
        f"service {service_name(number, url)} of COINEX_ALERT_URLS (credential alert_urls): not a "
        "URL of a known service; expected one such as json://host/path, tgram://token/chat or "
        "discord://id/token; correct it"
        for number, (url, plugin) in enumerate(zip(urls, found, strict=True), 1)
        if plugin is None
    ]
    if faults:
        raise ConfigError(faults)
    return [plugin for plugin in found if plugin is not None]
