"""The queue of one service: in order, grave messages first, retried, the newest kept."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from actors.alerts.policy import Alert
from actors.alerts.services import Service, ServiceFailed
from shared.backoff import backoff_s
from shared.clock import Clock

MOST_WAITING = 20
RETRY_FIRST_S, RETRY_CAP_S = 5.0, 300.0

MOST_TRIES = 3
"""How often a message is sent that was perhaps delivered each time."""

UNSURE_FIRST_S, UNSURE_FACTOR = 60.0, 10.0
"""Pause before such a message is sent again, and how much longer the next one is."""

RESUME_S = 10.0
"""Longest pause after a restart: the process may have ended before the message went out."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message not delivered yet, as far as is known.

    Attributes:
        due: Monotonic seconds before which it is not sent.
        is_out: It has been sent and not answered.
    """

    alert: Alert
    due: float
    is_out: bool = False


class Outbox:
    """Sends messages to one service.

    A refused message stays, and after a growing pause the next one is tried. One that was perhaps
    delivered steps aside: it is sent again later, `MOST_TRIES` times in all.

    Args:
        waiting: Left over from the previous run, oldest first.
        timeout_s: Without an answer for this long the next message is sent meanwhile.
        save: Saves what is waiting; awaited before each message, so that a crash repeats none
            at once.
        on_change: Called when a message has been answered.

    Attributes:
        trouble: Why the service fails; "" while it works.
        sent: Messages it accepted.
        dropped: Messages dropped for newer ones while it failed.
        uncertain: Messages perhaps delivered that are not sent again.
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
        save: Callable[[], Awaitable[None]],
        on_change: Callable[[], None],
    ) -> None:
        self.name = service.name
        self.trouble = ""
        self.sent = self.dropped = self.uncertain = 0
        self._service = service
        self._timeout_s = timeout_s
        self._clock = clock
        self._rng = rng
        self._log = log
        self._save = save
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._failures = 0
        self._was_logged = False
        self._opens = 0.0
        self._waiting: list[_Waiting] = []
        for alert in waiting:
            self._readmit(alert)

    def _readmit(self, alert: Alert) -> None:
        if alert.tries >= MOST_TRIES:
            self._give_up(alert)
            return
        left_s = (alert.due_ms - self._clock.now_ms()) / 1000
        pause_s = min(max(0.0, left_s), RESUME_S) if alert.tries else 0.0
        self._waiting.append(_Waiting(alert, self._clock.monotonic() + pause_s))

    def put(self, alert: Alert) -> None:
        """Add a message; when full, drop and count the oldest, a grave one last."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.remove(min(self._waiting, key=lambda each: each.alert.grave))
            self.dropped += 1
        self._waiting.append(_Waiting(alert, self._clock.monotonic()))
        self._changed.set()

    def waiting(self) -> list[Alert]:
        """Return the messages not delivered as far as is known, oldest first."""
        return [each.alert for each in self._waiting]

    @property
    def is_sending(self) -> bool:
        """Return whether a message is sent and not answered."""
        return any(each.is_out for each in self._waiting)

    async def run(self) -> None:
        """Send for ever; a failure and the recovery are logged once each."""
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await self._service.free.wait()
                message = await self._next()
                tries = message.alert.tries + 1  # taken back if it turns out not to be delivered
                due_ms = self._clock.now_ms() + round(1000 * _unsure_pause_s(tries))
                message.alert = dataclasses.replace(message.alert, tries=tries, due_ms=due_ms)
                message.is_out = True
                await self._save()
                delivery = deliveries.create_task(self._deliver(message))
                await asyncio.wait({delivery}, timeout=self._timeout_s)
                if not delivery.done():
                    self._fail(f"no answer within {self._timeout_s:g} s")

    async def _next(self) -> _Waiting:
        """Wait until a message is due, and return it."""
        while True:
            self._changed.clear()
            idle = [each for each in self._waiting if not each.is_out]
            due = max(self._opens, min((each.due for each in idle), default=float("inf")))
            now = self._clock.monotonic()
            if due <= now:
                ready = [each for each in idle if each.due <= now]
                ready.sort(key=lambda each: not each.alert.grave)
                # after a failure another one: the service may refuse only this message
                return ready[self._failures % len(ready)]
            await self._pause(due - now)

    async def _pause(self, seconds: float) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waits = [changed]
        if seconds != float("inf"):
            waits.append(asyncio.ensure_future(self._clock.sleep(seconds)))  # type: ignore[arg-type]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _deliver(self, message: _Waiting) -> None:
        """Send one message, and record what became of it."""
        alert, began = message.alert, self._clock.monotonic()
        try:
            await self._service.send(alert.title, alert.body)
        except ServiceFailed as error:
            self._fail(str(error))
            if error.perhaps_delivered:
                self._put_aside(message)
            else:
                message.alert = dataclasses.replace(alert, tries=alert.tries - 1, due_ms=0)
                self._close(error.retry_after_s)
        else:
            self._forget(message)
            self.sent += 1
            if self._was_logged and self._clock.monotonic() - began < self._timeout_s:
                self._was_logged = False
                self._log.info("service %s takes messages again", self.name)
            self._failures, self._opens, self.trouble = 0, 0.0, ""
        message.is_out = False
        self._changed.set()
        self._on_change()

    def _put_aside(self, message: _Waiting) -> None:
        message.due = self._clock.monotonic() + _unsure_pause_s(message.alert.tries)
        if message.alert.tries >= MOST_TRIES:
            self._forget(message)
            self._give_up(message.alert)

    def _close(self, at_least_s: float) -> None:
        """Send nothing for a while."""
        self._failures += 1
        pause_s = backoff_s(self._failures, RETRY_FIRST_S, RETRY_CAP_S, self._rng.random())
        self._opens = self._clock.monotonic() + max(pause_s, at_least_s)

    def _fail(self, why: str) -> None:
        if not self._was_logged:
            self._was_logged = True
            self._log.warning("service %s takes no messages: %s", self.name, why)
        self.trouble = why

    def _forget(self, message: _Waiting) -> None:
        if message in self._waiting:  # not dropped meanwhile
            self._waiting.remove(message)

    def _give_up(self, alert: Alert) -> None:
        self.uncertain += 1
        self._log.warning(
            "service %s: sent %d times without an answer and perhaps delivered, not sent again: %s",
            self.name, alert.tries, alert.title,
        )  # fmt: skip


def _unsure_pause_s(tries: int) -> float:
    return UNSURE_FIRST_S * UNSURE_FACTOR ** (tries - 1)
