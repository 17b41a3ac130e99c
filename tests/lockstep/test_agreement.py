"""What the comparison of a backtest with the trader notices, and what its program refuses."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from shared.backtest.simulation.trades import AccountHistory
from tests.lockstep import __main__ as lockstep_program
from tests.lockstep import agreement
from tests.lockstep.agreement import backtested, differences, lockstep
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.lockstep.world import Outcome

MINUTE_MS = 60_000
PROGRAMS = agreement.main, lockstep_program.main

pytestmark = pytest.mark.xdist_group("one run to compare")


@pytest.fixture(scope="module")
def compared() -> tuple[AccountHistory, Outcome]:
    """Twenty minutes, at whose end positions are open."""
    span = (made_market(), SETTINGS, BEGIN_MS, BEGIN_MS + 20 * MINUTE_MS)
    history, outcome = backtested(*span), lockstep(*span)
    assert differences(history, outcome) == []
    assert outcome.still_open
    return history, outcome


def test_position_that_only_one_side_has_open_at_the_end_differs(
    compared: tuple[AccountHistory, Outcome],
) -> None:
    history, outcome = compared
    closed = dataclasses.replace(outcome, still_open=[])
    assert any("open at the end: lockstep None" in each for each in differences(history, closed))
    ended = [trade for trade in history.trades if trade.how != "end"]
    found = differences(dataclasses.replace(history, trades=ended), outcome)
    assert any("open at the end: backtest None" in each for each in found)


@pytest.mark.parametrize("what", ["side", "size", "entry_price", "stop", "target"])
def test_position_that_is_another_at_the_end_differs(
    compared: tuple[AccountHistory, Outcome], what: str
) -> None:
    history, outcome = compared
    *others, last = history.trades
    assert last.how == "end"
    other = {"short": "long", "long": "short"}[last.side] if what == "side" else Decimal(1)
    changed = dataclasses.replace(last, **{what: other})  # type: ignore[arg-type]
    (found,) = differences(dataclasses.replace(history, trades=[*others, changed]), outcome)
    assert "open at the end" in found


def test_close_that_only_one_side_has_differs(compared: tuple[AccountHistory, Outcome]) -> None:
    history, outcome = compared
    shorter = dataclasses.replace(outcome, equity=outcome.equity[1:])
    (found,) = differences(history, shorter)
    assert found.endswith("lockstep None")
    cut = dataclasses.replace(history, at_ms=history.at_ms[:-1], equity=history.equity[:-1])
    (found,) = differences(cut, outcome)
    assert "backtest None" in found


def test_comparison_refuses_requests_that_take_time(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--latency", "0.06"], ["--seed", "5"]):
        assert refusal(agreement.main, ["--made", "--hours", "0.1", *arguments], capsys) == (
            f"agreement: error: unrecognized arguments: {' '.join(arguments)}"
        )


@pytest.mark.parametrize("main", PROGRAMS)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--made", "--hours", "1", "--set", "trader.entry_score=70"], "--set beside --made"),
        (["--made", "--hours", "1", "--symbols", "BTCUSDT"], "--symbols beside --made"),
        (["--made", "--hours", "1", "--candles", "."], "--candles beside --made"),
        (["--made", "--hours", "0"], "a length of 0 hours: expected more than 0"),
        (["--made", "--weeks", "nan"], "a length of nan hours: expected more than 0"),
        (["--made"], "give fewer --weeks or --hours"),
        (["--candles", "/nowhere", "--hours", "1"], "no recorded candles in /nowhere"),
    ],
)
def test_program_says_what_it_cannot_do(
    main: object, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(main, arguments, capsys)


def refusal(main: object, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the last line of a refusal with exit code 2."""
    assert callable(main)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]
