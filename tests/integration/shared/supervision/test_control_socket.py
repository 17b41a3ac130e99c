"""The supervisor's socket, when too many want something of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control import IN_WORK, MOST_WAITING, ControlSocket
from shared.supervision.control_client import ask
from tests.support.waiting import eventually


class Served:
    """A socket whose restarts end when `go_on` is set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.go_on = asyncio.Event()
        self.in_work = 0
        self.control = ControlSocket(path, self._answer, logging.getLogger("test"))

    async def _answer(self, command: ControlCommand) -> AsyncIterator[ControlReply]:
        if command.command == "restart":
            self.in_work += 1
            yield ControlReply(id=command.id, outcome="accepted")
            await self.go_on.wait()
        yield ControlReply(id=command.id, outcome="done", body={})

    async def outcomes(self, command: str) -> list[str]:
        """Return the outcomes of one command."""
        asked = ControlCommand(id="x", command=command, actor="fetcher")  # type: ignore[arg-type]

        def replies() -> list[str]:
            return [reply.outcome for reply in ask(self.path, asked, 20)]

        return await asyncio.to_thread(replies)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path / "supervisor.sock")
    await made.control.open()
    yield made
    await made.control.close()


async def test_more_than_so_many_commands_at_a_time_are_busy_and_status_never_is(
    served: Served,
) -> None:
    # one thread for each would be more than the default executor has
    writers = []
    for _ in range(IN_WORK):
        reader, writer = await asyncio.open_unix_connection(str(served.path))
        writer.write(b'{"id":"x","command":"restart","actor":"fetcher"}\n')
        writers.append((reader, writer))
    await eventually(lambda: served.in_work == IN_WORK)
    assert await served.outcomes("restart") == ["busy"]
    assert await served.outcomes("status") == ["done"]
    served.go_on.set()
    for reader, _ in writers:
        assert (await reader.read()).count(b"\n") == 2
    assert await served.outcomes("restart") == ["accepted", "done"]
    for _, writer in writers:
        writer.close()


async def test_clients_that_send_nothing_give_way(served: Served) -> None:
    silent = [await asyncio.open_unix_connection(str(served.path)) for _ in range(3 * MOST_WAITING)]
    assert await served.outcomes("status") == ["done"]
    await eventually(
        lambda: (
            sum(reader.at_eof() or bool(reader.exception()) for reader, _ in silent) > MOST_WAITING
        )
    )
    for _, writer in silent:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_line_that_is_too_long_is_refused_as_such(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.path))
    writer.write(b"x" * 100_000)
    assert b"longer than 4096 bytes" in await reader.read()
    writer.close()
