"""Reads all inputs of the verdict from the bus."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.health.guest_verdict import guest_looked
from shared.health.trading_verdict import TradingView, looked
from shared.health.verdict import RedisView, Snapshot, known_trouble
from shared.kill_switch import KillSwitch
from shared.messages.signals import TaSignal
from shared.messages.trading import TraderKind

STAGES = ("fetch", "compute")
SINGLE = (
    schema.AUDIT,
    schema.BAN_UNTIL,
    schema.LISTINGS,
    schema.LEASE,
    schema.SUPERVISOR,
)
_OF_TRADER: Mapping[TraderKind, Sequence[schema.Entry[Any]]] = {
    "own": (schema.POSITIONS, schema.BALANCE, schema.TRADER_STATUS),
    "outside": schema.GUEST_KEYS,
    "none": (),
}


class SnapshotReader:
    """Keeps a `Snapshot` up to date.

    Reads `supervisor:*`, `actor:heartbeat:*`, `ta:latest:*`, `quarantine:*`, `audit:latest`,
    `market:ban_until`, `market:listings`, `state:positions`, `state:balance`,
    `state:trader:status`, of an outside trader `state:trader:config`, and the own one's lock file.

    Args:
        trader: Whose trader there is; what is not his is not read.
        timer_min: Minutes between the runs of the timer that trades; None without one.

    Attributes:
        seen: The current snapshot. Before the first read Redis counts as up.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        mode: str,
        symbols: Sequence[str],
        actors: Sequence[str],
        state_dir: Path,
        trader: TraderKind = "own",
        timer_min: int | None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._switch = KillSwitch(state_dir)
        now_ms = clock.now_ms()
        self.seen = Snapshot(
            mode=mode,
            since_ms=now_ms,
            symbols=tuple(symbols),
            actors=tuple(actors),
            redis=RedisView(status="up", since_ms=now_ms, reason="", round_trip_ms=None),
            trader_kind=trader,
            trading=TradingView(timer_s=None if timer_min is None else 60.0 * timer_min),
        )
        self._wanted: list[tuple[schema.Entry[Any], Sequence[Mapping[str, str]]]] = [
            (schema.HEARTBEAT, [{"name": name} for name in actors]),
            (schema.TA_LATEST, [{"symbol": symbol} for symbol in symbols]),
            (schema.QUARANTINE, [{"stage": s, "symbol": coin} for coin in symbols for s in STAGES]),
            *((entry, [{}]) for entry in (*SINGLE, *_OF_TRADER[trader])),
        ]

    async def read(self) -> None:
        """Read everything once; what vanished from Redis is kept and ages.

        Raises:
            BusUnavailable: Redis does not answer; the snapshot is unchanged.
        """
        # concurrently: with a slow Redis, what is read last would look old
        statuses, (beats, signals, quarantines, *single) = await asyncio.gather(
            self._bus.fields(schema.ACTORS), self._bus.get_each(*self._wanted)
        )
        audit, ban, listings, lease, supervisor, *of_trader = (each[0] for each in single)
        seen, now_ms = self.seen, self._clock.now_ms()
        seen = dataclasses.replace(
            seen,
            redis=self._redis_view(),
            statuses=statuses,
            heartbeats={**seen.heartbeats, **{b.name: b for b in beats if b is not None}},
            signals={**seen.signals, **{s.symbol: s for s in signals if s is not None}},
            quarantines={(q.stage, q.symbol): q for q in quarantines if q is not None},
            audit=audit or seen.audit,
            ban=ban,
            listings=listings.coins if listings is not None else seen.listings,
            lease=lease,
            supervisor=supervisor,
        )
        if seen.trader_kind == "own":
            positions, balance, status = of_trader
            trading = looked(
                seen.trading, positions=positions, balance=balance, status=status, now_ms=now_ms
            )
            seen = dataclasses.replace(seen, trading=trading)
        elif seen.trader_kind == "outside":
            guest = guest_looked(seen.guest, dict(zip(schema.GUEST_KEYS, of_trader, strict=True)))
            seen = dataclasses.replace(seen, guest=guest)
        scanned_once = seen.scanned_once or all(
            symbol in seen.signals or symbol in seen.listings or known_trouble(seen, symbol, now_ms)
            for symbol in seen.symbols
        )
        self.seen = dataclasses.replace(seen, scanned_once=scanned_once)
        self.see_redis()

    def add_signals(self, signals: Mapping[str, TaSignal]) -> None:
        """Add signals received on a channel, by symbol."""
        self._see(signals={**self.seen.signals, **signals})

    def see_redis(self) -> None:
        """Update the state of Redis and the lock file, also during an outage."""
        trading = dataclasses.replace(self.seen.trading, lock=self._switch.read())
        self._see(redis=self._redis_view(), trading=trading)

    def _see(self, **changes: Any) -> None:
        self.seen = dataclasses.replace(self.seen, **changes)

    def _redis_view(self) -> RedisView:
        bus = self._bus
        return RedisView(
            status=bus.status.value,
            since_ms=bus.status_since_ms,
            reason=bus.reason,
            round_trip_ms=bus.round_trip_ms,
        )
