"""The `coinex` command: which code it runs, as whom and with which configuration."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.console import command_line
from tests.support.paths import ROOT

SCRIPT = ROOT / "deploy" / "coinex"
ECHO = '#!/bin/sh\necho "$(id -un) in $(pwd): $0 $*"\n'


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def ran(command: Path | str, *arguments: str, cwd: Path, code: int = 0, path: str = "") -> str:
    """Run a command; return what it printed, on whichever stream."""
    done = subprocess.run(
        [str(command), *arguments], cwd=cwd, text=True, timeout=30, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


class Installed:
    """The script as install.sh puts it, beside instances whose code only says how it was run."""

    def __init__(self, folder: Path, user: str, *instances: str) -> None:
        self.folder = folder
        self.script = folder / "bin" / "coinex"
        text = SCRIPT.read_text()
        for given, instead in (("releases=/opt/coinex", f"releases={folder}/opt"),
                               ("configs=/etc/coinex", f"configs={folder}/etc")):  # fmt: skip
            assert given in text
            text = text.replace(given, instead)
        program(self.script, text)
        for name in instances:
            program(folder / "opt" / name / ".venv" / "bin" / "python", ECHO)
            (folder / "opt" / name / "supervisor.py").touch()
            (folder / "etc" / name).mkdir(parents=True)
            (folder / "etc" / name / "config.yaml").touch()
        # runuser asks for a user there is not; id says who the test plays
        number = 0 if user == "root" else 1000
        program(
            folder / "path" / "id", f'#!/bin/sh\n[ "$1" = -u ] && echo {number} || echo {user}\n'
        )
        program(folder / "path" / "runuser", '#!/bin/sh\necho "as $2"; shift 3; exec "$@"\n')

    def run(self, *arguments: str, code: int = 0) -> str:
        cwd = self.folder / "here"
        cwd.mkdir(exist_ok=True)
        said = ran(self.script, *arguments, cwd=cwd, code=code, path=str(self.folder / "path"))
        return said.replace(str(self.folder), "~")


def ran_by(instance: str, rest: str) -> str:
    return f"~/opt/{instance}/.venv/bin/python ~/opt/{instance}/supervisor.py{rest}\n"


def test_make_install_links_it_to_the_checkout_and_it_moves_with_it(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", checkout)
    shutil.copy(SCRIPT, checkout / "deploy")
    program(checkout / ".venv" / "bin" / "python", ECHO)
    for _ in range(2):
        ran("make", "-s", "command", cwd=checkout)
    moved = checkout.rename(tmp_path / "moved")
    (tmp_path / "elsewhere").symlink_to(moved / ".venv" / "bin" / "coinex")
    for command in (moved / ".venv" / "bin" / "coinex", tmp_path / "elsewhere"):
        said = ran(command, "status", "--set", "a=b c", cwd=tmp_path)
        assert said.endswith(
            f" in {tmp_path}: {moved}/.venv/bin/python {moved}/supervisor.py status --set a=b c\n"
        )
    assert "install: venv charts command" in (ROOT / "Makefile").read_text()


def test_a_command_runs_as_the_user_of_the_service_with_its_configuration(tmp_path: Path) -> None:
    said = Installed(tmp_path, "root", "dev", "prod").run("--instance", "prod", "logs", "trader")
    assert said == "as coinex-prod\nroot in /: " + ran_by(
        "prod", " logs --config ~/etc/prod/config.yaml trader"
    )


def test_the_only_instance_need_not_be_named(tmp_path: Path) -> None:
    installed = Installed(tmp_path, "root", "dev")
    expected = "as coinex-dev\nroot in /: " + ran_by(
        "dev", " status --config ~/etc/dev/config.yaml --json"
    )
    assert installed.run("status", "--json") == expected
    assert installed.run("--instance=dev", "status", "--json") == expected


def test_of_two_instances_one_must_be_named(tmp_path: Path) -> None:
    installed = Installed(tmp_path, "root", "dev", "prod")
    assert "say which, coinex --instance prod status" in installed.run("status", code=2)
    assert installed.run("help", "logs").endswith(ran_by("prod", " help logs"))


def test_the_form_before_still_works_and_names_the_new_one(tmp_path: Path) -> None:
    said = Installed(tmp_path, "root", "dev", "prod").run("prod", "status", "--json")
    hint, rest = said.split("\n", 1)
    assert hint.endswith("say: coinex --instance prod status --json")
    assert rest.endswith(ran_by("prod", " status --config ~/etc/prod/config.yaml --json"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ("--instance", "staging", "status"),
            "no instance 'staging' is installed here; there is: dev",
        ),
        (("--instance", "prod", "status"), "no instance 'prod'"),
        (("--instance",), "which one?"),
        (("run",), "systemd runs it: systemctl start coinex-platform@dev"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(
    arguments: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    assert named in Installed(tmp_path, "root", "dev").run(*arguments, code=2)


def test_where_nothing_is_installed_it_says_how_to(tmp_path: Path) -> None:
    assert "sudo deploy/install.sh --prod" in Installed(tmp_path, "root").run("status", code=2)


def test_only_root_and_the_service_may_ask(tmp_path: Path) -> None:
    said = Installed(tmp_path / "a", "ann", "dev").run("logs", "trader", code=1)
    assert "try: sudo coinex --instance dev logs trader" in said
    said = Installed(tmp_path / "b", "coinex-dev", "dev").run("status")
    assert said == "coinex-dev in /: " + ran_by("dev", " status --config ~/etc/dev/config.yaml")


@pytest.mark.parametrize("user", ["ann", "root"])
def test_what_concerns_the_callers_own_files_runs_as_the_caller_in_the_current_directory(
    user: str, tmp_path: Path
) -> None:
    installed = Installed(tmp_path, user, "dev")
    said = installed.run("replay", "--candles", "candles")
    assert said == f"{user} in ~/here: " + ran_by(
        "dev", " replay --config ~/etc/dev/config.yaml --candles candles"
    )
    for about in ((), ("--help",), ("--version",), ("completion", "bash")):
        assert installed.run(*about) == f"{user} in ~/here: " + ran_by(
            "dev", "".join(f" {word}" for word in about)
        )


def test_a_configuration_the_caller_may_not_read_is_replaced_by_that_of_the_code(
    tmp_path: Path,
) -> None:
    installed = Installed(tmp_path, "ann", "dev")
    (tmp_path / "etc" / "dev" / "config.yaml").unlink()
    hint, said = installed.run("replay").split("\n", 1)
    assert hint.startswith("coinex: ~/etc/dev/config.yaml is not for you to read")
    assert said.endswith(ran_by("dev", " replay --config ~/opt/dev/config.yaml"))


def test_what_it_lists_as_personal_are_commands() -> None:
    found = re.search(r"^personal='(.*)'$", SCRIPT.read_text(), re.MULTILINE)
    assert found is not None
    names = found[1].split()
    assert f" {' '.join(names)} " == found[1]
    assert set(names) < set(command_line.parser(lambda _: 0).commands)


def test_every_command_that_is_given_the_configuration_takes_it() -> None:
    commands = command_line.parser(lambda _: 0).commands
    without = {"help", "completion"}
    for name in set(commands) - without:
        assert "--config" in commands[name].format_help(), name


def test_supervisor_py_speaks_the_same_grammar(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, str(ROOT / "supervisor.py"), "--instance", "staging", "status"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert "coinex: no instance 'staging' is installed here" in said.stderr


@pytest.mark.parametrize("how", [(), ("--editable",)])
def test_pip_is_told_in_one_sentence_how_it_is_installed_instead(
    how: tuple[str, ...], tmp_path: Path
) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--no-index", "--prefix", str(tmp_path))
    said = ran(pip[0], *pip[1:], *how, str(ROOT), cwd=tmp_path, code=1)
    assert "[1 lines of output]" in said
    assert "it runs from its checkout; run `make install` there" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_licence_is_the_one_that_setup_cfg_names() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    first_line = (ROOT / "LICENSE").read_text().splitlines()[0]
    assert first_line == f"{setup['metadata']['license']} License"
