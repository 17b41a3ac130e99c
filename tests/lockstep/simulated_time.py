"""Simulated time: an event loop without descriptors that jumps to its next timer."""

from __future__ import annotations

import asyncio
import selectors
from asyncio import selector_events
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Never


class NothingLeft(Exception):
    """Everything waits for something that never happens."""


class _NoDescriptors(selectors.BaseSelector):
    """Waits for nothing: it is at once the time of the next timer.

    Args:
        next_s: Returns that time.
    """

    def __init__(self, next_s: Callable[[], float]) -> None:
        self._next_s = next_s
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeft("nothing is ready, and no timer is set")
        if timeout > 0:
            self.now_s = self._next_s()  # a sum would be off by what floats leave out
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> Never:
        raise NotImplementedError("there are no sockets in simulated time")

    def unregister(self, fileobj: Any) -> Never:
        raise KeyError(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class SimulatedLoop(selector_events.BaseSelectorEventLoop):
    """An event loop whose time is simulated; other threads are run inline, so nothing is random."""

    def __init__(self) -> None:
        self._timeless = _NoDescriptors(self._next_timer_s)
        super().__init__(self._timeless)
        # what is due within it is due now; below a float's own step a timer would never be
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._timeless.now_s

    def _next_timer_s(self) -> float:
        timers: list[asyncio.TimerHandle] = vars(self)["_scheduled"]
        return timers[0].when()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it is the caller's
            done.set_exception(error)
        return done

    def _make_self_pipe(self) -> None:
        """Make none: nobody wakes this loop from another thread."""

    def _close_self_pipe(self) -> None:
        """Close none."""

    def _write_to_self(self) -> None:
        """Wake nothing: the loop never waits."""


class InlineExecutor(Executor):
    """Runs each call at once, in the caller."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # it is the caller's
            done.set_exception(error)
        return done


class SimulatedClock:
    """The clock of a loop in simulated time.

    Args:
        begin_ms: Epoch ms when the loop's time is 0.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, begin_ms: int) -> None:
        self._loop = loop
        self._begin_ms = begin_ms

    def now_ms(self) -> int:
        return self._begin_ms + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
