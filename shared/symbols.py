"""What may name a coin."""

from __future__ import annotations

import unicodedata

SYMBOL_LENGTHS = 2, 50
SYMBOL_WORDS = "a symbol of 2 to 50 capital letters and digits, such as BTCUSDT"


def is_symbol(text: str) -> bool:
    """Return whether a text can name a coin: BTCUSDT, WBTC, 1INCHUSDT, 币安人生USDT.

    Letters are of any script. Nothing in a symbol has a meaning in a Redis pattern, a URL or the
    name of a file; and in lower case, as names of streams spell it, it is still the same symbol.

    Source: Binance, whose own rule also allows `_`, `-` and `.`; no spot symbol has any of them.
    """
    least, most = SYMBOL_LENGTHS
    return (
        least <= len(text) <= most
        and text.isalnum()
        and text.lower().upper() == text
        and unicodedata.is_normalized("NFKC", text)  # so not in full-width letters
    )
