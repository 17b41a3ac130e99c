"""The unit under a real systemd: when it is ready, what ends it, what brings it back."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.installed_platform import Instance
from tests.support.platform_run import wait_for
from tests.support.systemd_machine import Machine

# one machine for all of them
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("service")]
LEAST_EXPOSED = 2.0


def pids(instance: Instance) -> dict[str, int]:
    return {name: actor["pid"] for name, actor in instance.actors().items()}


def is_gone(machine: Machine, pid: int) -> bool:
    return machine.run("test", "-e", f"/proc/{pid}", check=False).returncode != 0


def test_the_units_are_clean_and_hardly_exposed(dev: Instance) -> None:
    dev.install("--trader-timer", "--no-start")
    companions = ["coinex-ta-dev", "coinex-dashboard-dev", "coinex-trader-api-dev"]
    services = [f"{name}.service" for name in companions]
    units = [dev.unit, "coinex-trader-once@dev.service", *services]
    others = ["coinex-trader-dev.timer", *(f"{name}.path" for name in companions)]
    verified = dev.machine.run("systemd-analyze", "verify", *units, *others)
    assert verified.stdout + verified.stderr == ""
    for unit in units:
        table = dev.machine.says("systemd-analyze", "security", "--no-pager", unit)
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", table)
        assert exposure is not None, table
        assert float(exposure[1]) <= LEAST_EXPOSED, table


def test_it_is_ready_when_every_actor_is(dev: Instance) -> None:
    dev.stop()
    dev.set({"supervisor.start_s": "80"})
    dev.start()
    assert dev.all_ready()
    assert dev.show("StatusText") == "all ready"
    wait_for(lambda: dev.get(8894, "/readyz")[0] == 200, 15, "health finds nothing missing")
    assert dev.get(8892, "/api/state")[0] == 200
    assert '"actor":"fetcher"' in dev.journal()


def test_without_binance_it_is_ready_all_the_same_and_says_what_is_missing(prod: Instance) -> None:
    prod.set({"binance.base_url": "http://127.0.0.1:9", "supervisor.start_s": "8"})
    prod.machine.run("rm", "-rf", f"{prod.state_dir}/redis")  # candles of the run before
    began = time.monotonic()
    prod.start()
    assert time.monotonic() - began >= 8
    assert prod.show("ActiveState") == "active"
    assert prod.show("StatusText").startswith("waiting for indicators-majors, ")
    assert prod.show("NRestarts") == "0"


def test_dev_and_prod_run_side_by_side_and_share_nothing(dev: Instance, prod: Instance) -> None:
    prod.start()
    prod.wait_ready()
    assert [dev.get(port, "/livez")[0] for port in (8894, 8893)] == [200, 200]
    assert [dev.get(port, "/api/state")[0] for port in (8892, 8891)] == [200, 200]
    for instance in (dev, prod):
        _, keys = instance.redis("SCAN", "0", "COUNT", "10000")
        assert keys
        assert all(key.startswith(f"{instance.name}:") for key in keys)
        assert all(key != "supervisor" for key in keys)
    before = pids(prod)
    code, said = dev.command("restart", "*")
    assert code == 0, said
    dev.stop()
    assert pids(prod) == before
    as_dev = ("runuser", "-u", "coinex-dev", "--", "cat", prod.config)
    assert dev.machine.run(*as_dev, check=False).returncode != 0
    private = (prod.state_dir, "/var/cache/coinex/prod", "/etc/coinex/prod/credentials")
    assert prod.machine.says("find", *private, "-perm", "/077", "-not", "-type", "l") == ""
    for folder in private:
        as_dev = ("runuser", "-u", "coinex-dev", "--", "ls", folder)
        assert dev.machine.run(*as_dev, check=False).returncode != 0


def test_a_reload_restarts_what_changed_and_fails_when_it_is_refused(dev: Instance) -> None:
    before = pids(dev)
    dev.set({"scanner.interval_s": "20"})
    dev.machine.run("systemctl", "reload", dev.unit)
    wait_for(lambda: pids(dev).get("scanner") not in (None, before["scanner"]), 15, "new scanner")
    dev.wait_ready()
    after = pids(dev)
    assert {name for name in before if before[name] != after[name]} == {"scanner"}

    dev.set({"scanner.interval_s": "seldom"})
    refused = dev.machine.run("systemctl", "reload", dev.unit, check=False)
    assert refused.returncode != 0
    assert "scanner.interval_s" in dev.journal("err")
    assert dev.show("ActiveState") == "active"
    assert pids(dev) == after


def test_the_journal_finds_warnings_and_errors_by_their_priority(dev: Instance) -> None:
    dev.machine.run("kill", "-SEGV", str(pids(dev)["fetcher"]))
    printed, noted = "Fatal Python error: Segmentation fault", '"event":"fetcher death"'
    wait_for(lambda: printed in dev.journal("warning"), 15, "what the actor printed")
    wait_for(lambda: noted in dev.journal("warning"), 15, "what the supervisor said")
    assert '"level":"info"' not in dev.journal("warning")
    assert '"level":"info"' in dev.journal("info..info")
    assert "<4>" not in dev.journal()
    dev.wait_ready()


def test_a_credential_is_tried_by_check_and_a_reload_says_that_it_needs_a_restart(
    dev: Instance,
) -> None:
    urls = "/etc/coinex/dev/credentials/alert/urls"
    dev.set({"alerts.enabled": "true"})
    try:
        for given, code, says in (
            ("nonsense://hidden/x", 78, "service 1 (nonsense) of COINEX_ALERT_URLS"),
            ("json://127.0.0.1:9/hidden", 0, "alerts: 1 service URL, well formed"),
        ):
            dev.machine.write("/srv/urls", given)
            dev.install("--no-start", "--credential", "alert_urls=/srv/urls")
            ended, said = dev.command("check")
            assert (ended, says in said, "hidden" in said) == (code, True, False), said
        dev.machine.run("systemctl", "reload", dev.unit)
        assert "there is no alert_urls: secrets are read at start only" in dev.journal()
        wait_for(lambda: "a reload reads no secrets" in dev.journal(), 30, "alerts says so, too")
        dev.stop()
        dev.start()
        wait_for(lambda: dev.actors().get("alerts", {}).get("state") == "ready", 60, "alerts ready")
    finally:
        dev.machine.run("rm", "-f", urls, "/srv/urls")


def test_a_hangup_reloads_too(dev: Instance) -> None:
    before = pids(dev)
    dev.set({"scanner.interval_s": "21"})
    dev.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", dev.unit)
    wait_for(lambda: pids(dev).get("scanner") not in (None, before["scanner"]), 15, "new scanner")
    assert dev.main_pid
    assert dev.show("NRestarts") == "0"


def test_a_supervisor_that_stands_still_is_replaced(dev: Instance) -> None:
    dev.stop()
    dev.shape("WatchdogSec=3")
    dev.start()
    before, supervisor = pids(dev), dev.main_pid
    dev.machine.run("kill", "-STOP", str(supervisor))
    wait_for(lambda: dev.main_pid not in (0, supervisor), 20, "a new supervisor")
    wait_for(lambda: dev.show("ActiveState") == "active", 30, "ready again")
    assert "Watchdog timeout" in dev.journal()
    assert all(is_gone(dev.machine, pid) for pid in (supervisor, *before.values()))
    dev.wait_ready()


def test_a_killed_supervisor_takes_all_along_and_comes_back_with_its_data(dev: Instance) -> None:
    stream = f"{dev.name}:supervisor:events"
    first = dev.redis("XRANGE", stream, "-", "+", "COUNT", "1")
    before, supervisor = pids(dev), dev.main_pid
    dev.machine.run("kill", "-KILL", str(supervisor))
    wait_for(lambda: dev.main_pid not in (0, supervisor), 20, "a new supervisor")
    assert all(is_gone(dev.machine, pid) for pid in before.values())
    wait_for(lambda: dev.show("ActiveState") == "active", 30, "ready again")
    dev.wait_ready()
    assert first
    assert dev.redis("XRANGE", stream, "-", "+", "COUNT", "1") == first


def test_one_actor_out_of_memory_takes_no_other_along(dev: Instance) -> None:
    if not dev.machine.limits_memory:
        pytest.skip("the cgroups here cannot limit memory")
    dev.stop()
    dev.set({"testing.hooks": "true"})
    dev.start()
    dev.wait_ready()
    before, supervisor = pids(dev), dev.main_pid
    used = int(dev.show("MemoryCurrent"))
    limit = f"MemoryMax={used + 250_000_000}"  # more than any other actor takes
    dev.machine.run("systemctl", "set-property", "--runtime", dev.unit, limit)
    dev.machine.write(f"{dev.state_dir}/trial/scanner.json", '{"bloat_mb": 500}')
    wait_for(lambda: dev.actors()["scanner"]["deaths"], 60, "the scanner has died")
    assert "SIGKILL" in dev.actors()["scanner"]["deaths"][0]["cause"]
    dev.machine.run("systemctl", "set-property", "--runtime", dev.unit, "MemoryMax=1200M")
    dev.wait_ready(90)
    after = pids(dev)
    assert after.pop("scanner") != before.pop("scanner")
    assert after == before
    assert dev.main_pid == supervisor
    assert dev.show("NRestarts") == "0"


def test_when_memory_runs_out_actors_go_before_supervisor_and_redis(dev: Instance) -> None:
    def score(pid: int) -> str:
        return dev.machine.says("cat", f"/proc/{pid}/oom_score_adj")

    scores = {name: score(pid) for name, pid in pids(dev).items()}
    assert scores.pop("trader") == "0"
    assert set(scores.values()) == {"500"}
    assert score(dev.main_pid) == "0"


def test_a_stop_leaves_nothing_running(dev: Instance) -> None:
    dev.stop()
    assert dev.processes() == []
    assert dev.show("Result") == "success"
    left = dev.machine.says("find", dev.state_dir, "-name", "*.sock", "-o", "-name", "*.url")
    assert left == ""
    assert dev.machine.says("ls", f"{dev.state_dir}/log")


def test_a_shutdown_by_command_is_no_failure_to_recover_from(dev: Instance) -> None:
    assert dev.command("shutdown")[0] == 0
    wait_for(lambda: dev.show("ActiveState") == "inactive", 30, "it has stopped")
    assert dev.show("Result") == "success"
    assert dev.processes() == []


def test_a_bad_configuration_is_not_tried_again(prod: Instance) -> None:
    prod.set({"health.port": "none"})
    assert prod.machine.run("systemctl", "start", prod.unit, check=False).returncode != 0
    assert prod.show("ActiveState") == "failed"
    assert prod.show("ExecMainStatus") == "78"
    assert prod.show("NRestarts") == "0"
    assert "health.port" in prod.journal("err")


def test_it_comes_back_with_the_machine(dev: Instance) -> None:
    supervisor = dev.main_pid
    dev.machine.run("systemctl", "enable", dev.unit)
    bare = "[Unit]\nRequires=basic.target\nAllowIsolate=yes\n"
    dev.machine.write("/run/systemd/system/bare.target", bare)
    dev.machine.run("systemctl", "isolate", "bare.target", timeout_s=90)
    wait_for(lambda: not dev.processes(), 60, "it has stopped")
    dev.machine.run("systemctl", "isolate", "multi-user.target", timeout_s=90)
    assert dev.main_pid not in (0, supervisor)
    dev.machine.run("systemctl", "disable", dev.unit)


def test_the_timer_of_the_trader_falls_due_with_every_five_minutes(dev: Instance) -> None:
    dev.install("--trader-timer", "--no-start")
    timer = "coinex-trader-dev.timer"
    dev.machine.run("systemctl", "start", timer)
    due = dev.machine.says("systemctl", "show", "--value", "-p", "NextElapseUSecRealtime", timer)
    dev.machine.run("systemctl", "stop", timer)
    assert re.search(r":[0-5][05]:00", due), due


def test_the_timers_service_runs_one_cycle_beside_a_platform_without_a_trader(
    dev: Instance,
) -> None:
    dev.install("--trader-timer", "--no-start")
    dev.stop()
    dev.machine.run("sed", "-i", "s|^  # enabled: false .*|  enabled: false|", dev.config)
    dev.start()
    wait_for(dev.all_ready, 60, "all ready")
    assert "trader" not in dev.actors()
    service = "coinex-trader-once@dev.service"
    dev.machine.run("systemctl", "start", service, timeout_s=240)
    shown = dev.machine.says("systemctl", "show", "-p", "Result,ExecMainStatus", service)
    assert shown.split() == ["Result=success", "ExecMainStatus=0"]
    assert dev.redis("GET", "dev:state:trader:status").startswith('{"as_of_ms":')
