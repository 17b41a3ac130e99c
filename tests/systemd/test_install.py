"""install.sh and uninstall.sh: what they put where, what an upgrade keeps, when it stops short."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.installed_platform import INSTALL, UNINSTALL, FailedInstallation, Instance, files
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.systemd_machine import Machine

# one machine for all of them
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("install")]


def release(instance: Instance) -> str:
    return instance.machine.says("readlink", f"/opt/coinex/{instance.name}")


@pytest.fixture
def next_version(machine: Machine) -> Iterator[str]:
    """A copy of the project in the machine, whose code a test may change before installing it."""
    source = "/srv/next"
    machine.run("mkdir", "-p", source)
    names = machine.says("bash", "-c", f"sed -n '/^readonly SHIPPED/,/)/p' {INSTALL}")
    shipped = re.sub(r"readonly SHIPPED=\(|\)", "", names).split()
    machine.run("bash", "-c", f"cd {ROOT} && cp -a {' '.join(shipped)} {source}")
    yield source
    machine.run("rm", "-rf", source)


def change(machine: Machine, source: str, file: str, text: str, instead: str) -> None:
    machine.run("sed", "-i", f"s|{text}|{instead}|", f"{source}/{file}")
    assert machine.run("diff", "-q", f"{ROOT}/{file}", f"{source}/{file}", check=False).returncode


def test_where_nothing_is_installed_there_is_nothing_to_remove(
    removed_nothing: subprocess.CompletedProcess[str],
) -> None:
    assert (removed_nothing.returncode, removed_nothing.stderr) == (0, "")


def test_without_packages_nothing_is_installed_halfway(prepared: FailedInstallation) -> None:
    assert prepared.code != 0
    assert "No matching distribution" in prepared.said
    assert "/opt/coinex/venvs/" in prepared.files
    for place in ("/opt/coinex/releases", "/opt/coinex/dev", "/etc/coinex", "coinex-platform"):
        assert place not in prepared.files


def test_a_dry_run_says_what_it_would_do_and_does_nothing(dev: Instance, next_version: str) -> None:
    change(dev.machine, next_version, "supervisor.py", "the loop acts", "the loop does it")
    before = files(dev.machine)
    said = dev.install("--dry-run", "--trader-timer", source=next_version)
    assert re.search(r"would: copy the code to /opt/coinex/releases/\S+\n", said)
    assert "restart coinex-platform@dev.service" in said
    gone = dev.machine.says(UNINSTALL, "--dev", "--purge", "--dry-run")
    assert "would: rm -rf /etc/coinex/dev /var/lib/coinex/dev" in gone
    assert files(dev.machine) == before
    assert dev.show("ActiveState") == "active"


def test_installing_again_changes_and_restarts_nothing(dev: Instance) -> None:
    before, supervisor = files(dev.machine), dev.main_pid
    assert dev.install().endswith("dev: nothing changed")
    assert dev.main_pid == supervisor
    assert files(dev.machine) == before


def test_an_upgrade_keeps_state_and_configuration_and_the_other_instance(
    dev: Instance, prod: Instance, next_version: str
) -> None:
    stream = "dev:supervisor:events"
    first = dev.redis("XRANGE", stream, "-", "+", "COUNT", "1")
    config, supervisor, old = dev.machine.says("cat", dev.config), dev.main_pid, release(dev)
    change(dev.machine, next_version, "supervisor.py", "the loop acts", "the loop does it")
    dev.install(source=next_version)
    assert dev.main_pid not in (0, supervisor)
    assert dev.show("ActiveState") == "active"
    assert release(dev) != old
    assert release(prod) == old
    assert dev.machine.says("cat", dev.config) == config
    assert first
    assert dev.redis("XRANGE", stream, "-", "+", "COUNT", "1") == first
    dev.install()  # and back
    assert release(dev) == old


def test_new_code_that_refuses_the_configuration_is_not_used(
    dev: Instance, next_version: str
) -> None:
    supervisor, old = dev.main_pid, release(dev)
    change(
        dev.machine,
        next_version,
        "shared/config/sections.py",
        "maxmemory_mb: Count",
        "max_mb: Count",
    )
    refused = dev.machine.run(f"{next_version}/deploy/install.sh", "--dev", check=False)
    assert refused.returncode == 78, refused.stdout + refused.stderr
    assert "redis.maxmemory_mb: unknown key" in refused.stderr
    assert "nothing was restarted" in refused.stderr
    assert (dev.main_pid, release(dev)) == (supervisor, old)


def test_new_code_that_does_not_start_gives_way_to_the_old(
    dev: Instance, next_version: str
) -> None:
    old = release(dev)
    change(dev.machine, next_version, "supervisor.py", "    lock = preflight.lock(state_dir)",
           "    raise SystemExit(1)")  # fmt: skip
    failed = dev.machine.run(f"{next_version}/deploy/install.sh", "--dev", check=False)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"runs {old} again" in failed.stderr
    assert release(dev) == old
    assert dev.show("ActiveState") == "active"
    dev.wait_ready()


def test_the_command_runs_as_the_service_or_as_whoever_asks(dev: Instance) -> None:
    def said(*words: str, user: str = "root", code: int = 0) -> str:
        command = ("runuser", "-u", user, "--", "coinex", *words)
        done = dev.machine.run(*command, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "trader-api" in said("--instance", "dev", "status")
    assert "say: coinex --instance dev status" in said("dev", "status")
    assert "say which" in said("status", code=2)
    assert said("--instance", "dev", "--version", user="nobody").startswith("coinex ")
    assert "only root" in said("--instance", "dev", "status", user="nobody", code=1)
    replay = said("--instance", "dev", "replay", "--candles", "/srv", user="nobody", code=2)
    assert "/etc/coinex/dev/config.yaml is not for you to read" in replay
    assert "replay: " in replay


def test_the_machines_own_redis_is_used_with_a_password_from_a_credential(dev: Instance) -> None:
    machine, password = dev.machine, "correct-horse"
    if machine.run("systemctl", "cat", "redis-server.service", check=False).returncode != 0:
        pytest.skip("redis-server is not installed as a service")
    dev.set({"redis.embedded": "never", "redis.url": "redis://127.0.0.1:6379/0"})
    dev.stop()
    machine.write("/srv/password", password)
    dev.install("--external-redis", "--no-start", "--credential", "redis_password=/srv/password")
    kept = "/etc/coinex/dev/credentials/redis/password"
    assert machine.says("stat", "-c", "%a %U", kept) == "600 root"
    try:
        machine.run("systemctl", "start", "redis-server")
        machine.run("redis-cli", "config", "set", "requirepass", password)
        dev.start()
        dev.wait_ready()
        assert not [line for line in dev.processes() if "redis" in line]
        assert machine.says("redis-cli", "--no-auth-warning", "-a", password, "--scan").count(
            "dev:"
        )
        supervisor = dev.main_pid
        machine.run("systemctl", "stop", "redis-server")
        wait_for(
            lambda: "redis unreachable" in dev.get(8894, "/health")[1], 20, "its loss is reported"
        )
        assert (dev.main_pid, dev.show("ActiveState")) == (supervisor, "active")
        dev.stop()
        machine.run("systemctl", "reset-failed", "redis-server", check=False)
        dev.start()  # wants redis-server, which has forgotten the password meanwhile
        assert machine.says("systemctl", "is-active", "redis-server") == "active"
    finally:
        dev.stop()
        machine.run("systemctl", "stop", "redis-server")
        machine.run("rm", "-rf", kept, f"/etc/systemd/system/{dev.unit}.d")
        machine.run("systemctl", "daemon-reload")


def test_an_installed_dev_keeps_its_mode_and_is_told_how_to_change_it(dev: Instance) -> None:
    config = dev.machine.says("cat", dev.config)
    assert "\nmode: demo" in config
    said = dev.install("--trader-timer", "--no-start")
    assert "dev: stays in demo mode" in said
    assert "set in it mode: paper" in said
    assert "trader.timer_min: 5" in said
    assert dev.machine.says("cat", dev.config) == config


def test_the_timer_under_its_earlier_name_is_followed_by_the_new_one(dev: Instance) -> None:
    machine, old, new = dev.machine, "coinex-trader-once@dev.timer", "coinex-trader-dev.timer"
    text = machine.says("cat", f"/etc/systemd/system/{new}")
    machine.write(f"/etc/systemd/system/{old}", text + "\n")
    edited = f"/etc/systemd/system/{new}.d/override.conf"
    machine.run("mkdir", "-p", f"/etc/systemd/system/{old}.d")
    machine.write(
        f"/etc/systemd/system/{old}.d/override.conf", "[Timer]\nOnCalendar=\nOnCalendar=*:0/15\n"
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", old)
    try:
        assert f"{new} now, {old} is removed" in dev.install("--no-start")
        assert machine.says("systemctl", "is-enabled", new) == "enabled"
        assert machine.run("systemctl", "cat", old, check=False).returncode != 0
        assert "*:0/15" in machine.says("systemctl", "cat", new)
    finally:
        machine.run("systemctl", "disable", "--now", new)
        machine.run("rm", "-f", edited)


def test_a_companion_that_was_disabled_stays_so(dev: Instance) -> None:
    unit = "coinex-dashboard-dev.service"
    assert dev.machine.says("systemctl", "is-enabled", unit) == "enabled"
    dev.machine.run("systemctl", "disable", unit)
    try:
        dev.install("--no-start")
        assert dev.machine.run("systemctl", "is-enabled", unit, check=False).returncode != 0
    finally:
        dev.machine.run("systemctl", "enable", unit)


@pytest.fixture
def real_dev(instances: tuple[Instance, Instance]) -> Iterator[Instance]:
    """Dev as --dev installs it, on the machine's Redis, with the prices of a demo beside it."""
    dev, machine = instances[0], instances[0].machine
    if machine.run("systemctl", "cat", "redis-server.service", check=False).returncode != 0:
        pytest.skip("redis-server is not installed as a service")
    before, demo = machine.says("cat", dev.config), Instance(machine, "demo")
    machine.run(UNINSTALL, "--dev", "--purge")
    machine.run("systemctl", "start", "redis-server")
    machine.run("redis-cli", "flushall")
    machine.run(INSTALL, "--dev", "--demo", "--no-start", timeout_s=120)
    for instance in (dev, demo):
        instance.set({"auditor.enabled": "false"})
        machine.run("sed", "-i", "/^  payments: /,/^$/{/^$/!d}", instance.config)
    dev.set({"binance.base_url": "http://127.0.0.1:8901"})
    demo.start()
    demo.wait_ready()
    yield dev
    machine.run(UNINSTALL, "--dev", "--demo", "--purge", timeout_s=120)
    machine.run("systemctl", "stop", "redis-server")
    machine.write(dev.config, before + "\n")
    machine.run(INSTALL, "--dev", "--no-start", timeout_s=120)


