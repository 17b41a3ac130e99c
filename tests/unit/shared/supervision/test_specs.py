"""Who there is in which mode, who is given the keys, and how the trader is cared for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from shared import codec
from shared.config.defaults import UNNAMED_VENUE, Mode
from shared.config.secrets import Secrets
from shared.config.sections import (
    AlertsSection,
    Config,
    IndicatorsSection,
    SimulatorSection,
    SqueezeSection,
    TraderSection,
)
from shared.config.venue_catalog import venue_catalog
from shared.exchanges.sim.keys import SimKeys
from shared.messages.trading import TraderKind
from shared.schema import Role, role_of
from shared.supervision.launch import launch_message, missing_secrets
from shared.supervision.specs import (
    ChildSpec,
    child_specs,
    code_modules,
    configured_ports,
    listeners,
    policy,
    policy_of,
)

SIM_KEYS = SimKeys("sim-id", "sim-key")
SECRETS = Secrets(venue_key="real-id", venue_secret="real-key")
PORTS = {"health": 1, "dashboard": 2, "exchange-sim": 3, "trader-api": 4}


def config(mode: Mode = "demo", enabled: bool | None = None) -> Config:
    return Config(
        mode=mode,
        groups={"majors": ["BTCUSDT"]},
        trader=TraderSection(enabled=enabled),
        simulator=SimulatorSection(host="127.0.0.9"),
    )


def children(mode: Mode = "demo", enabled: bool | None = None) -> Mapping[str, ChildSpec]:
    return {spec.name: spec for spec in child_specs(config(mode, enabled), PORTS)}


def message(name: str, mode: Mode, secrets: Secrets = SECRETS) -> dict[str, Any]:
    spec = children(mode, enabled=True)[name]
    return launch_message(
        spec, config(mode), lambda role: f"redis://{role}", secrets=secrets, sim_keys=SIM_KEYS
    )


def test_only_who_tells_people_is_given_their_services_and_only_when_wanted() -> None:
    secrets = Secrets(alert_urls="json://one/hunter2, tgram://2")
    wanted = dataclasses.replace(config("live", True), alerts=AlertsSection(enabled=True))
    given = {
        spec.name: launch_message(spec, wanted, str, secrets=secrets)["alert_urls"]
        for spec in child_specs(wanted, PORTS)
    }
    assert given.pop("alerts") == ["json://one/hunter2", "tgram://2"]
    assert given and not any(given.values())
    assert "alerts" not in children("live", True)
    assert role_of("alerts") is Role.ALERTS


def test_a_secret_that_is_wanted_and_not_given_is_named() -> None:
    wanted = dataclasses.replace(config(), alerts=AlertsSection(enabled=True))
    assert missing_secrets(wanted, Secrets()) == ["alert_urls"]
    assert missing_secrets(wanted, Secrets(alert_urls="json://one/x")) == []
    assert missing_secrets(config("demo"), Secrets()) == []
    assert missing_secrets(config("live"), Secrets()) == ["venue_key"]


@pytest.mark.parametrize(
    ("mode", "enabled", "there"),
    [
        ("demo", None, True), ("demo", False, False), ("paper", None, False),
        ("paper", True, True), ("live", None, False), ("live", True, True),
    ],
)  # fmt: skip
def test_trader_and_its_api_are_there_together(mode: Mode, enabled: bool, there: bool) -> None:
    names = set(children(mode, enabled))
    assert ({"trader", "trader-api"} <= names) is there
    assert bool({"trader", "trader-api"} & names) is there
    assert ("trader-api" in listeners(config(mode, enabled))) is there
    assert ("actors.trader.actor" in code_modules(config(mode, enabled))) is there
    assert "account" in names


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("kind", ["outside", "none"])
def test_without_a_trader_of_our_own_nobody_trades_signs_or_wants_keys(
    mode: Mode, kind: TraderKind
) -> None:
    trader = TraderSection(kind=kind, enabled=True)  # without effect
    without = replace(config(mode), trader=trader)
    there = {spec.name: spec for spec in child_specs(without, PORTS)}
    assert not {"trader", "trader-api", "account"} & set(there)
    assert ("guests" in there) == (kind == "outside")
    assert {name for name, spec in there.items() if spec.signs} <= {"exchange-sim"}
    assert "trader-api" not in listeners(without)
    assert missing_secrets(without, Secrets()) == []
    for name in ("health", "dashboard"):
        assert there[name].section["trader"] == {"kind": kind, "outside_every_s": 300}


def test_a_trader_run_by_a_timer_does_not_stay_and_is_watched_and_commanded_all_the_same() -> None:
    by_timer = dataclasses.replace(
        config("paper"), trader=TraderSection(enabled=True, timer_min=15)
    )
    there = {spec.name: spec for spec in child_specs(by_timer, PORTS)}
    assert "trader" not in there
    for name in ("health", "dashboard", "trader-api"):
        assert there[name].section["timer_min"] == 15
    once = {spec.name: spec for spec in child_specs(by_timer, PORTS, once=True)}
    assert once["trader"].section["trader"]["timer_min"] == 15
    unwanted = dataclasses.replace(by_timer, trader=TraderSection(enabled=False, timer_min=15))
    there = {spec.name: spec for spec in child_specs(unwanted, PORTS)}
    assert "trader-api" not in there
    assert there["health"].section["timer_min"] is None


@pytest.mark.parametrize("mode", ["demo", "paper"])
def test_whoever_signs_is_sent_to_the_simulated_venue(mode: Mode) -> None:
    for name in ("account", "trader"):
        spec = children(mode, enabled=True)[name]
        assert spec.section["venue"]["base_url"] == "http://127.0.0.9:3/v2"
        assert message(name, mode)["keys"] == {"access_id": "sim-id", "secret": "sim-key"}


@pytest.mark.parametrize("mode", ["demo", "paper"])
def test_simulated_venue_is_given_its_own_keys_and_never_real_ones(mode: Mode) -> None:
    assert message("exchange-sim", mode)["keys"] == {"access_id": "sim-id", "secret": "sim-key"}
    spec = children(mode)["exchange-sim"]
    assert launch_message(spec, config(mode), str, secrets=SECRETS)["keys"] is None


def test_live_mode_uses_the_configured_venue_and_the_given_keys() -> None:
    there = children("live", enabled=True)
    assert "exchange-sim" not in there
    url = venue_catalog()[UNNAMED_VENUE].urls["live"]
    for name in ("account", "trader"):
        assert there[name].section["venue"]["base_url"] == url
        assert message(name, "live")["keys"] == {"access_id": "real-id", "secret": "real-key"}
        assert message(name, "live", Secrets())["keys"] is None


@pytest.mark.parametrize("mode", ["demo", "paper", "live"])
def test_nobody_else_is_given_keys(mode: Mode) -> None:
    names = set(children(mode, enabled=True)) - {"account", "trader", "exchange-sim"}
    assert "trader-api" in names
    assert {name for name in names if message(name, mode)["keys"] is not None} == set()


def test_real_prices_in_paper_mode_simulated_ones_in_demo_mode() -> None:
    assert children("demo")["fetcher"].section["binance"]["base_url"] == "http://127.0.0.9:3"
    paper = children("paper")
    assert paper["fetcher"].section["binance"]["base_url"].startswith("https://")
    assert paper["fetcher"].needs == ()
    assert paper["exchange-sim"].port == 3


def test_trader_waits_for_nobody_and_is_stopped_before_what_it_relies_on() -> None:
    there = children("demo")
    assert there["trader"].needs == ()
    assert there["trader-api"].level > there["trader"].level > there["account"].level


def test_trader_comes_back_within_two_seconds_and_is_never_left_unstarted() -> None:
    common = policy(config())
    trader, others = children("demo")["trader"], children("demo")
    found = policy_of(trader, common)
    assert (found.backoff_cap_s, found.reduces) == (2.0, True)
    assert (trader.treatment.stop_s, trader.treatment.oom_protected) == (25.0, True)
    for name in set(others) - {"trader"}:
        assert policy_of(others[name], common) == common
        assert not others[name].treatment.oom_protected


@pytest.mark.parametrize("mode", ["demo", "paper", "live"])
def test_the_configured_ports_are_all_that_the_child_specs_need(mode: Mode) -> None:
    config = Config(groups={"majors": ["BTCUSDT"]}, mode=mode, trader=TraderSection(enabled=True))
    ports = configured_ports(config)
    listening = {
        spec.name: spec.port for spec in child_specs(config, ports) if spec.port is not None
    }
    assert listening == ports


def test_evidence_that_has_changed_restarts_the_trader_alone() -> None:
    first, again = (
        {spec.name: spec.section for spec in child_specs(config(), PORTS, evidence=digest)}
        for digest in ("a", "b")
    )
    assert {name for name in first if first[name] != again[name]} == {"trader"}


@pytest.mark.parametrize(
    ("indicators", "restarts"),
    [
        (IndicatorsSection(interval_s=60, coin_failures=9), False),
        (IndicatorsSection(squeeze=SqueezeSection(kc_mult=2)), True),
    ],
)
def test_trader_is_started_anew_with_indicators_that_evidence_is_of_and_with_no_others(
    indicators: IndicatorsSection, restarts: bool
) -> None:
    changed = replace(config(), indicators=indicators)
    (trader,) = (spec for spec in child_specs(changed, PORTS) if spec.name == "trader")
    given = trader.section["indicators"]
    assert codec.from_plain(IndicatorsSection, given, "x").squeeze == indicators.squeeze
    assert (trader.section != children()["trader"].section) == restarts
