"""Every kind of problem there is has an entry in the runbook, with the words people see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

from actors.alerts.policy import BusWatch, sight
from shared.health.problems import Problem, ProblemKind
from shared.health.trading_verdict import TradingView
from shared.health.verdict import BadMessages, Limits, RedisView, Snapshot, judge
from shared.messages.actors import Quarantine
from shared.messages.candles import Ban
from tests.support.sightings import (
    NOW_MS,
    audit,
    heartbeat,
    input_state,
    lease,
    signal,
    status,
    supervisor_state,
)
from tests.support.trading_sightings import balance, limit, position, positions, trader_status

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "runbook.md").read_text()
KINDS = set(get_args(ProblemKind))
HOME = ROOT / "shared" / "health" / "problems.py"
CHANGES = "…"


def entries() -> dict[str, str]:
    """Return the text of each entry by its heading."""
    parts = re.split(r"^### (\S+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quoted(entry: str) -> list[str]:
    """Return the words of `/health` that an entry quotes, one pattern each."""
    lines = [line[2:].rstrip("\\") for line in entry.splitlines() if line.startswith("> ")]
    return [re.escape(line).replace(re.escape(CHANGES), ".*") for line in lines]


def literals(path: Path) -> Iterator[str]:
    """Yield the texts of a source file."""
    tree = ast.parse(path.read_text())
    # what stands between the numbers of an f-string is one of its constants
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_kind_has_an_entry_and_every_entry_a_kind() -> None:
    assert set(entries()) == KINDS


def test_every_entry_quotes_the_words_and_says_what_to_do() -> None:
    for kind, entry in entries().items():
        assert quoted(entry), kind
        said = [line for line in entry.split("## ")[0].splitlines() if line and line[0] != ">"]
        assert len(" ".join(said)) > 60, kind


def test_every_kind_is_given_to_some_problem_by_the_code() -> None:
    given = {
        text
        for path in [*ROOT.glob("shared/**/*.py"), *ROOT.glob("actors/**/*.py")]
        for text in literals(path)
        if text in KINDS and path != HOME
    }
    # those in their own home are made there, beyond the list of them
    made = {kind for kind in KINDS if HOME.read_text().count(f'"{kind}"') > 1}
    assert given | made == KINDS


def test_every_problem_is_made_with_a_kind_that_can_be_read_off() -> None:
    """A kind that is computed could be one nobody has written an entry for."""
    for path in ROOT.glob("shared/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
                kind = node.args[0] if node.args else None
                is_literal = isinstance(kind, ast.Constant) and kind.value in KINDS
                # a name is typed as ProblemKind, which the type checker holds to the list
                assert is_literal or isinstance(kind, ast.Name), f"{path}:{node.lineno}"


COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
ACTORS = ("fetcher", "auditor", "account", "trader", "health")
LONG_AGO_MS = NOW_MS - 7_200_000
WELL = Snapshot(
    mode="demo",
    since_ms=LONG_AGO_MS,
    watcher="health",
    symbols=COINS,
    actors=ACTORS,
    redis=RedisView(status="up", since_ms=LONG_AGO_MS, reason="", round_trip_ms=0.2),
    scanned_once=True,
    statuses={name: status(name) for name in ACTORS},
    heartbeats={name: heartbeat(name) for name in ACTORS},
    signals={symbol: signal(symbol) for symbol in COINS},
    audit=audit(NOW_MS),
    lease=lease(),
    supervisor=supervisor_state(),
    trading=TradingView(positions=positions(), balance=balance(), status=trader_status()),
)


def is_actor(state: str, **change: Any) -> dict[str, Any]:
    return {"statuses": {**WELL.statuses, "fetcher": status("fetcher", state, **change)}}


def beats(**detail: Any) -> dict[str, Any]:
    return {"heartbeats": {**WELL.heartbeats, "fetcher": heartbeat("fetcher", **detail)}}


def traded(**change: Any) -> dict[str, Any]:
    view = {"positions": positions(), "balance": balance(), "status": trader_status()}
    return {"trading": TradingView(**{**view, **change})}


def redis(state: str) -> dict[str, Any]:
    view = RedisView(status=state, since_ms=NOW_MS - 9000, reason="why", round_trip_ms=None)  # type: ignore[arg-type]
    return {"redis": view}


def left_out(stage: Literal["fetch", "compute"]) -> dict[str, Any]:
    quarantine = Quarantine(
        symbol="BTCUSDT",
        stage=stage,
        reason="why",
        since_ms=NOW_MS,
        until_ms=NOW_MS + 60_000,
    )
    return {"quarantines": {(stage, "BTCUSDT"): quarantine}}


def inputs(**change: Any) -> dict[str, Any]:
    fed = signal("BTCUSDT", m5=input_state(**change))
    return {"signals": {**WELL.signals, "BTCUSDT": fed}}


SEEN: list[tuple[ProblemKind, dict[str, Any]]] = [
    ("redis-down", redis("down")),
    ("redis-full", redis("full")),
    ("platform-starting", {"scanned_once": False, "since_ms": NOW_MS - 5000, "signals": {}}),
    ("platform-empty", {"symbols": ()}),
    ("platform-clock", {"signals": {s: signal(s, NOW_MS + 60_000) for s in COINS}}),
    ("supervisor-missing", {"lease": None}),
    ("supervisor-trouble", {"supervisor": supervisor_state("the disk below /x is full")}),
    ("supervisor-trouble", {"supervisor": supervisor_state("fetcher: 12 log lines lost")}),
    ("actor-missing", {"statuses": {}, "heartbeats": {}}),
    ("actor-starting", is_actor("starting", reason="the exchange is away")),
    ("actor-stalled", is_actor("stalled", doing="asking for BTCUSDT")),
    ("actor-stopping", is_actor("stopping")),
    ("actor-stopped", is_actor("stopped")),
    ("actor-backoff", is_actor("backoff", reason="exit 1", backoff_until_ms=NOW_MS + 2000)),
    ("actor-quarantined", is_actor("quarantined", reason="5 deaths", backoff_until_ms=NOW_MS + 9)),
    ("actor-silent", {"heartbeats": {**WELL.heartbeats, "fetcher": heartbeat("fetcher", 1)}}),
    ("actor-retrying", beats(retrying="HTTP 503")),
    ("exchange-ban", {"ban": Ban(until_ms=NOW_MS + 9000, status=418, at_ms=NOW_MS)}),
    ("coin-trouble", beats(delisted={"BTCUSDT": "unknown symbol"})),
    ("coin-trouble", beats(coins={"BTCUSDT": "HTTP 503"})),
    ("coin-trouble", beats(coins=dict.fromkeys(COINS, "HTTP 503"))),
    ("coin-trouble", left_out("fetch")),
    ("coin-trouble", left_out("compute")),
    ("coin-trouble", is_actor("ready", quarantined_coins={"BTCUSDT": NOW_MS + 9000})),
    ("coin-silent", {"signals": {}}),
    ("coin-silent", {"signals": {"BTCUSDT": WELL.signals["BTCUSDT"]}}),
    ("coin-silent", {"signals": {s: signal(s, NOW_MS - 90_000) for s in COINS}}),
    ("coin-inputs", inputs(stale=True)),
    ("coin-inputs", inputs(unfilled_gap=True)),
    ("coin-inputs", inputs(fetched_at_ms=None)),
    ("audit-beyond", {"audit": audit(NOW_MS, rsi=0.1)}),
    ("audit-beyond", {"audit": audit(NOW_MS, **{f"field{n}": 0.1 for n in range(6)})}),
    ("audit-missing", {"audit": None}),
    ("audit-missing", {"audit": audit(NOW_MS - 900_000)}),
    ("messages-bad", {"bad_messages": {"fetcher": BadMessages(count=2, newest="x", at_ms=NOW_MS)}}),
    (
        "position-bare",
        traded(
            positions=positions(position(stop_loss=None)),
            bare_since_ms={"BTCUSDT": NOW_MS - 60_000},
        ),
    ),
    ("trader-silent", traded(status=None)),
    ("trader-silent", traded(status=trader_status(NOW_MS - 60_000, ours=["BTCUSDT"]))),
    ("trader-locked", traded(status=trader_status(mode="locked", reason="kill switch, by ada"))),
    ("trader-limit", traded(status=trader_status(limits=[limit(state="warned")]))),
    ("trader-limit", traded(status=trader_status(limits=[limit(state="reached")]))),
    ("trader-limit", traded(status=trader_status(limits=[limit(state="latched")]))),
    ("trader-trouble", traded(status=trader_status(trouble="no candles"))),
    ("account-silent", traded(positions=None, balance=None)),
    ("account-silent", traded(balance=balance(NOW_MS - 900_000))),
    ("account-trouble", traded(balance=balance(reason="no keys"))),
]


def problems(kind: ProblemKind, change: dict[str, Any]) -> list[Problem]:
    found = judge(replace(WELL, **change), NOW_MS, Limits()).found
    return [problem for problem in found if problem.kind == kind]


def test_all_is_well_without_a_change() -> None:
    assert judge(WELL, NOW_MS, Limits()).found == []


@pytest.mark.parametrize(("kind", "change"), SEEN)
def test_the_words_that_people_see_stand_in_the_entry(
    kind: ProblemKind, change: dict[str, Any]
) -> None:
    found = problems(kind, change)
    assert found
    patterns = quoted(entries()[kind])
    for problem in found:
        assert any(re.fullmatch(pattern, problem.text) for pattern in patterns), problem.text


@pytest.mark.parametrize(("kind", "change"), SEEN)
def test_no_two_problems_of_one_moment_are_one(kind: ProblemKind, change: dict[str, Any]) -> None:
    keys = [problem.key for problem in judge(replace(WELL, **change), NOW_MS, Limits()).found]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("kind", "change"), SEEN)
def test_a_second_later_it_is_the_same_problem(kind: ProblemKind, change: dict[str, Any]) -> None:
    first = judge(replace(WELL, **change), NOW_MS, Limits()).found
    later = judge(replace(WELL, **change), NOW_MS + 1000, Limits()).found
    assert {problem.key for problem in first} <= {problem.key for problem in later}


def test_the_words_of_silent_health_stand_in_its_entry() -> None:
    up = BusWatch(status="up", since_ms=0, reason="", began_ms=0)
    (problem,) = sight(None, up, "demo", NOW_MS).problems
    assert problem.kind == "health-silent"
    assert any(re.fullmatch(p, problem.text) for p in quoted(entries()["health-silent"]))


def test_every_kind_was_seen_here() -> None:
    assert {kind for kind, _ in SEEN} | {"health-silent"} == KINDS
