"""The dashboard and the rules for Prometheus ask for what `/metrics` really serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from shared import schema
from shared.bus import Bus
from shared.guests.shapes import BALANCE, POSITIONS, STATUS
from shared.health.problems import ProblemKind
from shared.messages.actors import Quarantine
from tests.support.health_site import ACTORS, CLOCK, COINS, Site, site, tell_all_is_well
from tests.support.paths import ROOT
from tests.support.sightings import audit, heartbeat
from tests.support.trading_sightings import balance, limit, position, positions, trader_status
from tests.support.waiting import eventually

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alert-rules.yml").read_text())
ROWS = ("Overview", "Actors", "Candles & exchange", "Signals & audit", "Bus", "Account & trader")
EVERYBODY = (*ACTORS, "account", "trader", "alerts")

# What Prometheus itself adds: labels of the target, and metrics of targets and alerts.
TARGET_LABELS = {"instance", "job"}
OWN_METRICS = re.compile(r"\b(up|ALERTS)\{")

Served = dict[str, dict[str, set[str]]]
"""Sample name, then label, then its values."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def asked() -> Iterator[tuple[str, str, str]]:
    """Yield where each expression stands, the expression, and the text shown with its labels."""
    for panel in panels():
        for target in panel["targets"]:
            where = f"dashboard, {panel['title']}"
            yield where, target["expr"], target.get("legendFormat", "")
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(
                r"label_values\((.+), (\w+)\)", variable["query"]["query"]
            ).groups()  # type: ignore[union-attr]
            yield f"dashboard, ${variable['name']}", metric, "{{" + label + "}}"
    for rule in rules():
        words = " ".join([rule["annotations"][name] for name in sorted(rule["annotations"])])
        yield f"rule {rule['alert']}", rule["expr"], words.replace("$labels.", "")


def faults(served: Served, expression: str, shown: str) -> Iterator[str]:
    """Yield what an expression names that is not served."""
    names = re.findall(r"\bcoinex_\w+", expression)
    if not names and not OWN_METRICS.search(expression):
        yield "names no metric"
    labels = set(TARGET_LABELS)
    for name in names:
        if name not in served:
            yield f"{name} is not served"
        labels |= set(served.get(name, {}))
    for name, matchers in re.findall(r"\b(coinex_\w+)\{([^}]*)\}", expression):
        for label, kind, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            values = served.get(name, {}).get(label)
            if label in TARGET_LABELS:
                continue
            if values is None:
                yield f"{name} has no label {label}"
            elif kind == "=" and value not in values:
                yield f"{name} never has {label}={value}"
    kept = [
        each.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for each in by.split(",")
    ]
    for label in (*kept, *re.findall(r"\{\{ ?(\w+) ?\}\}", shown)):
        if label not in labels:
            yield f"no label {label}"
        elif kept and label not in kept:
            yield f"{label} is summed away"


async def metrics_of_everything(bus: Bus, here: Site) -> Served:
    """Let health see something of each kind, and return what it serves then."""
    now_ms = CLOCK.now_ms()
    for count in (3, 4):  # a scan is counted when its number changes
        beat = heartbeat("indicators-majors", now_ms, steps=count)
        await bus.put(schema.HEARTBEAT, beat, name="indicators-majors")

        async def has_seen(steps: int = count) -> bool:
            actors = (await here.health())["actors"]
            return bool(actors["indicators-majors"].get("steps") == steps)

        await eventually(has_seen)
    served: Served = {}
    for family in text_string_to_metric_families("\n".join(await here.metrics()) + "\n"):
        for sample in family.samples:
            found = served.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                found.setdefault(label, set()).add(value)
    return served


@pytest.fixture
async def served(bus: Bus, redis_url: str, tmp_path: Path) -> Served:
    now_ms = CLOCK.now_ms()
    await tell_all_is_well(bus, used_weight=58, weight_limit=6000, bad_messages=2)
    await bus.put(schema.AUDIT, audit(now_ms, rsi=0.1))
    await bus.put(schema.BALANCE, balance(now_ms))
    await bus.put(schema.POSITIONS, positions(position(stop_loss=None), as_of_ms=now_ms))
    await bus.put(schema.TRADER_STATUS, trader_status(now_ms, limits=[limit(state="latched")]))
    told = heartbeat("alerts", now_ms, sent=3, open=1, waiting=0, held_back=0)
    await bus.put(schema.HEARTBEAT, told, name="alerts")
    left_out = Quarantine(
        symbol=COINS[0], stage="fetch", reason="5xx", since_ms=now_ms, until_ms=now_ms + 60_000
    )
    await bus.put(schema.QUARANTINE, left_out, stage="fetch", symbol=COINS[0])
    async with site(redis_url, tmp_path, actors=EVERYBODY) as here:
        found = await metrics_of_everything(bus, here)
    for name, labels in (await metrics_of_a_guest(bus, redis_url, tmp_path)).items():
        for label, values in labels.items():
            found.setdefault(name, {}).setdefault(label, set()).update(values)
        found.setdefault(name, {})
    return found


async def metrics_of_a_guest(bus: Bus, redis_url: str, tmp_path: Path) -> Served:
    """Return what health serves where the trader is outside."""
    now_ms = CLOCK.now_ms()
    told = heartbeat("guests", now_ms, events_kept=3, events_dropped={"too many": 1})
    await bus.put(schema.HEARTBEAT, told, name="guests")
    for entry, shape in ((schema.GUEST_POSITIONS, POSITIONS), (schema.GUEST_BALANCE, BALANCE),
                         (schema.GUEST_STATUS, STATUS)):  # fmt: skip
        await bus.put(entry, shape.examples[0])
    actors = (*ACTORS, "guests")
    async with site(redis_url, tmp_path, actors=actors, trader={"kind": "outside"}) as here:
        served = await metrics_of_everything(bus, here)
    assert {"coinex_account_equity", "coinex_account_age_seconds", "coinex_trader_age_seconds",
            "coinex_guest_events_kept_total"} <= set(served)  # fmt: skip
    return served


