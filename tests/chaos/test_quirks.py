"""Thirty odd coins beside 29 others, on two platforms, for half a minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_thirty_odd_coins_leave_the_others_alone_and_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.quirks", "--quick", "--minutes", "0.4", "--out",
         str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=290,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
