"""`coinex evidence power`, as it is typed."""

from __future__ import annotations

import json

import pytest

from shared.console import command_line
from shared.errors import EXIT_OK, EXIT_USAGE


def run(*arguments: str) -> int:
    options = command_line.parser(lambda _: 0).parse_args(["evidence", "power", *arguments])
    code: int = options.carry_out(options)
    return code


def test_table_has_a_row_per_number_of_trades(capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--trades", "300,20000", "--settings", "5", "--runs", "2")
    assert run(*few) == EXIT_OK
    assert capsys.readouterr().out.splitlines() == [
        "an edge of 0.1 R (sd 1.3 R) in 1 of 5 settings, 120 days; 2 runs",
        "trades  edge found  undecided  false edge",
        "   300          0%         0%        0.0%",
        " 20000        100%         0%        0.0%",
    ]
    clustered = (*few, "--together", "0.5")
    assert run(*clustered, "--chosen-on", "20", "--runs", "1", "--trades", "300") == EXIT_OK
    head = capsys.readouterr().out.splitlines()[0]
    assert head.endswith(
        "120 days, trades of one day correlated by 0.5, chosen on the last 20 days; 1 run"
    )
    assert run(*clustered, "--json") == EXIT_OK
    rows = json.loads(capsys.readouterr().out)
    assert [row["trades"] for row in rows] == [300, 20000]
    # Where half of each trade is the day's, more trades a day say little more.
    assert rows[1] == {"trades": 20000, "found": 0.0, "undecided": 0.0, "false": 0.0}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--trades", "600,many"), "--trades 600,many: expected whole numbers such as 600,8000"),
        (("--runs", "0"), "--runs is at least 1, --seed at least 0"),
        (("--edge", "-2"), "edge -2.0: expected above -1 and below 100"),
    ],
)
def test_option_without_meaning_is_refused(
    arguments: tuple[str, ...], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == EXIT_USAGE
    assert capsys.readouterr().err == f"evidence power: {fault}\n"
