"""What must have become of a trade, by its candles alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.journal.rows import OwnPosition
from shared.market import Candles, Timeframe

M5 = Timeframe.M5


def contradictions(trades: Sequence[OwnPosition], candles: dict[str, Candles]) -> list[str]:
    """Return where trades that ended at their stop or target contradict the candles.

    Within a bar the adverse extreme comes first. The bar of the entry is left out: a part of its
    path had passed.
    """
    return [text for trade in trades for text in _contradictions(trade, candles[trade.symbol])]


def _contradictions(trade: OwnPosition, candles: Candles) -> Iterator[str]:
    stop, target, left_ms = trade.stop, trade.target, trade.closed_ms
    if stop is None or target is None or left_ms is None:
        return
    for index in range(len(candles)):
        open_ms = int(candles.open_time_ms[index])
        if open_ms <= trade.opened_ms or open_ms > left_ms:
            continue
        if left_ms in (open_ms, open_ms + M5.ms):  # where two bars meet, it may be of either
            continue
        adverse, favourable = candles.low[index], candles.high[index]
        is_stopped, is_won = adverse <= float(stop), favourable >= float(target)
        if trade.side == "short":
            adverse, favourable = favourable, adverse
            is_stopped, is_won = adverse >= float(stop), favourable <= float(target)
        last = left_ms <= open_ms + M5.ms
        where = f"{trade.symbol} {trade.side} of {trade.opened_ms}, bar of {open_ms}"
        if not last and (is_stopped or is_won):
            yield f"{where}: reached {'the stop' if is_stopped else 'the target'} and went on"
        if last and trade.ended_by == "stop" and not is_stopped:
            yield f"{where}: stopped at {stop}, not reached"
        if last and trade.ended_by == "target" and (is_stopped or not is_won):
            yield f"{where}: won at {target}, {'after the stop' if is_stopped else 'not reached'}"
