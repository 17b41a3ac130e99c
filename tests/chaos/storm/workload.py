"""Keeps the trader busy: opens positions at the venue, has them adopted, and closed.

Each close is an order of the trader, journalled before it is sent.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus

from tests.chaos.storm.background import Background
from tests.chaos.storm.testbed import ANSWER_S, CALL_ERRORS, Testbed

PAUSE_S, CALM_PAUSE_S = (2.0, 6.0), (20.0, 60.0)
FIRST_PAUSE_S = 0.3
MAX_POSITIONS = 4
SIZE = 5
"""In multiples of the market's minimum amount."""


class Workload:
    """Opens, adopts and closes in random order, in a thread of its own.

    Args:
        pause_s: Range of the pause between two actions. A venue lists the last 2000 orders.

    Attributes:
        answers: Answers of the trader's API, counted by command and status.
    """

    def __init__(
        self,
        testbed: Testbed,
        rng: random.Random,
        log: Callable[[str], None],
        pause_s: tuple[float, float] = PAUSE_S,
    ) -> None:
        self._testbed = testbed
        self._rng = rng
        self._pause_s = pause_s
        self._log = log
        self._background = Background("workload", self._run)
        self._min_amounts: dict[str, Decimal] = {}
        self._foreign: set[str] = set()
        self.answers: Counter[str] = Counter()

    def start(self) -> None:
        self._background.start()

    def stop(self) -> None:
        """Stop after the current command."""
        self._background.stop(3 * ANSWER_S)

    @property
    def is_busy(self) -> bool:
        """Whether a first order has succeeded."""
        return self.answers[f"close {HTTPStatus.OK.value}"] > 0

    def _run(self, over: threading.Event) -> None:
        while not over.wait(self._rng.uniform(*self._pause_s) if self.is_busy else FIRST_PAUSE_S):
            try:
                self._trade()
            except (*CALL_ERRORS, KeyError) as why:
                self.answers[f"no answer ({type(why).__name__})"] += 1

    def _trade(self) -> None:
        if not self._min_amounts:
            markets = self._testbed.simulator("/v2/futures/market")["data"]
            self._min_amounts = {row["market"]: Decimal(row["min_amount"]) for row in markets}
        open_markets = [
            row["market"] for row in self._testbed.simulator("/sim/venue?last=0")["positions"]
        ]
        for coin in list(self._foreign):  # a foreign position has no stop, and /health says so
            if coin in open_markets:
                self._testbed.simulator("/sim/venue/close", {"market": coin}, "POST")
            self._foreign.discard(coin)
        opens = self._rng.random() < 0.5 if self.is_busy else not open_markets
        if opens and len(open_markets) < MAX_POSITIONS:
            coin = self._rng.choice(sorted(set(self._min_amounts) - set(open_markets)))
            order = {
                "market": coin,
                "side": self._rng.choice(["long", "short"]),
                "amount": str(SIZE * self._min_amounts[coin]),
            }
            self._foreign.add(coin)
            self._testbed.simulator("/sim/venue/position", order, "POST")
            if self._ask("adopt", coin) == HTTPStatus.OK:
                self._foreign.discard(coin)
        elif open_markets:
            self._ask("close", self._rng.choice(sorted(open_markets)))

    def _ask(self, verb: str, coin: str) -> int:
        status, body = self._testbed.ask_trader(f"/{verb}/{coin}")
        self.answers[f"{verb} {status}"] += 1
        if status >= 500:
            self._log(f"{verb} {coin}: {status} {str(body)[:200]}")
        return status
