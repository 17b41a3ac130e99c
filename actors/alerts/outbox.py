"""The queue of one service: in order, retried until accepted, bounded to the newest messages."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence

from actors.alerts.policy import Alert
from actors.alerts.services import Service, ServiceFailed
from shared.backoff import backoff_s
from shared.clock import Clock

MOST_WAITING = 20
RETRY_FIRST_S, RETRY_CAP_S = 5.0, 300.0


class Outbox:
    """Sends messages to one service, retrying with capped jitter.

    Args:
        waiting: Left over from the previous run, oldest first.
        timeout_s: Per message.
        taken: Called when the service has accepted a message.

    Attributes:
        trouble: Why the service fails; "" while it works.
        sent: Messages it accepted.
        dropped: Messages dropped for newer ones while it failed.
    """

    def __init__(
        self,
        service: Service,
        waiting: Sequence[Alert],
        *,
        timeout_s: float,
        clock: Clock,
        rng: random.Random,
        log: logging.Logger,
        on_sent: Callable[[], None],
    ) -> None:
        self.name = service.name
        self.trouble = ""
        self.sent = self.dropped = 0
        self._service = service
        self._waiting = deque(waiting, MOST_WAITING)
        self._timeout_s = timeout_s
        self._clock = clock
        self._rng = rng
        self._log = log
        self._on_sent = on_sent
        self._any = asyncio.Event()
        if self._waiting:
            self._any.set()

    def put(self, alert: Alert) -> None:
        """Add a message; when full, drop and count the oldest."""
        self.dropped += len(self._waiting) == MOST_WAITING
        self._waiting.append(alert)
        self._any.set()

    def waiting(self) -> list[Alert]:
        """Return the unsent messages, oldest first."""
        return list(self._waiting)

    async def run(self) -> None:
        """Send for ever; a failure and the recovery are logged once each.

        A message that timed out is sent again, even if it may have arrived.
        """
        failures = 0
        while True:
            await self._any.wait()
            alert = self._waiting[0]
            try:
                await self._service.send(alert.title, alert.body, self._timeout_s)
            except ServiceFailed as error:
                failures += 1
                self.trouble = str(error)
                if failures == 1:
                    self._log.warning("service %s takes no messages: %s", self.name, error)
                pause_s = backoff_s(failures, RETRY_FIRST_S, RETRY_CAP_S, self._rng.random())
                await self._clock.sleep(pause_s)
                continue
            if failures:
                self._log.info("service %s takes messages again", self.name)
            failures, self.trouble = 0, ""
            self.sent += 1
            if self._waiting and self._waiting[0] is alert:
                self._waiting.popleft()
            if not self._waiting:
                self._any.clear()
            self._on_sent()
