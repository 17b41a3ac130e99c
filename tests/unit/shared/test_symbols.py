"""What names a coin: whatever the exchange lists, and nothing that means something elsewhere."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from urllib.parse import quote

import pytest
from multidict import MultiDict

from actors.exchange_sim.binance.klines import symbol_entry
from actors.exchange_sim.binance.parameters import (
    BadParameter,
    exchange_info_symbols,
    klines_query,
)
from actors.exchange_sim.binance.stream_control import KlineName, kline_name
from actors.exchange_sim.market.bars import Scale
from actors.fetcher.binance_stream import parts
from actors.fetcher.kline_frames import stream_name
from actors.trader_api.openapi import SYMBOL
from shared.config.load import load
from shared.console.trader import trader
from shared.errors import EXIT_USAGE, ConfigError
from shared.market import Timeframe
from shared.symbols import is_symbol

LISTED = (
    "BTCUSDT", "ETHBTC", "WBTC", "WBTCBTC", "BTCU", "BTCUSDC", "1INCHUSDT", "1000SATSUSDT",
    "4USDT", "币安人生USDT", "我踏马来了USDT", "龙虾USDT", "这是测试币456",
)  # fmt: skip
REFUSED = (
    "", "B", "A" * 51, "btcusdt", "BTCusdt", "BTC/USDT", "BTC-USDT", "BTC_USDT", "BTC USDT",
    " BTCUSDT", "BTCUSDT\n", "BTC\tUSDT", "BTC\0USDT", "BTC\x1bUSDT", "BTC*", "*", "[A-Z]", "{A}",
    "BTC?", "BTC:USDT", "BTC%USDT", "BTC&A", "BTC\\A", "..", "../BTCUSDT", "BTC.USDT",
    "BTC\u200bUSDT", "BTC\u202eUSDT", "BTC\u00a0USDT", "ＢＴＣＵＳＤＴ", "①USDT", "ωUSDT", "ßUSDT",
    "BTC💰",
)  # fmt: skip


def config_of(directory: Path, symbol: str) -> Path:
    path = directory / "config.yaml"
    quoted = "".join(f"\\u{ord(c):04x}" if ord(c) < 2**16 else f"\\U{ord(c):08x}" for c in symbol)
    path.write_text(f'groups:\n  majors: ["{quoted}"]\n')
    return path


@pytest.mark.parametrize("symbol", LISTED)
def test_whatever_the_exchange_lists_is_a_symbol(symbol: str, tmp_path: Path) -> None:
    assert is_symbol(symbol)
    assert load(config_of(tmp_path, symbol), to_run=False).symbols == [symbol]
    assert re.fullmatch(SYMBOL, symbol)
    for timeframe in Timeframe:
        assert kline_name(stream_name(symbol, timeframe)) == KlineName(symbol, timeframe)
    assert klines_query(MultiDict(symbol=symbol, interval="5m")).symbol == symbol
    assert exchange_info_symbols(MultiDict(symbols=f'["{symbol}","BNBBTC"]')) == [symbol, "BNBBTC"]
    entry = symbol_entry(symbol, Scale(2, 2), "TRADING")
    assert entry["baseAsset"] and entry["baseAsset"] + entry["quoteAsset"] == symbol


@pytest.mark.parametrize("symbol", REFUSED, ids=ascii)
def test_what_means_something_in_a_key_a_url_or_a_file_name_is_refused(
    symbol: str, tmp_path: Path
) -> None:
    assert not is_symbol(symbol)
    with pytest.raises(ConfigError, match=r"majors\[0\]: .*expected a symbol of 2 to 50 capital"):
        load(config_of(tmp_path, symbol), to_run=False)


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC USDT", "../x", "*", "BTC\udce5"])
def test_a_command_for_what_is_no_symbol_is_refused_at_once(
    symbol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trader(Namespace(action="close", symbol=symbol)) == EXIT_USAGE
    assert "expected a symbol of 2 to 50 capital letters" in capsys.readouterr().err


def test_the_simulated_exchange_refuses_small_letters_as_the_exchange_does() -> None:
    with pytest.raises(BadParameter) as refused:
        klines_query(MultiDict(symbol="btcusdt", interval="5m"))
    assert refused.value.text == (
        "Illegal characters found in parameter 'symbol'; legal range is "
        r"'^[\w\-._&&[^a-z]]{1,50}$'."
    )
    assert kline_name("BTCUSDT@kline_5m") is None


def test_names_of_streams_are_split_before_a_url_is_too_long() -> None:
    names = [stream_name(f"币安人生{n}USDT", Timeframe.M5) for n in range(500)]
    split = list(parts(names))
    assert [name for part in split for name in part] == names
    assert all(len(quote("/".join(part))) < 8_000 for part in split)
    assert len(split) < 7
