"""One platform as seen from outside: what it publishes, what it says, what it asks for."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis

from shared import schema
from shared.market import COLUMNS, Timeframe
from tests.chaos.storm.background import Background
from tests.chaos.storm.monitor import Published
from tests.support.platform_run import Platform

_AGE = re.compile(r"\b\d[\d.,]* s\b")
EVERY_S, WORDS_EVERY_S = 0.5, 3.0

Windows = dict[tuple[str, Timeframe], dict[int, tuple[float, ...]]]
"""Closed candles by coin, timeframe and open time."""


@dataclass(slots=True)
class Words:
    """What a user reads, each text with the number of times it was seen.

    Attributes:
        twice: A problem and other entries seen at one time that name the same coin.
    """

    problems: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    cards: dict[str, Counter[str]] = field(default_factory=dict)
    twice: dict[str, tuple[str, ...]] = field(default_factory=dict)
    looks: int = 0

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        plain = {name: getattr(self, name) for name in ("looks", "problems", "notes", "twice")}
        return plain | {"cards": dict(sorted(self.cards.items()))}

    def take(self, health: dict[str, Any], cards: Sequence[dict[str, Any]]) -> None:
        """Add one look at `/health` and at the cards of the page."""
        self.looks += 1
        problems = [without_ages(text) for text in health["problems"]]
        self.problems.update(problems)
        notes = [without_ages(text) for text in health["notes"]]
        self.notes.update(notes)
        for card in cards:
            coin, text = card["symbol"], f"{card['state']}: {without_ages(card['stateReason'])}"
            self.cards.setdefault(coin, Counter())[text] += 1
            grave = tuple(text for text in problems if names(text, coin))
            about = (*grave, *(text for text in notes if names(text, coin)))
            if grave and len(about) > 1:  # notes alone may be of several timeframes
                self.twice[coin] = about


def without_ages(text: str) -> str:
    """Return a text without what changes from second to second."""
    return _AGE.sub("N s", text)


def names(text: str, coin: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(coin)}(?!\w)", text) is not None


class Watch:
    """Observes a platform in a thread of its own.

    Args:
        clean: The coins whose signals and candles are kept.

    Attributes:
        deaths, windows: Of actors, in words; the closed candles on the bus; both at the end.
        first_seen: Seconds from a close to the first complete signal of it, by coin and close.
        used_weight: The most weight asked for in one clock minute.
    """

    def __init__(self, platform: Platform, clean: Sequence[str]) -> None:
        self._platform = platform
        self._clean = clean
        self._background = Background("watch", self._run)
        self.published = Published()
        self.first_seen: dict[tuple[str, int], float] = {}
        self.words = Words()
        self.deaths: list[str] = []
        self.windows: Windows = {}
        self.seen_at_ms = 0
        self.used_weight = 0
        self.refused: dict[str, int] = {}

    def start(self) -> None:
        self._background.start()

    def stop(self) -> None:
        self._background.stop()

    def has_all_signals(self) -> bool:
        """Return whether the signal of each clean coin was seen."""
        return {coin for coin, _ in self.published.seen} == set(self._clean)

    def summary(self) -> str:
        """Return numbers for the report."""
        closes = sorted({close_ms for _, close_ms in self.published.seen})
        delays = sorted(s for (_, close_ms), s in self.first_seen.items() if close_ms > closes[0])
        seen = f"{len(self.published.seen)} signals of {len(closes)} closes"
        if delays:
            seen += f", {delays[len(delays) // 2]:.1f} s after them, at most {delays[-1]:.1f} s"
        return f"{seen}; most weight in a minute {self.used_weight}"

    def _read_deaths(self) -> list[str]:
        return [
            f"{row['name']}: {death['cause']} ({death['doing']}) {death['last_words'][-200:]}"
            for row in self._platform.actors()
            for death in row["deaths"]
        ]

    def _read_windows(self, client: redis.Redis) -> Windows:
        found: Windows = {}
        for timeframe in Timeframe:
            keys = [schema.CANDLES[timeframe].name(symbol=coin) for coin in self._clean]
            for coin, raw in zip(self._clean, client.mget(keys), strict=True):
                found[coin, timeframe] = {} if raw is None else _closed(raw, timeframe)
        return found

    def _run(self, over: threading.Event) -> None:
        spoken_at = 0.0
        with self._platform.redis() as client:
            while not over.wait(EVERY_S):
                self._take_signals(client)
                if time.monotonic() - spoken_at >= WORDS_EVERY_S:
                    spoken_at = time.monotonic()
                    self._take_words()
                    self._take_requests()
            self.deaths = self._read_deaths()
            self.windows = self._read_windows(client)

    def _take_signals(self, client: redis.Redis) -> None:
        keys = [schema.TA_LATEST.name(symbol=coin) for coin in self._clean]
        self.seen_at_ms = now_ms = round(time.time() * 1000)
        for raw in client.mget(keys):
            if raw is not None:
                self.published.take(raw)
        for coin, close_ms in self.published.seen.keys() - self.first_seen.keys():
            self.first_seen[coin, close_ms] = (now_ms - close_ms) / 1000

    def _take_words(self) -> None:
        _, health = self._platform.health()
        _, page = self._platform.dashboard()
        self.words.take(health, page["coinData"])

    def _take_requests(self) -> None:
        _, requests = self._platform.simulator("/sim/requests?last=0")
        self.used_weight = max(self.used_weight, requests["used_weight"])
        self.refused = {s: n for s, n in requests["statuses"].items() if s in ("418", "429")}


def _closed(raw: bytes | str, timeframe: Timeframe) -> dict[int, tuple[float, ...]]:
    window = orjson.loads(raw)
    rows = zip(*(window[name] for name in COLUMNS), strict=True)
    return {row[0]: row[1:] for row in rows if row[0] + timeframe.ms <= window["closed_until_ms"]}
