"""Commands to a running platform: from a second terminal, and over Redis."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

import orjson

from shared.supervision.test_hooks import trial_folder
from tests.chaos.conftest import FEW_COINS, LIGHT, Make
from tests.support.platform_run import Platform, wait_for

SHARED = ()


def replies(running: Platform, raw: str, name: str) -> list[dict[str, object]]:
    """Publish a control message as any Redis client would, and read the replies back."""
    with running.operator() as client:
        client.publish("supervisor:control", raw)
        found: list[dict[str, object]] = []
        while not found or found[-1]["outcome"] == "accepted":
            item = client.blpop([f"supervisor:replies:{name}"], timeout=30)
            assert item is not None, f"no reply to {raw}"
            found.append(orjson.loads(item[1]))
    return found


def test_an_actor_is_restarted_from_the_command_line_and_over_the_channel(
    running: Platform,
) -> None:
    old = running.pid("indicators-majors")
    done = running.run("restart", "indicators-majors")
    assert done.returncode == 0, done.stderr
    assert "indicators-majors ready" in done.stdout
    newer = running.pid("indicators-majors")
    assert newer != old
    name = uuid.uuid4().hex
    raw = orjson.dumps({"id": name, "command": "restart", "actor": "indicators-majors"}).decode()
    assert [r["outcome"] for r in replies(running, raw, name)] == ["accepted", "done"]
    assert running.pid("indicators-majors") != newer
    assert running.actor("indicators-majors")["deaths"] == []


def test_a_stopped_actor_stays_stopped_until_it_is_started(running: Platform) -> None:
    assert running.run("stop", "indicators-*").returncode == 0
    rows = [row for row in running.actors() if row["name"].startswith("indicators-")]
    assert {row["state"] for row in rows} == {"stopped"}
    assert running.run("start", "indicators-majors").returncode == 0
    assert running.actor("indicators-majors")["state"] == "ready"
    assert running.run("start", "indicators-*").returncode == 0


def test_rubbish_on_the_channel_gets_an_error_reply_and_harms_nobody(running: Platform) -> None:
    before = [row["pid"] for row in running.actors()]
    for raw in (
        "", "nonsense", "{", "[]", '{"id":1,"command":"status"}', '{"command":"status"}',
        '{"id":"a/b","command":"status"}', '{"id":"x1"}', '{"id":"x2","command":"explode"}',
        '{"id":"x3","command":"restart"}', '{"id":"x4","command":"restart","actor":"nobody"}',
        '{"id":"x5","command":"stop","actor":7}',
    ):  # fmt: skip
        try:
            name = orjson.loads(raw)["id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            name = "invalid"
        valid = isinstance(name, str) and name.isalnum()
        (reply,) = replies(running, raw, name if valid else "invalid")
        assert reply["outcome"] == "error"
        assert reply["reason"]
    assert [row["pid"] for row in running.actors()] == before


def test_an_unknown_actor_is_refused_with_the_nearest_name(running: Platform) -> None:
    for verb in ("restart", "stop", "start", "release", "logs"):
        refused = running.run(verb, "fetchr")
        assert refused.returncode == 2, verb
        assert "did you mean fetcher?" in refused.stderr


def test_status_is_a_table_and_json(running: Platform) -> None:
    table = running.run("status")
    assert table.returncode == 0
    for word in ("actor", "restarts", "indicators-majors", "ready"):
        assert word in table.stdout
    assert orjson.loads(running.run("status", "--json").stdout)["supervisor"]["mode"] == "demo"


def test_the_doctor_finds_the_platform_that_listens_on_its_own_ports(running: Platform) -> None:
    health = running.actor("health")["port"]
    said = running.run("doctor", "--set", f"health.port={health}").stdout
    pid = running.status()["supervisor"]["pid"]
    assert f"ok     platform: runs on {running.state_dir}, pid {pid}" in said
    assert f"ok     ports: health {health}, " in said
    assert "the platform listens" in said


def test_the_bus_can_be_looked_at(running: Platform) -> None:
    shown = running.run("bus", "get", "ta:latest:BTCUSDT")
    assert orjson.loads(shown.stdout)["symbol"] == "BTCUSDT"
    lines = running.run("bus", "keys", "ta:latest:*").stdout.splitlines()
    assert len(lines) == 29
    assert all(re.fullmatch(r"ta:latest:\w+ +expires in \d+ s", line) for line in lines), lines
    (kept,) = running.run("bus", "keys", "supervisor:actors").stdout.splitlines()
    assert kept == "supervisor:actors  never expires"
    assert running.run("bus", "get", "no:such:key").returncode == 1


def test_logs_are_shown(running: Platform) -> None:
    assert running.run("logs", "fetcher").returncode == 0
    unknown = running.run("logs", "nobody")
    assert unknown.returncode == 2
    assert "fetcher" in unknown.stderr


def test_a_second_supervisor_is_refused_and_told_who_runs(
    running: Platform, platform: Make
) -> None:
    second = running.run("run")
    assert second.returncode == 1
    assert f"pid {running.process.pid}" in second.stderr  # type: ignore[union-attr]
    other = platform(
        *LIGHT, "redis.embedded=never", f"redis.url={_without_password(running)}", state="other"
    )
    other.start(ready=False)
    # its Redis has a password it does not know: waiting would not help
    assert other.process is not None
    assert other.process.wait(20) == 78
    assert "does not let in user 'default' without a password" in other.output()


def _without_password(running: Platform) -> str:
    return "redis://" + running.operator_url().rpartition("@")[2]


def test_no_supervisor_is_said_so(platform: Make) -> None:
    nobody = platform().run("status")
    assert nobody.returncode == 3
    assert "no supervisor answers" in nobody.stderr


def test_reload_restarts_only_what_changed_and_refuses_a_bad_file(
    platform: Make, checkout: Path
) -> None:
    running = platform(*LIGHT, root=checkout)
    running.start()
    before = {row["name"]: row["pid"] for row in running.actors()}
    config = checkout / "config.yaml"
    good = config.read_text()

    config.write_text(good.replace("coin_failures: 5", "coin_failures: five"))
    refused = running.run("reload")
    assert refused.returncode == 1
    assert "coin_failures" in refused.stdout + refused.stderr
    assert {row["name"]: row["pid"] for row in running.actors()} == before

    config.write_text(good.replace("coin_failures: 5", "coin_failures: 7"))
    accepted = running.run("reload")
    assert accepted.returncode == 0, accepted.stderr
    wait_for(running.all_ready, 20)
    after = {row["name"]: row["pid"] for row in running.actors()}
    changed = {name for name in before if before[name] != after[name]}
    assert {name for name in before if name.startswith("indicators-")} <= changed
    assert not changed & {"exchange-sim", "fetcher", "health"}


def test_an_actor_that_is_wanted_again_while_it_still_ends_comes_back(
    platform: Make, checkout: Path
) -> None:
    running = platform(FEW_COINS, "supervisor.stop_s=30", "testing.hooks=true", root=checkout)
    running.start()
    config = checkout / "config.yaml"
    wanted = config.read_text()
    old = running.pid("auditor")
    order = trial_folder(running.state_dir) / "auditor.json"
    order.with_suffix(".new").write_text('{"block_s": 12}')  # it takes its time to end
    order.with_suffix(".new").rename(order)
    wait_for(lambda: not order.exists(), 5, "the order is read")
    config.write_text(wanted.replace("auditor:\n  enabled: true", "auditor:\n  enabled: false"))
    assert running.run("reload").returncode == 0
    assert running.actor("auditor")["state"] == "stopping"
    config.write_text(wanted)
    assert running.run("reload").returncode == 0
    running.wait_replaced("auditor", old, 40)


def test_an_actor_that_is_stopped_before_its_first_start_stays_so(
    platform: Make, checkout: Path
) -> None:
    (checkout / "actors" / "exchange_sim" / "actor.py").write_text("broken = (\n")
    running = platform(*LIGHT, root=checkout)
    running.start(ready=False)
    wait_for(lambda: running.run("stop", "fetcher").returncode == 0, 10, "a supervisor")
    assert running.actor("account")["pid"] is None  # both wait for the exchange, for 10 s
    wait_for(lambda: running.actor("account")["pid"], 20, "account started without it")
    assert running.actor("fetcher")["state"] == "stopped"


def test_status_answers_while_redis_is_away(running: Platform) -> None:
    redis_pid = running.status()["supervisor"]["redis_pid"]
    with running.redis() as client:
        client.config_set("maxmemory", "1mb")
    wait_for(lambda: any("redis" in p for p in running.status()["supervisor"]["problems"]), 20)
    started = time.monotonic()
    running.status()
    assert time.monotonic() - started < 1
    with running.redis() as client:
        client.config_set("maxmemory", "256mb")
    wait_for(lambda: not running.status()["supervisor"]["problems"], 30)
    assert running.status()["supervisor"]["redis_pid"] == redis_pid
