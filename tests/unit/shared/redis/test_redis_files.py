"""As whom an actor that is run by hand, or by a timer, logs in to Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config.sections import RedisSection
from shared.errors import ConfigError
from shared.redis.files import RedisFiles, foreground_url
from shared.redis.users import CREDENTIAL, Users, new_users
from shared.schema import Role

URL = "redis://127.0.0.1:6379/0"
EXTERNAL = RedisSection(url=URL, embedded="never", namespace="prod")


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Users of an external Redis, their passwords in the file that systemd hands over."""
    (tmp_path / "credentials").mkdir()
    made = new_users(EXTERNAL.namespace)
    made.write(tmp_path / "credentials" / CREDENTIAL)
    return made


def test_users_that_systemd_hands_over_are_used_beside_a_supervisor_and_alone(
    users: Users, tmp_path: Path
) -> None:
    expected = users.into_url(URL, Role.TRADER)
    given = tmp_path / "credentials"
    assert foreground_url(tmp_path, EXTERNAL, Role.TRADER, given) == expected
    files = RedisFiles(tmp_path / "redis")
    files.prepare()
    files.write_logins(users.into_url(URL, Role.OPERATOR))  # as a supervisor beside it does
    assert foreground_url(tmp_path, EXTERNAL, Role.TRADER, given) == expected


def test_users_of_the_embedded_redis_come_before_all_others(users: Users, tmp_path: Path) -> None:
    own = new_users(EXTERNAL.namespace)
    files = RedisFiles(tmp_path / "redis")
    files.prepare()
    files.write_logins(own.into_url("redis://127.0.0.1:7000/0", Role.OPERATOR), own)
    found = foreground_url(tmp_path, EXTERNAL, Role.TRADER, tmp_path / "credentials")
    assert found == own.into_url("redis://127.0.0.1:7000/0", Role.TRADER)


def test_without_users_all_log_in_as_the_url_says(tmp_path: Path) -> None:
    assert foreground_url(tmp_path, EXTERNAL, Role.TRADER, None) == URL
    assert foreground_url(tmp_path, EXTERNAL, Role.TRADER, tmp_path) == URL


def test_users_that_cannot_be_used_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / CREDENTIAL).write_text("trader\n")
    (tmp_path / CREDENTIAL).chmod(0o600)
    with pytest.raises(ConfigError, match="expected a role and its password"):
        foreground_url(tmp_path, EXTERNAL, Role.TRADER, tmp_path)
