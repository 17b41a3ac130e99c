"""What a command that fails says, and its exit code: the same for every command."""

from __future__ import annotations

import pytest

from shared.console.option_values import Misuse
from shared.console.outcome import NO_MEMORY, carried_out
from shared.errors import BadCandle, ConfigError, PlatformError


class Nothing(PlatformError):
    """A wrong use, to one command."""


def failing(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Misuse("--from x"), 2, "verb: --from x\n"),
        (Nothing("no candles"), 2, "verb: no candles\n"),
        (BadCandle("row 7"), 1, "verb: row 7\n"),
        (
            FileNotFoundError(2, "No such file", "a.csv"),
            1,
            "verb: [Errno 2] No such file: 'a.csv'\n",
        ),
        (MemoryError(), 1, f"verb: {NO_MEMORY}\n"),
        (KeyboardInterrupt(), 130, "verb: it goes on later\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_failure_is_one_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = carried_out(
        "verb", lambda: failing(error), misuse=(Nothing,), interrupted="it goes on later"
    )
    assert (given, capsys.readouterr().err) == (code, said)


@pytest.mark.parametrize(
    "error", [ConfigError(["x"]), BrokenPipeError(), KeyboardInterrupt(), ZeroDivisionError()]
)
def test_what_the_command_line_says_itself_and_bugs_are_passed_on(error: BaseException) -> None:
    with pytest.raises(type(error)):
        carried_out("verb", lambda: failing(error))


def test_interrupted_without_a_word_says_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert carried_out("verb", lambda: failing(KeyboardInterrupt()), interrupted="") == 130
    assert capsys.readouterr().err == ""
    assert carried_out("verb", lambda: 3) == 3
