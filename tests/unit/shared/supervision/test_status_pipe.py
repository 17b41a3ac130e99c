"""The few words an actor says to its supervisor."""

from __future__ import annotations

import os

from shared.supervision.status_pipe import LONGEST_TEXT, StatusKind, StatusLine, StatusPipe, parse


def test_what_is_said_is_heard() -> None:
    read, write = os.pipe()
    pipe = StatusPipe(write)
    pipe.send(StatusKind.BEAT)
    pipe.send(StatusKind.NOT_READY, "waiting for\ncandles")
    heard = [parse(line) for line in os.read(read, 4096).splitlines()]
    os.close(read)
    os.close(write)
    assert heard == [
        StatusLine(StatusKind.BEAT, ""),
        StatusLine(StatusKind.NOT_READY, "waiting for candles"),
    ]


def test_a_full_pipe_costs_words_and_never_blocks() -> None:
    read, write = os.pipe()
    pipe = StatusPipe(write)
    for _ in range(2000):
        pipe.send(StatusKind.DOING, "x" * 200)
    assert pipe.dropped > 0
    os.close(read)
    os.close(write)


def test_a_supervisor_that_is_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    pipe = StatusPipe(write)
    pipe.send(StatusKind.BEAT)
    pipe.send(StatusKind.BEAT)
    os.close(write)


def test_a_long_text_is_cut() -> None:
    read, write = os.pipe()
    StatusPipe(write).send(StatusKind.DOING, "y" * 10_000)
    assert len(os.read(read, 65_536)) == LONGEST_TEXT + 2
    os.close(read)
    os.close(write)


def test_rubbish_on_the_pipe_is_no_word() -> None:
    assert parse(b"") is None
    assert parse(b"\xff\x00") is None
    assert parse(b"zzz") is None