async def test_every_metric_and_label_they_name_is_served(served: Served) -> None:
    found = [
        f"{where}: {fault}: {expression}"
        for where, expression, shown in asked()
        for fault in faults(served, expression, shown)
    ]
    assert found == []


async def test_no_time_of_creation_is_served_as_if_it_were_a_measurement(served: Served) -> None:
    assert [name for name in served if name.endswith("_created")] == []


async def test_every_metric_that_is_served_is_on_the_dashboard(served: Served) -> None:
    shown = {name for _, expr, _ in asked() for name in re.findall(r"\bcoinex_\w+", expr)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in served}
    on_it = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert families - on_it == set()


async def test_every_metric_that_is_served_is_in_the_documents(served: Served) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in served}
    assert {name for name in families if f"`{name}" not in page} == set()
    assert set(re.findall(r"`(coinex_\w+)", page)) == families


@pytest.mark.parametrize(
    ("expression", "shown", "fault"),
    [
        ("coinex_healthy == 1", "", "coinex_healthy is not served"),
        ('coinex_health{state="ok"}', "", "coinex_health has no label state"),
        ('coinex_health{status="okay"}', "", "coinex_health never has status=okay"),
        ("sum by (coin) (coinex_health)", "", "no label coin"),
        ("coinex_health", "{{ symbol }}", "no label symbol"),
        ("max by (status) (coinex_health) + coinex_actor_up", "{{actor}}", "actor is summed away"),
        ("down == 0", "", "names no metric"),
        ('coinex_health{instance="$instance",state="ok"}', "", "coinex_health has no label state"),
    ],
)
def test_a_wrong_name_is_found(expression: str, shown: str, fault: str) -> None:
    served = {"coinex_health": {"status": {"ok"}}, "coinex_actor_up": {"actor": {"fetcher"}}}
    assert list(faults(served, expression, shown)) == [fault]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert "id" not in DASHBOARD, "a number of somebody's own Grafana"
    assert DASHBOARD["schemaVersion"] >= 36 and DASHBOARD["title"] and DASHBOARD["uid"]
    source = DASHBOARD["templating"]["list"][0]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource", "datasource", "prometheus",
    )  # fmt: skip
    variable = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["datasource"] == variable, panel["title"]
        assert all(target["datasource"] == variable for target in panel["targets"]), panel["title"]


def test_the_dashboard_has_its_rows_and_no_panel_covers_another() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert tuple(rows) == ROWS
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])
        }
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_rules_have_what_prometheus_and_people_need() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 20
    assert all(group["name"].startswith("coinex-") for group in RULES["groups"])
    for rule in rules():
        allowed = {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule) <= allowed, rule["alert"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m")), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        page, _, entry = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert entry in ("", "{{ $labels.kind }}", *get_args(ProblemKind)), rule["alert"]
        balance = rule["expr"].count("(") - rule["expr"].count(")")
        assert balance == 0, rule["alert"]


def test_every_rule_and_panel_knows_the_instance() -> None:
    for rule in rules():
        summary = rule["annotations"]["summary"]
        if rule["alert"] != "CoinexNotScraped":
            assert summary.startswith("{{ $labels.instance }}: "), rule["alert"]
        for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"]):
            assert "instance" in by.split(", "), rule["alert"]
    for where, expression, _ in asked():
        if where.startswith("dashboard") and where != "dashboard, $instance":
            for name in re.findall(r"\bcoinex_\w+", expression):
                assert f'{name}{{instance="$instance"' in expression, where


def test_no_rule_fires_once_for_each_coin() -> None:
    per_coin = ("coinex_signal_age_seconds", "coinex_candle_age_seconds")
    for rule in rules():
        if any(name in rule["expr"] for name in per_coin):
            assert rule["expr"].startswith("count by (instance) ("), rule["alert"]


def test_no_rule_shows_a_number_with_all_its_digits() -> None:
    for rule in rules():
        shown = " ".join(rule["annotations"].values())
        is_count = re.match(
            r"count by|coinex_\w+(_waiting|_quarantined|_stop|_of_kind)", rule["expr"]
        )
        assert "{{ $value }}" not in shown or is_count, rule["alert"]


def test_every_kind_of_problem_has_a_rule() -> None:
    (stays,) = [rule for rule in rules() if rule["alert"] == "CoinexProblemStays"]
    left_out = re.search(r'kind!~"([^"]*)"', stays["expr"])
    assert left_out is not None
    named = {rule["annotations"]["runbook"].partition("#")[2] for rule in rules()}
    stories = {entry.partition("-")[0] for entry in named if entry}
    for kind in get_args(ProblemKind):
        has_its_own = kind in named or kind.partition("-")[0] in stories
        assert has_its_own or not re.fullmatch(left_out[1], kind), kind


def test_what_the_rules_make_of_an_outage_is_as_few_alerts_as_it_has_causes() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (package prometheus) is not on PATH")
    for what, file in (("check", "deploy/alert-rules.yml"),
                       ("test", "tests/integration/alert-rules.test.yml")):  # fmt: skip
        command = [promtool, what, "rules", str(ROOT / file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
