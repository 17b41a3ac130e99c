"""Runs the trader's rule over an account: exact at events, leaping over what lies between them.

An event is a close at which a coin may be entered (none while all places are taken), a candle that
may reach a stop, a target or a liquidation, a time stop, a funding, a UTC day's first close, or a
close at which a breaker may trip. There, the trader's own functions decide and the simulated venue
executes, in decimals.
Between them nothing can happen but that equity moves with the marks: NumPy computes that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from shared.backtest.outcomes import Flags
from shared.backtest.simulation.bar_prices import BAR_MS, THIRD_MS
from shared.backtest.simulation.coin_scores import CoinScores, Crossings
from shared.backtest.simulation.execution import Execution, OpenTrade
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.outlook import NEAR, Outlook
from shared.backtest.simulation.trades import AccountHistory, Locked
from shared.config.sections import TraderSection
from shared.market import Floats
from shared.messages.trading import TradeSide
from shared.trading.breakers import (
    DAY_MS,
    HOUR_MS,
    Latch,
    Ledger,
    closed,
    objections,
    observed,
    released,
)
from shared.trading.entries import SIDES, Rules, candidates
from shared.trading.plan import Candidate, Refusal
from shared.trading.sizing import no_place

_NUMBERS = re.compile(r"[-+]?\d[\d.:TZ-]*")
RESCALED = "the price scale breaks with the next candle"
AHEAD = 128
"""Closes that are looked ahead at least, once for each position."""


def run_account(
    coins: Sequence[CoinScores],
    settings: TraderSection,
    model: FillModel,
    from_ms: int,
    to_ms: int,
) -> AccountHistory:
    """Return what the trader's account would have done with the closes in `[from_ms, to_ms)`.

    What is open at `to_ms` is closed then, at the market.

    Raises:
        ValueError: There is no close in that time, or a delay that a candle's first third does
            not hold.
    """
    return AccountRun(coins, settings, model, from_ms, to_ms).run()


class AccountRun:
    """One run of an account; see `run_account`."""

    def __init__(
        self,
        coins: Sequence[CoinScores],
        settings: TraderSection,
        model: FillModel,
        from_ms: int,
        to_ms: int,
    ) -> None:
        self._first_ms = -(-from_ms // BAR_MS) * BAR_MS
        self._end_ms = to_ms - to_ms % BAR_MS
        self._delay_ms = round(1000 * settings.delay_s)
        if self._first_ms >= self._end_ms:
            raise ValueError("no close of 5m candles lies in the time asked for")
        if fault := delays_fault(settings, model):
            raise ValueError(fault)
        self._settings = settings
        self._model = model
        self._protect_ms = round(1000 * settings.protect_s)
        self._crossings = Crossings(coins, settings, self._first_ms, self._end_ms)
        bars = {coin.symbol: coin.bars for coin in coins}
        self._execution = Execution(bars, settings, model, self._first_ms)
        self._ledger: Ledger | None = None
        self._judged = 0
        self._observed = (-1, 0, 0)
        self._last_losses: dict[tuple[str, TradeSide], int] = {}
        self._refusals: Counter[str] = Counter()
        self._locked: list[Locked] = []
        self._released_ms = self._locked_ms = -1
        self._at_ms = np.arange(self._first_ms, self._end_ms, BAR_MS, dtype=np.int64)
        self._equity: Floats = np.empty(len(self._at_ms))

    def run(self) -> AccountHistory:
        """Decide at each event from first to last; to be called once."""
        close_ms = self._first_ms
        while close_ms < self._end_ms:
            self._decide(close_ms)
            next_ms = self._leap(close_ms, self.next_event(close_ms))
            self._refuse_without_place(close_ms + BAR_MS, next_ms)
            close_ms = next_ms
        self._pass_until(self._end_ms)
        self._execution.close_all("end")
        self._note_locks(self._latches, self._end_ms)
        return AccountHistory(
            start=float(self._model.start_quote),
            trades=self._execution.trades,
            at_ms=self._at_ms,
            equity=self._equity,
            locked=self._locked,
            refusals=dict(self._refusals.most_common()),
        )

    # One close

    def _decide(self, close_ms: int) -> None:
        """Do what the trader does in the cycle of a close."""
        now_ms = close_ms + self._delay_ms
        self._pass_until(now_ms)
        self._execution.close_due()
        if self._model.release == "daily" and close_ms % DAY_MS == 0:
            self._release(close_ms)
        self._end_pause(close_ms)
        self._observe()
        self._refuse_without_place(close_ms, close_ms + BAR_MS)
        if not self._objection():
            self._enter(close_ms)
            self._observe()
        self._equity[(close_ms - self._first_ms) // BAR_MS] = float(self._execution.equity)

    def _enter(self, close_ms: int) -> None:
        free = self._free_sides()
        crossing = list(self._crossings.at(close_ms, free))
        chosen = [each for each in crossing if each[0].bars.next_break_ms(close_ms) != close_ms]
        for _ in crossing[len(chosen) :]:
            self._refuse(RESCALED)
        if not chosen:
            return
        uses_signals = self._settings.use_ta_signals
        before = uses_signals and self._decided_before(close_ms)
        found, refused = candidates(
            [coin.at(index) for coin, index in chosen],
            {c.symbol: c.signal(i) for c, i in chosen} if uses_signals else {},
            Rules(self._settings, close_ms, self._execution.now_ms, "sim"),
            signals_before={c.symbol: c.signal(i - 1) for c, i in chosen} if before else {},
            occupied=self._execution.open.keys(),
            last_losses=self._last_losses,
        )
        for refusal in refused:
            if refusal.side is None or refusal.side in free:
                self._refuse(refusal.why)
        for candidate in found:
            if candidate.side in free and (why := self._try_entry(candidate)):
                self._refuse(why)

    def _try_entry(self, candidate: Candidate) -> str:
        """Enter a candidate; return why it was not entered, or ""."""
        if objection := self._objection():
            return objection
        self._observe()
        plan = self._execution.plan(candidate)
        if isinstance(plan, Refusal):
            return plan.why
        return self._objection() or self._execution.enter(plan)

    def _decided_before(self, close_ms: int) -> bool:
        """Return whether the trader read the signals of the close before."""
        before_ms = close_ms - BAR_MS
        now_ms = before_ms + self._delay_ms
        was_free = before_ms >= self._first_ms and self._released_ms != close_ms
        sent = len(self._sent_within_an_hour(now_ms))
        return was_free and sent < self._settings.max_orders_per_hour

    def _sent_within_an_hour(self, now_ms: int) -> tuple[int, ...]:
        sent_ms = self._execution.sent_ms
        first, end = bisect_right(sent_ms, now_ms - HOUR_MS), bisect_right(sent_ms, now_ms)
        return tuple(sent_ms[first:end])

    def _refuse(self, why: str) -> None:
        self._refusals.update(without_numbers(reason) for reason in why.split("; "))

    def _no_place(self, side: TradeSide) -> list[str]:
        """Return why no coin can be entered on a side until a position ends."""
        if not self._execution.open:
            return []
        return list(no_place(side, self._execution.exposure(), self._settings))

    def _free_sides(self) -> list[TradeSide]:
        return [side for side in SIDES if not self._no_place(side)]

    def _refuse_without_place(self, from_ms: int, to_ms: int) -> None:
        """Count the crossings in `[from_ms, to_ms)` for which no place is free now."""
        if self._latches:
            return  # they are counted when the lock ends
        for side in SIDES:
            missed = self._crossings.between(from_ms, to_ms, side)
            if missed:
                for why in self._no_place(side):
                    self._refusals[without_numbers(why)] += missed

    # Breakers

    def _observe(self) -> None:
        """Update the breakers' ledger by the account and the trades that ended."""
        now_ms, execution = self._execution.now_ms, self._execution
        if execution.state == self._observed:
            return  # nothing has happened since
        self._observed = execution.state
        ledger = observed(self._ledger, execution.equity, Decimal(0), self._settings, now_ms)
        for trade in execution.trades[self._judged :]:
            ledger = closed(ledger, trade.pnl, self._settings, now_ms)
            if trade.pnl < 0:
                self._last_losses[trade.symbol, trade.side] = trade.left_ms
        self._judged = len(execution.trades)
        sent_ms = self._sent_within_an_hour(now_ms)
        self._ledger = ledger if sent_ms == ledger.orders_ms else replace(ledger, orders_ms=sent_ms)

    def _objection(self) -> str:
        assert self._ledger is not None, "it was observed"
        found = objections(self._ledger, self._settings, self._execution.now_ms)
        return "; ".join(found)

    @property
    def _latches(self) -> tuple[Latch, ...]:
        return () if self._ledger is None else self._ledger.latches

    def _release(self, close_ms: int) -> None:
        if self._ledger is not None and self._latches:
            self._note_locks(self._latches, close_ms)
            self._ledger = released(self._ledger)
            self._released_ms = close_ms

    def _end_pause(self, close_ms: int) -> None:
        """Have a pause that is over seen by the ledger, though nothing else has happened."""
        over = [each for each in self._latches if each.is_over(self._execution.now_ms)]
        if over:
            self._note_locks(over, close_ms)
            self._observed = (-1, 0, 0)
            self._released_ms = close_ms

    def _note_locks(self, ended: Sequence[Latch], to_ms: int) -> None:
        if not ended:
            return
        first = min(latch.at_ms for latch in ended)
        why = "; ".join(latch.why for latch in ended)
        self._locked.append(Locked(from_ms=first, to_ms=to_ms, why=why))
        since_ms = max(self._locked_ms, min(latch.at_ms for latch in self._latches))
        self._locked_ms = to_ms
        missed = sum(self._crossings.between(since_ms, to_ms, side) for side in SIDES)
        if missed:
            self._refusals["locked by a breaker"] += missed

    # Time

    def next_event(self, close_ms: int) -> int:
        """Return the next close at which something may happen, at most the end."""
        assert self._ledger is not None, "it was observed"
        nearest = [self._end_ms, close_ms - close_ms % DAY_MS + DAY_MS]
        if not self._ledger.latches:
            crossing = (self._crossings.next_ms(close_ms, side) for side in self._free_sides())
            nearest += [at_ms for at_ms in crossing if at_ms is not None]
        ends = [latch.until_ms for latch in self._latches if latch.until_ms is not None]
        nearest += map(self._close_of, ends)
        execution = self._execution
        if execution.open:
            nearest.append(self._close_of(execution.next_funding_ms()))
            nearest += [self._look_ms(trade) for trade in execution.open.values()]
            nearest += [execution.last_ms(trade) + 1 for trade in execution.open.values()]
        until_ms = max(min(nearest), close_ms + BAR_MS)
        if until_ms > close_ms + BAR_MS:
            for symbol, trade in execution.open.items():
                calm_ms = close_ms
                if trade.closing is None:
                    calm_ms = self._outlook(trade, close_ms, until_ms).calm_until(close_ms)
                execution.prices.calm_until_ms[symbol] = calm_ms
                until_ms = min(until_ms, max(calm_ms, close_ms + BAR_MS))
        else:
            execution.prices.calm_until_ms.clear()
        return until_ms

    def _look_ms(self, trade: OpenTrade) -> int:
        """Return the close at or before which a position's time stop works."""
        return self._close_of(self._execution.due_ms(trade))

    def _close_of(self, at_ms: int) -> int:
        """Return the first close that is decided on at a time or after it."""
        return -(-(at_ms - self._delay_ms) // BAR_MS) * BAR_MS

    def _outlook(self, trade: OpenTrade, close_ms: int, until_ms: int) -> Outlook:
        known = trade.outlook
        if known is None or known.end_ms <= until_ms:
            known = trade.outlook = Outlook.of(
                trade.position,
                (trade.stop, trade.target),
                self._execution.prices,
                first_ms=close_ms,
                count=max(AHEAD, (until_ms - close_ms) // BAR_MS + 1),
                after_ms=self._delay_ms,
            )
        return known

    def _pass_until(self, now_ms: int) -> None:
        """Let time pass; the trader looks for time stops every `protect_s`.

        What is open when a price scale breaks is closed just before.
        """
        execution = self._execution
        while execution.open:
            guarded = [trade for trade in execution.open.values() if trade.closing is None]
            looks = [self._next_look(execution.due_ms(trade)) for trade in guarded]
            looks += [execution.last_ms(trade) for trade in guarded]
            look_ms = min(looks, default=now_ms)
            if look_ms >= now_ms:
                break
            execution.advance(look_ms)
            execution.close_due()
        execution.advance(now_ms)

    def _next_look(self, due_ms: int) -> int:
        """Return when the trader first looks for a time stop at or after a time.

        It does within a cycle, and every `protect_s` from then on.
        """
        passed_ms = (due_ms - self._delay_ms) % BAR_MS
        look_ms = -(-passed_ms // self._protect_ms) * self._protect_ms
        return due_ms - passed_ms + min(look_ms, BAR_MS)

    def _leap(self, close_ms: int, until_ms: int) -> int:
        """Compute equity at the closes in between; return the close at which to decide next.

        That is `until_ms`, or an earlier one at which a breaker may trip.
        """
        assert self._ledger is not None, "it was observed"
        first_ms = close_ms + BAR_MS
        count = (until_ms - first_ms) // BAR_MS
        if not count:
            return until_ms
        execution = self._execution
        equity: Floats = np.full(count, float(execution.wallet))
        for trade in execution.open.values():
            equity += self._outlook(trade, close_ms, until_ms).at(first_ms, count)
        if execution.open:
            near = self._near_a_limit(equity, self._ledger)
            if near.any():
                count = int(near.argmax())
                until_ms = first_ms + count * BAR_MS
                equity = equity[:count]
            if count:
                self._raise_peak(equity, first_ms)
        place = (first_ms - self._first_ms) // BAR_MS
        self._equity[place : place + count] = equity
        return until_ms

    def _near_a_limit(self, equity: Floats, ledger: Ledger) -> Flags:
        """Return where a breaker may trip that has not."""
        near = np.zeros(len(equity), dtype=np.bool_)
        settings = self._settings
        if not ledger.is_latched("daily loss"):
            floor = float(ledger.day_equity) * (1 - settings.daily_loss_pct / 100)
            near |= equity <= floor * (1 + NEAR)
        if not ledger.is_latched("drawdown"):
            highest: Floats = np.maximum.accumulate(equity).clip(min=float(ledger.peak))
            near |= equity <= highest * (1 - settings.drawdown_pct / 100) * (1 + NEAR)
        return near

    def _raise_peak(self, equity: Floats, first_ms: int) -> None:
        ledger, highest = self._ledger, int(equity.argmax())
        assert ledger is not None, "it was observed"
        if equity[highest] < float(ledger.peak) * (1 - NEAR):
            return
        at_ms = first_ms + highest * BAR_MS + self._delay_ms
        exactly = self._execution.equity_at(at_ms)
        self._ledger = replace(ledger, peak=max(ledger.peak, exactly))


def delays_fault(settings: TraderSection, model: FillModel) -> str:
    """Return why the trader would act too late for a candle's first third, or ""."""
    if round(1000 * settings.delay_s) + model.latency_ms < THIRD_MS:
        return ""
    return (
        f"a delay of {settings.delay_s:g} s and a latency of {model.latency_ms} ms: "
        f"expected less than {THIRD_MS // 1000} s together"
    )


def without_numbers(why: str) -> str:
    """Return a reason with "…" for every number and time in it."""
    return _NUMBERS.sub("…", why)
