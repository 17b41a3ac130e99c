"""The command line as a person uses it, with nothing running."""

from __future__ import annotations

import configparser
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from shared import codec
from shared.api.address import AddressFile
from shared.api.token import make_token, token_path
from shared.config.secrets import SECRET_VARIABLES, old_names
from shared.config.sections import TraderSection
from shared.console import command_line
from shared.kill_switch import KillSwitch, Lock
from shared.messages.actors import ControlReply
from shared.pid_lock import acquire
from shared.supervision.control_client import short_address
from tests.support.evidence import evidence
from tests.support.paths import ROOT
from tests.support.platform_run import QUICK, wait_for
from tests.support.strategies import TRIAL, record, written

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt key": ({"fetcher": {"intervall_s": 30}}, "interval_s"),
    "a word for a number": ({"fetcher": {"interval_s": "soon"}}, "fetcher.interval_s"),
    "a port out of range": ({"health": {"port": 70_000}}, "health.port"),
    "a long interval past the key's life": ({"fetcher": {"long_interval_s": 299}}, "long_interval"),
    "an unknown mode": ({"mode": "dmeo"}, "demo"),
    "a coin in two groups": ({"groups": {"a": ["BTCUSDT"], "b": ["BTCUSDT"]}}, "BTCUSDT"),
    "an empty group": ({"groups": {"majors": []}}, "majors"),
    "no symbol": ({"groups": {"majors": ["btc/usdt"]}}, "groups.majors"),
    "a password in the file": ({"redis": {"url": "redis://:hunter2@127.0.0.1"}}, "redis.url"),
    "a test hook outside demo": (
        {"mode": "paper", "testing": {"poison_coin": "BTCUSDT"}},
        "testing.poison_coin",
    ),
    "two actors on one port": ({"health": {"port": 8899}}, "8899"),
    "patience below a beat": ({"supervisor": {"hung_s": 1}}, "hung_s"),
}


def run(
    *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "supervisor.py"), *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | (environment or {}),
    )  # fmt: skip


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_bad_configuration_ends_with_78_and_says_where(what: str, tmp_path: Path) -> None:
    change, named = BROKEN[what]
    document = yaml.safe_load((ROOT / "config.yaml").read_text())
    for section, value in change.items():
        merge = isinstance(value, dict) and section != "groups"
        document[section] = {**document.get(section, {}), **value} if merge else value
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    ended = run("run", "--config", str(path), "--set", f"state_dir={tmp_path}/var")
    assert ended.returncode == 78, ended.stderr
    assert named in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_all_faults_are_told_at_once() -> None:
    ended = run(
        "check", "--set", "fetcher.interval_s=-1", "--set", "health.prt=1", "--set", "mode=x"
    )
    assert ended.returncode == 78
    for named in ("fetcher.interval_s", "health.prt", "mode"):
        assert named in ended.stderr


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    ended = run("check", "--config", str(tmp_path / "no.yaml"))
    assert ended.returncode == 78
    assert "no.yaml" in ended.stderr


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    for command in (
        "run", "status", "restart", "stop", "start", "release", "reload", "logs", "check",
        "shutdown", "bus",
    ):  # fmt: skip
        assert f"    {command} " in text
    assert run().returncode == 2


def test_every_command_has_help_of_its_own() -> None:
    whole = command_line.parser(lambda _: 0)
    assert {"run", "status", "replay", "help"} <= set(whole.commands)
    for parser in whole.commands.values():
        parser.load_options()
        assert parser.format_help().startswith(f"usage: {parser.prog} ")
    shown = run("help", "trader")
    assert shown.returncode == 0
    assert shown.stdout == run("trader", "--help").stdout
    assert "--reason TEXT" in shown.stdout
    assert run("help").stdout == run("--help").stdout


def test_the_version_is_that_of_setup_cfg() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    shown = run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"coinex {setup['metadata']['version']}\n")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        (("restrat", "fetcher"), "restart"),
        (("stauts",), "status"),
        (("help", "repaly"), "replay"),
        (("trader", "flaten"), "flatten"),
        (("status", "--mode", "papre"), "paper"),
    ],
)
def test_a_misspelt_command_is_answered_with_the_nearest(
    misspelt: tuple[str, ...], meant: str
) -> None:
    ended = run(*misspelt)
    assert ended.returncode == 2
    assert f"did you mean {meant}?" in ended.stderr


