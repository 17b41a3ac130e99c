"""Commands to a trader that is not the platform's are refused in words, and do nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import orjson
import pytest

from shared.api.address import AddressFile
from shared.console.trader import ACTIONS, NOT_OURS, trader
from shared.errors import EXIT_NO_SUPERVISOR
from shared.kill_switch import KillSwitch
from shared.messages.trading import WITH_SYMBOL, TraderKind


def options(tmp_path: Path, action: str, kind: str, **change: object) -> argparse.Namespace:
    config = tmp_path / "config.yaml"
    config.write_text(f"state_dir: {tmp_path}\ntrader: {{kind: {kind}}}\n")
    plain: dict[str, object] = {
        "config": str(config), "set": [], "action": action, "reason": None, "json": False,
        "symbol": "BTCUSDT" if action in WITH_SYMBOL else None,
    }  # fmt: skip
    return argparse.Namespace(**plain | change)


@pytest.mark.parametrize("kind", NOT_OURS)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_command_is_refused_in_words(
    action: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trader(options(tmp_path, action, kind)) == EXIT_NO_SUPERVISOR
    said = capsys.readouterr().err
    assert said.startswith(f"{action}: trader.kind is {kind}: ") and "nothing was done" in said
    assert KillSwitch(tmp_path).read() is None


def test_refusal_can_be_read_by_a_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trader(options(tmp_path, "kill", "none", json=True)) == EXIT_NO_SUPERVISOR
    assert "trader.kind is none" in orjson.loads(capsys.readouterr().out)["detail"]


def test_kinds_are_given_with_set_too(tmp_path: Path) -> None:
    given = options(tmp_path, "status", "own", set=["trader.kind=outside"])
    assert trader(given) == EXIT_NO_SUPERVISOR
    assert set(NOT_OURS) == set(get_args(TraderKind)) - {"own"}


def test_own_trader_that_still_runs_is_locked_whatever_the_file_says_by_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AddressFile(tmp_path).write("127.0.0.1", 1)
    trader(options(tmp_path, "kill", "outside"))
    lock = KillSwitch(tmp_path).read()
    assert lock is not None and lock.mode == "locked"
