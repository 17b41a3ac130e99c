"""What the files in deploy/ promise without a systemd to run them."""

from __future__ import annotations

import configparser
import re
from collections import defaultdict

import pytest

from shared.config.load import load
from shared.config.sections import Config
from shared.supervision.launch import launch_message
from shared.supervision.readiness import UNITS
from shared.supervision.specs import child_specs
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
INSTALLER = (DEPLOY / "install.sh").read_text()


def hardening(unit: str) -> list[str]:
    lines = (DEPLOY / unit).read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("# Hardening"))
    return [line for line in lines[begin:] if "=" in line and not line.startswith("#")]


def test_both_units_are_hardened_alike() -> None:
    platform = hardening("coinex-platform@.service")
    timer = hardening("coinex-trader-once@.service")
    assert "NoNewPrivileges=yes" in timer
    assert platform[: len(timer)] == timer
    assert platform[len(timer) :] == ["WantedBy=multi-user.target"]


def test_a_companion_is_hardened_like_the_platform_but_reaches_no_network() -> None:
    platform = hardening("coinex-platform@.service")
    companion = hardening("coinex-companion.service")
    no_network = "RestrictAddressFamilies=AF_UNIX"
    assert no_network in companion
    assert [line for line in companion if line != no_network][:-2] == [
        line for line in platform if not line.startswith("RestrictAddressFamilies=")
    ][:-1]
    assert "PrivateNetwork=yes" in (DEPLOY / "coinex-companion.service").read_text()


def test_each_companion_stands_for_actors_that_the_supervisor_writes_about() -> None:
    placed = re.findall(r"put_companion (\S+) (\S+) ('[^']*'|\S+) ", INSTALLER)
    assert {unit for unit, _, _ in placed} == {
        "coinex-ta-dev", "coinex-dashboard-dev", "coinex-trader-api-dev", "coinex-dashboard",
    }  # fmt: skip
    for _, name, actors in placed:
        assert tuple(actors.strip("'").split()) == UNITS[name]


def test_the_timer_runs_as_often_as_the_configuration_for_it_says() -> None:
    (minutes,) = re.findall(r"trader\.timer_min=(\d+)", INSTALLER)
    assert f"OnCalendar=*:0/{minutes}\n" in (DEPLOY / "coinex-trader.timer").read_text()


def test_what_the_units_make_is_for_their_user_alone() -> None:
    for unit in ("coinex-platform@.service", "coinex-trader-once@.service"):
        lines = (DEPLOY / unit).read_text().splitlines()
        assert {"UMask=0077", "StateDirectoryMode=0700"} <= set(lines), unit
        for line in lines:  # each kind of directory that systemd makes is closed
            kind, found, _ = line.partition("Directory=")
            assert not found or kind == "Working" or f"{kind}DirectoryMode=0700" in lines, line


def test_nothing_the_platform_needs_is_forbidden_by_the_unit() -> None:
    # numba makes code that runs; psutil reads /proc
    names = {line.partition("=")[0] for line in hardening("coinex-platform@.service")}
    assert not names & {"MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork"}


def test_the_timers_service_finds_a_trader_where_none_is_supervised() -> None:
    unit = (DEPLOY / "coinex-trader-once@.service").read_text()
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert " -m actors trader --once " in command
    overrides = command.split("--once ")[1].split()
    for mode in ("demo", "paper", "live"):
        given = [f"mode={mode}", "trader.enabled=false", *overrides]
        config = load(ROOT / "config.yaml", given)
        assert "trader" in {spec.name for spec in child_specs(config, defaultdict(int))}


def test_the_unit_waits_longer_than_the_supervisor_takes() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "coinex-platform@.service")
    defaults = Config(groups={}).supervisor
    assert unit.getint("Service", "TimeoutStopSec") > defaults.stop_all_s
    assert unit.getint("Service", "TimeoutStartSec") > 2 * defaults.start_s
    assert unit.getint("Service", "WatchdogSec") >= 10


@pytest.mark.parametrize(("name", "expected"), [("trader", None), ("scanner", 500)])
def test_only_the_trader_keeps_its_place_when_memory_runs_out(
    name: str, expected: int | None
) -> None:
    config = Config(groups={"majors": ["BTCUSDT"]})
    ports = {"health": 1, "dashboard": 2, "exchange-sim": 3, "trader-api": 4}
    spec = next(spec for spec in child_specs(config, ports) if spec.name == name)
    assert launch_message(spec, config, lambda _: "redis://")["oom_score_adj"] == expected
