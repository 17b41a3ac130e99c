"""Scores of all coins by the configured strategy, for people: nothing trades on them.

Reads `cache:candles:*` (5m and 1h, 4h if the strategy needs it), `ta:latest:*`, `market:listings`
and, after each start, `signals:history`;
listens to `market:candles:{symbol}` and `signals:ta:{symbol}`; writes `scan:latest`,
`signals:scan` and `signals:history`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from actors.base import AFTER_JUMP_S, Actor, Context
from shared import codec, schema
from shared.clock import ClockJump, utc_text
from shared.config.sections import ScannerSection
from shared.errors import BadMessage, BusUnavailable, NoCandles, PlatformError
from shared.indicators.scoring import label_after, label_event, next_label
from shared.indicators.signals import CoinWindows
from shared.messages.candles import CandleUpdate
from shared.messages.signals import CoinScore, Label, LabelChange, ScanResult, SideScore, TaSignal
from shared.messages.trading import TradeSide
from shared.strategy.live import CloseScore
from shared.strategy.scorer import BaseScorer, Scorer, scorer_of

RETRY_MISSING_S = 1.0
"""Pause before coins without candles are read again; their updates usually come sooner."""

GATHER_S = 0.2
"""Pause after the first close, so that the other coins' closes are scored with it."""

_NOTHING = SideScore(score=0, parts=[])


