"""The journal's calls on a thread of their own: a slow disk stops the work, never the beat."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate

from shared.journal.journal import Journal


class JournalThread:
    """Runs one journal's calls one after another, in the order they were asked for.

    A disk that hangs would stop an event loop that wrote by itself, and the supervisor would
    kill an actor that is only waiting; this way it beats on and is seen to be stalled.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, "journal")

    async def do[**P, T](
        self, call: Callable[Concatenate[Journal, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Return what `call(journal, ...)` returns, or raise what it raises.

        A call that was begun is carried out, even if whoever waits for it is cancelled.
        """
        bound = functools.partial(call, self._journal, *args, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, bound)

    def close(self) -> None:
        """Finish what was asked for, then close the journal."""
        self._thread.shutdown(wait=True)
        self._journal.close()
