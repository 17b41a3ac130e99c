"""What the loader accepts, and how it words what it refuses."""

from __future__ import annotations

import os
import time
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.config.load import load
from shared.config.secrets import Secrets, secrets_from
from shared.config.sections import Config, RedisSection
from shared.errors import EXIT_BAD_CONFIG, ConfigError
from shared.market import Timeframe
from shared.schema import CANDLES
from tests.support.paths import ROOT

SHIPPED = ROOT / "config.yaml"
SMALL = "groups:\n  majors: [BTCUSDT, ETHUSDT]\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path, *overrides: str, mode: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides, mode=mode)
    return [fault.replace(f"{path.parent}/", "") for fault in caught.value.faults]


# What ships


def test_shipped_file_has_29_coins_in_named_groups() -> None:
    config = load(SHIPPED)
    coins = [coin for group in config.groups.values() for coin in group]
    assert len(coins) == len(set(coins)) == 29
    assert {"BTCUSDT", "ETHUSDT"} <= set(config.groups["majors"])
    assert 3 <= len(config.groups) <= 6


def test_shipped_file_shows_every_setting_at_its_default() -> None:
    config = load(SHIPPED)
    assert config == Config(groups=config.groups)
    shown = yaml.safe_load(SHIPPED.read_text())
    text = SHIPPED.read_text()
    for section in fields(Config):
        assert section.name in shown, section.name
        value = getattr(config, section.name)
        for key in fields(value) if is_dataclass(value) else ():
            written_out = f"  {key.name}:" in text or f"  # {key.name}:" in text
            assert written_out, f"{section.name}.{key.name}"


def test_loading_takes_less_than_200_ms() -> None:
    load(SHIPPED)  # builds the validator, which a supervisor does once
    start = time.perf_counter()
    load(SHIPPED, ["fetcher.interval_s=20"])
    assert time.perf_counter() - start < 0.2


def test_loaded_sections_cannot_be_changed(tmp_path: Path) -> None:
    config = load(written(tmp_path, SMALL))
    with pytest.raises(AttributeError):
        config.fetcher.interval_s = 5  # type: ignore[misc]


# One broken file each, as a person would break it

