"""Warm, single-threaded processes that actors are forked from.

The *zygote* has imported third-party modules and nothing of ours. The *app zygote*, forked from
it, has also imported this project's code: an actor forked from it starts within milliseconds.
Once a file changes the app zygote retires, the next actor is forked from the zygote and loads the
code fresh, and a new app zygote is made.

Both exchange JSON datagrams with the supervisor, each over a socket of its own:

    {"id": 7} + [log pipe, status pipe, launch message] ->  {"id": 7, "pid": 123} + [pidfd]
    {"id": 8, "app_zygote": {…}} + [its socket]            ->  {"id": 8, "pid": 124} + [pidfd]
    {"retire": true}                                    ->  ends after its last child
                                                        ->  {"gone": 123, "status": 9}

The launch message contains passwords, so it is in a file that only the child reads: anything in a
zygote's memory, freed or not, is inherited by all children forked later.

Death chain: supervisor, zygote, app zygote, actors. Each asks the kernel for SIGKILL on its
parent's death, then checks that the parent is still the expected one.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import faulthandler
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

PRELOADED = (
    "asyncio",
    "numpy",
    "numpy.typing",
    "orjson",
    "redis.asyncio",
    "hiredis",
    "aiohttp",
    "aiohttp.web",
    "pydantic.fields",
    "pydantic.types",
    "prometheus_client",
    "psutil",
    "setproctitle",
    "zoneinfo",
)
# Without a space: with one, Python takes the niceness in /proc/self/stat for the number of threads,
# and warns of each fork.
ZYGOTE_TITLE, APP_ZYGOTE_TITLE = "coinex-zygote", "coinex-app-zygote"
STATUS_FD = CONTROL_FD = 3
PR_SET_PDEATHSIG = 1
OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(expected_parent: int) -> None:
    """End this process with its parent, also when the parent is gone already."""
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != expected_parent:
        os._exit(1)


class ForkServer:
    """Forks on request over `control` until the supervisor hangs up."""

    def __init__(self, control: socket.socket, largest_message: int) -> None:
        self._control = control
        self._largest_message = largest_message
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._children = 0
        self._retiring = False

    def serve(self) -> None:
        """Fork and report exits until the supervisor's end of the socket closes."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._send({"ready": os.getpid()})
        control = self._control.fileno()
        events = select.poll()  # not select(): it refuses descriptors from 1024 on
        events.register(self._wake_read, select.POLLIN)
        events.register(control, select.POLLIN)
        while not (self._retiring and self._children == 0):
            readable = dict(events.poll())
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
                self._report_exits()
            if control in readable:
                raw, fds, _, _ = socket.recv_fds(self._control, self._largest_message, 3)
                if not raw:
                    return
                self._carry_out(_json().loads(raw), fds)

    def _carry_out(self, request: dict[str, Any], fds: list[int]) -> None:
        if "retire" in request:
            self._retiring = True
            return
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            if "app_zygote" in request:
                _become_app_zygote(request["app_zygote"], fds, parent, self._largest_message)
            else:
                _become_actor(fds, parent)
        self._children += 1
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._send({"id": request["id"], "pid": pid}, [pidfd])
        os.close(pidfd)

    def _report_exits(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children -= 1
            self._send({"gone": pid, "status": status})

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._control.sendmsg([_json().dumps(message)], rights)


def _json() -> Any:
    return sys.modules["orjson"]


def _become_app_zygote(
    order: dict[str, Any], fds: list[int], parent: int, largest_message: int
) -> None:
    """Turn the forked child into an app zygote; never returns."""
    try:
        die_with_parent(parent)
        _close_inherited({fds[0]: CONTROL_FD})
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.modules["setproctitle"].setproctitle(APP_ZYGOTE_TITLE)
        sys.path.insert(0, order["root"])
        for name in order["modules"]:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001  # the actor will fail with the same error, in its own log
                traceback.print_exc()
        _serve_forks(socket.socket(fileno=CONTROL_FD), largest_message)
    except BaseException:  # noqa: BLE001  # any error goes to the zygote's log
        traceback.print_exc()
    finally:
        os._exit(0)


def _become_actor(fds: list[int], parent: int) -> None:
    """Turn the forked child into an actor; never returns."""
    code = 1
    try:
        die_with_parent(parent)
        os.setsid()
        log_fd, status_fd, launch_fd = fds
        # pread: the child of a dropped app zygote may have moved the shared file offset
        launch = _json().loads(os.pread(launch_fd, os.fstat(launch_fd).st_size, 0))
        os.close(launch_fd)
        _close_inherited({status_fd: STATUS_FD, log_fd: 1})
        _set_up_process(launch["name"], launch["oom_score_adj"], launch["nice"])
        if launch["root"] not in sys.path:
            sys.path.insert(0, launch["root"])
        module, _, function = launch["entry"].partition(":")
        code = getattr(importlib.import_module(module), function)(launch, STATUS_FD)
    except BaseException:  # noqa: BLE001  # any error goes to the actor's log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _close_inherited(kept: dict[int, int]) -> None:
    """Move the descriptors in `kept` to their numbers and close all other inherited ones."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    safe = {os.dup(fd): target for fd, target in kept.items()}  # so that no target overwrites one
    for fd, target in safe.items():
        os.dup2(fd, target)
    if 1 in safe.values():
        os.dup2(1, 2)
    # not a range up to the limit: that may be a thousand million
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd > STATUS_FD:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(fd)


def _set_up_process(name: str, oom_score_adj: int | None, nice: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable(file=2, all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.modules["setproctitle"].setproctitle(f"coinex: {name}")
    if "numpy.random" in sys.modules:  # `random` re-seeds itself after a fork
        sys.modules["numpy.random"].seed()
    os.nice(nice)
    if oom_score_adj is not None:
        with contextlib.suppress(OSError):  # not allowed in some containers
            OOM_SCORE_ADJ.write_text(str(oom_score_adj))


def _serve_forks(control: socket.socket, largest_message: int) -> None:
    gc.collect()
    gc.freeze()  # keeps loaded objects in pages shared with every child
    with contextlib.suppress(BrokenPipeError):  # the supervisor has hung up
        ForkServer(control, largest_message).serve()


def main() -> None:
    """Run as a program, with CONTROL_FD, SUPERVISOR_PID and LARGEST_MESSAGE as arguments."""
    control_fd, supervisor_pid, largest_message = map(int, sys.argv[1:4])
    die_with_parent(supervisor_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for name in PRELOADED:
        importlib.import_module(name)
    sys.modules["setproctitle"].setproctitle(ZYGOTE_TITLE)
    _serve_forks(socket.socket(fileno=control_fd), largest_message)


if __name__ == "__main__":
    main()
