"""The supervisor's client of the zygote and the app zygote: starts them, requests forks."""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import logging
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.backoff import backoff_s
from shared.clock import Clock
from shared.errors import TransientError
from shared.proc_stats import newest_change
from shared.supervision.process import Process
from shared.supervision.tasks import Tasks

LARGEST_MESSAGE = 1 << 20
ANSWER_S = 5.0
WARM_UP_S = 30.0
APP_ZYGOTE_WAIT_S = 5.0
CLOSE_S = 2.0
RETRY_FIRST_S, RETRY_CAP_S = 0.2, 10.0


class ZygoteLost(TransientError):
    """The zygote died or did not answer; it will be restarted."""


class ForkSocket:
    """The supervisor's end of the socket to a zygote or an app zygote."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Process]] = {}
        self._children: dict[int, Process] = {}
        self._ready_or_closed = asyncio.Event()
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control, self._receive)

    @property
    def is_open(self) -> bool:
        """Return whether the other end may still be open."""
        return self._control is not None

    async def ask(self, request: Mapping[str, Any], fds: Sequence[int]) -> Process:
        """Request a fork; the child inherits copies of the descriptors.

        Raises:
            TimeoutError: No answer in time.
            OSError: The other end is gone.
        """
        number = next(self._ids)
        answer: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self.send({"id": number, **request}, fds)
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                answer.result().kill_group()  # forked, and nobody would know of it
            raise

    async def wait_ready(self) -> None:
        """Wait until the other end has loaded what it forks.

        Raises:
            TimeoutError: It has not in time.
            OSError: It ended meanwhile.
        """
        async with asyncio.timeout(WARM_UP_S):
            await self._ready_or_closed.wait()
        if not self.is_open:
            raise ConnectionError("it ended while it was loading")

    def send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one message.

        Raises:
            OSError: The other end is gone.
        """
        if self._control is None:
            raise ConnectionError("it is gone")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._control.sendmsg([orjson.dumps(message)], rights)

    def close(self) -> None:
        """Close the socket; pending requests fail."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        self._ready_or_closed.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError("it is gone"))
        self._waiting.clear()
        for child in self._children.values():
            child.reported.set()
        self._children.clear()

    def _receive(self) -> None:
        assert self._control is not None
        try:
            raw, fds, _, _ = socket.recv_fds(self._control, LARGEST_MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            raw, fds = b"", []
        if not raw:
            self.close()
            return
        message = orjson.loads(raw)
        if "ready" in message:
            self._ready_or_closed.set()
        elif "gone" in message:
            dead = self._children.pop(message["gone"], None)
            if dead is not None:
                dead.status = message["status"]
                dead.reported.set()
        else:
            answer = self._waiting.pop(message["id"], None)
            child = Process(message["pid"], fds[0])
            self._children[child.pid] = child
            if answer is None or answer.done():
                child.kill_group()  # answered after its timeout
            else:
                answer.set_result(child)


def _socketpair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in pair:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            each.setsockopt(socket.SOL_SOCKET, option, LARGEST_MESSAGE)
    return pair


class Zygote:
    """The zygote, its app zygote, and the children of both; restarted when it is lost.

    Must be used in the main thread: a death signal is tied to the thread that forked.

    Args:
        root: The checkout whose code actors run.
        modules: Loaded by the app zygote.
        log_fd: Their own output.
        environment: Inherited by them, and so by all actors.
        healthy_s: Uptime after which the backoff starts over.
        on_lost: Called each time it is lost, with the seconds until the restart.
    """

    def __init__(
        self,
        *,
        root: Path,
        modules: Sequence[str],
        log_fd: int,
        environment: Mapping[str, str],
        healthy_s: float,
        clock: Clock,
        rng: random.Random,
        tasks: Tasks,
        log: logging.Logger,
        on_lost: Callable[[float], None],
    ) -> None:
        self._root = root
        self._modules = list(modules)
        self._log_fd = log_fd
        self._environment = environment
        self._healthy_s = healthy_s
        self._clock = clock
        self._rng = rng
        self._tasks = tasks
        self._log = log
        self._on_lost = on_lost
        self._up = asyncio.Event()
        self._process: Process | None = None
        self._socket: ForkSocket | None = None
        self._app_zygote: Process | None = None
        self._app_zygote_socket: ForkSocket | None = None
        self._app_zygote_code = 0.0
        self._app_zygote_settled = asyncio.Event()
        self._closed = False
        self._keeping: asyncio.Task[None] | None = None
        self._making: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the zygote, while it lives."""
        return None if self._process is None or self._process.gone.is_set() else self._process.pid

    @property
    def is_up(self) -> bool:
        """Return whether an actor can be forked now."""
        return self._up.is_set()

    @property
    def app_zygote_pid(self) -> int | None:
        """Process id of the app zygote in use, while it lives."""
        app_zygote = self._app_zygote
        return None if app_zygote is None or app_zygote.gone.is_set() else app_zygote.pid

    def start(self) -> None:
        """Start the zygote, and restart it whenever it is lost, until `close`."""
        self._keeping = self._tasks.start(self._keep(), "zygote")

    async def _keep(self) -> None:
        losses = 0
        while True:
            started = self._clock.monotonic()
            try:
                await self._run()
            except OSError as error:  # out of descriptors or processes: retried
                self._log.warning("the zygote cannot be started: %s", error)
            if self._closed:
                return
            if self._clock.monotonic() - started > self._healthy_s:
                losses = 0
            pause_s = backoff_s(losses, RETRY_FIRST_S, RETRY_CAP_S, self._rng.random())
            losses += 1
            self._on_lost(round(pause_s, 2))
            await self._clock.sleep(pause_s)

    async def _run(self) -> None:
        """Start a zygote and wait until it ends."""
        process = self._launch()
        assert self._process is not None and self._socket is not None
        self._app_zygote_settled.clear()
        self._making = self._tasks.start(self._bring_up(self._socket), "zygote warming up")
        await self._process.gone.wait()
        self._up.clear()  # pending spawns wait for the next one
        self._making.cancel()
        self._close_sockets()
        self._app_zygote = None
        process.wait()

    def _launch(self) -> subprocess.Popen[bytes]:
        ours, theirs = _socketpair()
        # below the root, not beside this file: an upgrade moves links
        program = self._root / "shared" / "supervision" / "zygote.py"
        numbers = (theirs.fileno(), os.getpid(), LARGEST_MESSAGE)
        with theirs:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", str(program), *map(str, numbers)],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log_fd,
                    stderr=self._log_fd,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    env={**self._environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                )
            except OSError:
                ours.close()
                raise
        try:
            self._process = Process(process.pid, os.pidfd_open(process.pid))
        except OSError:
            ours.close()
            process.kill()
            process.wait()
            raise
        self._socket = ForkSocket(ours)
        return process

    def _close_sockets(self) -> None:
        for each in (self._app_zygote_socket, self._socket):
            if each is not None:
                each.close()
        self._app_zygote_socket = None

    async def spawn(self, launch: Mapping[str, Any], log_fd: int, status_fd: int) -> Process:
        """Fork an actor; the two descriptors become its output and its status pipe.

        Raises:
            ZygoteLost: It is gone, or was killed because it did not answer in time.
        """
        launch_fd = os.memfd_create("launch")
        try:
            with os.fdopen(launch_fd, "wb", closefd=False) as file:
                file.write(orjson.dumps(launch))
            return await self._fork([log_fd, status_fd, launch_fd])
        finally:
            os.close(launch_fd)

    async def _fork(self, fds: Sequence[int]) -> Process:
        try:
            await asyncio.wait_for(self._up.wait(), WARM_UP_S)
        except TimeoutError:
            raise ZygoteLost(f"no zygote for {WARM_UP_S:g} s") from None
        try:
            app_zygote = await self._fresh_app_zygote()
            if app_zygote is not None:
                try:
                    return await app_zygote.ask({}, fds)
                except (OSError, TimeoutError) as error:
                    self._drop_app_zygote(error)
            if self._socket is None:
                raise ConnectionError("it is gone")
            return await self._socket.ask({}, fds)
        except TimeoutError:
            self.kill()
            raise ZygoteLost(f"the zygote did not answer within {ANSWER_S:g} s") from None
        except OSError as error:
            raise ZygoteLost(f"the zygote cannot be reached: {error}") from None

    def kill(self) -> None:
        """SIGKILL the zygote; all its descendants die with it."""
        if self._process is not None:
            self._process.send(signal.SIGKILL)

    async def close(self) -> None:
        """Close the sockets, which ends the zygote, and wait until it is gone."""
        self._closed = True
        is_pausing = self.pid is None
        self._close_sockets()
        if not self.is_up:
            self.kill()  # it does not look at its socket before it has warmed up
        if self._process is not None and not await self._process.wait_gone(CLOSE_S):
            self.kill()
            await self._process.wait_gone()
        if self._keeping is not None:
            if is_pausing:
                self._keeping.cancel()
            await asyncio.wait({self._keeping}, timeout=CLOSE_S)

    # The app zygote

    async def _bring_up(self, line: ForkSocket) -> None:
        try:
            await line.wait_ready()
        except (OSError, TimeoutError):
            self.kill()
            return
        self._up.set()
        await self._make_app_zygote()

    async def _make_app_zygote(self) -> None:
        self._app_zygote_code = newest_change(self._root)
        order = {"root": str(self._root), "modules": self._modules}
        with contextlib.ExitStack() as unless_it_works:
            try:
                ours, theirs = _socketpair()
                line = ForkSocket(ours)
                unless_it_works.callback(line.close)
                with theirs:
                    if self._socket is None:
                        raise ConnectionError("the zygote is gone")
                    request = {"app_zygote": order}
                    self._app_zygote = await self._socket.ask(request, [theirs.fileno()])
                await line.wait_ready()
                self._app_zygote_socket = line
                unless_it_works.pop_all()
            except (OSError, TimeoutError) as error:  # out of descriptors, too
                self._app_zygote = None
                self._log.warning(
                    "no app zygote, actors start more slowly: %s", error or "no answer"
                )
        self._app_zygote_settled.set()

    async def _fresh_app_zygote(self) -> ForkSocket | None:
        """Return the app zygote's socket if its code is the one on disk."""
        if not self._app_zygote_settled.is_set():
            try:
                await asyncio.wait_for(self._app_zygote_settled.wait(), APP_ZYGOTE_WAIT_S)
            except TimeoutError:
                return None
        line = self._app_zygote_socket
        is_there = line is not None and line.is_open
        if is_there and newest_change(self._root) == self._app_zygote_code:
            return line
        if is_there and line is not None:
            self._log.info("code changed: a new app zygote is made, this actor loads it by itself")
            line.send({"retire": True})
        self._renew_app_zygote()
        return None

    def _drop_app_zygote(self, error: Exception) -> None:
        self._log.warning("the app zygote does not answer, making another: %s", error or "timeout")
        if self._app_zygote is not None:
            self._app_zygote.send(signal.SIGKILL)
        self._renew_app_zygote()

    def _renew_app_zygote(self) -> None:
        self._app_zygote_socket = None
        if self._making is None or self._making.done():
            self._making = self._tasks.start(self._make_app_zygote(), "app zygote")
