"""Which server opens the files of which."""

from __future__ import annotations

import pytest

from shared.redis.binary import Release


@pytest.mark.parametrize(
    ("server", "written_by", "expected"),
    [
        ("Redis 7.0", "Redis 7.0", True),
        ("Redis 7.2", "Redis 7.0", True),
        ("Redis 7.0", "Redis 7.2", False),
        ("Redis 7.0", "7.0", True),
        ("Redis 10.0", "Redis 9.2", True),
        ("Valkey 9.1", "Valkey 9.1", True),
        ("Valkey 9.0", "Valkey 9.1", False),
        ("Redis 7.0", "Valkey 9.1", False),
        ("Redis 9.1", "Valkey 9.1", False),
        ("Valkey 9.1", "6.2", True),
        ("Valkey 9.1", "Redis 7.2", True),
        ("Valkey 9.1", "Redis 7.4", False),
        ("Valkey 9.1", "Redis 8.0", False),
    ],
)
def test_a_server_reads_its_own_older_files_and_valkey_those_of_redis_before_the_fork(
    server: str, written_by: str, expected: bool
) -> None:
    release, written = Release.parse(server), Release.parse(written_by)
    assert release is not None and written is not None
    assert release.reads(written) is expected
    assert release.reads(None)
    assert str(release) == server


@pytest.mark.parametrize("text", ["", "junk", "Dragonfly 1.2", "7", "Redis seven", "7.0.1"])
def test_what_is_no_release_is_not_taken_for_one(text: str) -> None:
    assert Release.parse(text) is None
