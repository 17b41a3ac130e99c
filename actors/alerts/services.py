"""Alert services: what sends one message, and what became of it.

Their URLs contain secrets: services are named by number and scheme, and every part of a URL is
masked in a library's error texts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, unquote_plus

from actors.alerts.http_calls import HttpCall, watch_http
from shared.alert_urls import parse_urls, service_name
from shared.clock import Clock
from shared.errors import TransientError, shortened

LOOKS_SECRET = 4
"""Parts of a URL from this length on are masked."""

SHOWN = 200
PATIENCE = 6
"""An answer is awaited for this many times `timeout_s`; from one on, other messages are sent."""

MOST_RUNNING = 4
"""Calls of one service that may be unanswered at once."""


class ServiceFailed(TransientError):
    """A service did not accept a message, as far as is known.

    Attributes:
        perhaps_delivered: The message was sent, and nothing says what became of it.
        retry_after_s: How long the service asked to be left alone.
    """

    def __init__(
        self, text: str, *, perhaps_delivered: bool = False, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(text)
        self.perhaps_delivered = perhaps_delivered
        self.retry_after_s = retry_after_s


class Service:
    """One service.

    Args:
        name: For logs: number and scheme.
        url: Secret.
        notify: Sends title and body and returns success; blocks, in several threads at once.
        patience_s: How long an answer is awaited.

    Attributes:
        free: Set while fewer than `MOST_RUNNING` calls are unanswered.
    """

    def __init__(
        self, name: str, url: str, notify: Callable[[str, str], bool], patience_s: float
    ) -> None:
        self.name = name
        self.free = asyncio.Event()
        self.free.set()
        self._secrets = _secret_parts(url)
        self._notify = notify
        self._patience_s = patience_s
        self._running = 0

    async def send(self, title: str, body: str) -> None:
        """Send one message in a thread of its own, which is abandoned when patience ends.

        Raises:
            ServiceFailed: It was refused, or nothing says whether it was delivered.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        call = _Call(self.name, lambda: self._notify(title, body), self._ended, done)
        self._running += 1
        if self._running >= MOST_RUNNING:
            self.free.clear()
        call.start()
        try:
            async with asyncio.timeout(self._patience_s):
                is_taken = await done
        except TimeoutError:
            text = f"no answer within {self._patience_s:g} s"
            raise ServiceFailed(text, perhaps_delivered=True) from None
        if not is_taken:
            raise ServiceFailed(
                self._masked(call.warning) or "it refused the message",
                perhaps_delivered=call.perhaps_delivered,
                retry_after_s=call.retry_after_s,
            )

    def _ended(self) -> None:
        self._running -= 1
        self.free.set()

    def _masked(self, text: str) -> str:
        for part in self._secrets:
            text = text.replace(part, "***")
        return shortened(text, SHOWN)


class _Call(HttpCall):
    """One message on its way. A daemon thread, so that a hanging call does not block exit."""

    def __init__(
        self,
        name: str,
        notify: Callable[[], bool],
        on_end: Callable[[], None],
        done: asyncio.Future[bool],
    ) -> None:
        super().__init__(name=f"service {name}", daemon=True)
        self.warning = ""
        self._notify = notify
        self._on_end = on_end
        self._done = done
        self._loop = done.get_loop()

    def run(self) -> None:
        log = logging.getLogger("apprise")
        heard = _LastWarning(self)
        log.addHandler(heard)
        try:
            is_taken = self._notify()
        except Exception as error:  # noqa: BLE001  # third-party code: any error is reported
            self.warning = f"{type(error).__name__}: {error}"
            is_taken = False
        finally:
            log.removeHandler(heard)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, is_taken)

    def _settle(self, is_taken: bool) -> None:
        self._on_end()
        if not self._done.done():
            self._done.set_result(is_taken)


class _LastWarning(logging.Handler):
    """Keeps the last warning that the library logged in one message's thread."""

    def __init__(self, call: _Call) -> None:
        super().__init__(logging.WARNING)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is self._call:
            self._call.warning = record.getMessage()


def open_services(urls: Sequence[str], timeout_s: float, clock: Clock) -> list[Service]:
    """Return a service per URL. Blocks for a second or two to load the library.

    Args:
        timeout_s: For connecting; an answer may take several times as long.

    Raises:
        ConfigError: No service matches a URL. The text does not contain the URL.
    """
    plugins = parse_urls(urls)
    watch_http(timeout_s, clock)
    services = []
    for number, (url, plugin) in enumerate(zip(urls, plugins, strict=True), 1):
        plugin.socket_connect_timeout = timeout_s
        plugin.socket_read_timeout = (PATIENCE - 1) * timeout_s  # ends before patience does
        name = service_name(number, url)
        services.append(Service(name, url, _notify(plugin), PATIENCE * timeout_s))
    return services


def _notify(plugin: Any) -> Callable[[str, str], bool]:
    return lambda title, body: bool(plugin.notify(title=title, body=body))


def _secret_parts(url: str) -> list[str]:
    """Return the parts of a URL but its scheme, encoded and decoded, longest first."""
    encoded = re.split(r"[/:@?&=#,]+", url.partition("://")[2])
    parts = [*encoded, *map(unquote, encoded), *map(unquote_plus, encoded)]
    return sorted({url, *(p for p in parts if len(p) >= LOOKS_SECRET)}, key=len, reverse=True)
