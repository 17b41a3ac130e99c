"""Units with the names of single services: each says how its actors are, and acts on no other."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.installed_platform import Instance
from tests.support.platform_run import wait_for
from tests.support.systemd_machine import Machine

# on the machine of the unit's tests
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("service")]

ACTORS = {
    "coinex-ta-dev": {"fetcher", "indicators-majors", "indicators-layer1", "indicators-defi"},
    "coinex-dashboard-dev": {"dashboard"},
    "coinex-trader-api-dev": {"trader-api"},
}
DASHBOARD = "coinex-dashboard-dev"


def state(machine: Machine, unit: str) -> str:
    return machine.run("systemctl", "is-active", unit, check=False).stdout.strip()


def are(machine: Machine, expected: str, *units: str) -> Callable[[], bool]:
    return lambda: {state(machine, unit) for unit in units} == {expected}


def shown(machine: Machine, unit: str) -> str:
    return machine.run("systemctl", "status", "--no-pager", unit, check=False).stdout


def pids(instance: Instance) -> dict[str, int]:
    return {name: actor["pid"] for name, actor in instance.actors().items()}


def test_every_name_answers_and_says_who_is_ready(dev: Instance, prod: Instance) -> None:
    wait_for(are(dev.machine, "active", *ACTORS), 10, "every companion of dev active")
    for unit, actors in ACTORS.items():
        for actor in actors & set(dev.actors()):
            assert f"{actor} ready, pid" in shown(dev.machine, unit)
    prod.start()
    prod.wait_ready()
    wait_for(are(dev.machine, "active", "coinex-dashboard"), 10, "prod's companion active")
    for timer, once in (("coinex-trader-dev", "dev"), ("coinex-live-trader", "prod")):
        due = dev.machine.says("systemctl", "show", "--value", "-p", "Triggers", f"{timer}.timer")
        assert due == f"coinex-trader-once@{once}.service"
        assert state(dev.machine, f"{timer}.timer") == "inactive"
    prod.stop()
    assert state(dev.machine, "coinex-dashboard") == "inactive"
    assert are(dev.machine, "active", *ACTORS)()


@pytest.mark.parametrize("unit", list(ACTORS))
def test_a_restart_of_one_restarts_its_actors_and_no_other(dev: Instance, unit: str) -> None:
    wait_for(are(dev.machine, "active", *ACTORS), 10, "every companion active")
    before = pids(dev)
    dev.machine.run("systemctl", "restart", unit)
    after = pids(dev)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == ACTORS[unit] & set(before)
    assert are(dev.machine, "active", *ACTORS)()


def test_one_fails_while_its_actor_is_stopped_and_heals_with_it(dev: Instance) -> None:
    others = [unit for unit in ACTORS if unit != DASHBOARD]
    wait_for(are(dev.machine, "active", *ACTORS), 10, "every companion active")
    assert dev.command("stop", "dashboard")[0] == 0
    wait_for(are(dev.machine, "failed", DASHBOARD), 10, "it has failed")
    assert "dashboard: stopped: stopped by request" in shown(dev.machine, DASHBOARD)
    assert are(dev.machine, "active", *others)()
    assert dev.command("start", "dashboard")[0] == 0
    wait_for(are(dev.machine, "active", DASHBOARD), 10, "it is healed")


def test_one_fails_while_its_actor_keeps_dying_and_heals_with_it(dev: Instance) -> None:
    wait_for(are(dev.machine, "active", DASHBOARD), 10, "the companion active")

    def is_quarantined() -> bool:
        actor = dev.actors()["dashboard"]
        if actor["pid"]:
            dev.machine.run("kill", "-KILL", str(actor["pid"]), check=False)
        return bool(actor["state"] == "quarantined")

    wait_for(is_quarantined, 60, "the dashboard is quarantined")
    wait_for(are(dev.machine, "failed", DASHBOARD), 10, "the companion has failed")
    # in the words of the moment in which that was noticed
    assert re.search(r"dashboard: (starting|backoff|quarantined): ", shown(dev.machine, DASHBOARD))
    dev.machine.run("systemctl", "restart", DASHBOARD)
    assert dev.actors()["dashboard"]["state"] == "ready"
    assert state(dev.machine, DASHBOARD) == "active"


def test_a_stop_of_one_stops_its_actor_until_it_is_started(dev: Instance) -> None:
    wait_for(are(dev.machine, "active", DASHBOARD), 10, "the companion active")
    before = pids(dev)
    dev.machine.run("systemctl", "stop", DASHBOARD)
    assert dev.actors()["dashboard"]["state"] == "stopped"
    assert state(dev.machine, DASHBOARD) == "inactive"
    dev.machine.run("systemctl", "start", DASHBOARD)
    assert dev.actors()["dashboard"]["state"] == "ready"
    after = pids(dev)
    assert {name for name in before if before[name] != after[name]} == {"dashboard"}


def test_they_come_back_with_a_supervisor_that_was_killed(dev: Instance) -> None:
    wait_for(are(dev.machine, "active", *ACTORS), 10, "every companion active")
    supervisor = dev.main_pid
    dev.machine.run("kill", "-KILL", str(supervisor))
    wait_for(lambda: dev.main_pid not in (0, supervisor), 20, "a new supervisor")
    wait_for(are(dev.machine, "active", *ACTORS), 40, "every companion active again")
    dev.wait_ready()


def test_a_shutdown_leaves_none_failed(dev: Instance) -> None:
    assert dev.command("shutdown")[0] == 0
    wait_for(lambda: dev.show("ActiveState") == "inactive", 30, "the platform has stopped")
    wait_for(are(dev.machine, "inactive", *ACTORS), 10, "the companions have stopped")
