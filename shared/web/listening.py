"""Start an actor's web server on its configured port."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

from shared.errors import TransientError
from shared.web.connection_limit import ConnectionLimit
from shared.web.hosts import host_port

SHUTDOWN_S = 1.0
MOST_CONNECTIONS = 256


def _briefly(record: logging.LogRecord) -> bool:
    """Remove the payload from a bad request's log record: it may contain a token."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg += ": it is no HTTP"
    return True


async def listen(
    app: web.Application, *, section: str, host: str, port: int, **options: Any
) -> web.AppRunner:
    """Return the runner of a listening web application; `cleanup` stops it.

    It has at most `MOST_CONNECTIONS` besides its websockets.

    Args:
        section: Configuration section of host and port, for the error.
        options: Passed to the runner.

    Raises:
        TransientError: The port cannot be bound now.
    """
    server_logger.addFilter(_briefly)
    limit = ConnectionLimit(MOST_CONNECTIONS)
    limit.install(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, **options)
    await runner.setup()
    assert runner.server is not None
    limit.watch(runner.server)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise TransientError(
            f"{section}.port: cannot listen on {host_port(host, port)} ({error.strerror}); end "
            "what holds it, or choose another port"
        ) from error
    return runner
