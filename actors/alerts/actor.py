"""Sends alerts when problems begin and end, through the services of COINEX_ALERT_URLS.

Reads `health:latest`; also alerts when health or Redis does not answer. State is kept in
`state_dir/alerts.json`, so that a restart repeats no alert. A failing service is retried with
capped jitter and does not delay the others.
"""

from __future__ import annotations

import asyncio
import contextlib

from actors.alerts.outbox import Outbox
from actors.alerts.policy import BusState, next_alert, observe
from actors.alerts.services import open_services
from actors.alerts.state import AlertFile, AlertState
from actors.base import Actor, Context
from shared import codec, schema
from shared.config.sections import AlertsSection
from shared.errors import BusUnavailable, ConfigError
from shared.messages.actors import HealthNote

CHECK_S = 1.0
SAVE_S = 1.0
"""How long a write of the state is awaited; a stalled disk delays no alert."""

ANSWERS_S = 2.0


class Alerts(Actor):
    """Watches health and sends alerts."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._settings = codec.from_plain(
            AlertsSection, context.section["alerts"], "config: alerts"
        )
        self._began_ms = self.clock.now_ms()
        self._file = AlertFile(context.state_dir, context.log)
        self._alert_log = AlertState().book
        self._outboxes: list[Outbox] = []
        self._saving: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        """Load the services and the state of the previous run.

        Raises:
            ConfigError: No service is configured, or a URL is invalid.
        """
        urls, timeout_s = self.context.alert_urls, self._settings.timeout_s
        if not urls:
            raise ConfigError(
                [
                    "alerts.enabled: found true without a service to tell; give their URLs in "
                    "COINEX_ALERT_URLS or the systemd credential alert_urls and restart the "
                    "platform (a reload reads no secrets), or set it to false"
                ]
            )
        self.doing("loading the services")
        services = await asyncio.to_thread(open_services, urls, timeout_s, self.clock)
        state = self._file.read()
        self._alert_log = state.book
        for index, service in enumerate(services):
            outbox = Outbox(
                service,
                state.waiting[index] if index < len(state.waiting) else (),
                timeout_s=timeout_s,
                clock=self.clock,
                rng=self.context.rng,
                log=self.log,
                save=self._save,
                on_change=self.wake,
            )
            self._outboxes.append(outbox)
            self.background(outbox.run(), f"service {service.name}")
        self.doing("watching")

    async def step(self) -> float:
        """Read health once and send the alerts that are due."""
        note: HealthNote | None = None
        with contextlib.suppress(BusUnavailable):  # logged by the bus, alerted on if it lasts
            note = await self.bus.get(schema.HEALTH)
        now_ms = self.clock.now_ms()
        bus = BusState(
            status=self.bus.status.value,
            since_ms=self.bus.status_since_ms,
            reason=self.bus.reason,
            began_ms=self._began_ms,
        )
        observation = observe(note, bus, self.context.mode, now_ms)
        self._alert_log, alert = next_alert(self._alert_log, observation, now_ms, self._settings)
        if alert is not None:
            for outbox in self._outboxes:
                outbox.put(alert)
        self._report()
        await self._save()
        self.ready()
        return CHECK_S

    async def drain(self) -> None:
        """Wait a moment for answers: what is not answered is sent again after a restart."""
        end = self.clock.monotonic() + ANSWERS_S
        while any(box.is_sending for box in self._outboxes) and self.clock.monotonic() < end:
            await self.clock.sleep(0.05)

    async def teardown(self) -> None:
        if self._outboxes:
            await self._save()

    async def _save(self) -> None:
        """Write the state if it changed; wait for it a second at most."""
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._write())
        await asyncio.wait({self._saving}, timeout=SAVE_S)

    async def _write(self) -> None:
        written: AlertState | None = None
        while written != (state := self._to_keep()):  # it may change meanwhile
            await asyncio.to_thread(self._file.write, state)
            written = state

    def _to_keep(self) -> AlertState:
        waiting = [outbox.waiting() for outbox in self._outboxes]
        return AlertState(book=self._alert_log, waiting=waiting)

    def _report(self) -> None:
        self.detail |= {
            "services": len(self._outboxes),
            "open": sum(problem.gone_ms is None for problem in self._alert_log.told),
            "held_back": self._alert_log.held_count,
            "sent": sum(outbox.sent for outbox in self._outboxes),
            "waiting": sum(len(outbox.waiting()) for outbox in self._outboxes),
            "dropped": sum(outbox.dropped for outbox in self._outboxes),
            "uncertain": sum(outbox.uncertain for outbox in self._outboxes),
        }
        failing = [f"service {box.name}: {box.trouble}" for box in self._outboxes if box.trouble]
        self.detail.pop("retrying", None)
        if failing:
            self.detail["retrying"] = "; ".join(failing)
