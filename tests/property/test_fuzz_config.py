"""A configuration is valid, or refused with every fault in words: never a traceback."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.config.load import load
from shared.config.sections import Config
from shared.errors import ConfigError
from tests.support.message_strategies import JSON
from tests.support.mutations import mutated, spoilt
from tests.support.paths import ROOT

TEXT = (ROOT / "config.yaml").read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
# every section, and few coins: what is wrong with one of them is wrong with all
SMALL = {**DOCUMENT, "groups": {"majors": ["BTCUSDT", "ETHUSDT"]}}
SHORT = "mode: demo\ngroups:\n  majors: [BTCUSDT, ETHUSDT]\nfetcher:\n  interval_s: 30\n"
MANY = settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
PATHS = st.sampled_from(
    ["fetcher.interval_s", "groups.majors", "groups", "health.port", "simulator.faults",
     "redis.url", "trader", "mode", "a.b", "groups.majors.0", "alerts.enabled",
     "venue.base_url", "", ".", "a=b"]
)  # fmt: skip
WHERE = re.compile(r"(\S*config\.yaml(:\d+)?|--set|--mode)( \S.*)?: .+")


def is_valid_or_refused(raw: bytes, *overrides: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(raw)
        try:
            assert isinstance(load(path, overrides), Config)
        except ConfigError as error:
            assert error.faults
            for fault in error.faults:
                assert WHERE.fullmatch(fault.replace("\n", " ")), fault[:300]
                assert len(fault) < 2000


@given(document=mutated(SMALL))
@MANY
def test_documents_that_were_changed(document: Any) -> None:
    is_valid_or_refused(yaml.safe_dump(document, allow_unicode=True).encode())


@given(document=JSON)
@MANY
def test_documents_of_anything(document: Any) -> None:
    is_valid_or_refused(yaml.safe_dump(document).encode(errors="surrogatepass"))


@given(raw=spoilt(SHORT.encode()) | st.binary(max_size=40))
@MANY
def test_files_of_spoilt_bytes(raw: bytes) -> None:
    is_valid_or_refused(raw)


@given(path=PATHS, value=st.text(max_size=12) | JSON.map(repr), equals=st.sampled_from(["=", ""]))
@MANY
def test_overrides_of_anything(path: str, value: str, equals: str) -> None:
    is_valid_or_refused(SHORT.encode(), f"{path}{equals}{value}")


NESTED = "[" * 50_000 + "]" * 50_000  # the parser in C dies of it
BOMB = "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}' if level else 'x'] * 9)}]\n"
    for level in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        f"state_dir: 0x{'f' * 6000}", f"state_dir: {'9' * 6000}", f"state_dir: {NESTED}", BOMB,
        "state_dir: &a [*a]", "state_dir: !!python/object:os.system x", "<<: {mode: demo}",
        "mode: =", "state_dir: 2001-99-99", "state_dir: !!binary x", "? {a: b}\n: c", "a: 1:99:99",
        "state_dir: .nan", "fetcher: {interval_s: .inf}", "%YAML 9.9\n---\nmode: demo",
        "--- a\n--- b",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_yaml_can_do_and_a_configuration_cannot(text: str) -> None:
    is_valid_or_refused((SHORT + text).encode())
    is_valid_or_refused(text.encode())
