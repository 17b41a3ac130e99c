"""Serves the platform's health over HTTP.

Writes `health:latest` for the alerts. Reads everything once a second
(`shared/health/snapshot.py`) and answers from memory, also while Redis is down. A response is
built at most four times a second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from actors.base import Actor, Context
from actors.health.disk_probe import DiskProbe
from actors.health.metrics import HealthMetrics
from actors.health.report import report
from actors.health.response_cache import Response, ResponseCache
from shared import codec, schema
from shared.config.sections import (
    AccountSection,
    FetcherSection,
    HealthSection,
    TraderSection,
)
from shared.errors import BusUnavailable
from shared.health.problems import noted
from shared.health.snapshot import SnapshotReader
from shared.health.verdict import Snapshot, Verdict, judge, limits_for
from shared.messages.actors import HealthNote, Heartbeat, NotedProblem
from shared.web.guard import Guard
from shared.web.listening import listen

REFRESH_S = 1.0
MAX_AGE_S = 0.25
JSON = "application/json"


class Health(Actor):
    """Serves `/health`, `/readyz`, `/livez` and `/metrics`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._settings = codec.from_plain(
            HealthSection, context.section["health"], "config: health"
        )
        fetcher = codec.from_plain(FetcherSection, context.section["fetcher"], "config: fetcher")
        account = codec.from_plain(AccountSection, context.section["account"], "config: account")
        trader = codec.from_plain(TraderSection, context.section["trader"], "config: trader")
        self._limits = limits_for(fetcher, account, trader)
        self._noted: list[NotedProblem] | None = None
        self._disk = DiskProbe(context.state_dir, self.clock)
        self._metrics = HealthMetrics(self._current, self._limits)
        self._snapshot = SnapshotReader(
            self.bus,
            self.clock,
            mode=context.mode,
            symbols=context.section["symbols"],
            actors=context.section["actors"],
            state_dir=context.state_dir,
            trader=trader.kind,
            timer_min=context.section["timer_min"],
        )

    async def setup(self) -> None:
        """Start listening.

        Raises:
            TransientError: The port is taken.
        """
        app = web.Application()
        Guard(
            [*self._settings.allowed_hosts, self._settings.host], setting="health.allowed_hosts"
        ).install(app)
        for path, make in (
            ("/health", self._health),
            ("/readyz", self._readyz),
            ("/livez", self._livez),
            ("/metrics", self._metrics_text),
        ):
            app.router.add_get(path, _cached(ResponseCache(make, MAX_AGE_S, self.clock)))
        runner = await listen(
            app, section="health", host=self._settings.host, port=self._settings.port
        )
        self.resources.push_async_callback(runner.cleanup)
        self.background(self._disk.run(), "disk")
        self.detail["port"] = runner.addresses[0][1]

    async def step(self) -> float:
        """Read everything once; without Redis the last snapshot ages."""
        try:
            await self._read()
            await self._publish()
        except BusUnavailable:  # logged by the bus, first on /health
            self._snapshot.see_redis()
            self._note()
        self.ready()
        return REFRESH_S

    async def _read(self) -> None:
        before = self._snapshot.seen.heartbeats
        await self.bus.ping()
        await self._snapshot.read()
        self._count_scans(before, self._snapshot.seen.heartbeats)

    async def _publish(self) -> None:
        if self._noted is None:  # problems of the previous run keep their start
            before = await self.bus.get(schema.HEALTH)
            self._noted = before.problems if before is not None else []
        await self.bus.put(schema.HEALTH, self._note())

    def _note(self) -> HealthNote:
        _, verdict, now_ms = self._current()
        problems = noted(verdict.found, self._noted or (), now_ms)
        if self._noted is not None:
            self._noted = problems
        return HealthNote(
            at_ms=now_ms, status=verdict.status, mode=self.context.mode, problems=problems
        )

    def _count_scans(
        self, earlier: Mapping[str, Heartbeat], newest: Mapping[str, Heartbeat]
    ) -> None:
        for name, beat in newest.items():
            before = earlier.get(name)
            finished = before is not None and beat.steps != before.steps
            if finished and beat.step_ms is not None and name.startswith("indicators-"):
                self._metrics.scan(name, beat.step_ms / 1000)

    def _current(self) -> tuple[Snapshot, Verdict, int]:
        seen, now_ms = self._snapshot.seen, self.clock.now_ms()
        seen = dataclasses.replace(seen, disk_stalled_s=self._disk.stalled_s)
        return seen, judge(seen, now_ms, self._limits), now_ms

    def _health(self) -> Response:
        seen, verdict, now_ms = self._current()
        body = report(seen, verdict, now_ms, self._limits)
        return _json(body, 503 if verdict.status == "down" else 200)

    def _readyz(self) -> Response:
        _, verdict, _ = self._current()
        body = {"status": verdict.status, "problems": verdict.problems}
        return _json(body, 200 if verdict.status == "ok" else 503)

    def _livez(self) -> Response:
        return _json({"status": "alive"}, 200)

    def _metrics_text(self) -> Response:
        return Response(body=self._metrics.text(), status=200, content_type=CONTENT_TYPE_LATEST)


def _cached(cache: ResponseCache) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(_: web.Request) -> web.StreamResponse:
        answer = cache.get()
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={"Content-Type": answer.content_type, "Cache-Control": "no-store"},
        )

    return serve


def _json(body: Any, status: int) -> Response:
    return Response(body=orjson.dumps(body), status=status, content_type=JSON)