def test_dev_is_real_on_the_machines_redis_with_a_timer_for_a_trader(real_dev: Instance) -> None:
    dev, machine = real_dev, real_dev.machine
    config = machine.says("cat", dev.config)
    for line in ("mode: paper", "  embedded: never", "  enabled: true", "  timer_min: 5"):
        assert re.search(rf"(?m)^{line}\b", config), line
    dev.start()
    dev.wait_ready()
    assert machine.says("systemctl", "is-active", "redis-server") == "active"
    keys = machine.says("redis-cli", "--scan").split()
    assert keys
    assert all(key.startswith("dev:") for key in keys)
    assert not [line for line in dev.processes() if "redis" in line]
    for port, path in ((8892, "/api/state"), (8894, "/livez"), (8895, "/openapi.json"),
                       (8890, "/api/state")):  # fmt: skip
        assert dev.get(port, path)[0] == 200
    companions = ("coinex-ta-dev", "coinex-dashboard-dev", "coinex-trader-api-dev")

    def all_active() -> bool:
        done = machine.run("systemctl", "is-active", *companions, check=False)
        return done.stdout.split() == ["active"] * len(companions)

    wait_for(all_active, 10, "every companion active")
    assert "trader" not in dev.actors()
    note = "run by a timer, which has not run it yet"
    wait_for(lambda: note in dev.get(8894, "/health")[1], 10, "that is worth a note")
    code, said = dev.command("trader", "kill", "--reason", "a trial")
    assert (code, "the lock is set; kept for the trader's next run" in said) == (1, True), said
    machine.run("systemctl", "start", "coinex-trader-once@dev.service", timeout_s=240)
    wait_for(lambda: '"every_s":300' in dev.get(8894, "/health")[1], 10, "its run is seen")
    assert "run by a timer, which has not" not in dev.get(8894, "/health")[1]
    code, said = dev.command("trader", "status")
    assert code == 0, said
    assert "by a timer every 5 min" in said
    assert "locked" in said


