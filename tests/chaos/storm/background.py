"""Background threads whose failure fails the storm."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs `work` in a thread until asked to stop.

    Args:
        work: Called with the event that asks it to stop.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self._name = name
        self._work = work
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float = 30.0) -> None:
        """Ask it to stop and wait.

        Raises:
            RuntimeError: It had failed, or does not stop.
        """
        self._over.set()
        self._thread.join(within_s)
        self.check()
        if self._thread.is_alive():
            raise RuntimeError(f"{self._name} does not stop within {within_s:g} s")

    def check(self) -> None:
        """Raise RuntimeError if it has failed."""
        if self._failure is not None:
            raise RuntimeError(f"{self._name} failed: {self._failure!r}") from self._failure

    def _run(self) -> None:
        try:
            self._work(self._over)
        except BaseException as error:  # noqa: BLE001  # raised by `check`
            self._failure = error
