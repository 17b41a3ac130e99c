"""The strategy that `backtest` and `sweep` test: read, loaded once, and how it is to be asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.config.defaults import BUILT_IN
from shared.errors import BadMessage, ConfigError, count
from shared.strategy.records import records_for
from shared.strategy.source import StrategyFile, StrategySection, read_strategy

if TYPE_CHECKING:
    from shared.backtest.user_strategy.asking import Asked
    from shared.backtest.user_strategy.points import Tally
    from shared.backtest.user_strategy.scoring import UserStrategy
    from shared.config.sections import Config


def tested_strategy(config: Config, coins: Sequence[str], verb: str) -> UserStrategy | None:
    """Return the user's strategy that is configured; None: the built-in one.

    Args:
        coins: Those that are tested.
        verb: Who says on standard error how it is asked.

    Raises:
        BadStrategy: The file cannot be used.
        ConfigError: It cannot be loaded, or does not take its parameters.
    """
    with asked_strategy(config) as asked:
        if asked is None:
            return None
        return of_coins(asked, config, coins, verb, [config.strategy_parameters])


@contextmanager
def asked_strategy(
    config: Config, varied: Mapping[str, Any] | None = None
) -> Iterator[Asked | None]:
    """Yield the user's strategy that is configured, to ask; None: the built-in one.

    Args:
        varied: Parameters that it may need beside those configured.

    Raises:
        BadStrategy: The file cannot be used.
        ConfigError: It cannot be loaded, or does not take its parameters.
    """
    from shared.backtest.user_strategy.asking import Asked, NotScored  # noqa: PLC0415

    if config.strategy == BUILT_IN:
        yield None
        return
    section = StrategySection(
        file=read_strategy(config.strategy),
        parameters=config.strategy_parameters,
        timeout_s=config.strategy_timeout_s,
    )
    try:
        asked = Asked(section, section.parameters)
    except NotScored as error:
        if not varied:
            raise ConfigError([str(error)]) from error
        try:
            asked = Asked(section, {**varied, **section.parameters})
        except NotScored:
            raise ConfigError([str(error)]) from error
    with closing(asked):
        yield asked


def of_coins(
    asked: Asked,
    config: Config,
    coins: Sequence[str],
    verb: str,
    sets: Iterable[Mapping[str, Any]],
) -> UserStrategy:
    """Return how a strategy is tested on coins; say on standard error what one has to know.

    Args:
        sets: Every set of parameters that is tested.
    """
    from shared.backtest.user_strategy.scoring import UserStrategy  # noqa: PLC0415

    section, loaded, file = asked.section, asked.loaded, asked.section.file
    why = _one_by_one(Path(config.state_dir), file, sets)
    if why:
        print(f"{verb}: {why}: computed close by close, which is slower", file=sys.stderr)
    rows = (*config.symbols, *(coin for coin in coins if coin not in config.symbols))
    absent = [coin for coin in rows if coin not in coins]
    if loaded.cross_section and absent:
        print(
            f"{verb}: {file.label} looks across coins, and sees {count(len(absent), 'coin')} that "
            f"{'is' if len(absent) == 1 else 'are'} configured and not tested as unknown: "
            f"{', '.join(absent)}",
            file=sys.stderr,
        )
    return UserStrategy(section=section, loaded=loaded, rows=rows, one_by_one=why)


def say_failed(tally: Tally, verb: str) -> None:
    """Say on standard error at how many closes a strategy failed."""
    if tally.failed:
        print(
            f"{verb}: the strategy failed at {tally.failed} of {count(tally.asked, 'close')}, "
            f"which are not scored, as live: first {tally.first}",
            file=sys.stderr,
        )


def _one_by_one(state_dir: Path, file: StrategyFile, sets: Iterable[Mapping[str, Any]]) -> str:
    """Return why scores are computed close by close, or ""."""
    try:
        records = records_for(state_dir, file, sets)
    except BadMessage:
        return f"{file.label}: whether it was checked is not known"
    if not records:
        return f"{file.label} is not checked"
    for record in records:
        if record.broken:
            return f"{file.label} was refused by its check ({', '.join(record.broken)})"
        if not record.is_whole_equal:
            return (
                f"{file.label} gives something else in one call over a long series, says its check"
            )
    return ""
