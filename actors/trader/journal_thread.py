"""The journal's calls on their own thread: a slow disk delays the work, not the heartbeat."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Concatenate

from shared.errors import JournalUnavailable
from shared.journal.journal import Journal

ANSWER_S = 5.0
"""How long a caller waits. Beyond it the disk counts as stalled, and protection goes on without."""


class JournalThread:
    """Runs one journal's calls one after another, in order.

    On the event loop a hanging disk would stop the heartbeat, and the supervisor would kill the
    actor. While a call hangs, later ones fail at once, so that nothing old is written afterwards.

    Args:
        executor: Runs the calls, one at a time and in order; a thread of their own by default. It
            is shut down by `close`.
    """

    def __init__(self, journal: Journal, executor: Executor | None = None) -> None:
        self._journal = journal
        self._thread = executor or ThreadPoolExecutor(1, "journal")
        self._stalled: Future[Any] | None = None
        self._stalled_s = 0.0

    @property
    def identity(self) -> str:
        """Return the identity of the journal."""
        return self._journal.identity

    @property
    def place(self) -> str:
        """Return where the account is, in words."""
        return self._journal.owner.place

    @property
    def trouble(self) -> str:
        """Return why the journal cannot be relied on now, or ""."""
        if self._stalled is not None and not self._stalled.done():
            waited_s = asyncio.get_running_loop().time() - self._stalled_s
            return f"{self._journal.path}: has not answered for {waited_s:.0f} s: a stalled disk?"
        if self._journal.is_misplaced:
            return (
                f"{self._journal.path}: moved away or replaced while in use; what is journalled "
                "goes to the file that was moved: put it back in its place"
            )
        return self._journal.failing

    async def do[**P, T](
        self, call: Callable[Concatenate[Journal, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Return what `call(journal, ...)` returns, or raise what it raises.

        A call that has started is completed even if the caller is cancelled or has given up.

        Raises:
            JournalUnavailable: It has not answered in time; what was to be written may still be.
        """
        if self._stalled is not None and not self._stalled.done():
            raise JournalUnavailable(self.trouble)
        began_s = asyncio.get_running_loop().time()
        running = self._thread.submit(functools.partial(call, self._journal, *args, **named))
        if running.done():
            return running.result()
        answer = asyncio.wrap_future(running)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            if not running.cancel():  # it runs; if not, it was waiting for the one that does
                self._stalled, self._stalled_s = running, began_s
            text = f"{self._journal.path}: has not answered for {ANSWER_S:g} s: a stalled disk?"
            raise JournalUnavailable(text) from None

    def close(self) -> None:
        """Finish pending calls, then close the journal."""
        self._thread.shutdown(wait=True)
        self._journal.close()
