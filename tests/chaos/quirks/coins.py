"""Thirty coins with one quirk each, and what a user should read about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOUR_S, DAY_S, WEEK_S = 3_600, 86_400, 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """One coin and its faults.

    Attributes:
        faults: Entries of `simulator.faults`, without the coin; empty: its name or its prices are
            the quirk.
        problem: Pattern of what `/health` must say of the coin among its problems; "" for nothing.
        may: Pattern of what it may say as well, for a while.
        said: Pattern of what its card or a note of `/health` must say; "" for anything.
        after_min: Minutes until it can be seen.
    """

    coin: str
    about: str
    faults: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""
    may: str = "(?!)"
    said: str = ""
    after_min: float = 0

    def entries(self) -> list[dict[str, Any]]:
        """Return its entries of `simulator.faults`."""
        return [{"symbol": self.coin, **fault} for fault in self.faults]


def lasting(kind: str, **more: Any) -> dict[str, Any]:
    """Return a fault from the start on."""
    return {"kind": kind, "for_s": WEEK_S, **more}


QUIRKS = (
    Quirk(coin="TWICEUSDT", about="a 5m row comes twice, equal",
          faults=(lasting("duplicate_row", timeframe="5m"),)),
    Quirk(coin="TWIXTUSDT", about="a 4h row comes twice, unequal",
          faults=(lasting("duplicate_row", timeframe="4h", value=3),),
          said="4h.*rows of one time differ"),
    Quirk(coin="ZEROUSDT", about="a 5m row with the price 0",
          faults=(lasting("bad_row", timeframe="5m", value=1),),
          problem="5m.*cannot be a candle: price"),
    Quirk(coin="CROSSEDUSDT", about="a 1h row with its high below its low",
          faults=(lasting("bad_row", timeframe="1h", value=3),),
          problem="1h.*cannot be a candle: high"),
    Quirk(coin="OFFGRIDUSDT", about="a 4h row off the grid",
          faults=(lasting("bad_row", timeframe="4h", value=4),),
          problem="4h.*cannot be a candle: .*grid"),
    Quirk(coin="GARBAGEUSDT", about="a 5m row whose close is no number",
          faults=(lasting("bad_row", timeframe="5m", value=5),),
          problem="5m.*cannot be a candle: .*'n/a'"),
    Quirk(coin="HUGEUSDT", about="a 1h row with a number of 400 digits",
          faults=(lasting("bad_row", timeframe="1h", value=6),),
          problem="1h.*cannot be a candle: .*number"),
    Quirk(coin="MICROUSDT", about="times in microseconds",
          faults=(lasting("wrong_unit"),), problem="times in microseconds"),
    Quirk(coin="SECONDUSDT", about="4h times in seconds",
          faults=(lasting("wrong_unit", timeframe="4h", value=1),), problem="4h: times in seconds"),
    Quirk(coin="REVERSEDUSDT", about="the newest row first", faults=(lasting("rows_reversed"),)),
    Quirk(coin="EMPTYUSDT", about="no 1h rows",
          faults=(lasting("no_rows", timeframe="1h"),),
          problem="1h: the exchange returned no candles"),
    Quirk(coin="DEEPUSDT", about="a candle 30 bars back is corrected after the start",
          faults=({"kind": "deep_correction", "after_s": 60},),
          said="the exchange has changed the candle",
          after_min=12),
    Quirk(coin="DOWNUSDT", about="redenominated 100:1 a day ago",
          faults=({"kind": "redenomination", "after_s": -30 * HOUR_S, "for_s": 8 * HOUR_S},),
          said="price scale changed 100:1"),
    Quirk(coin="UPUSDT", about="redenominated 1:100 while running",
          faults=({"kind": "redenomination", "after_s": 10, "for_s": 301, "value": 100},),
          problem=r"halted( since .*)?: status HALT", said="price scale changed 1:100",
          after_min=15),
    Quirk(coin="WICKUSDT", about="a wick an hour ago",
          faults=({"kind": "wick", "after_s": -HOUR_S},)),
    Quirk(coin="SPIKEUSDT", about="a wick upwards while running",
          faults=({"kind": "wick", "after_s": 30, "value": 50},), after_min=11),
    Quirk(coin="SOONUSDT", about="announced, not trading yet",
          faults=(lasting("pre_trading"),), said="announced: trading has not begun"),
    Quirk(coin="DEADUSDT", about="trading ended 139 days ago",
          faults=(lasting("break"),), problem="dead since", said="dead since"),
    Quirk(coin="GONEUSDT", about="delisted", faults=(lasting("delisted"),),
          problem="delisted", said="delisted"),
    Quirk(coin="YOUNGUSDT", about="listed 25 min ago", faults=(lasting("young"),),
          said="young: listed"),
    Quirk(coin="HALTEDUSDT", about="halted for three hours",
          faults=(lasting("halt", after_s=-3 * HOUR_S, value=HOUR_S),), problem="halted since",
          said="halted since"),
    Quirk(coin="LATEUSDT", about="each candle comes 20 s late",
          faults=(lasting("late", value=20),)),
    Quirk(coin="GAPUSDT", about="a 5m candle is missing",
          faults=(lasting("gap", timeframe="5m"),), may="5m candles have a gap"),
    Quirk(coin="STALEUSDT", about="its stream is 10 minutes behind",
          faults=(lasting("stream_behind"),)),
    Quirk(coin="STREAMUSUSDT", about="its stream's times are in microseconds",
          faults=(lasting("stream_wrong_unit"),)),
    Quirk(coin="ECHOUSDT", about="its stream sends each frame twice",
          faults=(lasting("stream_duplicate"),)),
    Quirk(coin="BEHINDUSDT", about="every other answer is five minutes behind",
          faults=(lasting("node_behind"),)),
    Quirk(coin="FLATUSDT", about="not traded for five hours",
          faults=({"kind": "halt", "after_s": -6 * HOUR_S, "for_s": 5 * HOUR_S,
                   "value": 5 * HOUR_S},)),
    Quirk(coin="1000SATSUSDT", about="digits in its name, and a price of 0.00012"),
    Quirk(coin="币安人生USDT", about="a name that is not Latin"),
)  # fmt: skip