def test_uninstalling_keeps_state_unless_it_is_purged(prod: Instance) -> None:
    machine, original = prod.machine, prod.machine.says("cat", prod.config)
    prod.set({"supervisor.start_s": "8"})
    config = machine.says("cat", prod.config)
    prod.start()
    said = machine.says(UNINSTALL, "--prod")
    assert "are kept" in said
    assert prod.processes() == []
    assert machine.run("systemctl", "cat", prod.unit, check=False).returncode != 0
    assert machine.says("cat", prod.config) == config
    assert machine.says("ls", f"{prod.state_dir}/redis")
    prod.install("--no-start")
    assert machine.says("cat", prod.config) == config
    machine.run(UNINSTALL, "--prod", "--purge")
    for path in (prod.config, prod.state_dir, "/opt/coinex/prod"):
        assert machine.run("test", "-e", path, check=False).returncode != 0
    assert machine.run("id", "coinex-prod", check=False).returncode != 0
    assert machine.run("test", "-e", "/opt/coinex/dev").returncode == 0
    prod.install("--no-start")  # as the other tests want it
    machine.write(prod.config, original + "\n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "which instance"),
        (("--dev", "--staging"), "unknown option --staging"),
        (("--dev", "--credential", "password=/etc/hostname"), "expects redis_password"),
        (("--dev", "--credential", "redis_password=/nowhere"), "is no file or is empty"),
        (("--dev", "--prod", "--credential", "redis_password=/etc/passwd"), "one instance"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    machine: Machine, options: tuple[str, ...], expected: str
) -> None:
    refused = machine.run(INSTALL, *options, check=False)
    assert refused.returncode == 2
    assert expected in refused.stderr
