"""The settings of a sweep: which values are varied, and every combination that may be run."""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Protocol

from shared.config.defaults import BUILT_IN
from shared.config.load import overridden
from shared.config.rules import breaches
from shared.config.sections import Config, TraderSection
from shared.config.yaml_document import dotted
from shared.errors import ConfigError, shortened
from shared.evidence.hashes import INDICATORS_NOT_TESTED, NOT_TESTED
from shared.strategy.contract import LoadedStrategy
from shared.strategy.records import parameter_faults

SECTIONS = ("trader", "strategy_parameters")
IDLE: Mapping[str, Set[str]] = {
    "trader": {"wait_s", "unprotected_s", "warn_pct", "max_refusals_per_hour", *NOT_TESTED},
    "indicators": INDICATORS_NOT_TESTED,
}
"""Settings by section without effect where candles come at once and the venue always answers."""

MOST_SETTINGS = 20_000
"""More take `--random`: each is a backtest of its own."""

MOST_FAULTS = 20
_OPTION = "--param"
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):({_NUMBER})")

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Axis:
    """One value that is varied. `path`: such as ("trader", "entry_score")."""

    path: tuple[str, ...]
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return dotted(self.path)


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination.

    Attributes:
        parameters: What is varied, by its key path, with the value it has here.
        trader: The trader's section with it.
    """

    parameters: Mapping[str, Value]
    trader: TraderSection
    strategy_parameters: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Grid:
    """What a sweep runs.

    Attributes:
        settings: Every combination, or those drawn, that the configuration's rules allow.
        left_out: Each of the others, with the rule that it breaks, in words.
    """

    axes: tuple[Axis, ...]
    settings: tuple[Setting, ...]
    left_out: tuple[str, ...]


def grid(
    params: Sequence[str],
    config: Config,
    *,
    draw: int | None = None,
    seed: int = 0,
    strategy: Takes | None = None,
) -> Grid:
    """Return the settings that `--param` asks for.

    Each is `key.path=first:last:step`, the last one included, or `key.path=a,b,c`; none at all is
    the configuration as it is.

    Args:
        draw: Only so many of them, drawn without replacement.
        seed: Of the draw.
        strategy: What a user's strategy takes; None: the built-in one scores.

    Raises:
        ConfigError: With every fault of names, bounds and forms; too many settings, or none that
            the rules allow.
    """
    axes = axes_of(params)
    if strategy is not None:
        _require_taken(axes, strategy)
        # its own rules are asked for below, once for each set of its parameters
        rules = dataclasses.replace(config, strategy=BUILT_IN, strategy_parameters={})
    total = math.prod(len(axis.values) for axis in axes)
    most = min(total, draw or total)
    if most > MOST_SETTINGS:
        raise ConfigError(
            [f"{_OPTION}: found {most} settings, expected at most {MOST_SETTINGS}: give fewer "
             f"values, or --random {MOST_SETTINGS} to draw some of them"]
        )  # fmt: skip
    left_out: list[str] = []
    settings: list[Setting] = []
    for values in _combinations(axes, total, draw, seed):
        found = _config_with(config, dict(zip(axes, values, strict=True)))
        parameters = {str(axis): value for axis, value in zip(axes, values, strict=True)}
        given = found.strategy_parameters
        if strategy is not None:
            given = strategy.loaded.effective(given)
            found = dataclasses.replace(rules, trader=found.trader)
        if why := _refusal(found) or ("" if strategy is None else strategy.refusal(given)):
            shown = ", ".join(f"{name}={value}" for name, value in parameters.items())
            left_out.append(f"{shown}: {why}")
            continue
        settings.append(Setting(parameters, found.trader, given))
    if not settings:
        raise ConfigError([f"{_OPTION} {why}" for why in left_out[:MOST_FAULTS]])
    return Grid(axes, tuple(settings), tuple(left_out))


class Takes(Protocol):
    """What parameters a user's strategy takes."""

    @property
    def loaded(self) -> LoadedStrategy: ...
    def refusal(self, parameters: Mapping[str, Value]) -> str:
        """Return why it does not take a set of parameters, or ""."""
        ...


def _refusal(config: Config) -> str:
    """Return the first rule of the configuration that is broken, or ""."""
    broken = next(iter(breaches(config, frozenset(), to_run=False)), None)
    return "" if broken is None else f"{dotted(broken.path)}: {broken.text}"


