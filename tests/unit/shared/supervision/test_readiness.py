"""The files that tell systemd's companion units who is ready."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.messages.actors import ActorStatus
from shared.supervision.readiness import STOPPING, ReadinessFiles
from tests.support.sightings import death, status

LOG = logging.getLogger("test")


@dataclass
class Supervised:
    said: ActorStatus

    def status(self) -> ActorStatus:
        return self.said


class Files:
    """What systemd and the companion units find."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = ReadinessFiles({"RUNTIME_DIRECTORY": str(folder)}, LOG)

    def show(self, *statuses: ActorStatus) -> None:
        self.written.show([Supervised(each) for each in statuses])

    def ready(self) -> set[str]:
        return {path.name for path in (self.folder / "ready").iterdir()}

    def words(self, name: str) -> str:
        return (self.folder / "state" / name).read_text().strip()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


WELL = [status(name) for name in ("fetcher", "indicators-a", "indicators-b", "dashboard")]


def test_a_unit_is_ready_while_each_of_its_actors_is(files: Files) -> None:
    files.show(*WELL)
    assert files.ready() == {"ta", "dashboard"}
    assert files.words("ta").startswith("fetcher ready, pid ")
    files.show(*(status(each.name, "backoff") if each.name[-1] == "b" else each for each in WELL))
    assert files.ready() == {"dashboard"}
    assert files.words("ta") == "indicators-b: backoff"
    files.show(*WELL)
    assert files.ready() == {"ta", "dashboard"}


def test_an_actor_that_is_not_configured_is_not_ready(files: Files) -> None:
    files.show(*WELL)
    assert files.words("trader-api") == "trader-api: not in the configuration"
    files.show(status("fetcher"))
    assert files.words("ta") == "indicators-*: not in the configuration"


def test_who_is_not_ready_is_named_with_the_reason(files: Files) -> None:
    files.show(status("dashboard", "starting", doing="its port is taken"))
    assert files.words("dashboard") == "dashboard: starting: its port is taken"
    files.show(status("dashboard", "quarantined", deaths=[death("killed by SIGKILL")]))
    assert files.words("dashboard") == "dashboard: quarantined: last death: killed by SIGKILL"
    files.show(status("dashboard", "stopped", reason="stopped by request"))
    assert files.words("dashboard") == "dashboard: stopped: stopped by request"


def test_what_stops_with_the_platform_has_not_failed(files: Files) -> None:
    files.show(*WELL)
    files.written.close()
    assert files.ready() == set()
    assert files.words("dashboard") == STOPPING


def test_without_a_runtime_directory_nothing_is_written(tmp_path: Path) -> None:
    silent = ReadinessFiles({}, LOG)
    silent.show([Supervised(each) for each in WELL])
    silent.close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_once_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path / "gone" / "dev")
    for _ in range(3):
        files.show(*WELL)
    assert len(caplog.records) == 1
    files.folder.mkdir(parents=True)
    files.show(*WELL)
    assert files.ready() == {"ta", "dashboard"}
