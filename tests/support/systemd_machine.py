"""A machine with a real systemd, in namespaces of this one, on which nothing that lasts is changed.

It sees this machine's files through an overlay that vanishes with it, and has its own processes,
cgroups, loopback and journal. It reaches no network.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.support.paths import ROOT
from tests.support.platform_run import wait_for

BOOT = Path(__file__).with_name("boot_systemd.sh")
CGROUPS = Path("/sys/fs/cgroup")
LEGACY_CONTROLLERS = ("systemd", "unified", "memory", "pids", "devices", "blkio", "freezer")
LIBRARIES = "/opt/test-libraries"
"""Where the machine finds the packages these tests run on."""

BOOT_S = 30.0


class NoMachineError(Exception):
    """This machine cannot have another one inside; the text says why."""


class Machine:
    """Boots when made; `close` ends everything in it.

    Raises:
        NoMachineError: Not root, no systemd, or the kernel refuses namespaces or cgroups.
    """

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise NoMachineError("only root can boot a systemd in namespaces")
        self._cgroups: list[Path] = []
        self._work = Path(tempfile.mkdtemp(prefix="coinex-machine-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def _boot(self) -> None:
        controllers = self._make_cgroups()
        self._console = self._work / "console"
        libraries = Path(psutil.__file__).parent.parent
        bound = [f"{path}:{path}" for path in dict.fromkeys((ROOT, Path(sys.base_prefix)))]
        join = "".join(f'echo $$ >"{path}/cgroup.procs"; ' for path in self._cgroups)
        inside = self._work / "inside"
        inside.mkdir()
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                ["bash", "-ec", join + 'exec "$@"', "bash",
                 "unshare", "--fork", "--kill-child", "--pid", "--mount", "--ipc", "--uts",
                 "--cgroup", "--net", str(BOOT), str(inside), controllers, *bound,
                 f"{libraries}:{LIBRARIES}"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        wait_for(self._is_up, BOOT_S, "systemd has booted")

    def _make_cgroups(self) -> str:
        """Make a cgroup in each hierarchy that is needed; return their names for the boot."""
        is_unified = (CGROUPS / "cgroup.procs").exists()
        hierarchies = [CGROUPS] if is_unified else [CGROUPS / name for name in LEGACY_CONTROLLERS]
        found = []
        if is_unified:
            with contextlib.suppress(OSError):  # without it there is no memory limit to test
                (CGROUPS / "cgroup.subtree_control").write_text("+memory +pids")
        for hierarchy in hierarchies:
            if not (hierarchy / "cgroup.procs").exists():
                continue
            path = hierarchy / self._work.name
            try:
                path.mkdir()
            except OSError as error:
                raise NoMachineError(f"no cgroup can be made in {hierarchy}: {error}") from None
            self._cgroups.append(path)
            found.append(hierarchy.name)
        return "unified" if is_unified else " ".join(found)

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise NoMachineError(f"systemd did not boot: {self._console.read_text()[-2000:]}")
        if self._init() is None:
            return False
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in ("running", "degraded")

    def _init(self) -> int | None:
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "systemd" in child.name():
                    return child.pid
        return None

    def path(self, path: str) -> Path:
        """Return where a file of the machine can be reached from outside."""
        return Path(f"/proc/{self._init()}/root{path}")

    @property
    def limits_memory(self) -> bool:
        """Tell whether this machine's cgroups can limit memory."""
        if len(self._cgroups) > 1:
            return any(path.parent.name == "memory" for path in self._cgroups)
        return "memory" in (self._cgroups[0] / "cgroup.controllers").read_text()

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the machine.

        Raises:
            AssertionError: It failed, and `check` was left on.
        """
        init = self._init()
        assert init is not None, self._console.read_text()
        # the interpreter these tests run on comes first, as it would on a user's PATH
        path = f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            ["nsenter", "--all", "--target", str(init), "env", "-i", f"PATH={path}", "HOME=/root",
             "LANG=C.UTF-8", "PIP_NO_INDEX=1", *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
            check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def says(self, *command: str) -> str:
        """Return what a command prints."""
        return self.run(*command).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file in the machine."""
        self.run("bash", "-c", 'mkdir -p "${1%/*}" && printf %s "$2" >"$1"', "bash", path, text)

    def close(self) -> None:
        """End every process of the machine; its files vanish with them."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for path in self._cgroups:
            wait_for(functools.partial(_is_empty, path), 10, f"{path} is empty")
            for folder in sorted(path.glob("**/"), reverse=True):
                folder.rmdir()
        shutil.rmtree(self._work, ignore_errors=True)


def _is_empty(cgroup: Path) -> bool:
    return not any(path.read_text().strip() for path in cgroup.glob("**/cgroup.procs"))
