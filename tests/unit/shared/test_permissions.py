"""A directory is closed to everybody but its owner, whatever is in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shared.permissions import OTHERS, Findings, close_to_others

MODES = {
    "log": (stat.S_IFDIR, 0o777, 0o700),
    "log/fetcher.log": (stat.S_IFREG, 0o644, 0o600),
    "redis": (stat.S_IFDIR, 0o000, 0o700),
    "redis/redis.conf": (stat.S_IFREG, 0o640, 0o600),
    "trader.db": (stat.S_IFREG, 0o666, 0o600),
    "trader.pid": (stat.S_IFREG, 0o000, 0o600),
    "supervisor.lock": (stat.S_IFREG, 0o444, 0o600),
    "supervisor.sock": (stat.S_IFSOCK, 0o755, 0o700),
    "pipe": (stat.S_IFIFO, 0o622, 0o600),
    "bin": (stat.S_IFREG, 0o755, 0o700),
    "fine": (stat.S_IFREG, 0o600, 0o600),
}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "var"
    top.mkdir()
    for name, (kind, _, _) in MODES.items():
        if kind == stat.S_IFDIR:
            (top / name).mkdir()
        else:
            os.mknod(top / name, kind)
    for name, (_, found, _) in reversed(MODES.items()):
        (top / name).chmod(found)
    top.chmod(0o755)
    return top


def modes(top: Path) -> dict[str, int]:
    return {name: stat.S_IMODE((top / name).stat().st_mode) for name in MODES}


def test_everything_gets_the_mode_it_should_have_and_what_had_another_is_named(top: Path) -> None:
    found = close_to_others(top)
    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    assert modes(top) == {name: wanted for name, (_, _, wanted) in MODES.items()}
    named = {f"{name} (mode {mode:03o})" for name, (_, mode, _) in MODES.items() if name != "fine"}
    assert {*found.wrong} == {"var (mode 755)", *named}
    assert not found.foreign
    assert "corrected: var (mode 755), " in found.in_words("corrected")["wrong"]
    assert close_to_others(top).in_words("corrected") == {}


def test_a_long_list_is_cut() -> None:
    found = Findings(Path("/srv/var"), [f"{number} (mode 644)" for number in range(14)])
    assert found.in_words("corrected")["wrong"].endswith(", 11 (mode 644) and 2 more")


def test_a_dry_run_finds_what_others_may_use_and_changes_nothing(top: Path) -> None:
    (top / "redis").chmod(0o755)  # one that is closed to us cannot be looked into
    before = modes(top)
    found = close_to_others(top, dry=True)
    assert modes(top) == before
    assert found.wrong == close_to_others(top).wrong


def test_bits_that_may_stay_do_so_below_the_top_where_we_may_use_what_has_them(top: Path) -> None:
    found = close_to_others(top, kept=OTHERS)
    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    assert modes(top)["log"] == 0o777 and modes(top)["trader.db"] == 0o666
    assert modes(top)["redis"] == 0o700 and modes(top)["supervisor.lock"] == 0o644
    assert {name.partition(" ")[0] for name in found.wrong} == {
        "var", "redis", "trader.pid", "supervisor.lock",
    }  # fmt: skip


def test_links_are_not_followed(tmp_path: Path) -> None:
    top, outside = tmp_path / "var", tmp_path / "outside"
    top.mkdir(mode=0o700)
    outside.mkdir()
    (outside / "file").touch()
    for path in (outside / "file", outside):
        path.chmod(0o777)
        (top / path.name).symlink_to(path)
    assert not close_to_others(top).wrong
    assert stat.S_IMODE(outside.stat().st_mode) == 0o777
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o777


def test_what_belongs_to_others_is_named_and_a_secret_of_theirs_not_removed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    (tmp_path / "api.token").touch()
    (tmp_path / "api.token").chmod(0o644)
    (tmp_path / "log").symlink_to("/etc")
    for name in ("api.token", "log"):
        os.chown(tmp_path / name, 12345, 12345, follow_symlinks=False)
    found = close_to_others(tmp_path, renewed=["api.token"])
    assert {*found.foreign} == {
        "api.token (mode 644, of user 12345)", "log (a link of user 12345)"
    }  # fmt: skip
    assert (tmp_path / "api.token").exists() and not found.wrong


def test_fifos_and_links_to_them_are_named_as_a_fault(tmp_path: Path) -> None:
    top = tmp_path / "var"
    (top / "log").mkdir(mode=0o700, parents=True)
    os.mkfifo(top / "log" / "fetcher.log", 0o600)
    (top / "venue.json").symlink_to(top / "log" / "fetcher.log")
    (top / "stdout").symlink_to("/dev/null")
    (top / "nowhere").symlink_to(tmp_path / "absent")
    found = close_to_others(top)
    assert {*found.endless} == {"log/fetcher.log", "venue.json"}
    assert found.fault().startswith(f"state_dir: found FIFOs or devices in {top}: ")
    (top / "log" / "fetcher.log").unlink()
    assert close_to_others(top).fault() == ""


def test_what_lies_too_deep_for_a_walk_is_behind_a_closed_directory(tmp_path: Path) -> None:
    levels = [tmp_path / "var"]
    for _ in range(40):
        levels.append(levels[-1] / "d")
    levels[-1].mkdir(parents=True)
    for level in levels:
        level.chmod(0o755)
    close_to_others(levels[0])
    found = [stat.S_IMODE(level.stat().st_mode) for level in levels]
    assert found[:33] == [0o700] * 33 and found[-1] == 0o755
    assert not close_to_others(levels[0]).wrong


def test_devices_stay_as_they_are(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make a device")
    device.chmod(0o666)
    found = close_to_others(tmp_path)
    assert not found.wrong and found.endless == ["null"]
    assert stat.S_IMODE(device.stat().st_mode) == 0o666


@pytest.mark.parametrize(("mode", "is_kept"), [(0o644, False), (0o600, True), (0o400, True)])
def test_secret_that_others_could_read_is_removed(mode: int, is_kept: bool, tmp_path: Path) -> None:
    for path in (tmp_path / "api.token", tmp_path / "old" / "api.token"):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch()
        path.chmod(mode)
    found = close_to_others(tmp_path, renewed=["api.token"])
    assert (tmp_path / "api.token").exists() == is_kept
    assert (tmp_path / "old" / "api.token").exists()
    assert ("api.token (mode 644, a secret: made anew)" in found.wrong) != is_kept


def test_names_that_are_no_text_and_a_directory_yet_to_be_made(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"odd-\xff")
    odd.touch()
    odd.chmod(0o644)
    assert close_to_others(tmp_path).wrong == ["odd-\\udcff (mode 644)"]
    odd.rename(tmp_path / "two\nlines\x1b[31m")
    (tmp_path / "two\nlines\x1b[31m").chmod(0o644)
    assert close_to_others(tmp_path).wrong == [r"two\nlines\x1b[31m (mode 644)"]
    assert close_to_others(tmp_path / "absent").in_words("corrected") == {}