def test_what_resembles_nothing_is_answered_with_all_there_is() -> None:
    ended = run("xyzzy")
    assert ended.returncode == 2
    assert "choose from run, status, restart" in ended.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("re", ["restart", "release", "reload", "redis-acl", "replay"]),
        ("trader ki", ["kill"]),
        ("status --mode p", ["paper"]),
        ("check --config config.y", ["config.yaml"]),
    ],
)
def test_bash_completes_commands_options_and_files(typed: str, offered: list[str]) -> None:
    made = run("completion", "bash")
    assert made.returncode == 0, made.stderr
    words = typed.split(" ")
    ask = (
        f"COMP_WORDS=(coinex {typed}) COMP_CWORD={len(words)}\n"
        '_shtab_coinex\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    shell = subprocess.run(
        ["bash", "-c", f"{made.stdout}\n{ask}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert shell.stdout.split() == offered


@pytest.mark.parametrize(
    "command",
    [
        "status", "restart fetcher", "stop fetcher", "start fetcher", "release fetcher", "reload",
        "shutdown", "logs fetcher", "bus keys *", "trader status", "trader kill", "check", "run",
    ],
)  # fmt: skip
def test_every_command_refuses_a_misspelt_set(command: str, tmp_path: Path) -> None:
    ended = run(*command.split(), "--set", f"stat_dir={tmp_path}")
    assert ended.returncode == 78, ended.stderr
    assert "--set stat_dir: unknown key; did you mean state_dir?" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def answering(state_dir: Path, *replies: ControlReply) -> Iterator[list[dict[str, Any]]]:
    """Stand in for a supervisor that answers one command; yield what it was asked."""
    asked: list[dict[str, Any]] = []

    def answer() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            asked.append(orjson.loads(lines.readline()))
            connection.sendall(b"".join(codec.encode(reply) + b"\n" for reply in replies))

    with socket.socket(socket.AF_UNIX) as server:
        with short_address(state_dir / "supervisor.sock") as address:
            server.bind(address)
        server.listen()
        server.settimeout(30)
        thread = threading.Thread(target=answer)
        thread.start()
        yield asked
        thread.join(30)


STATUS: dict[str, Any] = {
    "supervisor": {
        "pid": 7, "mode": "demo", "uptime_s": 1.0, "redis": "up", "redis_pid": 8, "zygote_pid": 9,
        "problems": [],
    },
    "actors": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("status", (0, "DEMO  supervisor 7", "shared.console.status_table")),
        ("restart fetcher", (0, "", "shared.console.platform")),
        ("trader status", (3, "", "shared.console.trader")),
    ],
)
def test_a_command_waits_for_no_numpy_pydantic_asyncio_or_aiohttp_that_it_does_not_need(
    command: str, expected: tuple[int, str, str], tmp_path: Path
) -> None:
    program = (
        "import runpy, sys\n"
        "sys.path.insert(0, '')\n"
        "sys.argv[0] = 'supervisor.py'\n"
        "try: runpy.run_path('supervisor.py', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, *sorted(sys.modules))"
    )
    config = tmp_path / "config.yaml"
    config.write_text(f"state_dir: {tmp_path}\n")
    asks_supervisor = not command.startswith("trader")
    reply = ControlReply(id="1", outcome="done", body=STATUS)
    with answering(tmp_path, reply) if asks_supervisor else contextlib.nullcontext():
        done = subprocess.run(
            [sys.executable, "-c", program, *command.split(), "--config", str(config)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    code, shown, module = expected
    assert done.stdout.startswith(shown), done.stderr
    ended, *modules = done.stdout.splitlines()[-1].split()
    assert (int(ended), module in modules) == (code, True), done.stderr
    assert not {"numpy", "pydantic", "asyncio", "aiohttp", "redis"} & set(modules)


NO_ACTOR = ControlReply(id="1", outcome="error", reason="no actor 'fetchr': did you mean fetcher?")
ACTORS = ControlReply(id="1", outcome="done", body={**STATUS, "actors": [{"name": "fetcher"}]})


@pytest.mark.parametrize("verb", ["restart", "stop", "start", "release", "logs"])
def test_an_unknown_actor_is_a_mistake_of_usage_for_every_command(
    verb: str, tmp_path: Path
) -> None:
    with answering(tmp_path, ACTORS if verb == "logs" else NO_ACTOR):
        ended = run(verb, "fetchr", "--set", f"state_dir={tmp_path}")
    assert ended.returncode == 2, ended.stderr
    assert "did you mean fetcher?" in ended.stderr
    assert ended.stdout == ""


def test_a_command_that_was_understood_and_failed_ends_with_1(tmp_path: Path) -> None:
    failed = ControlReply(id="1", outcome="failed", reason="fetcher is quarantined")
    with answering(tmp_path, failed) as asked:
        ended = run("start", "fetcher", "--set", f"state_dir={tmp_path}")
    assert (ended.returncode, ended.stderr) == (1, "failed: fetcher is quarantined\n")
    assert (asked[0]["command"], asked[0]["actor"]) == ("start", "fetcher")


@pytest.mark.parametrize(("lines", "shown"), [(0, ""), (1, "2\n"), (9, "1\n2\n")])
def test_logs_shows_as_many_lines_as_asked_for(lines: int, shown: str, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "fetcher.log").write_text("1\n2\n")
    ended = run("logs", "fetcher", "-n", str(lines), "--set", f"state_dir={tmp_path}")
    assert (ended.returncode, ended.stdout) == (0, shown)


def doctor_of(config: Path) -> tuple[int, list[str]]:
    ended = run("doctor", "--config", str(config))
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


def settings_in(folder: Path, **changes: Any) -> Path:
    """Write the shipped configuration, changed so that nothing of it can be in the way."""
    document = yaml.safe_load((ROOT / "config.yaml").read_text())
    for section in ("health", "dashboard", "simulator", "trader_api"):
        document[section]["port"] = 0
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document | {"state_dir": str(folder / "var")} | changes))
    return path


def test_doctor_looks_at_every_part_and_fails_only_for_what_is_wrong(tmp_path: Path) -> None:
    code, lines = doctor_of(settings_in(tmp_path))
    parts = [line.split()[1] for line in lines[:-1]]
    assert parts == [
        "python:", "configuration:", "platform:", "secrets:", "redis:", "ports:", "clock:", "disk:",
        "permissions:", "systemd:", "charts:",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("wrong")] == []
    assert (code, lines[-1]) == (0, "nothing is wrong")


def test_doctor_works_with_a_broken_configuration_and_says_so(tmp_path: Path) -> None:
    config = settings_in(tmp_path, mode="dmeo", fetcher={"intervall_s": 3})
    config.chmod(0o646)
    code, lines = doctor_of(config)
    assert code == 1
    assert any(line.startswith("wrong  configuration: 2 faults") for line in lines)
    assert "note   redis, ports: unknown until the configuration can be read" in lines
    assert f"{tmp_path}/var" in "".join(line for line in lines if "disk: " in line)
    assert any(line.endswith(f"chmod o-w {config}") for line in lines)
    assert lines[-1] == "2 wrong"


def test_doctor_says_who_holds_a_port_and_that_a_redis_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        port = foreign.getsockname()[1]
        config = settings_in(
            tmp_path,
            health={"port": port},
            redis={"embedded": "never", "url": "redis://127.0.0.1:1/0"},
        )
        code, lines = doctor_of(config)
    assert code == 1
    held = next(line for line in lines if "ports: " in line)
    assert held.startswith(f"wrong  ports: health.port: {port} on 127.0.0.1 is held by ")
    assert f"(pid {os.getpid()})" in held
    assert any(
        line.startswith("wrong  redis: Redis at 127.0.0.1:1: ") and "start it" in line
        for line in lines
    )


def test_doctor_says_when_a_supervisor_is_there_and_does_not_answer(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    with acquire(tmp_path / "var" / "supervisor.lock"):
        code, lines = doctor_of(config)
    assert code == 1
    assert any(
        line.startswith(f"wrong  platform: a supervisor holds {tmp_path}/var and does not answer")
        for line in lines
    )


def test_an_actor_can_be_run_by_hand(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "actors", "nobody", f"state_dir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 78
    assert "expected one of exchange-sim, fetcher" in ended.stderr


def test_an_actor_run_by_a_timer_takes_the_logins_that_systemd_hands_over(tmp_path: Path) -> None:
    (tmp_path / "redis_users").write_text("scanner\n")
    (tmp_path / "redis_users").chmod(0o600)
    ended = subprocess.run(
        [
            sys.executable, "-m", "actors", "scanner", "--once", f"state_dir={tmp_path}/var",
            "redis.embedded=never",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        env=os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 78
    assert f"{tmp_path}/redis_users:1: expected a role and its password" in ended.stderr


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"COINEX_VENUE_SECRET": "abc-secret"}, "given without COINEX_VENUE_KEY"),
        ({"COINEX_ALERT_URLS": ""}, "COINEX_ALERT_URLS"),
    ],
)
def test_check_finds_the_faults_of_the_environment_that_run_would_end_with(
    given: dict[str, str], named: str, tmp_path: Path
) -> None:
    for verb in ("check", "run"):
        ended = run(verb, "--set", f"state_dir={tmp_path}/var", environment=given)
        assert ended.returncode == 78
        assert named in ended.stderr
        assert "abc-secret" not in ended.stderr + ended.stdout


def unreadable_redis(tmp_path: Path) -> list[str]:
    """Leave files of a Redis too new for us; return options of paper mode that start it."""
    directory = tmp_path / "var" / "redis"
    directory.parent.mkdir(mode=0o700)
    directory.mkdir()
    (directory / "dump.rdb").write_bytes(b"REDIS0099")
    (directory / "server-version").write_text("Redis 99.0\n")
    settings = (f"state_dir={tmp_path}/var", "redis.embedded=always", "redis.url=redis://127.0.0.1:0/0",
                "health.port=0", "dashboard.port=0", "trader_api.port=0",
                "simulator.port=0")  # fmt: skip
    return ["--mode", "paper", *(part for text in settings for part in ("--set", text))]


def test_keys_under_old_names_are_read_and_check_doctor_and_run_say_what_to_rename(
    tmp_path: Path,
) -> None:
    environment = {old.variable: "abc-secret" for old in old_names()}
    options = unreadable_redis(tmp_path)
    # with an unreadable Redis `run` ends; `check` would say no more than that
    for verb, given in (("check", options[2:]), ("doctor", options), ("run", options)):
        ended = run(verb, *given, environment=environment)
        said = ended.stderr + ended.stdout
        for old in old_names():
            now = f"it is now {SECRET_VARIABLES[old.secret]} (credential {old.secret})"
            assert said.count(f"{old.variable}: a name of earlier releases, still read; {now}") == 1
        assert "abc-secret" not in said


def test_check_and_doctor_find_a_redis_that_run_could_not_start(tmp_path: Path) -> None:
    options = unreadable_redis(tmp_path)
    for verb, code in (("check", 78), ("doctor", 1), ("run", 78)):
        ended = run(verb, *options)
        assert (ended.returncode, verb) == (code, verb)
        assert "were written by Redis 99.0, which no server found can read" in (
            ended.stderr + ended.stdout
        )
    dump = tmp_path / "var" / "redis" / "dump.rdb"
    assert dump.exists()
    settled = run("check", *options[2:])  # in demo mode they are set aside, by `run`
    assert (settled.returncode, settled.stderr) == (0, "")
    assert dump.exists()


def test_check_says_in_the_traders_words_what_lacks_where_evidence_is_required(
    tmp_path: Path,
) -> None:
    path = tmp_path / "evidence.json"

    def notes(*more: str) -> list[str]:
        wanted = (*QUICK, f"state_dir={tmp_path}/var", "trader.enabled=true", *more)
        settings = [part for setting in wanted for part in ("--set", setting)]
        done = run("check", *settings)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if "the trader enters nothing" in line]

    required = ("trader.evidence=require", f"trader.evidence_file={path}")
    (note,) = notes(*required)
    assert f"no evidence of these settings: {path} does not exist: `coinex evidence" in note
    assert notes() == notes(*required, "trader.enabled=false") == []
    path.write_bytes(codec.encode(evidence()))
    assert notes(*required) == []
    (note,) = notes(*required, "trader.entry_score=91")
    assert "trader.entry_score 85, now 91" in note
    assert notes(*required, "trader.entry_score=91", "trader.accept_without_evidence=mine") == []


