"""Keeps the trader busy: positions appear at the venue, are adopted, and closed on request.

Each close is an order of the trader's own, journalled before it is sent, whatever breaks meanwhile.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus

from tests.chaos.storm.background import Background
from tests.chaos.storm.site import ANSWER_S, TROUBLES, Site

PAUSE_S, CALM_PAUSE_S = (2.0, 6.0), (20.0, 60.0)
FIRST_PAUSE_S = 0.3
MOST_HELD = 4
SIZE = 5
"""In smallest amounts of the market."""


class Hands:
    """Opens, adopts and closes in random order, in a thread of its own.

    Args:
        pause_s: Least and most between two acts. A venue forgets after 2000 orders.

    Attributes:
        said: What the trader's API answered, by command and status.
    """

    def __init__(
        self,
        site: Site,
        rng: random.Random,
        log: Callable[[str], None],
        pause_s: tuple[float, float] = PAUSE_S,
    ) -> None:
        self._site = site
        self._rng = rng
        self._pause_s = pause_s
        self._log = log
        self._background = Background("hands", self._run)
        self._least: dict[str, Decimal] = {}
        self._stray: set[str] = set()
        self.said: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._background.start()

    def stop(self) -> None:
        """End after the command under way."""
        self._background.stop(3 * ANSWER_S)

    @property
    def is_busy(self) -> bool:
        """Tell whether a first order has come through."""
        return self.said[f"close {HTTPStatus.OK.value}"] > 0

    def _run(self, over: threading.Event) -> None:
        while not over.wait(self._rng.uniform(*self._pause_s) if self.is_busy else FIRST_PAUSE_S):
            try:
                self._act()
            except (*TROUBLES, KeyError) as why:
                self.said[f"no answer ({type(why).__name__})"] += 1

    def _act(self) -> None:
        if not self._least:
            markets = self._site.simulator("/v2/futures/market")["data"]
            self._least = {row["market"]: Decimal(row["min_amount"]) for row in markets}
        held = [row["market"] for row in self._site.simulator("/sim/venue?last=0")["positions"]]
        for coin in list(self._stray):  # a foreign position has no stop, and /health says so
            if coin in held:
                self._site.simulator("/sim/venue/close", {"market": coin}, "POST")
            self._stray.discard(coin)
        opens = self._rng.random() < 0.5 if self.is_busy else not held
        if opens and len(held) < MOST_HELD:
            coin = self._rng.choice(sorted(set(self._least) - set(held)))
            order = {
                "market": coin,
                "side": self._rng.choice(["long", "short"]),
                "amount": str(SIZE * self._least[coin]),
            }
            self._stray.add(coin)
            self._site.simulator("/sim/venue/position", order, "POST")
            if self._ask("adopt", coin) == HTTPStatus.OK:
                self._stray.discard(coin)
        elif held:
            self._ask("close", self._rng.choice(sorted(held)))

    def _ask(self, verb: str, coin: str) -> int:
        status, body = self._site.ask_trader(f"/{verb}/{coin}")
        self.said[f"{verb} {status}"] += 1
        if status >= 500:
            self._log(f"{verb} {coin}: {status} {str(body)[:200]}")
        return status