BROKEN = {
    "misspelt key": (
        SMALL + "fetcher:\n  intervall_s: 20\n",
        "config.yaml:4 fetcher.intervall_s: unknown key; did you mean fetcher.interval_s?",
    ),
    "misspelt section": (
        SMALL + "fetchr: {}\n",
        "config.yaml:3 fetchr: unknown key; did you mean fetcher?",
    ),
    "key in the wrong section": (
        SMALL + "max_deaths: 3\n",
        "config.yaml:3 max_deaths: unknown key; did you mean supervisor.max_deaths?",
    ),
    "text for a number": (
        SMALL + "fetcher:\n  interval_s: soon\n",
        "config.yaml:4 fetcher.interval_s: found 'soon', expected a number above 0 to 86400",
    ),
    "quoted number": (
        SMALL + 'fetcher:\n  interval_s: "20"\n',
        "config.yaml:4 fetcher.interval_s: found '20', expected a number above 0 to 86400; "
        "write it without quotes",
    ),
    "yes for a number": (
        SMALL + "fetcher: {concurrency: yes}\n",
        "config.yaml:3 fetcher.concurrency: found true, expected a whole number from 1 to 64",
    ),
    "fraction for a whole number": (
        SMALL + "indicators: {history: 500.5}\n",
        "config.yaml:3 indicators.history: found 500.5, expected a whole number from 300 to 1000",
    ),
    "out of range": (
        SMALL + "health: {port: 70000}\n",
        "config.yaml:3 health.port: found 70000, expected a port from 1 to 65535, or 0 for any",
    ),
    "not a number": (
        SMALL + "fetcher: {interval_s: .nan}\n",
        "config.yaml:3 fetcher.interval_s: found nan, expected a number",
    ),
    "hasty verdicts": (
        SMALL + "supervisor: {hung_s: 2}\n",
        "config.yaml:3 supervisor.hung_s: found 2, expected a number from 3 to 3600",
    ),
    "unknown mode": (
        SMALL + "mode: dmeo\n",
        "config.yaml:3 mode: found 'dmeo', expected one of demo, paper, live; did you mean demo?",
    ),
    "number for a text": (
        SMALL + "health: {host: 127}\n",
        "config.yaml:3 health.host: found 127, expected a text of at least one character; "
        "write it in quotes",
    ),
    "empty section": (
        SMALL + "redis:\nhealth: {port: 0}\n",
        "config.yaml:3 redis: found nothing, expected a section with the keys url, embedded",
    ),
    "section written as a value": (
        SMALL + "redis: localhost\n",
        "config.yaml:3 redis: found 'localhost', expected a section with the keys url,",
    ),
    "key twice": (
        SMALL + "mode: demo\nmode: live\n",
        "config.yaml:4 mode: written twice (first at config.yaml:3)",
    ),
    "group twice": (
        SMALL + "  majors: [SOLUSDT]\n",
        "config.yaml:3 groups.majors: written twice (first at config.yaml:2)",
    ),
    "coin twice in a group": (
        "groups:\n  majors: [BTCUSDT, ETHUSDT, BTCUSDT]\n",
        "config.yaml:2 groups.majors[2]: BTCUSDT stands in groups.majors[0] already",
    ),
    "coin in two groups": (
        SMALL + "  defi:\n    - UNIUSDT\n    - ETHUSDT\n",
        "config.yaml:5 groups.defi[1]: ETHUSDT stands in groups.majors[1] already",
    ),
    "empty group": (SMALL + "  defi: []\n", "config.yaml:3 groups.defi: found an empty list"),
    "no groups": ("mode: demo\n", "config.yaml groups: no group of coins"),
    "groups without content": ("groups:\n", "config.yaml:1 groups: no group of coins"),
    "empty file": ("", "config.yaml groups: no group of coins"),
    "bad symbol": (
        "groups:\n  majors: [BTC/USDT]\n",
        "config.yaml:2 groups.majors[0]: found 'BTC/USDT', expected a symbol of 2 to 50 capital",
    ),
    "bad group name": (
        "groups:\n  Majors 1: [BTCUSDT]\n",
        "config.yaml:2 groups.Majors 1: found 'Majors 1', expected a group name of 1 to 31 of a-z",
    ),
    "group named like an actor": (
        "groups:\n  fetcher: [BTCUSDT]\n",
        "config.yaml:2 groups.fetcher: found 'fetcher', which is an actor's own name",
    ),
    "long candles renewed too late": (
        SMALL + "fetcher: {long_interval_s: 241}\n",
        "config.yaml:3 fetcher.long_interval_s: found 241, expected at most 240: 1h candles live "
        "300 s on the bus",
    ),
    "5m candles renewed too late": (
        SMALL + "fetcher: {interval_s: 49}\n",
        "config.yaml:3 fetcher.interval_s: found 49, expected at most 48: 5m candles live 60 s",
    ),
    "signals renewed too late": (
        SMALL + "indicators: {interval_s: 97}\n",
        "config.yaml:3 indicators.interval_s: found 97, expected at most 96: signals live 120 s",
    ),
    "scores renewed too late": (
        SMALL + "scanner: {interval_s: 97}\n",
        "config.yaml:3 scanner.interval_s: found 97, expected at most 96: scores live 120 s",
    ),
    "audit reports renewed too late": (
        SMALL + "auditor: {interval_s: 481}\n",
        "config.yaml:3 auditor.interval_s: found 481, expected at most 480: audit reports live 600",
    ),
    "request longer than a pass": (
        SMALL + "fetcher: {interval_s: 5}\n",
        "config.yaml:3 fetcher.request_timeout_s: found 10, expected at most fetcher.interval_s",
    ),
    "pivot wider than its window": (
        SMALL + "indicators: {divergence: {left: 40, right: 10}}\n",
        "config.yaml:3 indicators.divergence.window: found 50, expected more than left + right",
    ),
    "ordinary bars as outliers": (
        SMALL + "indicators: {squeeze: {outlier_atr: 2.5}}\n",
        "config.yaml:3 indicators.squeeze.outlier_atr: found 2.5, expected at least 3, or 0",
    ),
    "one actor slower than all": (
        SMALL + "supervisor: {stop_s: 46}\n",
        "config.yaml:3 supervisor.stop_s: found 46, expected at most supervisor.stop_all_s (45)",
    ),
    "equal ports": (
        SMALL + "simulator: {port: 8894}\n",
        "config.yaml:3 simulator.port: found 8894, which is health.port too",
    ),
    "API on another's port": (
        SMALL + "trader_api: {port: 8894}\n",
        "config.yaml:3 trader_api.port: found 8894, which is health.port too",
    ),
    "venue without a scheme": (
        SMALL + "venue: {base_url: api.venue.example/v2}\n",
        "config.yaml:3 venue.base_url: found 'api.venue.example/v2', expected http:// or https://",
    ),
    "venue with a login": (
        SMALL + "venue: {base_url: 'https://ada:hunter2@venue.example'}\n",
        "config.yaml:3 venue.base_url: found 'https://***@venue.example', expected http:// or",
    ),
    "account in a currency the venue does not have": (
        SMALL + "venue: {currency: usdt}\n",
        "config.yaml:3 venue.currency: found 'usdt', and accounts of",
    ),
    "venue of another protocol": (
        SMALL + "venue: {base_url: 'https://api.venue.example/v1'}\n",
        "config.yaml:3 venue.base_url: found 'https://api.venue.example/v1', expected an address "
        "that ends in /v2",
    ),
    "venue in the clear": (
        SMALL + "venue: {base_url: 'http://api.venue.example/v2'}\n",
        "config.yaml:3 venue.base_url: found 'http://api.venue.example/v2', expected https://",
    ),
    "real keys for a simulated venue": (
        SMALL + "mode: live\nvenue: {base_url: 'http://localhost:8899/v2'}\n",
        "config.yaml:4 venue.base_url: found 'http://localhost:8899/v2', where the simulated",
    ),
    "bonus that could never count": (
        SMALL + "trader: {base_floor: 86}\n",
        "config.yaml:3 trader.base_floor: found 86, expected at most trader.entry_score (85)",
    ),
    "protection looks too seldom": (
        SMALL + "trader: {protect_s: 16}\n",
        "config.yaml:3 trader.protect_s: found 16, expected at most trader.unprotected_s (15)",
    ),
    "waits into the next candle": (
        SMALL + "trader: {delay_s: 60, wait_s: 240}\n",
        "config.yaml:3 trader.wait_s: found 240, expected less than 240: with trader.delay_s (60)",
    ),
    "one coin larger than all": (
        SMALL + "trader: {max_notional: 2}\n",
        "config.yaml:3 trader.max_notional: found 2, expected at most trader.max_gross_notional",
    ),
    "more on one side than at all": (
        SMALL + "trader: {max_same_side: 4}\n",
        "config.yaml:3 trader.max_same_side: found 4, expected at most trader.max_positions (3)",
    ),
    "trial hook outside demo": (
        SMALL + "mode: paper\ntesting: {poison_coin: BTCUSDT}\n",
        "config.yaml:4 testing.poison_coin: a hook for trials, allowed in demo mode only",
    ),
    "stepped clocks outside demo": (
        SMALL + "mode: paper\ntesting: {hooks: true}\n",
        "config.yaml:4 testing.hooks: a hook for trials, allowed in demo mode only",
    ),
    "poison coin nobody computes": (
        SMALL + "testing: {poison_coin: SOLUSDT}\n",
        "config.yaml:3 testing.poison_coin: found 'SOLUSDT', expected a symbol listed in groups",
    ),
    "unknown kind of fault": (
        SMALL + "simulator:\n  faults:\n    - {kind: 5x}\n",
        "config.yaml:5 simulator.faults[0].kind: found '5x', expected one of 5xx, 429,",
    ),
    "fault without a kind": (
        SMALL + "simulator:\n  faults:\n    - {for_s: 5}\n",
        "config.yaml:5 simulator.faults[0].kind: missing, expected one of 5xx, 429,",
    ),
    "fault for an unknown coin": (
        SMALL + "simulator:\n  faults:\n    - {kind: hang, symbol: SOLUSDT}\n",
        "config.yaml:5 simulator.faults[0].symbol: found 'SOLUSDT', expected a symbol listed",
    ),
    "no such directory": (
        SMALL + "simulator: {candles_dir: no/such/place}\n",
        "config.yaml:3 simulator.candles_dir: found 'no/such/place', expected a directory that",
    ),
    "adverse path of prices that are not simulated": (
        SMALL + "mode: paper\nsimulator: {path: adverse}\n",
        "config.yaml:4 simulator.path: found 'adverse' in paper mode, expected by_body",
    ),
    "endpoint beside a fault of no venue": (
        SMALL + "simulator:\n  faults:\n    - {kind: hang, endpoint: order}\n",
        "config.yaml:5 simulator.faults[0].endpoint: found 'order' beside hang, expected it with",
    ),
    "timeframe beside a fault of the venue": (
        SMALL + "simulator:\n  faults:\n    - {kind: venue_5xx, timeframe: 4h}\n",
        "config.yaml:5 simulator.faults[0].timeframe: found '4h' beside venue_5xx, which",
    ),
    "bad row of no known kind": (
        SMALL + "simulator:\n  faults:\n    - {kind: bad_row, value: 7}\n",
        "config.yaml:5 simulator.faults[0].value: found 7, expected a whole number from 1 to 6",
    ),
    "endpoint with a slash": (
        SMALL + "simulator:\n  faults:\n    - {kind: venue_5xx, endpoint: /v2/futures/order}\n",
        "config.yaml:5 simulator.faults[0].endpoint: found '/v2/futures/order', expected the last",
    ),
    "name too long for a directory": (
        SMALL + f"state_dir: {'x' * 300}\n",
        "which is not readable (File name too long)",
    ),
    "state_dir is a file": (
        SMALL + f"state_dir: {SHIPPED}\n",
        f"config.yaml:3 state_dir: found {str(SHIPPED)!r}, which is a file; name a directory",
    ),
    "not a Redis URL": (
        SMALL + "redis: {url: localhost}\n",
        "config.yaml:3 redis.url: found 'localhost', expected a URL of redis://",
    ),
    "Redis port out of range": (
        SMALL + "redis: {url: 'redis://localhost:99999'}\n",
        "config.yaml:3 redis.url: found 'redis://localhost:99999', expected a URL of redis://",
    ),
    "Redis database by name": (
        SMALL + "redis: {url: 'redis://localhost/main'}\n",
        "config.yaml:3 redis.url: found 'redis://localhost/main', expected a database number",
    ),
    "exchange without scheme": (
        SMALL + "binance: {base_url: data-api.example}\n",
        "config.yaml:3 binance.base_url: found 'data-api.example', expected http:// or https://",
    ),
    "namespace with a star": (
        SMALL + "redis: {namespace: 'a*'}\n",
        "config.yaml:3 redis.namespace: found 'a*', expected a namespace of a-z, 0-9",
    ),
    "root is a list": ("- mode: demo\n", "config.yaml:1: found a list of 1, expected sections"),
    "tab": (
        "groups:\n\tmajors: [BTCUSDT]\n",
        "config.yaml:2: not readable as YAML: while scanning for the next token, found character "
        "that cannot start any token; the line holds a tab: indent with spaces",
    ),
    "bracket left open": (
        "groups:\n  majors: [BTCUSDT\nmode: demo\n",
        "config.yaml:3: not readable as YAML: while parsing a flow sequence",
    ),
    "evidence of no kind": (
        SMALL + "trader: {evidence: required}\n",
        "config.yaml:3 trader.evidence: found 'required', expected one of ignore, advise, require, "
        "or nothing; did you mean require?",
    ),
    "evidence that is no file": (
        SMALL + "trader: {evidence_file: ''}\n",
        "config.yaml:3 trader.evidence_file: found '', expected a text of at least one character, "
        "or nothing",
    ),
    "risk accepted without a reason": (
        SMALL + "trader: {accept_without_evidence: true}\n",
        "config.yaml:3 trader.accept_without_evidence: found true, expected a reason in one line "
        "of 1 to 200 characters, or nothing",
    ),
    "reason of blanks": (
        SMALL + "trader: {accept_without_evidence: '  '}\n",
        "config.yaml:3 trader.accept_without_evidence: found '  ', expected a reason in one line",
    ),
    "reason of two lines": (
        SMALL + 'trader: {accept_without_evidence: "a\\nb"}\n',
        "config.yaml:3 trader.accept_without_evidence: found 'a\\nb', expected a reason in "
        "one line",
    ),
    "two documents": (SMALL + "---\nmode: live\n", "config.yaml:3: not readable as YAML:"),
    "control character": (SMALL + "mode: de\x01mo\n", "config.yaml: not readable as YAML:"),
    "object tag": (
        SMALL + "state_dir: !!python/object/apply:os.getcwd []\n",
        "config.yaml:3 state_dir: found the tag",
    ),
    "key that is a list": (SMALL + "? [a, b]\n: 1\n", "config.yaml:3: a key that is no text"),
    "alias inside itself": (
        SMALL + "simulator: &here\n  faults: [*here]\n",
        "an alias inside its own anchor",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_refused_with_line_path_value_and_remedy(case: str, tmp_path: Path) -> None:
    text, expected = BROKEN[case]
    found = faults(written(tmp_path, text))
    assert any(expected in fault for fault in found), found
    if case != "empty section":
        assert len(found) == 1, found


def test_every_fault_is_reported_at_once_in_order_of_lines(tmp_path: Path) -> None:
    text = """\
mode: dmeo
groups:
  majors: [BTCUSDT, btc]
  defi: []
  more: [BTCUSDT]
fetcher:
  interval_s: 100
  intervall_s: 4
supervisor:
  hung_s: fast
  stop_s: 50
  stop_s: 51
"""
    found = faults(written(tmp_path, text), "health.port=x", "nothing.here=1")
    assert [fault.split(": ")[0] for fault in found] == [
        "config.yaml:1 mode",
        "config.yaml:3 groups.majors[1]",
        "config.yaml:4 groups.defi",
        "config.yaml:5 groups.more[0]",
        "config.yaml:7 fetcher.interval_s",
        "config.yaml:8 fetcher.intervall_s",
        "config.yaml:10 supervisor.hung_s",
        "config.yaml:12 supervisor.stop_s",
        "--set nothing.here",
        "--set health.port",
    ]
    assert EXIT_BAD_CONFIG == 78


def test_missing_file_is_one_fault_that_names_it(tmp_path: Path) -> None:
    assert faults(tmp_path / "nothing.yaml") == [
        "nothing.yaml: not readable (No such file or directory); name the file with --config"
    ]


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("state_dir: größe\n".encode("latin-1"))
    assert "not UTF-8" in faults(path)[0]


@pytest.mark.parametrize("mode", ["770", "702", "1777"])
def test_state_dir_that_others_may_write_is_refused_beside_other_faults(
    mode: str, tmp_path: Path
) -> None:
    state_dir = tmp_path / "var"
    state_dir.mkdir()
    path = written(tmp_path, SMALL + f"state_dir: {state_dir}\nfetcher:\n  intervall_s: 3\n")
    state_dir.chmod(int(mode, 8))
    fault, other = faults(path)
    assert fault.startswith(f"config.yaml:3 state_dir: found var with mode {mode}, expected 700: ")
    assert "chmod 700 var," in fault
    assert "fetcher.interval_s?" in other
    state_dir.chmod(0o755)  # readable alone: a start closes it
    (other,) = faults(path)
    link = tmp_path / "link"
    link.symlink_to(state_dir)
    state_dir.chmod(int(mode, 8))
    (fault,) = faults(written(tmp_path, SMALL), f"state_dir={link}")
    assert f"found var with mode {mode}" in fault


def test_directory_meant_for_everybody_is_not_to_be_closed_unseen(tmp_path: Path) -> None:
    state_dir = tmp_path / "shared"
    state_dir.mkdir()
    state_dir.chmod(0o1777)
    (fault,) = faults(written(tmp_path, SMALL), f"state_dir={state_dir}")
    assert "; name a directory of its own, or, if nobody else uses it, chmod 700 " in fault


def test_state_dir_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_dir, owner = tmp_path / "var", os.geteuid()
    state_dir.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    (fault,) = faults(written(tmp_path, SMALL), f"state_dir={state_dir}")
    assert f"which belongs to user {owner}, expected {owner + 1}" in fault
    assert f"chown -R {owner + 1} " in fault


def test_what_runs_nothing_does_not_need_a_safe_state_dir(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(0o777)
    load(written(tmp_path, SMALL), [f"state_dir={tmp_path / 'var'}"], to_run=False)


def test_root_may_use_a_state_dir_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_dir = tmp_path / "var"
    state_dir.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(state_dir, 12345, 12345)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    load(written(tmp_path, SMALL), [f"state_dir={state_dir}"])


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@localhost:6379/0",
        "redis://app:hunter2@localhost:6379/0",
        "redis://app:hun/ter2@localhost:x/0",
        "redis://localhost:6379/0?password=hunter2",
        "app:hunter2@localhost",
    ],
)
def test_password_in_the_redis_url_is_refused_and_never_shown(url: str, tmp_path: Path) -> None:
    path = written(tmp_path, SMALL + f"redis: {{url: '{url}'}}\n")
    from_file = "\n".join(faults(path))
    from_command_line = "\n".join(faults(written(tmp_path, SMALL), f"redis.url={url}"))
    for text in (from_file, from_command_line):
        assert "COINEX_REDIS_PASSWORD" in text
        assert "ter2" not in text


def test_secret_under_an_unknown_key_is_never_shown(tmp_path: Path) -> None:
    text = "\n".join(faults(written(tmp_path, SMALL), "redis.password=hunter2"))
    assert "secrets never stand in the configuration" in text
    assert "hunter2" not in text


def test_user_without_password_in_the_redis_url_is_accepted(tmp_path: Path) -> None:
    config = load(written(tmp_path, SMALL), ["redis.url=redis://app@localhost:6379/0"])
    assert config.redis == RedisSection(url="redis://app@localhost:6379/0")


def test_socket_url_is_accepted(tmp_path: Path) -> None:
    assert load(written(tmp_path, SMALL), ["redis.url=unix:///run/redis.sock"])


def test_limits_follow_the_lives_of_the_keys(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    short, long = CANDLES[Timeframe.M5].ttl_s, CANDLES[Timeframe.H1].ttl_s
    assert short is not None and long is not None
    edge = [f"fetcher.interval_s={0.8 * short}", f"fetcher.long_interval_s={0.8 * long}"]
    assert load(path, edge).fetcher.long_interval_s == 240
    past = [f"fetcher.interval_s={0.81 * short}", f"fetcher.long_interval_s={0.81 * long}"]
    assert len(faults(path, *past)) == 2


def test_ports_of_zero_may_be_equal(tmp_path: Path) -> None:
    assert load(written(tmp_path, SMALL), ["health.port=0", "simulator.port=0"])


# --set and --mode


def test_set_values_are_yaml(tmp_path: Path) -> None:
    config = load(
        written(tmp_path, SMALL + "fetcher:\n  interval_s: 20\n"),
        [
            "fetcher.interval_s=25.5",
            "groups.defi=[UNIUSDT, AAVEUSDT]",
            "supervisor.restart_stalled=true",
            "testing.poison_coin=BTCUSDT",
            "simulator.faults=[{kind: 5xx, symbol: BTCUSDT}, {kind: clock_skew, value: 900}]",
            "redis.namespace=trial",
        ],
    )
    assert config.fetcher.interval_s == 25.5
    assert config.groups == {"majors": ["BTCUSDT", "ETHUSDT"], "defi": ["UNIUSDT", "AAVEUSDT"]}
    assert config.supervisor.restart_stalled is True
    assert [fault.kind for fault in config.simulator.faults] == ["5xx", "clock_skew"]
    assert config.simulator.faults[1].value == 900
    assert config.redis.namespace == "trial"


def test_the_last_set_wins(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    assert (
        load(path, ["indicators.history=600", "indicators.history=700"]).indicators.history == 700
    )


def test_mode_argument_wins_over_file_and_set(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL + "mode: paper\n")
    assert load(path).mode == "paper"
    assert load(path, ["mode=live"], mode="demo").mode == "demo"
    assert faults(path, mode="real")[0].startswith("--mode mode: found 'real', expected one of")


SET_FAULTS = {
    "fetcher.intervall_s=3": "unknown key; did you mean fetcher.interval_s?",
    "interval_s=3": "unknown key; did you mean fetcher.interval_s or indicators.interval_s?",
    "fetchr.interval_s=3": "unknown key; did you mean fetcher.interval_s?",
    "fetchr.nonsense=3": "unknown key; did you mean fetcher?",
    "FETCHER.interval_s=3": "unknown key; did you mean fetcher.interval_s?",
    "=3": "found '=3', expected key.path=value",
    "groups.majors.0=XRPUSDT": "groups.majors has no keys, it is a list",
    "fetcher.interval_s=soon": "found 'soon', expected a number above 0",
    "fetcher.interval_s=": "found nothing, expected a number above 0",
    "fetcher=5": "found 5, expected a section with the keys interval_s",
    "fetcher.interval_s=[": "not readable as YAML",
    "supervisor.faults={a: 1, a: 2}": "unknown key",
    "simulator.faults=[{kind: hang, kind: html}]": "written twice",
    "fetcher.interval_s": "expected key.path=value",
}


@pytest.mark.parametrize("override", SET_FAULTS)
def test_set_fault_names_the_option_and_the_key(override: str, tmp_path: Path) -> None:
    found = faults(written(tmp_path, SMALL), override)
    assert len(found) == 1, found
    assert found[0].startswith("--set")
    assert SET_FAULTS[override] in found[0]
    assert override.split("=", maxsplit=1)[0].split(".", maxsplit=1)[0] in found[0]


# Whatever is written, the answer is a Config or a ConfigError

_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("BTCUSDT")
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["kind", "url", "port", "interval_s", "left", "divergence", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.sampled_from([*(field.name for field in fields(Config)), "other"]), _values)
)
def test_no_document_makes_the_loader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        config = load(path)
    except ConfigError as error:
        assert error.faults
        assert all(": " in fault for fault in error.faults)
    else:
        assert config.groups


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.text(alphabet="ab:[]{}-#&*!|>'\"%@?, \n\t\\01", max_size=40))
def test_no_text_makes_the_loader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.faults


# Secrets


def test_secret_comes_from_the_environment() -> None:
    assert secrets_from({"COINEX_REDIS_PASSWORD": "hunter2"}, None).redis_password == "hunter2"
    assert secrets_from({}, None) == Secrets()


def test_secret_comes_from_the_credentials_directory(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("hunter2\n")
    assert secrets_from({}, tmp_path).redis_password == "hunter2"


def test_secret_given_twice_must_be_the_same(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("hunter2")
    assert secrets_from({"COINEX_REDIS_PASSWORD": "hunter2"}, tmp_path).redis_password == "hunter2"
    with pytest.raises(ConfigError, match="differ; keep one") as caught:
        secrets_from({"COINEX_REDIS_PASSWORD": "hunter3"}, tmp_path)
    assert "hunter" not in str(caught.value)


def test_empty_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="COINEX_REDIS_PASSWORD: empty"):
        secrets_from({"COINEX_REDIS_PASSWORD": ""}, None)
    (tmp_path / "redis_password").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not readable"):
        secrets_from({}, tmp_path)


KEYS = {"COINEX_VENUE_KEY": "hunter2-id", "COINEX_VENUE_SECRET": "hunter2-key"}


def test_both_keys_to_the_venue_make_a_pair() -> None:
    found = secrets_from(KEYS, None)
    assert (found.venue_key, found.venue_secret) == ("hunter2-id", "hunter2-key")


@pytest.mark.parametrize("left_out", list(KEYS))
def test_one_key_without_the_other_is_refused(left_out: str) -> None:
    given = {name: value for name, value in KEYS.items() if name != left_out}
    with pytest.raises(ConfigError, match=f"without {left_out}.*give both, or neither") as caught:
        secrets_from(given, None)
    assert "hunter2" not in str(caught.value)


def test_keys_may_come_from_different_places(tmp_path: Path) -> None:
    (tmp_path / "venue_secret").write_text("hunter2-key\n")
    found = secrets_from({"COINEX_VENUE_KEY": "hunter2-id"}, tmp_path)
    assert (found.venue_key, found.venue_secret) == ("hunter2-id", "hunter2-key")


@pytest.mark.parametrize("key", ["hunter 2", "hunter2\nx", "hünter2"])
def test_what_can_be_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match=r"COINEX_VENUE_SECRET: holds a blank") as caught:
        secrets_from({**KEYS, "COINEX_VENUE_SECRET": key}, None)
    assert key not in str(caught.value)


def test_secret_never_shows_when_printed() -> None:
    secrets = Secrets(redis_password="hunter2")
    assert "hunter2" not in f"{secrets} {secrets!r} {[secrets]}"
    keys = Secrets(venue_key="hunter2", venue_secret="hunter2")
    assert "hunter2" not in f"{keys} {keys!r} {[keys]}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6379/0", "redis://default:a%2Fb%40c@localhost:6379/0"),
        ("rediss://app@localhost", "rediss://app:a%2Fb%40c@localhost"),
        ("unix:///run/redis.sock", "unix://default:a%2Fb%40c@/run/redis.sock"),
    ],
)
def test_secret_joins_the_url_of_the_configuration(url: str, expected: str) -> None:
    assert Secrets(redis_password="a/b@c").into_url(url) == expected
    assert Secrets().into_url(url) == url


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        (None, []),
        ("json://a/b", ["json://a/b"]),
        ("json://a/b tgram://c/d", ["json://a/b", "tgram://c/d"]),
        ("json://a/b,tgram://c/d", ["json://a/b", "tgram://c/d"]),
        ("json://a/b, \n tgram://c/d\n", ["json://a/b", "tgram://c/d"]),
        (
            "mailto://a@b.c?to=x@y.z,v@w.x discord://1",
            ["mailto://a@b.c?to=x@y.z,v@w.x", "discord://1"],
        ),
        ("hunter2", ["hunter2"]),
        (" , ", []),
    ],
)
def test_urls_of_services_are_split_at_blanks_and_commas_before_a_scheme(
    given: str | None, urls: list[str]
) -> None:
    assert Secrets(alert_urls=given).alert_services() == urls
