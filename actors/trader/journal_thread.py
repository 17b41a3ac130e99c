"""The journal's calls on their own thread: a slow disk delays the work, not the heartbeat."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate

from shared.journal.journal import Journal


class JournalThread:
    """Runs one journal's calls one after another, in order.

    On the event loop a hanging disk would stop the heartbeat, and the supervisor would kill the
    actor; this way it is reported as stalled.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, "journal")

    async def do[**P, T](
        self, call: Callable[Concatenate[Journal, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Return what `call(journal, ...)` returns, or raise what it raises.

        A call that has started is completed even if the caller is cancelled.
        """
        bound = functools.partial(call, self._journal, *args, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, bound)

    def close(self) -> None:
        """Finish pending calls, then close the journal."""
        self._thread.shutdown(wait=True)
        self._journal.close()