def test_check_finds_that_evidence_of_a_users_strategy_fits(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", TRIAL)
    record(tmp_path / "var", file)
    settings = TraderSection(enabled=True, evidence="require")
    path = tmp_path / "evidence.json"
    wanted = (
        *QUICK, f"state_dir={tmp_path}/var", "trader.enabled=true", "trader.evidence=require",
        f"trader.evidence_file={path}", f"strategy={file.path}",
    )  # fmt: skip

    def noted(class_name: str) -> str:
        tested = replace(file.identity("trial", "3"), class_name=class_name)
        parameters = {"bars": 5, "badly": ""}
        path.write_bytes(codec.encode(evidence(settings, parameters, strategy=tested)))
        done = run("check", *(part for setting in wanted for part in ("--set", setting)))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "the trader enters nothing" not in noted("Trial")
    assert "it is of the class Other, and the class Trial of the same" in noted("Other")


def test_check_tries_the_form_of_each_alert_url_and_shows_none(tmp_path: Path) -> None:
    def checked(urls: str) -> subprocess.CompletedProcess[str]:
        wanted = (*QUICK, f"state_dir={tmp_path}/var", "alerts.enabled=true")
        settings = [part for setting in wanted for part in ("--set", setting)]
        environment = {"COINEX_ALERT_URLS": urls} if urls else {}
        return run("check", *settings, environment=environment)

    bad = checked("json://127.0.0.1/abc-secret nonsense://abc-secret/x")
    assert bad.returncode == 78
    assert "service 2 (nonsense) of COINEX_ALERT_URLS" in bad.stderr
    assert "abc-secret" not in bad.stderr + bad.stdout
    good = checked("json://127.0.0.1/abc-secret")
    assert good.returncode == 0, good.stderr
    assert "alerts: 1 service URL, well formed" in good.stdout
    none = checked("")
    assert none.returncode == 0, none.stderr
    assert "no service URL is given here" in none.stdout


def test_only_a_pattern_of_no_actor_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    def tried(pattern: str) -> str:
        ended = run("run", "--only", pattern, "--set", f"state_dir={tmp_path}/var")
        assert ended.returncode == 2, ended.stderr
        assert not (tmp_path / "var").exists()
        return ended.stderr

    assert "--only 'fetchr': no actor has such a name: did you mean fetcher?" in tried("fetchr")
    assert "known: exchange-sim, fetcher, indicators-" in tried("zzz*")


def test_kill_sets_the_lock_before_it_asks_an_api_that_is_frozen(tmp_path: Path) -> None:
    make_token(token_path(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        AddressFile(tmp_path).write("127.0.0.1", silent.getsockname()[1])
        command = subprocess.Popen(
            [sys.executable, str(ROOT / "supervisor.py"), "trader", "flatten", "--reason", "odd",
             "--set", f"state_dir={tmp_path}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            lock = wait_for(KillSwitch(tmp_path).read, 30, "the lock")
            assert command.poll() is None
            assert (lock.reason, lock.flatten) == ("odd", True)
        finally:
            command.terminate()
            command.wait()


def test_status_without_an_api_shows_the_lock(tmp_path: Path) -> None:
    KillSwitch(tmp_path).set(Lock(reason="odd", who="ada", at_ms=1))
    ended = run("trader", "status", "--set", f"state_dir={tmp_path}")
    assert ended.returncode == 3
    assert ended.stdout == "TRADER  locked  by its lock file, set by ada: odd\n"
    shown = orjson.loads(run("trader", "status", "--json", "--set", f"state_dir={tmp_path}").stdout)
    assert shown["lock"]["reason"] == "odd"
