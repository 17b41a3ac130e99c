"""Log lines by where they go: JSON for programs, words for people, a priority for the journal."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from shared import logs


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[TextIO]:
    yield from _opened(tmp_path / "stderr")
    logs.use_journal("")


def _opened(path: Path) -> Iterator[TextIO]:
    with path.open("w+") as file:
        yield file


def written(stream: TextIO) -> list[str]:
    stream.seek(0)
    return stream.read().splitlines()


def inode(stream: TextIO) -> str:
    where = os.fstat(stream.fileno())
    return f"{where.st_dev}:{where.st_ino}"


def test_every_line_to_the_journal_begins_with_its_priority(stream: TextIO) -> None:
    logs.use_journal(inode(stream))
    log = logs.logger("some actor", stream=stream)
    log.info("all well")
    log.warning("<0>not so well\nfurther on")
    log.error("bad")
    log.critical("worse")
    lines = written(stream)
    assert [line[:4] for line in lines] == ["<6>{", "<4>{", "<3>{", "<2>{"]
    assert '"event":"all well"' in lines[0]


def test_nothing_else_than_the_journal_is_given_priorities(stream: TextIO) -> None:
    logs.use_journal("8:12345")  # inherited, but the stream was redirected
    logs.logger("some actor", stream=stream).warning("not so well")
    assert written(stream)[0].startswith("{")
    logs.use_journal("")
    logs.logger("some actor", stream=stream).warning("not so well")
    assert written(stream)[1].startswith("{")
    assert isinstance(logs.formatter(io.StringIO()), logs.JsonLines)
    assert not logs.is_journal(io.StringIO())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"at":"2026-03-01T12:00:00.000Z","level":"info","actor":"a","event":"e"}', b"<6>{"),
        (b'{"at":"2026-03-01T12:00:00.000Z","level":"warning","actor":"a"}', b"<4>{"),
        (b'{"at":"2026-03-01T12:00:00.000Z","level":"nonsense","actor":"a"}', b"<4>{"),
        (b'{"event":"e","level":"info"}', b"<4>{"),
        (b"Fatal Python error: Segmentation fault", b"<4>F"),
        (b"<7>hidden", b"<4><"),
        (b"\xff", b"<4>\xff"),
        (b"", b"<4>"),
    ],
)
def test_a_line_of_an_actor_goes_to_the_journal_with_its_own_level(
    line: bytes, expected: bytes
) -> None:
    assert logs.journal_line(line)[: len(expected)] == expected
    assert logs.journal_line(line)[3:] == line


def test_what_json_lines_write_is_what_is_read_for_the_journal() -> None:
    record = logging.LogRecord("a", logging.ERROR, "", 0, "text", None, None)
    assert logs.journal_line(logs.JsonLines().format(record).encode()).startswith(b"<3>{")


def test_errors_that_are_printed_are_errors_in_the_journal(
    stream: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    logs.print_error("bad configuration\n  twice")
    logs.use_journal(inode(stream))
    logs.print_error("bad configuration\n  twice")
    assert written(stream) == ["bad configuration", "  twice", "<3>bad configuration", "<3>  twice"]


def test_a_flood_of_one_message_is_a_hundred_lines_and_a_count(stream: TextIO) -> None:
    log = logs.logger("actor", stream=stream)
    for number in range(16_000):
        log.handle(record_at(1000.0 + number / 2000, "refused: %s", number))
    log.handle(record_at(1009.0, "something else"))
    log.handle(record_at(1011.0, "refused: %s", "last"))
    lines = written(stream)
    assert len(lines) == logs.SAME_MOST + 3
    assert '"event":"something else"' in lines[-3]
    assert "15900 more lines within 10 s were left out: refused: %s" in lines[-2]
    assert "refused: last" in lines[-1]


def test_messages_that_are_all_different_are_bounded_too(stream: TextIO) -> None:
    log = logs.logger("actor", stream=stream)
    for number in range(5000):
        log.handle(record_at(1000.0, f"refused {number}"))
    assert len(written(stream)) == logs.DIFFERENT_MOST + logs.SAME_MOST


def record_at(created: float, message: str, *arguments: object) -> logging.LogRecord:
    record = logging.LogRecord("actor", logging.WARNING, "", 0, message, arguments, None)
    record.created = created
    return record
