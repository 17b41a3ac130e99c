"""The lease on a namespace: a key on Redis that the one supervisor there renews.

A supervisor is known by a random id of its start and by the boot of its kernel. Host and pid are
for people: in containers many a supervisor is pid 1 of the same host.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from pathlib import Path

from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.files import write_atomically
from shared.messages.actors import Lease

LOOK_S = 0.5
PATIENCE_S = 20.0
"""How long a lease that nobody renews is respected; longer than its TTL."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the id of this boot of the kernel, which containers share."""
    return _BOOT_ID.read_text().strip()


class SupervisorLease:
    """Claims, renews and releases the lease.

    Reads and writes `supervisor:lease`, and `supervisor.id` in the `state_dir`: whoever has the
    lock of a `state_dir` knows that the one whose id is there has ended.

    Args:
        instance: Random id of this start.
        boot: See `boot_id`.
    """

    def __init__(
        self,
        bus: Bus,
        state_dir: Path,
        *,
        instance: str,
        boot: str,
        mode: str,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._bus = bus
        self._identity = (instance, boot)
        self._mode = mode
        self._clock = clock
        self._log = log
        path = state_dir / "supervisor.id"
        self._ours = {self._identity}
        # unreadable, or the disk is full: a predecessor's lease is then waited for
        with contextlib.suppress(OSError, ValueError):
            before, of_boot = path.read_text().split()
            if of_boot == boot:
                self._ours.add((before, of_boot))
        with contextlib.suppress(OSError):
            write_atomically(path, f"{instance} {boot}\n".encode())

    async def claim(self) -> Lease | None:
        """Take the lease; return its holder if another supervisor is alive.

        A holder that is not known to have ended is watched until it renews the lease, or the lease
        expires.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        first: Lease | None = None
        deadline = self._clock.monotonic() + PATIENCE_S
        while not await self._bus.claim(schema.LEASE, self._lease()):
            holder = await self._other()
            if holder is None or self._clock.monotonic() > deadline:
                await self._bus.put(schema.LEASE, self._lease())
                return None
            if holder != (first or holder):
                return holder
            if first is None:
                first = holder
                self._log.warning(
                    "host %s pid %d holds the lease: waiting whether it renews it",
                    holder.host,
                    holder.pid,
                )
            await self._clock.sleep(LOOK_S)
        return None

    async def renew(self) -> Lease | None:
        """Renew the lease; return its holder if that is another supervisor.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        holder = await self._other()
        if holder is None:
            await self._bus.put(schema.LEASE, self._lease())
        return holder

    async def release(self) -> None:
        """Give the lease back, so that a successor starts at once.

        Raises:
            BusUnavailable: Redis does not answer; the lease expires by itself.
        """
        if await self._other() is None:
            await self._bus.delete(schema.LEASE)

    async def _other(self) -> Lease | None:
        holder = await self._bus.get(schema.LEASE)
        if holder is None or (holder.instance, holder.boot) in self._ours:
            return None
        return holder

    def _lease(self) -> Lease:
        instance, boot = self._identity
        return Lease(
            host=socket.gethostname(),
            pid=os.getpid(),
            instance=instance,
            boot=boot,
            mode=self._mode,
            at_ms=self._clock.now_ms(),
        )
