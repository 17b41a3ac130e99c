"""The platform as deploy/install.sh puts it onto a machine, for tests that break it there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.supervision.control_client import ask_status
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.systemd_machine import LIBRARIES, Machine

INSTALL = f"{ROOT}/deploy/install.sh"
UNINSTALL = f"{ROOT}/deploy/uninstall.sh"


@dataclass(frozen=True)
class FailedInstallation:
    """What install.sh said and left where it found no packages."""

    code: int
    said: str
    files: str


def prepare(machine: Machine) -> FailedInstallation:
    """Bring the machine to where install.sh finds interpreter and packages.

    It reaches no network, so the installer is let run until it has made the environment and can
    fill it with nothing; the packages these tests run on are put there instead.
    """
    first = machine.run(INSTALL, "--dev", "--no-start", check=False, timeout_s=120)
    found = re.search(r"make (/opt/coinex/venvs/[0-9a-f]{12}) ", first.stdout)
    assert found is not None, first.stdout + first.stderr
    venv = found[1]
    left = files(machine)
    packages = machine.says("bash", "-c", f"echo {venv}/lib/python3*/site-packages")
    machine.write(f"{packages}/libraries.pth", f"{LIBRARIES}\n")
    machine.run("cp", f"{ROOT}/requirements.txt", f"{venv}/requirements.txt")
    return FailedInstallation(first.returncode, first.stdout + first.stderr, left)


def files(machine: Machine) -> str:
    """Return the path of every file the installer could have made, but for packages and logs."""
    but = ("*/opt/coinex/venvs/*/*", "*/opt/coinex/python/*/*", "*/log/*", "*/redis/*")
    places = ("/opt", "/etc", "/var/lib", "/usr/local/bin")
    options = [part for pattern in but for part in ("-not", "-path", pattern)]
    return machine.says("find", *places, "-path", "*coinex*", *options)


def older_dev_config() -> str:
    """Return the config.yaml that install.sh --dev made when it meant the simulated market."""
    text = (ROOT / "config.yaml").read_text()
    for name, given in (
        ("mode", "demo"),
        ("state_dir", "/var/lib/coinex/dev"),
        ("  namespace", "dev"),
        ("  embedded", "always"),
        ("  url", "redis://127.0.0.1:6380/0"),
    ):
        text = re.sub(rf"(?m)^{name}: \S+", f"{name}: {given}", text, count=1)
    return text


class Instance:
    """One instance, dev or prod, on a machine."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.unit = f"coinex-platform@{name}.service"
        self.config = f"/etc/coinex/{name}/config.yaml"
        self.state_dir = f"/var/lib/coinex/{name}"

    def install(self, *options: str, source: str = str(ROOT)) -> str:
        """Install it without starting it; return what the installer said."""
        return self.machine.says(f"{source}/deploy/install.sh", f"--{self.name}", *options)

    def set(self, settings: Mapping[str, str]) -> None:
        """Set values of its config.yaml, each by `section.name`."""
        for path, value in settings.items():
            section, _, name = path.partition(".")
            edit = f"/^{section}:/,/^[a-z]/ s|^  {name}: [^ ]*|  {name}: {value}|"
            self.machine.run("sed", "-i", edit, self.config)
            assert f"  {name}: {value}" in self.machine.says("cat", self.config), path

    def shape(self, directives: str) -> None:
        """Put settings of the test's own above those of the unit; used from the next start on."""
        self.machine.write(f"{self._own_settings}/test.conf", f"[Service]\n{directives}\n")
        self.machine.run("systemctl", "daemon-reload")

    def restore(self, config: str) -> None:
        """Undo what a test has set; an instance it concerns is stopped."""
        is_shaped = self.machine.run("test", "-e", self._own_settings, check=False).returncode == 0
        if is_shaped or self.machine.says("cat", self.config) != config:
            self.stop()
            self.machine.run("rm", "-rf", self._own_settings)
            self.machine.run("systemctl", "daemon-reload")
            self.machine.write(self.config, config + "\n")
        self.machine.run("systemctl", "reset-failed", self.unit, check=False)

    @property
    def _own_settings(self) -> str:
        return f"/run/systemd/system/{self.unit}.d"

    def start(self) -> None:
        """Start it, and wait until systemd has heard that it is ready.

        Raises:
            AssertionError: It failed; shows the end of its journal.
        """
        done = self.machine.run("systemctl", "start", self.unit, check=False, timeout_s=90)
        assert done.returncode == 0, done.stderr + self.journal()[-4000:]

    def stop(self) -> None:
        """Stop it."""
        self.machine.run("systemctl", "stop", self.unit, timeout_s=90)

    def show(self, name: str) -> str:
        """Return one of systemd's properties of the unit."""
        return self.machine.says("systemctl", "show", "--value", f"--property={name}", self.unit)

    @property
    def main_pid(self) -> int:
        """Process id of the supervisor in the machine; 0 when there is none."""
        return int(self.show("MainPID"))

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run the installed command line; return exit code and output."""
        done = self.machine.run("coinex", "--instance", self.name, *arguments, check=False)
        return done.returncode, done.stdout + done.stderr

    def actors(self) -> dict[str, dict[str, Any]]:
        """Return the status of each actor; empty while the supervisor does not answer."""
        try:
            body = ask_status(self.machine.path(f"{self.state_dir}/supervisor.sock"), 10)
        except OSError:
            return {}
        return {row["name"]: row for row in body["actors"]}

    def all_ready(self, but: str = "") -> bool:
        """Tell whether every actor is ready; `but` one that may be anything."""
        actors = self.actors()
        actors.pop(but, None)
        return bool(actors) and all(actor["state"] == "ready" for actor in actors.values())

    def wait_ready(self, within_s: float = 60, but: str = "") -> None:
        """Wait until every actor is ready; `but` one that may be anything."""
        wait_for(lambda: self.all_ready(but), within_s, f"every actor of {self.name} ready")

    def processes(self) -> list[str]:
        """Return the command lines of what its user runs."""
        done = self.machine.run("pgrep", "-u", f"coinex-{self.name}", "-a", check=False)
        return done.stdout.splitlines()

    def journal(self, priority: str = "debug") -> str:
        """Return what it has written into the journal since the machine booted."""
        options = ("--no-pager", "-o", "cat", "-p", priority)
        return self.machine.says("journalctl", *options, "-u", self.unit)

    def redis(self, *command: str) -> Any:
        """Return what its own Redis replies, to the operator."""
        program = (
            "import json, sys, redis\n"
            "client = redis.Redis.from_url(sys.argv[1], decode_responses=True)\n"
            "print(json.dumps(client.execute_command(*sys.argv[2:])))"
        )
        url = self.machine.says("cat", f"{self.state_dir}/redis/operator.url")
        python = f"/opt/coinex/{self.name}/.venv/bin/python"
        return orjson.loads(self.machine.says(python, "-c", program, url, *command))

    def get(self, port: int, path: str) -> tuple[int, str]:
        """Return status and body of a GET to a local port of the machine."""
        program = (
            "import sys, urllib.request, urllib.error\n"
            "try:\n  answer = urllib.request.urlopen(sys.argv[1], timeout=10)\n"
            "except urllib.error.HTTPError as error:\n  answer = error\n"
            "print(answer.status); print(answer.read().decode())"
        )
        url = f"http://127.0.0.1:{port}{path}"
        status, _, body = self.machine.says("python3", "-c", program, url).partition("\n")
        return int(status), body
