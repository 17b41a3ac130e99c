"""What the doctor says of an environment, each part for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.console import probes
from shared.console.probes import Finding, Verdict
from shared.errors import BusDenied, BusUnavailable, ConfigError
from shared.permissions import Findings
from shared.redis.binary import Binary, Release

MB = 1_000_000
WANTED = {"health": ("127.0.0.1", 8894), "dashboard": ("127.0.0.1", 0)}


def nothing_is_taken(_: object) -> list[str]:
    return []


def everything_is_taken(wanted: object) -> list[str]:
    assert isinstance(wanted, dict)
    return [f"{name}.port: {port} is held by nc (pid 7)" for name, (_, port) in wanted.items()]


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 11, 9), "wrong"), ((3, 12, 0), "ok"), ((3, 13, 5), "ok"), ((3, 14, 0), "wrong")],
)
def test_python(version: tuple[int, ...], verdict: Verdict) -> None:
    found = probes.python(version)
    assert found.verdict == verdict
    assert ("make install" in found.text) == (verdict == "wrong")


def test_a_server_of_its_own_is_there_and_reads_the_files() -> None:
    def absent() -> tuple[Binary, Release | None]:
        raise ConfigError(["redis.embedded: no redis-server 7 or newer that runs was found"])

    server = Binary(Path("/usr/bin/redis-server"), Release("Redis", (7, 0)))
    assert probes.embedded_redis(lambda: (server, None)) == Finding(
        "redis", "ok", "/usr/bin/redis-server is Redis 7.0"
    )
    unread = probes.embedded_redis(lambda: (server, Release("Valkey", (9, 1))))
    assert unread.verdict == "note" and "sets aside what Valkey 9.1 wrote" in unread.text
    assert probes.embedded_redis(absent) == Finding(
        "redis", "wrong", "redis.embedded: no redis-server 7 or newer that runs was found"
    )


def test_a_redis_of_somebody_else_answers_and_lets_us_in() -> None:
    denied, away = (
        BusDenied("WRONGPASS", "it does not let in user 'default'"),
        BusUnavailable("refused"),
    )
    for failure, version, has_login, verdict, named in (
        (None, (7, 2), False, "ok", "db:6379 answers, 7.2"),
        (None, None, False, "ok", "db:6379 answers"),
        (None, (6, 2), False, "wrong", "install redis-server 7 or newer"),
        (denied, None, False, "note", "wants a password that only the service has: unknown"),
        (denied, None, True, "wrong", "correct redis.url"),
        (away, None, True, "wrong", "refused; start it"),
    ):
        found = probes.external_redis("db:6379", failure, version, has_login=has_login)
        assert (found.verdict, named in found.text) == (verdict, True), found


def test_ports_are_free_or_our_own() -> None:
    (free,) = probes.ports(WANTED, {}, nothing_is_taken)
    assert free == Finding("ports", "ok", "health 8894, dashboard any: free")
    own = {"health": 8894, "dashboard": 0, "trader": None}
    (ours,) = probes.ports(WANTED, own, everything_is_taken)
    assert ours.text == "health 8894, dashboard any: the platform listens"
    elsewhere = {"health": 31_001, "dashboard": 31_002}
    (ours,) = probes.ports(WANTED, elsewhere, nothing_is_taken)
    assert ours.text == "health 31001, dashboard 31002: the platform listens"
    (foreign,) = probes.ports({"health": WANTED["health"]}, {"health": 9999}, everything_is_taken)
    assert foreign == Finding("ports", "wrong", "health.port: 8894 is held by nc (pid 7)")


@pytest.mark.parametrize(
    ("is_synchronised", "skew_ms", "verdict", "named"),
    [
        (True, None, "ok", "synchronised"),
        (False, None, "note", "unknown whether it is right: the kernel knows of nothing"),
        (None, None, "note", "unknown whether it is right: the kernel does not say"),
        (False, -80.0, "ok", "-80 ms beside the exchange's (± 200)"),
        (True, 1150.0, "ok", "+1150 ms"),
        (True, 1250.0, "wrong", "+1250 ms off the exchange's; set it"),
        (True, -60_000.0, "wrong", "-60000 ms off"),
    ],
)
def test_clock(
    is_synchronised: bool | None, skew_ms: float | None, verdict: Verdict, named: str
) -> None:
    found = probes.clock(is_synchronised, skew_ms, 200)
    assert found.verdict == verdict
    assert named in found.text


@pytest.mark.parametrize(("free_mb", "verdict"), [(50, "wrong"), (500, "note"), (50_000, "ok")])
def test_disk(free_mb: int, verdict: Verdict) -> None:
    (found,) = probes.disk(Path("/srv/var"), free_mb * MB, is_writable=True)
    assert (found.part, found.verdict) == ("disk", verdict)
    assert f"{free_mb} MB free below /srv/var" in found.text


def test_a_state_dir_that_cannot_be_written() -> None:
    state, disk = probes.disk(Path("/srv/var"), 50_000 * MB, is_writable=False)
    assert (state.verdict, disk.verdict) == ("wrong", "ok")
    assert "correct its owner, or state_dir" in state.text


def test_a_state_dir_yet_to_be_made_is_judged_by_what_is_above_it(tmp_path: Path) -> None:
    assert probes.can_write(tmp_path / "a" / "b") == (tmp_path, True)
    (tmp_path / "file").touch()
    assert probes.can_write(tmp_path / "file" / "var") == (tmp_path / "file", False)


def test_permissions(tmp_path: Path) -> None:
    config, token, absent = tmp_path / "config.yaml", tmp_path / "api.token", tmp_path / "none"
    config.touch(mode=0o644)
    token.touch(mode=0o600)
    (found,) = probes.permissions([config, absent], [token, absent])
    assert found.verdict == "ok"
    config.chmod(0o666)
    token.chmod(0o604)
    texts = [f.text for f in probes.permissions([config], [token]) if f.verdict == "wrong"]
    assert texts == [
        f"{config} (mode 666): others may change it; chmod o-w {config}",
        f"{token} (mode 604): it is a secret and others may read it; chmod o= {token}",
    ]


def test_directory_in_whose_place_others_may_put_their_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (wrong,) = probes.permissions([], [], [tmp_path])
    assert (wrong.verdict, f"chmod +t {tmp_path}" in wrong.text) == ("wrong", True)
    tmp_path.chmod(0o1777)
    (fine,) = probes.permissions([], [], [tmp_path])
    assert fine.verdict == "ok"


def test_what_a_start_would_correct_is_a_note_and_what_it_cannot_is_wrong() -> None:
    found = Findings(Path("/srv/var"), ["log (mode 755)"], ["trader.db (mode 600, of user 8)"])
    wrong, note = probes.permissions([], [], [], found)
    assert (wrong.verdict, note.verdict) == ("wrong", "note")
    assert (
        "trader.db (mode 600, of user 8); look at it first, then, as root: chown -R" in wrong.text
    )
    assert note.text.endswith("the next start corrects: log (mode 755)")


def test_units() -> None:
    (absent,) = probes.units(False, {})
    assert absent.text == "does not run here; `make run` needs none"
    (none,) = probes.units(True, {})
    assert none.text.startswith("not installed")
    states = {"a.service": "active", "b.service": "failed", "c.service": "inactive"}
    assert [(f.verdict, f.text) for f in probes.units(True, states)] == [
        ("ok", "a.service is active"),
        ("wrong", "b.service has failed; journalctl -u b.service says why"),
        ("note", "c.service is inactive; systemctl start c.service"),
    ]


def test_charts(tmp_path: Path) -> None:
    assert probes.charts(tmp_path / "absent.js").verdict == "note"
    (tmp_path / "there.js").touch()
    assert probes.charts(tmp_path / "there.js").verdict == "ok"
