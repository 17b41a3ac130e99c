"""The client of the zygote: forks given up, zygotes lost."""

from __future__ import annotations

import array
import asyncio
import logging
import os
import random
import resource
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from shared.clock import SystemClock
from shared.supervision.launch import ROOT
from shared.supervision.tasks import Tasks
from shared.supervision.zygote_client import ForkSocket, Zygote
from tests.support.waiting import eventually


async def test_process_forked_just_before_its_request_is_cancelled_is_killed() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line = ForkSocket(ours)
    asking = asyncio.ensure_future(line.ask({}, []))
    await asyncio.sleep(0)
    forked = subprocess.Popen(["sleep", "60"], start_new_session=True)  # noqa: ASYNC220
    pidfd = os.pidfd_open(forked.pid)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [pidfd]))]
    theirs.sendmsg([b'{"id": 1, "pid": %d}' % forked.pid], rights)
    os.close(pidfd)
    try:
        # two turns of the loop: the answer is read, and the request has not returned it yet
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await eventually(lambda: forked.poll() is not None)
    finally:
        forked.kill()
        forked.wait()
        line.close()
        theirs.close()


async def test_one_that_ends_while_it_loads_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line = ForkSocket(ours)
    waiting = asyncio.ensure_future(line.wait_ready())
    await asyncio.sleep(0)
    theirs.close()
    with pytest.raises(ConnectionError, match="it ended while it was loading"):
        async with asyncio.timeout(5):
            await waiting


@pytest.fixture
async def zygote(tmp_path: Path) -> AsyncIterator[Zygote]:
    clock, rng, log = SystemClock(), random.Random(1), logging.getLogger("test")
    tasks = Tasks(clock, rng, log)
    log_fd = os.open(tmp_path / "zygote.log", os.O_WRONLY | os.O_CREAT)
    made = Zygote(
        root=ROOT,
        modules=[],
        log_fd=log_fd,
        environment={"PATH": os.defpath},
        healthy_s=0,
        clock=clock,
        rng=rng,
        tasks=tasks,
        log=log,
        on_lost=lambda pause_s: None,
    )
    made.start()
    yield made
    await made.close()
    await tasks.cancel()
    os.close(log_fd)


async def test_lost_zygotes_leave_no_descriptors_open(zygote: Zygote) -> None:
    async def descriptors_once_it_is_up(lost: int | None) -> int:
        await eventually(lambda: zygote.is_up and zygote.app_zygote_pid not in (None, lost), 30)
        return psutil.Process().num_fds()

    before = await descriptors_once_it_is_up(None)
    for _ in range(2):
        lost = zygote.app_zygote_pid
        zygote.kill()
        after = await descriptors_once_it_is_up(lost)
    assert after == before


async def test_forking_an_actor_warns_of_nothing(zygote: Zygote, tmp_path: Path) -> None:
    launch = {"root": str(ROOT), "name": "any", "nice": 0, "oom_score_adj": None}
    await zygote._app_zygote_settled.wait()
    for pid in (zygote.pid, zygote.app_zygote_pid):
        assert pid is not None
        os.setpriority(os.PRIO_PROCESS, pid, 19)  # as with `nice make run`
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        process = await zygote.spawn({**launch, "entry": "operator:is_"}, null, null)
    finally:
        os.close(null)
    assert await process.wait_gone(10)
    assert await process.exit_status() == 0
    assert (tmp_path / "zygote.log").read_text() == ""


async def test_no_descriptor_left_for_an_app_zygote_is_no_bug(zygote: Zygote) -> None:
    await eventually(lambda: zygote.app_zygote_pid, within_s=20)
    await zygote._app_zygote_settled.wait()
    old = zygote.app_zygote_pid
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # numbers below are all in use
    try:
        zygote._drop_app_zygote(TimeoutError())
        assert zygote._making is not None
        await asyncio.wait({zygote._making}, timeout=5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    zygote._tasks.raise_failure()
    zygote._renew_app_zygote()
    await eventually(lambda: zygote.app_zygote_pid not in (None, old), within_s=20)
