"""From what a command does, or fails with, to an exit code and one line of words."""

from __future__ import annotations

import sys
from collections.abc import Callable

from shared.console.option_values import Misuse
from shared.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    ConfigError,
    PlatformError,
)

NO_MEMORY = "out of memory; fewer coins or --processes need less"


def carried_out(
    command: str,
    work: Callable[[], int],
    *,
    misuse: tuple[type[Exception], ...] = (),
    interrupted: str | None = None,
) -> int:
    """Do the work of a command and return its exit code; say on stderr what it failed with.

    Args:
        command: As it was given, such as `candles fetch`.
        misuse: What else counts as a wrong use of it.
        interrupted: What is said after Ctrl-C; None: that is left to the command line.

    Raises:
        ConfigError, BrokenPipeError: The command line has words for these.
    """
    wrong: tuple[type[Exception], ...] = (Misuse, *misuse)
    try:
        return work()
    except wrong as error:
        code, said = EXIT_USAGE, str(error)
    except (ConfigError, BrokenPipeError):
        raise
    except (PlatformError, OSError) as error:
        code, said = EXIT_FAILED, str(error)
    except MemoryError:
        code, said = EXIT_FAILED, NO_MEMORY
    except KeyboardInterrupt:
        if interrupted is None:
            raise
        code, said = EXIT_INTERRUPTED, interrupted
    if said:
        print(f"{command}: {said}", file=sys.stderr)
    return code
