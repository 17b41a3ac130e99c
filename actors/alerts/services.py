"""Alert services: webhook, Telegram, Discord and everything else apprise supports.

Their URLs contain secrets: services are named by number and scheme, and every part of a URL is
masked in a library's error texts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from shared.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from apprise import NotifyBase

LOOKS_SECRET = 4
"""Parts of a URL from this length on are masked."""

SHOWN = 200

# apprise and its HTTP libraries: their log lines may contain whole URLs.
_CHATTY = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "charset_normalizer")


class ServiceFailed(TransientError):
    """A service did not accept a message, or not in time."""


class Service:
    """One service; sends one message at a time.

    Args:
        name: For logs: number and scheme.
        url: Secret.
        notify: Sends title and body and returns success; blocks.
    """

    def __init__(self, name: str, url: str, notify: Callable[[str, str], bool]) -> None:
        self.name = name
        self._secrets = _secret_parts(url)
        self._notify = notify
        self._busy = False

    async def send(self, title: str, body: str, timeout_s: float) -> None:
        """Send one message in a thread of its own, which is abandoned after the timeout.

        Raises:
            ServiceFailed: It was refused or timed out, or the thread of the previous message
                is still running.
        """
        if self._busy:
            raise ServiceFailed("it has not come back from the message before")
        self._busy = True
        warning = _LastWarning()
        try:
            async with asyncio.timeout(timeout_s):
                taken = await _in_thread(lambda: self._call(title, body, warning), self.name)
        except TimeoutError:
            raise ServiceFailed(f"no answer within {timeout_s:g} s") from None
        if not taken:
            raise ServiceFailed(self._masked(warning.text) or "it refused the message")

    def _call(self, title: str, body: str, warning: _LastWarning) -> bool:
        log = logging.getLogger("apprise")
        log.addHandler(warning)
        try:
            return self._notify(title, body)
        except Exception as error:  # noqa: BLE001  # third-party code: any error is reported
            warning.text = f"{type(error).__name__}: {error}"
            return False
        finally:
            log.removeHandler(warning)
            self._busy = False

    def _masked(self, text: str) -> str:
        for part in self._secrets:
            text = text.replace(part, "***")
        return text[:SHOWN]


class _LastWarning(logging.Handler):
    """Keeps the last warning that the library logged in one message's thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName == threading.current_thread().name:
            self.text = record.getMessage()


def open_services(urls: Sequence[str], timeout_s: float) -> list[Service]:
    """Return a service per URL. Blocks for a second or two to load the library.

    Args:
        timeout_s: For connecting and for each read.

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
        import apprise  # noqa: PLC0415  # the one actor that needs it pays for it

        plugins = [apprise.Apprise.instantiate(url) for url in urls]
    services, faults = [], []
    for number, (url, plugin) in enumerate(zip(urls, plugins, strict=True), 1):
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", url)
        name = f"{number} ({scheme[0].lower() if scheme else 'no scheme'})"
        if plugin is None:
            faults.append(
                f"service {name} of COINEX_ALERT_URLS (credential alert_urls): not a URL of a "
                "known service; expected one such as json://host/path, tgram://token/chat or "
                "discord://id/token; correct it"
            )
            continue
        plugin.socket_connect_timeout = plugin.socket_read_timeout = timeout_s
        services.append(Service(name, url, _notify(plugin)))
    if faults:
        raise ConfigError(faults)
    return services


def _notify(plugin: NotifyBase) -> Callable[[str, str], bool]:
    return lambda title, body: bool(plugin.notify(title=title, body=body))


def _secret_parts(url: str) -> list[str]:
    """Return the parts of a URL but its scheme, encoded and decoded, longest first."""
    encoded = re.split(r"[/:@?&=#,]+", url.partition("://")[2])
    parts = [*encoded, *map(unquote, encoded), *map(unquote_plus, encoded)]
    return sorted({url, *(p for p in parts if len(p) >= LOOKS_SECRET)}, key=len, reverse=True)


async def _in_thread(work: Callable[[], bool], name: str) -> bool:
    """Run `work` in a daemon thread, so that a hanging call does not block exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def settle(result: bool) -> None:
        if not done.done():
            done.set_result(result)

    def run() -> None:
        result = work()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name=f"service {name}", daemon=True).start()
    return await done
