"""What the HTTP calls of an alert service say about a message, which apprise keeps to itself.

It reports success or failure only: not whether a failed call may have delivered its message, nor
how long a service wants to be left alone. It also reads a body to its end, however long.
"""

from __future__ import annotations

import contextlib
import io
import threading
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from shared.clock import Clock
from shared.decimals import decimal_of

LONGEST_BODY = 64 * 1024
LONGEST_PAUSE_S = 3600.0

# Cloudflare's 524: the connection was made, the answer did not come in time
_PERHAPS_DELIVERED = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524})


class HttpCall(threading.Thread):
    """A thread that makes HTTP calls.

    Attributes:
        perhaps_delivered: The last call was sent, and nothing says what became of it.
        retry_after_s: Asked for by its answer.
    """

    perhaps_delivered = False
    retry_after_s = 0.0


def watch_http(body_s: float, clock: Clock) -> None:
    """From now on, let `requests` record each call in its `HttpCall`, and bound each body.

    Args:
        body_s: How long a body is read.
    """
    from requests import adapters, exceptions, sessions  # noqa: PLC0415  # costs memory
    from urllib3.exceptions import ProtocolError  # noqa: PLC0415

    class WatchedAdapter(adapters.HTTPAdapter):
        def send(self, request: Any, stream: bool = False, *args: Any, **options: Any) -> Any:
            call = threading.current_thread()
            if not isinstance(call, HttpCall):
                return super().send(request, stream, *args, **options)
            call.perhaps_delivered, call.retry_after_s = False, 0.0
            try:
                response = super().send(request, True, *args, **options)
            except exceptions.ReadTimeout:
                call.perhaps_delivered = True
                raise
            except exceptions.ConnectionError as error:
                # the connection broke; before it was made, it is another error
                call.perhaps_delivered = isinstance(error.args[0], ProtocolError | OSError)
                raise
            call.perhaps_delivered = response.status_code in _PERHAPS_DELIVERED
            asked = response.headers.get("Retry-After", "")
            call.retry_after_s = retry_after_s(asked, clock.now_ms())
            response.raw = io.BytesIO(_beginning(response.raw, body_s, clock))
            return response

    sessions.HTTPAdapter = WatchedAdapter  # type: ignore[attr-defined]


def retry_after_s(header: str, now_ms: int) -> float:
    """Return the seconds a `Retry-After` asks for, seconds or a date; 0 if it is neither."""
    number = decimal_of(header)
    if number is not None:
        seconds = float(number)
    else:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now_ms / 1000
        except (ValueError, OverflowError):
            return 0.0
    return min(seconds, LONGEST_PAUSE_S) if seconds > 0 else 0.0


def _beginning(raw: Any, body_s: float, clock: Clock) -> bytes:
    """Return what arrives of a body within its bounds: the status has come, and it counts."""
    end, body = clock.monotonic() + body_s, b""
    with contextlib.suppress(Exception):
        while len(body) < LONGEST_BODY and clock.monotonic() < end:
            part = raw.read1(LONGEST_BODY - len(body), decode_content=True)
            if not part:
                break
            body += part
    with contextlib.suppress(Exception):
        raw.close()
    return body