def _require_taken(axes: Sequence[Axis], strategy: Takes) -> None:
    """Require that a strategy has each parameter that is varied, and takes each value."""
    faults = [
        f"{_OPTION} {axis}: {why}"
        for axis in axes
        if axis.path[0] == "strategy_parameters"
        for value in axis.values
        for _, why in parameter_faults(strategy.loaded.parameters, {axis.path[1]: value})
    ]
    if faults:
        raise ConfigError(list(dict.fromkeys(faults))[:MOST_FAULTS])


def _combinations(
    axes: Sequence[Axis], total: int, draw: int | None, seed: int
) -> Iterable[tuple[Value, ...]]:
    if draw is None or draw >= total:
        return product(*(axis.values for axis in axes))
    rng, places = random.Random(seed), set[int]()
    while len(places) < draw:  # `sample` takes no more than 2 ** 63
        places.add(rng.randrange(total))
    return [_combination(axes, place) for place in sorted(places)]


def _combination(axes: Sequence[Axis], place: int) -> tuple[Value, ...]:
    """Return one of `product`'s, by its place."""
    found: list[Value] = []
    for axis in reversed(axes):
        place, index = divmod(place, len(axis.values))
        found.append(axis.values[index])
    return tuple(reversed(found))


def _config_with(config: Config, values: Mapping[Axis, Value]) -> Config:
    sections: dict[str, dict[str, Value]] = {}
    for axis, value in values.items():
        sections.setdefault(axis.path[0], {})[axis.path[1]] = value
    if trader := sections.pop("trader", None):
        varied: dict[str, object] = {"trader": dataclasses.replace(config.trader, **trader)}  # type: ignore[arg-type]  # each was checked
    else:
        varied = {}
    for name, parameters in sections.items():
        varied[name] = {**getattr(config, name), **parameters}
    return dataclasses.replace(config, **varied)  # type: ignore[arg-type]  # each was checked


# What was asked, value by value


def axes_of(params: Sequence[str]) -> tuple[Axis, ...]:
    """Return what `--param` varies; raises as `grid`."""
    axes: dict[str, Axis] = {}
    faults: list[str] = []
    for param in params:
        name, equals, text = param.partition("=")
        name = name.strip()
        try:
            if not equals or not text.strip():
                raise ConfigError(
                    [f"{_OPTION}: found {shortened(param)!r}, expected key.path=first:last:step or "
                     "key.path=a,b,c, as in trader.entry_score=70:95:5"]
                )  # fmt: skip
            if name in axes:
                raise ConfigError([f"{_OPTION} {name}: given twice; name all its values once"])
            axes[name] = _axis(name, text)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return tuple(axes.values())


def _axis(name: str, text: str) -> Axis:
    path = tuple(name.split("."))
    if path[0] not in SECTIONS or len(path) != 2:
        raise ConfigError(
            [f"{_OPTION} {shortened(name)}: found a key that no backtest depends on, expected "
             "trader.NAME or strategy_parameters.NAME"]
        )  # fmt: skip
    if path[1] in IDLE.get(path[0], ()):
        raise ConfigError([f"{_OPTION} {name}: it changes nothing in a backtest; leave it out"])
    values: dict[Value, None] = {}
    faults: list[str] = []
    for each in _texts(name, text):
        try:
            value = overridden([f"{name}={each}"], _OPTION)[path[0]][path[1]]
        except ConfigError as error:
            faults += error.faults
            continue
        if value in values:
            faults.append(f"{_OPTION} {name}: found {each} twice, expected each value once")
        values[value] = None
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return Axis(path, tuple(values))


def _texts(name: str, text: str) -> Iterator[str]:
    """Yield each value of `a,b,c` or `first:last:step`, as it would be written in the file."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        if ":" in text:
            raise ConfigError(
                [f"{_OPTION} {name}: found {shortened(text)!r}, expected first:last:step in plain "
                 "numbers, as in 70:95:5"]
            )  # fmt: skip
        yield from (part.strip() for part in text.split(","))
        return
    first, last, step = map(Decimal, found.groups())
    if step <= 0 or first > last:
        raise ConfigError(
            [f"{_OPTION} {name}: found {text.strip()}, expected a first value that is not above "
             "the last, and a step above 0"]
        )  # fmt: skip
    number = int((last - first) / step) + 1
    if number > MOST_SETTINGS:
        raise ConfigError(
            [f"{_OPTION} {name}: found {number} values, expected at most {MOST_SETTINGS}; take a "
             "larger step"]
        )  # fmt: skip
    yield from (f"{first + place * step:f}" for place in range(number))
