"""One cycle of the trader: from the close of a 5m candle to orders.

Reads `ta:latest:*` if signals are used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from actors.trader.account_set_up import AccountSetUp
from actors.trader.candles import CycleCandles, Gathered
from actors.trader.continuity import Continuity
from actors.trader.evidence_gate import EvidenceGate
from actors.trader.execution import AccountSnapshot, Execution
from actors.trader.gates import Gates
from actors.trader.journal_thread import JournalThread
from actors.trader.pnl import Pnl
from actors.trader.reconciler import EXPECTED_ERRORS
from shared import schema
from shared.bus import Bus
from shared.clock import Clock, ClockJump, ClockJumps, utc_text
from shared.config.sections import TraderSection
from shared.errors import (
    BusUnavailable,
    VenueDenied,
    VenueRefused,
)
from shared.exchanges.liveness import frozen
from shared.exchanges.ports import Venue
from shared.journal.journal import Journal
from shared.market import Timeframe
from shared.messages.candles import Source
from shared.messages.signals import TaSignal
from shared.messages.trading import TradeEvent, trade_event
from shared.strategy.scorer import Scorer
from shared.trading.coin_state import CoinAtClose, asked_at_close, coins_at_close
from shared.trading.entries import Rules, candidates
from shared.trading.plan import Candidate, Refusal
from shared.trading.sizing import plan_entry

SIGNALS_S, SIGNALS_POLL_S = 5.0, 0.5
"""How long to wait for signals of the deciding candle, after its candles."""

ORDERS_S = 30.0
"""Of the time until the next close, kept for signals and orders after the scores."""

MIN_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """The result of a cycle; `skipped`: by coin, why it was not entered."""

    cycle_ms: int
    candles_from: Literal["redis", "binance", "none"] = "none"
    trouble: str = ""
    skipped: dict[str, str] = field(default_factory=dict)


class Cycle:
    """Decides on each close, and has it executed.

    Args:
        history: Closed candles that count for a score.
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        execution: Execution,
        *,
        candles: CycleCandles,
        gates: Gates,
        continuity: Continuity,
        set_up: AccountSetUp,
        evidence: EvidenceGate,
        pnl: Pnl,
        bus: Bus,
        settings: TraderSection,
        source: Source,
        history: int,
        scorer: Scorer,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._execution = execution
        self._candles = candles
        self._gates = gates
        self._continuity = continuity
        self._set_up = set_up
        self._evidence = evidence
        self._pnl = pnl
        self._bus = bus
        self._settings = settings
        self._source = source
        self._history = history
        self._scorer = scorer
        self._clock = clock
        self._log = log
        self._signals: Mapping[str, TaSignal] = {}
        self._jumps = ClockJumps(clock)

    async def run(self, cycle_ms: int) -> CycleReport:
        """Read the account, protect what is open, and enter by the scores of the close.

        Failures are in the report; protection is retried anyway.
        """
        report = CycleReport(cycle_ms=cycle_ms)
        self._jumps = ClockJumps(self._clock)
        try:
            await self._venue.server_time()
            await self._continuity.compare(await self._execution.protect())
            await self._set_up.look()
            await self._evidence.look()
            await self._pnl.observe(await self._execution.account(), cycle_ms)
            objection = self._gates.objection()
            if objection:
                self._signals = {}
                self._scorer.trouble = ""  # it is not asked
                return report
            report = await self._enter(report)
            await self._pnl.observe(await self._execution.account(), cycle_ms)
        except EXPECTED_ERRORS as error:
            self._log.warning("cycle: %s", error)
            report = replace(report, trouble=str(error))
        return report

    async def _enter(self, report: CycleReport) -> CycleReport:
        until_ms = report.cycle_ms + round(1000 * (self._settings.delay_s + self._settings.wait_s))
        self._candles.timeframes = self._scorer.timeframes
        gathered = await self._candles.at_close(report.cycle_ms, until_ms)
        asked = asked_at_close(gathered.coins, report.cycle_ms)
        left_s = (report.cycle_ms + Timeframe.M5.ms - self._venue.now_ms()) / 1000 - ORDERS_S
        scores = await self._scorer.score(asked, self._history, left_s)
        coins = coins_at_close(gathered.coins, self._history, report.cycle_ms, scores)
        before, self._signals = self._signals, await self._read_signals(gathered, report.cycle_ms)
        account = await self._execution.account()
        rules = Rules(
            settings=self._settings,
            cycle_ms=report.cycle_ms,
            now_ms=self._venue.now_ms(),
            source=self._source,
        )
        found, refused = candidates(
            coins,
            self._signals,
            rules,
            signals_before=before,
            occupied=_occupied(account),
            last_losses=await self._last_losses(),
        )
        skipped = dict(gathered.missing) | _in_words(refused)
        report = replace(report, candles_from=gathered.came_from, skipped=skipped)
        if found:
            await self._execution.protection.read_rules([each.symbol for each in found])
        jump: ClockJump | None = None
        for candidate in found:
            jump = jump or self._jumps.look()
            if jump is not None:
                why = f"the clock jumped by {jump.by_ms / 1000:+.0f} s after its candles were read"
            else:
                why = await self._try_entry(candidate, report.cycle_ms)
            if why:
                skipped[candidate.symbol] = f"{candidate.side}: {why}"
                await self._journal.do(Journal.add_events, self._refusal(candidate, why))
        return report

    async def _try_entry(self, candidate: Candidate, cycle_ms: int) -> str:
        """Enter one candidate, by the current account; return why it was not entered, or ""."""
        objection = self._gates.objection() or self._overtaken(cycle_ms)
        if objection:
            return objection
        symbol = candidate.symbol
        priced_ms = self._venue.now_ms()
        try:
            rule = await self._execution.protection.rule(symbol)
            book = await self._venue.book(symbol)
            tickers = await self._venue.tickers([symbol])
            funding = await self._venue.funding(symbol)
        except VenueDenied:
            raise
        except VenueRefused as error:  # by this market only
            return str(error)
        down = frozen(rule, book, tickers.get(symbol), self._venue.now_ms())
        if down:
            return f"the venue counts as down: {down}"
        account = await self._execution.account()
        await self._pnl.observe(account)
        plan = plan_entry(
            candidate,
            rule=rule,
            book=book,
            ticker=tickers[symbol],
            funding=funding,
            account=account.exposure,
            settings=self._settings,
            now_ms=self._venue.now_ms(),
        )
        if isinstance(plan, Refusal):
            return plan.why
        objection = self._gates.objection() or self._overtaken(cycle_ms)
        return objection or await self._execution.enter(plan, cycle_ms, priced_ms)

    def _overtaken(self, cycle_ms: int) -> str:
        """Return that a newer candle has closed than the one decided on, or ""."""
        if self._venue.now_ms() < cycle_ms + Timeframe.M5.ms:
            return ""
        return f"the candle after the one that closed at {utc_text(cycle_ms)} has closed, too"

    async def _read_signals(self, gathered: Gathered, cycle_ms: int) -> dict[str, TaSignal]:
        """Return the signals of the deciding candle, waiting a little; none while Redis is down."""
        if not self._settings.use_ta_signals or gathered.came_from != "redis":
            return {}
        symbols = [coin.symbol for coin in gathered.coins]
        until_s = self._clock.monotonic() + SIGNALS_S
        while True:
            try:
                found = await self._bus.get_many(
                    schema.TA_LATEST, [{"symbol": symbol} for symbol in symbols]
                )
            except BusUnavailable:
                return {}
            signals = {
                symbol: signal
                for symbol, signal in zip(symbols, found, strict=True)
                if signal is not None
            }
            late = [s for s in signals.values() if s.closed_until_ms != cycle_ms]
            if not late or self._clock.monotonic() >= until_s:
                return signals
            await self._clock.sleep(SIGNALS_POLL_S)

    async def _last_losses(self) -> Mapping[tuple[str, Literal["long", "short"]], int]:
        since_ms = self._venue.now_ms() - round(self._settings.cooldown_min * MIN_MS)
        return await self._journal.do(Journal.last_losses, since_ms)

    def _refusal(self, candidate: Candidate, why: str) -> TradeEvent:
        symbol, side = candidate.symbol, candidate.side
        text = f"{symbol} {side} with {candidate.total} not entered: {why}"
        return trade_event(self._clock.now_ms(), "refused", text, symbol, side)

    async def coin(self, symbol: str) -> CoinAtClose:
        """Return a coin as of its newest close, scored by the built-in strategy."""
        newest = await self._candles.newest(symbol)
        close_ms = Timeframe.M5.open_at(self._clock.now_ms())
        (coin,) = coins_at_close([newest], self._history, close_ms)
        return coin


def _occupied(account: AccountSnapshot) -> set[str]:
    reconciled = account.reconciled
    return (
        {position.symbol for position in reconciled.positions}
        | {own.symbol for own in reconciled.ending}
        | set(account.unknown)
    )


def _in_words(refused: Sequence[Refusal]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in refused:
        text = each.why if each.side is None else f"{each.side}: {each.why}"
        found[each.symbol] = f"{found[each.symbol]}; {text}" if each.symbol in found else text
    return found