class Scanner(Actor):
    """Publish the scores of all coins, every scan and as soon as candles close.

    A coin that fails is published with its fault and does not affect the others. Only a complete
    score changes a label. Labels are stored in the history alone, which is read again after a
    start, a failed write, and a Redis outage.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(ScannerSection, section["scanner"], "config")
        self._history: int = section["history"]
        self._symbols: list[str] = list(section["symbols"])
        self._quarantined = {
            s: t for s, t in context.quarantined_coins.items() if s in self._symbols
        }
        self._suspects = set(self._symbols) if context.probation else set(self._quarantined)

        self._scorer: Scorer = BaseScorer()
        self._labels: dict[tuple[str, TradeSide], Label] | None = None
        self._bad_history: set[str] = set()
        self._scores: dict[str, CoinScore] = {}
        self._missing: set[str] = set()
        self._failed: set[str] = set()
        self._closed: dict[tuple[str, str], int] = {}
        self._due: set[str] = set()
        self._all_due = True
        self._next_scan = self.clock.monotonic()
        self.detail |= {"coins": len(self._symbols), "last_scan_ms": None, "scan_ms": None}
        self._report()

    async def setup(self) -> None:
        """Subscribe to closed candles and new signals; prepare the strategy."""
        self._scorer = scorer_of(self.context, self.resources, self._symbols)
        self.background(self._scorer.warm(), "strategy")
        self.background(self._listen(), "candles and signals")

    async def step(self) -> float:
        """Score all coins when a scan is due, else those with new data."""
        started = self.clock.monotonic()
        whole = self._all_due or started >= self._next_scan
        if not whole and self._due:
            await self.clock.sleep(GATHER_S)
        is_one = self._scorer.cross_section and bool(self._due or self._missing)
        chosen = [
            s for s in self._symbols if whole or is_one or s in self._due or s in self._missing
        ]
        self._all_due = False
        self._due.clear()
        try:
            await self._scan(chosen, whole=whole)
        except BusUnavailable:
            self._all_due = True
            self._labels = None  # some events may have been written
            raise
        if whole:
            self._next_scan = started + self._settings.interval_s
            self.detail["scan_ms"] = round((self.clock.monotonic() - started) * 1000, 2)
            self.detail["last_scan_ms"] = self.clock.now_ms()
        self._report()
        self._report_readiness()
        pause = self._next_scan - self.clock.monotonic()
        return max(0.0, min(pause, RETRY_MISSING_S) if self._missing else pause)

    def clock_jumped(self, jump: ClockJump) -> None:
        """Scan soon, once the candles have been fetched anew."""
        self._next_scan = self.clock.monotonic() + AFTER_JUMP_S
        self.wake()

    async def _listen(self) -> None:
        entries = (schema.CANDLE_UPDATES, schema.TA_SIGNALS)
        names = [entry.name(symbol=symbol) for entry in entries for symbol in self._symbols]
        signals = {schema.TA_SIGNALS.name(symbol=symbol) for symbol in self._symbols}
        async with self.bus.subscribe(*names) as deliveries:
            async for delivery in deliveries:
                if not delivery.channel:
                    self._all_due = True
                    self._labels = None  # Redis may have come back with another history
                    self.wake()
                elif delivery.channel in signals:
                    signal = self.bus.decode(schema.TA_SIGNALS, delivery.raw, delivery.channel)
                    if signal is None or signal.symbol not in self._symbols:
                        continue
                    if self._changes_bonus(signal):
                        self._mark_due(signal.symbol)
                else:
                    update = self.bus.decode(schema.CANDLE_UPDATES, delivery.raw, delivery.channel)
                    if update is None or update.symbol not in self._symbols:
                        continue
                    if self._has_new_close(update):
                        self._mark_due(update.symbol)

    def _mark_due(self, symbol: str) -> None:
        self._due.add(symbol)
        self.wake()

    def _has_new_close(self, update: CandleUpdate) -> bool:
        """Return whether the update contains a closed candle newer than those seen so far."""
        newest = max((row.open_time_ms for row in update.candles if row.closed), default=-1)
        key = (update.symbol, update.timeframe)
        if update.timeframe not in self._scorer.timeframes or newest <= self._closed.get(key, -1):
            return False
        self._closed[key] = newest
        return True

    def _changes_bonus(self, signal: TaSignal) -> bool:
        """Return whether the signal changes the published bonus of the candle scored."""
        known = self._scores.get(signal.symbol)
        if known is None or known.closed_until_ms != signal.closed_until_ms:
            return False
        return (known.long_bonus, known.short_bonus) != _bonuses(signal)

    async def _scan(self, symbols: Sequence[str], *, whole: bool) -> None:
        self._end_quarantines()
        labels = self._labels
        if labels is None:
            labels = await self._read_history()
            self._labels = labels
        scores: dict[str, CoinScore] = {
            s: self._quarantined_score(s) for s in symbols if s in self._quarantined
        }
        present = [s for s in symbols if s not in self._quarantined]
        suspects = [s for s in present if s in self._suspects]
        try:
            for symbol in suspects:
                self.computing(symbol)
                scores |= await self._score([symbol], labels)
                if symbol not in self._missing:
                    self._suspects.discard(symbol)
        except BusUnavailable:
            self.computing("")  # no coin is to blame for Redis
            raise
        if suspects:
            self.computing("")
        scores |= await self._score([s for s in present if s not in suspects], labels)
        if whole or any(score != self._scores.get(s) for s, score in scores.items()):
            await self._publish(scores, labels)

    async def _read_history(self) -> dict[tuple[str, TradeSide], Label]:
        """Return the current label of each side."""
        limit = 2 * (schema.HISTORY.max_length or 0)  # Redis trims roughly
        labels: dict[tuple[str, TradeSide], Label] = {}
        for place, fields in await self.bus.entries(schema.HISTORY, limit):
            try:
                change = codec.from_plain(LabelChange, fields, f"{schema.HISTORY.name()} {place}")
            except BadMessage as error:
                if place not in self._bad_history:
                    self._bad_history.add(place)
                    self.log.warning("left out of the history: %s", error)
                continue
            labels[change.symbol, change.side] = label_after(change)
        return labels

    async def _score(
        self, symbols: Sequence[str], labels: Mapping[tuple[str, TradeSide], Label]
    ) -> dict[str, CoinScore]:
        parts = [{"symbol": symbol} for symbol in symbols]
        wanted = self._scorer.timeframes
        windows = {t: await self.bus.get_many(schema.CANDLES[t], parts) for t in wanted}
        signals = await self.bus.get_many(schema.TA_LATEST, parts)
        listings = await self.bus.get(schema.LISTINGS)
        coins = [
            CoinWindows(symbol, {timeframe: windows[timeframe][i] for timeframe in wanted})
            for i, symbol in enumerate(symbols)
        ]
        now_ms = self.clock.now_ms()
        found = await self._scorer.score([(coin, now_ms) for coin in coins], self._history)
        scores = {}
        for symbol, result, signal in zip(symbols, found, signals, strict=True):
            self._record(symbol, result)
            listing = listings.coins.get(symbol) if listings is not None else None
            if listing is not None and not listing.is_traded:
                scores[symbol] = _faulty(symbol, listing.text)
            elif isinstance(result, Exception):
                scores[symbol] = _faulty(symbol, f"{type(result).__name__}: {result}")
            else:
                scores[symbol] = _coin_score(result, signal, labels)
        return scores

    def _record(self, symbol: str, result: CloseScore | Exception) -> None:
        self._missing.discard(symbol)
        if isinstance(result, NoCandles):
            self._missing.add(symbol)
        elif isinstance(result, Exception):
            if symbol not in self._failed and not isinstance(result, PlatformError):
                self.log.error("%s: not scored", symbol, exc_info=result)
            self._failed.add(symbol)
        elif symbol in self._failed:
            self._failed.discard(symbol)
            self.log.info("%s: scored again", symbol)

    def _quarantined_score(self, symbol: str) -> CoinScore:
        until = utc_text(self._quarantined[symbol])
        return _faulty(symbol, f"left out until {until}: the process died while scoring it")

    def _end_quarantines(self) -> None:
        now_ms = self.clock.now_ms()
        for symbol in [s for s, until_ms in self._quarantined.items() if until_ms <= now_ms]:
            del self._quarantined[symbol]
            self.log.info("%s: quarantine over, tried again", symbol)

    async def _publish(
        self, scores: dict[str, CoinScore], labels: dict[tuple[str, TradeSide], Label]
    ) -> None:
        known = self._scores | scores
        result = ScanResult(
            at_ms=self.clock.now_ms(),
            closed_until_ms=max(
                (c.closed_until_ms for c in known.values() if c.closed_until_ms is not None),
                default=None,
            ),
            coins=[known[symbol] for symbol in self._symbols if symbol in known],
            source=self.context.source,
            strategy=self._scorer.identity,
        )
        # The history first: a reader of the scan then finds the labels' events there.
        batch = self.bus.batch()
        for coin in scores.values():
            for change in _changes(coin, labels):
                batch.append(schema.HISTORY, dataclasses.asdict(change))
        batch.put(schema.SCAN_LATEST, result)
        batch.publish(schema.SCAN, result)
        await batch.send()
        for coin in scores.values():
            labels |= _new_labels(coin)
        self._scores = known

    def _report_readiness(self) -> None:
        """Report ready unless every coin is still waiting for candles."""
        if len(self._missing) < len(self._symbols):
            self.ready()
        else:
            self.not_ready("waiting for candles")

    def _report(self) -> None:
        scores = self._scores.values()
        self.detail |= {
            "coins_complete": sum(score.fault == "" for score in scores),
            "faults": {score.symbol: score.fault for score in scores if score.fault},
            "candidates": _labelled(self._scores, "candidate"),
            "strategy_trouble": self._scorer.trouble,
            "strong": _labelled(self._scores, "strong"),
        }


def _coin_score(
    base: CloseScore, signal: TaSignal | None, labels: Mapping[tuple[str, TradeSide], Label]
) -> CoinScore:
    long, short = base.side("long"), base.side("short")
    same_candle = signal is not None and signal.closed_until_ms == base.closed_until_ms
    bonuses = _bonuses(signal) if signal is not None and same_candle else (None, None)
    complete = base.coverage == 1

    def label(side: TradeSide, score: SideScore) -> Label:
        before = labels.get((base.symbol, side), "none")
        return next_label(before, score.score) if complete else "none"

    return CoinScore(
        symbol=base.symbol,
        close=base.close,
        change_24h_pct=base.change_24h_pct,
        long=long,
        short=short,
        coverage=base.coverage,
        label_long=label("long", long),
        label_short=label("short", short),
        long_bonus=bonuses[0],
        short_bonus=bonuses[1],
        closed_until_ms=base.closed_until_ms,
        fault=base.fault,
    )


def _faulty(symbol: str, fault: str) -> CoinScore:
    return CoinScore(
        symbol=symbol,
        close=None,
        change_24h_pct=None,
        long=_NOTHING,
        short=_NOTHING,
        coverage=0.0,
        label_long="none",
        label_short="none",
        long_bonus=None,
        short_bonus=None,
        closed_until_ms=None,
        fault=fault,
    )


def _bonuses(signal: TaSignal) -> tuple[int, int]:
    given = signal.composite_score_adjustment
    return given.long_bonus, given.short_bonus


def _new_labels(coin: CoinScore) -> dict[tuple[str, TradeSide], Label]:
    """Return the labels of a complete score; an incomplete one changes none."""
    if coin.coverage < 1:
        return {}
    return {(coin.symbol, "long"): coin.label_long, (coin.symbol, "short"): coin.label_short}


def _changes(
    coin: CoinScore, labels: Mapping[tuple[str, TradeSide], Label]
) -> Iterator[LabelChange]:
    """Yield the label changes of a coin, stamped with the close that caused them."""
    for (symbol, side), after in _new_labels(coin).items():
        event = label_event(labels.get((symbol, side), "none"), after)
        if event is not None and coin.closed_until_ms is not None and coin.close is not None:
            yield LabelChange(
                at_ms=coin.closed_until_ms,
                symbol=symbol,
                side=side,
                event=event[0],
                label=event[1],
                base=coin.long.score if side == "long" else coin.short.score,
                bonus=coin.long_bonus if side == "long" else coin.short_bonus,
                close=coin.close,
            )


def _labelled(scores: Mapping[str, CoinScore], label: Literal["candidate", "strong"]) -> list[str]:
    return sorted(
        f"{symbol} {side}"
        for symbol, score in scores.items()
        for side, own in (("long", score.label_long), ("short", score.label_short))
        if own == label
    )
