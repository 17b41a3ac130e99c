"""Hypothesis strategies for every message on the bus, made from its type hints."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import numpy as np
from hypothesis import strategies as st

from shared.candles.admission import EARLIEST_S
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow

INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def messages(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the dataclass `kind`."""
    if kind is CandleWindow:
        return candle_windows()
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: _values(hints[f.name]) for f in dataclasses.fields(kind)})


def _values(hint: Any) -> st.SearchStrategy[Any]:
    simple = {int: INTS, str: st.text(max_size=8), bool: st.booleans(), float: FLOATS, Any: JSON}
    if hint in simple:
        return simple[hint]
    if dataclasses.is_dataclass(hint):
        return messages(typing.cast(type, hint))
    if hint is Timeframe:
        return st.sampled_from(Timeframe)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is list:
        return st.lists(_values(args[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*(_values(arg) for arg in args))
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), _values(args[1]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if arg is type(None) else _values(arg) for arg in args))
    raise TypeError(f"no strategy for {hint!r}")


@st.composite
def candle_windows(draw: st.DrawFn) -> CandleWindow:
    """Return windows of true candles, holes included."""
    timeframe = draw(st.sampled_from(list(Timeframe)))
    slots = sorted(draw(st.sets(st.integers(0, 190_000), max_size=12)))
    price = st.floats(1e-9, 1e9)
    rows = [sorted(draw(st.tuples(price, price, price, price))) for _ in slots]
    low, open_, close, high = (np.array([row[i] for row in rows], dtype=float) for i in range(4))
    volume = [draw(st.floats(0, 1e15)) for _ in slots]
    first_ms = timeframe.first_open(EARLIEST_S * 1000)
    times = first_ms + np.array(slots, dtype=np.int64) * timeframe.ms
    return CandleWindow(
        symbol=draw(st.text("ABCXYZ", min_size=5, max_size=9)),
        timeframe=timeframe,
        candles=Candles.of(times, open_, high, low, close, volume),
        closed_until_ms=draw(st.integers(0, 2**53)),
        fetched_at_ms=draw(st.integers(0, 2**53)),
        source=draw(st.sampled_from(["binance", "sim"])),
        absent=tuple(draw(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 2**53))))),
        begins_ms=draw(st.integers(0, 2**53)),
    )
