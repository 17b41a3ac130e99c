"""Tells everyone how the platform is, over HTTP; reads, kills no one.

Writes `health:latest`: since when each problem has been there, for those who tell people of it.
Reads `supervisor:*`, `actor:heartbeat:*`, `ta:latest:*`, `quarantine:*`, `audit:latest`,
`market:ban_until`, `state:positions`, `state:balance` and `state:trader:status` once a second, and
answers from memory, so also while Redis is away. An answer is made at most four times a second,
however often it is asked for.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from actors.base import Actor, Context
from actors.health.metrics import HealthMetrics
from actors.health.report import report
from actors.health.response_cache import Response, ResponseCache
from shared import codec, schema
from shared.config.sections import AccountSection, FetcherSection, HealthSection
from shared.errors import BusUnavailable
from shared.health.problems import noted
from shared.health.trading_verdict import looked
from shared.health.verdict import (
    BadMessages,
    RedisView,
    Snapshot,
    Verdict,
    judge,
    known_trouble,
    limits_for,
)
from shared.messages.actors import HealthNote, Heartbeat, NotedProblem
from shared.web.guard import Guard
from shared.web.listening import listen

REFRESH_S = 1.0
HELD_S = 0.25
JSON = "application/json"
STAGES = ("fetch", "compute")


class Health(Actor):
    """Serves `/health`, `/readyz`, `/livez` and `/metrics`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._settings = codec.from_plain(
            HealthSection, context.section["health"], "config: health"
        )
        fetcher = codec.from_plain(FetcherSection, context.section["fetcher"], "config: fetcher")
        account = codec.from_plain(AccountSection, context.section["account"], "config: account")
        self._limits = limits_for(fetcher, account)
        self._runner: web.AppRunner | None = None
        self._noted: list[NotedProblem] | None = None
        self._metrics = HealthMetrics(self._look, self._limits)
        self._seen = Snapshot(
            mode=context.mode,
            since_ms=self.clock.now_ms(),
            watcher=self.name,
            symbols=tuple(context.section["symbols"]),
            actors=tuple(context.section["actors"]),
            redis=self._redis_view(),
        )
        self._quarantine_keys = [
            {"stage": stage, "symbol": symbol} for symbol in self._seen.symbols for stage in STAGES
        ]

    async def setup(self) -> None:
        """Listen.

        Raises:
            TransientError: The port is taken.
        """
        await self.teardown()
        app = web.Application()
        Guard(
            [*self._settings.allowed_hosts, self._settings.host], setting="health.allowed_hosts"
        ).install(app)
        for path, make in (
            ("/health", self._health),
            ("/readyz", self._readyz),
            ("/livez", self._livez),
            ("/metrics", self._scrape),
        ):
            app.router.add_get(path, _answering(ResponseCache(make, HELD_S, self.clock)))
        self._runner = await listen(
            app, section="health", host=self._settings.host, port=self._settings.port
        )
        self.detail["port"] = self._runner.addresses[0][1]

    async def teardown(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def step(self) -> float:
        """Look at everything once; without Redis, what was seen before grows old."""
        try:
            await self._refresh()
            await self._tell()
        except BusUnavailable:  # logged by the bus, and the first thing /health says
            self._see(redis=self._redis_view())
            self._note()
        self.ready()
        return REFRESH_S

    async def _refresh(self) -> None:
        seen, bus = self._seen, self.bus
        await bus.ping()
        names = [{"name": name} for name in seen.actors]
        # side by side: one after the other, a slow Redis would make what is read last look old
        statuses, heartbeats, signals, quarantines, audit = await asyncio.gather(
            bus.fields(schema.ACTORS),
            bus.get_many(schema.HEARTBEAT, names),
            bus.get_many(schema.TA_LATEST, [{"symbol": s} for s in seen.symbols]),
            bus.get_many(schema.QUARANTINE, self._quarantine_keys),
            bus.get(schema.AUDIT),
        )
        ban, lease, supervisor, positions, balance, status = await asyncio.gather(
            bus.get(schema.BAN_UNTIL),
            bus.get(schema.LEASE),
            bus.get(schema.SUPERVISOR),
            bus.get(schema.POSITIONS),
            bus.get(schema.BALANCE),
            bus.get(schema.TRADER_STATUS),
        )
        trading = looked(
            seen.trading,
            positions=positions,
            balance=balance,
            status=status,
            now_ms=self.clock.now_ms(),
        )
        new_beats = {beat.name: beat for beat in heartbeats if beat is not None}
        self._count_scans(new_beats)
        self._see(
            redis=self._redis_view(),
            statuses=statuses,
            heartbeats={**seen.heartbeats, **new_beats},
            signals={**seen.signals, **{s.symbol: s for s in signals if s is not None}},
            quarantines={(q.stage, q.symbol): q for q in quarantines if q is not None},
            bad_messages=self._bad_messages(new_beats),
            audit=audit or seen.audit,
            ban=ban,
            lease=lease,
            supervisor=supervisor,
            trading=trading,
        )
        if not self._seen.scanned_once:
            self._see(
                scanned_once=all(
                    symbol in self._seen.signals
                    or known_trouble(self._seen, symbol, self.clock.now_ms())
                    for symbol in seen.symbols
                )
            )

    async def _tell(self) -> None:
        if self._noted is None:  # what a process before this one saw has not begun just now
            before = await self.bus.get(schema.HEALTH)
            self._noted = before.problems if before is not None else []
        await self.bus.put(schema.HEALTH, self._note())

    def _note(self) -> HealthNote:
        _, verdict, now_ms = self._look()
        problems = noted(verdict.found, self._noted or (), now_ms)
        if self._noted is not None:
            self._noted = problems
        return HealthNote(
            at_ms=now_ms, status=verdict.status, mode=self.context.mode, problems=problems
        )

    def _see(self, **changes: Any) -> None:
        self._seen = dataclasses.replace(self._seen, **changes)

    def _redis_view(self) -> RedisView:
        return RedisView(
            status=self.bus.status.value,
            since_ms=self.bus.status_since_ms,
            reason=self.bus.reason,
            round_trip_ms=self.bus.round_trip_ms,
        )

    def _count_scans(self, heartbeats: dict[str, Heartbeat]) -> None:
        for name, beat in heartbeats.items():
            before = self._seen.heartbeats.get(name)
            finished = before is not None and beat.steps != before.steps
            if finished and beat.step_ms is not None and name.startswith("indicators-"):
                self._metrics.scan(name, beat.step_ms / 1000)

    def _bad_messages(self, heartbeats: dict[str, Heartbeat]) -> dict[str, BadMessages]:
        found = dict(self._seen.bad_messages)
        for name, beat in heartbeats.items():
            count = beat.detail.get("bad_messages")
            before = self._seen.heartbeats.get(name)
            known = before.detail.get("bad_messages", 0) if before else count
            # A count that shrank is that of a new process, which counts from zero.
            if isinstance(count, int) and count and count != known:
                found[name] = BadMessages(count=count, newest="", at_ms=beat.at_ms)
        if self.bus.bad_message_ms is not None:
            found[self.name] = BadMessages(
                count=self.bus.bad_messages,
                newest=self.bus.bad_message,
                at_ms=self.bus.bad_message_ms,
            )
        return found

    def _look(self) -> tuple[Snapshot, Verdict, int]:
        now_ms = self.clock.now_ms()
        return self._seen, judge(self._seen, now_ms, self._limits), now_ms

    # HTTP

    def _health(self) -> Response:
        seen, verdict, now_ms = self._look()
        body = report(seen, verdict, now_ms, self._limits)
        return _json(body, 503 if verdict.status == "down" else 200)

    def _readyz(self) -> Response:
        _, verdict, _ = self._look()
        body = {"status": verdict.status, "problems": verdict.problems}
        return _json(body, 200 if verdict.status == "ok" else 503)

    def _livez(self) -> Response:
        return _json({"status": "alive"}, 200)

    def _scrape(self) -> Response:
        return Response(body=self._metrics.text(), status=200, content_type=CONTENT_TYPE_LATEST)


def _answering(held: ResponseCache) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(_: web.Request) -> web.StreamResponse:
        answer = held.get()
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={"Content-Type": answer.content_type, "Cache-Control": "no-store"},
        )

    return serve


def _json(body: Any, status: int) -> Response:
    return Response(body=orjson.dumps(body), status=status, content_type=JSON)
