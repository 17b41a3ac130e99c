"""Standard output and error that never block the process that writes to them.

Whoever reads them (a terminal after Ctrl-S, a pipe, the journal) may stop reading or go away. The
descriptors are inherited, so `O_NONBLOCK` would change them for the shell as well: a thread writes.
"""

from __future__ import annotations

import collections
import contextlib
import io
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO, cast

from shared import logs

LARGEST_QUEUE = 1 << 20
ENTRY_BYTES = 100  # what an entry takes besides its text, about
DRAIN_S = 1.0
LOSS_SHOWN_S = 10.0


class QueuedOutput(io.TextIOBase):
    """A text stream to a descriptor, with a bounded queue in between.

    What does not fit into the queue, or cannot be written, is lost: counted, and reported in the
    stream itself as soon as it takes lines again.

    Args:
        name: Whose output it is, in the line that reports a loss.
        private: No other process writes to it, and it does not block: a line is written at once
            while the reader keeps up, so that a crash right after it does not lose it.

    Attributes:
        lost_lines: How many were lost, since the start.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(
        self, fd: int, name: str, *, private: bool = False, largest: int = LARGEST_QUEUE
    ) -> None:
        if private:
            os.set_blocking(fd, False)
        self._fd = fd
        self._name = name
        self._private = private
        self._largest = largest
        self._formatter = logs.formatter(cast(TextIO, self))
        self._queue: collections.deque[tuple[bytes, int]] = collections.deque()
        """Bytes, and how many lost lines they report; 0 for lines of output."""
        self._size = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._unreported = 0
        self._reason = ""
        self._lost_at = float("-inf")
        self.lost_lines = 0

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Do nothing: to flush would be to wait for the reader."""

    def write(self, text: str) -> int:
        data = text.encode(self.encoding, self.errors)
        with self._changed:
            if self._private and not self._queue and not self._unreported:
                data = self._write_at_once(data)
            if data:
                self._put(data)
        return len(text)

    def problem(self) -> str:
        """Return in words that lines were lost within the last `LOSS_SHOWN_S`; "" if not."""
        if time.monotonic() - self._lost_at > LOSS_SHOWN_S:
            return ""
        return f"{self._name}: {self.lost_lines} log lines lost: {self._reason}"

    def drain(self, within_s: float = DRAIN_S) -> bool:
        """Wait until everything is written; False when it is not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, within_s)

    def _put(self, data: bytes) -> None:
        if self._size + len(data) + ENTRY_BYTES > self._largest:
            self._lose(data.count(b"\n"), "nobody takes its output")
            return
        self._report_losses()
        self._enqueue(data)

    def _report_losses(self) -> None:
        if self._unreported:
            lost, self._unreported = self._unreported, 0
            text = f"{lost} log lines lost before this one: {self._reason}"
            record = logging.LogRecord(self._name, logging.WARNING, "", 0, text, None, None)
            self._enqueue(f"{self._formatter.format(record)}\n".encode(), lost)

    def _enqueue(self, data: bytes, reports: int = 0) -> None:
        self._queue.append((data, reports))
        self._size += len(data) + ENTRY_BYTES
        self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="output", daemon=True)
            self._thread.start()

    def _lose(self, lines: int, reason: str) -> None:
        self.lost_lines += lines
        self._unreported += lines
        self._reason = reason
        self._lost_at = time.monotonic()

    def _write_at_once(self, data: bytes) -> bytes:
        """Write what the reader takes now; return the rest."""
        try:
            return data[os.write(self._fd, data) :]
        except OSError:
            return data

    def _run(self) -> None:
        # signals are for the main thread
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                data, reports = self._queue[0]
            failure = self._write(data)
            with self._changed:
                self._queue.popleft()
                self._size -= len(data) + ENTRY_BYTES
                if failure:
                    self._unreported += reports
                    self._lose(0 if reports else data.count(b"\n"), failure)
                elif not self._queue:
                    self._report_losses()
                self._changed.notify_all()

    def _write(self, data: bytes) -> str:
        """Write all of it, however long that takes; return why it cannot be written."""
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # private, or made so by whoever shares it with us
                writable = select.poll()
                writable.register(self._fd, select.POLLOUT)
                writable.poll()
            except OSError as error:  # EPIPE, EIO, EBADF; ENOSPC where it is a file
                return f"cannot be written: {error.strerror}"
        return ""


@contextlib.contextmanager
def never_blocking(name: str, *, private: bool = False) -> Iterator[list[QueuedOutput]]:
    """Queue what this process writes to `sys.stdout` and `sys.stderr`, and drain it at the end.

    Yields:
        The two streams.
    """
    before = sys.stdout, sys.stderr
    ours = [QueuedOutput(fd, name, private=private) for fd in (1, 2)]
    sys.stdout, sys.stderr = ours
    try:
        yield ours
    finally:
        if all([stream.drain() for stream in ours]):
            sys.stdout, sys.stderr = before
