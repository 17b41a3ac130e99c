"""A user's strategy asked about the past: in its process, which is started anew when it dies."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from shared.errors import PlatformError
from shared.strategy.contract import LoadedStrategy, Scores, Series
from shared.strategy.process import StrategyDied, StrategyFailed, StrategyProcess
from shared.strategy.source import StrategySection

MOST_DEATHS = 3
"""A call on which it died so often ends the run: what it would have said is not known."""

LONG_LIMITS, LONG_TRIES = 10, 2
"""Of a call over weeks: how many times the time limit of a live call it may take, and how many
deaths end such calls: one may be of something else.
"""


class NotScored(PlatformError):
    """A user's strategy cannot be asked; the message names the coin, the close and what to do."""


class Asked:
    """A strategy with its parameters.

    Attributes:
        loaded: What it says of itself.
    """

    def __init__(self, section: StrategySection, parameters: Mapping[str, Any]) -> None:
        self.section = section
        self._parameters = parameters
        self._process = StrategyProcess(section, owner="a backtest", now_s=time.monotonic)
        self._refusals: dict[str, str] = {}
        self.loaded: LoadedStrategy = self._start()

    def score(
        self, series: Series, where: str, limits: int = 1, tries: int = MOST_DEATHS
    ) -> Scores:
        """Return the scores of one call.

        Args:
            where: Names the call in errors.
            limits: How many times the time limit of a live call it may take.
            tries: So many deaths end it.

        Raises:
            StrategyFailed: It raised, or gave something else.
            NotScored: It died each time, or gave no answer in time.
        """
        for deaths in range(1, tries + 1):
            if self._process.pid is None:
                self._start()
            try:
                return self._process.score(series, limits)
            except StrategyDied as error:
                if deaths == tries:
                    raise NotScored(
                        f"strategy {self.section.file.label}: {where}: tried {tries} times, at "
                        f"last: {error}. Whether it would have entered there is not known, so "
                        "nothing was tested; correct the strategy, or raise strategy_timeout_s"
                    ) from error
        raise AssertionError("it was scored, or died")

    def refusal(self, parameters: Mapping[str, Any]) -> str:
        """Return why it does not take other parameters, or "".

        Raises:
            NotScored: It cannot be loaded at all.
        """
        known = json.dumps(parameters, sort_keys=True)
        if known not in self._refusals:
            self._refusals[known] = self._refusal(parameters)
        return self._refusals[known]

    def _refusal(self, parameters: Mapping[str, Any]) -> str:
        try:
            self._process.load(parameters)
        except StrategyFailed as error:
            return str(error)
        except StrategyDied as error:
            self._start()
            return str(error)
        return ""

    def close(self) -> None:
        """End its process."""
        self._process.kill()

    def _start(self) -> LoadedStrategy:
        for deaths in range(1, MOST_DEATHS + 1):
            try:
                self._process.start()
                return self._process.load(self._parameters)
            except (StrategyDied, StrategyFailed) as error:
                self._process.kill()
                if deaths == MOST_DEATHS or isinstance(error, StrategyFailed):
                    raise NotScored(
                        f"strategy {self.section.file.label}: it cannot be loaded: {error}"
                    ) from error
        raise AssertionError("it was loaded, or died")
