"""A sweep as a user runs it: 45 settings on two coins, in a few seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.console.command_line import parser
from tests.support.paths import ROOT

CLOSES = 6_000
PARAMS = ("trader.entry_score=70:80:5", "trader.target_r=1:3.8:0.2")
SETTINGS = 45


def command(candles: Path, out: Path, processes: int, *more: str) -> list[str]:
    given = [item for param in PARAMS for item in ("--param", param)]
    return [
        "sweep", "--candles", str(candles), "--out", str(out),
        "--set", "trader.base_floor=0", "--set", "trader.margin=0", "--release", "daily",
        "--walk-forward", "none", "--processes", str(processes), *given, *more,
    ]  # fmt: skip


def started(
    arguments: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "supervisor.py", *arguments], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip


def in_process(*arguments: object) -> int:
    """Run `coinex sweep` in this process; return its exit code."""

    def start(_: object) -> int:
        raise AssertionError("nothing is started")

    options = parser(start).parse_args(["sweep", *map(str, arguments)])
    options.environment = {}
    return int(options.carry_out(options))


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return found


def stored(out: Path) -> int:
    return len(list(out.glob("settings/*.npz")))


def same(found: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    known = {"ledger_head"}  # of whoever came before
    assert {k: v for k, v in found.items() if k not in known} == {
        k: v for k, v in undisturbed.items() if k not in known
    }
