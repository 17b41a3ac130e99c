"""A process's output when its reader is slow, stalled or gone."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import logs
from shared.output import QueuedOutput, never_blocking


class Pipe:
    """A pipe whose reader reads when the test says so."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fill(self) -> None:
        """Make it take no byte more."""
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"." * 4096)
        os.set_blocking(self.writer, True)

    def read_until(self, words: str, within_s: float = 30) -> str:
        found, deadline = b"", time.monotonic() + within_s
        while words.encode() not in found:
            assert time.monotonic() < deadline, found[-500:]
            if select.select([self.reader], [], [], 0.1)[0]:
                found += os.read(self.reader, 65536)
        return found.decode().lstrip(".")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for fd in (pipe.reader, pipe.writer):
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.mark.parametrize("private", [False, True])
def test_lines_that_find_no_room_are_counted_and_reported_behind_those_queued(
    pipe: Pipe, private: bool
) -> None:
    pipe.fill()
    output = QueuedOutput(pipe.writer, "fetcher", private=private, largest=3500)
    for number in range(100):
        output.write(f"line {number:03d}\n")
    lost = output.lost_lines
    assert 50 < lost < 80
    assert output.problem() == f"fetcher: {lost} log lines lost: nobody takes its output"
    first = pipe.read_until("lines lost")
    assert first.startswith("".join(f"line {number:03d}\n" for number in range(100 - lost)))
    assert f"{lost} log lines lost before this one: nobody takes its output" in first
    assert output.drain(30)
    output.write("and on\n")
    assert pipe.read_until("and on\n").endswith("and on\n")
    assert output.lost_lines == lost


def test_private_output_is_written_before_write_returns(pipe: Pipe) -> None:
    QueuedOutput(pipe.writer, "fetcher", private=True).write("the last words\n")
    assert os.read(pipe.reader, 100) == b"the last words\n"


def test_shared_output_stays_as_blocking_as_it_was(pipe: Pipe) -> None:
    QueuedOutput(pipe.writer, "supervisor").write("words\n")
    pipe.read_until("words")
    assert os.get_blocking(pipe.writer)


def test_output_made_non_blocking_by_someone_else_is_written_whole(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    output = QueuedOutput(pipe.writer, "supervisor")
    output.write("x" * 200_000 + " end\n")
    assert len(pipe.read_until(" end")) == 200_005


def test_lines_without_a_reader_are_reported_once_there_is_one_again(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    os.close(reader)
    output = QueuedOutput(writer, "supervisor")
    output.write("one\ntwo\n")
    assert output.drain(30)
    output.write("three\n")
    assert output.drain(30)
    assert output.lost_lines == 3
    reader = os.open(path, os.O_RDONLY)
    output.write("four\n")
    assert output.drain(30)
    report, line = os.read(reader, 4096).splitlines()
    assert b"3 log lines lost before this one: cannot be written: Broken pipe" in report
    assert line == b"four"
    os.close(reader)
    os.close(writer)


def test_logging_print_and_tracebacks_go_through_the_queue_and_are_drained_at_the_end(
    pipe: Pipe, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr
    with never_blocking("trader"):
        logs.logger("trader").info("logged")
        print("printed")
        print("an error", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    out, err = capfd.readouterr()
    assert out == "printed\n"
    assert '"event":"logged"' in err
    assert err.endswith("an error\n")
