"""A machine with systemd, and both instances installed on it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.installed_platform import (
    INSTALL,
    UNINSTALL,
    FailedInstallation,
    Instance,
    older_dev_config,
    prepare,
)
from tests.support.systemd_machine import Machine, NoMachineError


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A freshly booted machine, on which install.sh has been stopped by the lack of a network."""
    if not Path("/lib/systemd/systemd").exists():
        missing("systemd is not installed")
    if shutil.which("nsenter") is None or shutil.which("pgrep") is None:
        missing("nsenter (util-linux) or pgrep (procps) is not on PATH")
    try:
        made = Machine()
    except NoMachineError as error:
        # nothing that could be installed would mend it
        pytest.skip(f"no systemd can be run here: {error}")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def removed_nothing(machine: Machine) -> subprocess.CompletedProcess[str]:
    """What uninstall.sh did where nothing had ever been installed."""
    return machine.run(UNINSTALL, "--dev", check=False)


@pytest.fixture(scope="session")
def prepared(
    machine: Machine,
    removed_nothing: subprocess.CompletedProcess[str],  # goes first
) -> FailedInstallation:
    """What install.sh said and left when it found no network."""
    return prepare(machine)


@pytest.fixture(scope="session")
def instances(machine: Machine, prepared: FailedInstallation) -> tuple[Instance, Instance]:
    """Dev and prod, installed and not started; prod reads the prices of dev's simulator.

    Dev has the configuration that earlier versions gave it: the simulated market, its own Redis.
    """
    machine.write("/etc/coinex/dev/config.yaml", older_dev_config())
    machine.run(INSTALL, "--dev", "--prod", "--no-start", timeout_s=120)
    dev, prod = Instance(machine, "dev"), Instance(machine, "prod")
    for instance in (dev, prod):
        # fewer processes and coins, so that a start takes a third of the time
        instance.set({"auditor.enabled": "false"})
        machine.run("sed", "-i", "/^  payments: /,/^$/{/^$/!d}", instance.config)
    prod.set({"binance.base_url": "http://127.0.0.1:8899"})
    return dev, prod


@pytest.fixture
def dev(instances: tuple[Instance, Instance]) -> Iterator[Instance]:
    """The dev instance, running; what a test does to it is undone."""
    instance = instances[0]
    before = instance.machine.says("cat", instance.config)
    instance.start()
    instance.wait_ready()
    yield instance
    instance.restore(before)


@pytest.fixture
def prod(instances: tuple[Instance, Instance]) -> Iterator[Instance]:
    """The prod instance, stopped; what a test does to it is undone."""
    instance = instances[1]
    before = instance.machine.says("cat", instance.config)
    yield instance
    instance.stop()
    instance.restore(before)
