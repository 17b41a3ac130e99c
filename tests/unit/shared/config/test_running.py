"""Where a platform lives: found with a broken file, and never by a misspelt --set."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config.load import load
from shared.config.running import find_running
from shared.errors import ConfigError

SMALL = "groups: {majors: [BTCUSDT]}\n"


@pytest.mark.parametrize(
    "text",
    [
        "state_dir: here\nfetcher: {intervall_s: 3}\nmode: nonsense\n",
        "state_dir: here\nredis: [1]\n",
        "state_dir: here\nredis: {url: 5}\n",
    ],
)
def test_faults_of_the_file_do_not_keep_a_platform_from_being_found(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    place = find_running(tmp_path / "config.yaml", [])
    assert place.state_dir == tmp_path / "here"
    assert place.redis_url == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("text", ["a: [", "\0", None])
def test_what_cannot_be_read_at_all_leaves_the_defaults_and_what_set_says(
    text: str | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    if text is not None:
        config.write_text(text)
    assert find_running(config, []).state_dir == Path("var").resolve()
    overrides = ["state_dir=other", f"state_dir='{tmp_path}/x'", "redis.namespace=dev"]
    place = find_running(config, overrides)
    assert (place.state_dir, place.namespace) == (tmp_path / "x", "dev")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("stat_dir=x", "unknown key; did you mean state_dir? Otherwise leave it out"),
        ("fetcher.intervall_s=3", "did you mean fetcher.interval_s?"),
        ("qqq=3", "unknown key, expected one of mode, state_dir, groups"),
        ("state_dir", "expected key.path=value"),
        ("state_dir=5", "found 5, expected a text of at least one character"),
        ("health.port=[1", "not readable as YAML"),
        ("redis.password=hunter2", "secrets never stand in the configuration"),
    ],
)
def test_a_set_that_check_refuses_is_refused_in_the_same_words(
    override: str, named: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(SMALL)
    with pytest.raises(ConfigError) as by_load:
        load(config, [override])
    with pytest.raises(ConfigError) as by_place:
        find_running(config, [override])
    assert by_place.value.faults == by_load.value.faults
    assert named in by_place.value.faults[0]
    assert "hunter2" not in by_place.value.faults[0]


def test_what_a_set_leaves_to_the_file_is_not_asked_of_it(tmp_path: Path) -> None:
    place = find_running(
        tmp_path / "config.yaml", ["groups.majors=[BTCUSDT]", f"state_dir={tmp_path}"]
    )
    assert place.state_dir == tmp_path


def test_whose_trader_there_is_is_found_with_a_broken_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("trader: {kind: outside, risk_pct: much}\nfetchr: 1\n")
    assert find_running(config, []).trader_kind == "outside"
    assert find_running(config, ["trader.kind=none"]).trader_kind == "none"
    config.write_text("trader: [outside]\n")
    assert find_running(config, []).trader_kind == "own"
