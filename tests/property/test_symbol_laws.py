"""A symbol means nothing but itself wherever it is written."""

from __future__ import annotations

import fnmatch
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from hypothesis import example, given
from hypothesis import strategies as st

from actors.exchange_sim.binance.stream_control import KlineName, kline_name
from actors.fetcher.kline_frames import stream_name
from shared import schema
from shared.candles.files import candle_file
from shared.market import Timeframe
from shared.symbols import is_symbol

LETTERS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=50)
SYMBOLS = LETTERS.map(str.upper).filter(is_symbol)


@given(SYMBOLS)
@example("币安人生USDT")
@example("WBTC")
def test_a_symbol_survives_every_place_it_is_written_to(symbol: str) -> None:
    for timeframe in Timeframe:
        assert kline_name(stream_name(symbol, timeframe)) == KlineName(symbol, timeframe)
        file = candle_file(Path("candles"), symbol, timeframe)
        assert file.parent == Path("candles")
        assert len(file.name.encode()) <= 255
    assert unquote(quote(symbol, safe="")) == symbol
    key = schema.TA_LATEST.name(symbol=symbol)
    assert fnmatch.fnmatchcase(key, schema.TA_LATEST.glob())
    assert fnmatch.filter([key, "ta:latest:OTHERUSDT"], key) == [key] or symbol == "OTHERUSDT"


@given(st.text(max_size=60))
def test_no_other_text_is_a_symbol(text: str) -> None:
    if is_symbol(text):
        assert text.isprintable() and not set(text) & set(" /\\.*?[]{}:%&#=,'\"<>|$`~-_+@;!()^")
        assert PurePosixPath(text).name == text
