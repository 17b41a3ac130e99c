"""The shapes of what a guest trader writes, and their readers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from shared import schema
from shared.errors import BadMessage, shortened
from shared.guests.shape import (
    AMOUNT,
    LARGEST,
    MOMENT,
    POSITIVE,
    SECONDS,
    SYMBOL,
    Member,
    Shape,
    Unfit,
    ValueKind,
    check_depth,
    document_of,
    one_of,
    shown,
    text_of,
)
from shared.messages.guests import (
    GuestBalance,
    GuestConfig,
    GuestEvent,
    GuestPosition,
    GuestPositions,
    GuestStatus,
)
from shared.messages.trading import TraderConfig

MOST_POSITIONS = 200
MOST_SETTINGS = 200
LONGEST_SETTING = 200
LARGEST_EVENT = 4096
MASKED = "***"

_SECRET = re.compile(r"password|passwd|secret|token|credential|api_?key|access_?(id|key)|private")
_EVENT_TEXTS = ("kind", "text", "id", "symbol", "side")

_OF_OUR_TRADER = {each.name for each in dataclasses.fields(TraderConfig)}
_SIDE = one_of("long", "short")
_LINE = text_of(200, least=0)
_AS_OF = Member(name="as_of_ms", also=("timestamp",), kind=MOMENT, required=True,
                text="when this was so, by the guest's clock")  # fmt: skip
_VENUE = Member(name="venue", kind=_LINE, text="where the account is")
_REASON = Member(name="reason", kind=_LINE, text="why there is nothing newer, if so")


def _amounts(**texts: str) -> list[Member]:
    """Return optional amounts; the unit at the end of a name may be left out."""
    return [_amount(name, text) for name, text in texts.items()]


def _amount(name: str, text: str, *, required: bool = False, kind: ValueKind = AMOUNT) -> Member:
    short = re.sub("_(quote|base)$", "", name)
    also = (short,) if short != name else ()
    return Member(name=name, also=also, kind=kind, text=text, required=required)


_POSITION = Shape(
    build=GuestPosition,
    text="One open position.",
    members=(
        Member(name="symbol", kind=SYMBOL, text="the coin, such as BTCUSDT", required=True),
        Member(name="side", kind=_SIDE, text="long or short", required=True),
        _amount("size_base", "size, in the coin", required=True, kind=POSITIVE),
        _amount("entry_price", "average price paid", required=True, kind=POSITIVE),
        *_amounts(
            mark_price="the venue's mark price",
            stop_loss="price of the stop at the venue",
            take_profit="price of the target at the venue",
            liquidation_price="price of liquidation",
            leverage="such as 3",
            margin_quote="margin, in the quote currency",
            unrealized_pnl_quote="profit or loss if it were closed now",
            realized_pnl_quote="of this position so far",
        ),
        Member(name="opened_ms", also=("opened_at",), kind=MOMENT, text="when it was opened"),
    ),
)
POSITIONS = Shape(
    build=GuestPositions,
    text="Every open position; an empty list where there is none.",
    members=(
        _AS_OF,
        Member(name="positions", kind=_POSITION, most=MOST_POSITIONS, required=True,
               text="open positions"),
        _VENUE,
        _REASON,
    ),
    examples=(
        {"as_of_ms": 1790000000000, "positions": []},
        {
            "timestamp": "2026-09-21T14:13:20Z",
            "venue": "my account",
            "positions": [
                {"symbol": "BTCUSDT", "side": "long", "size": 0.05, "entry_price": 60000},
                {
                    "symbol": "ETHUSDT", "side": "short", "size": "1.5", "entry_price": "3012.4",
                    "mark_price": "3001", "stop_loss": "3072.6", "take_profit": "2892",
                    "leverage": 3, "margin": "1506.2", "unrealized_pnl": "17.1",
                    "opened_ms": 1789996400000,
                },
            ],
        },
    ),
)  # fmt: skip
BALANCE = Shape(
    build=GuestBalance,
    text="The account's balance.",
    members=(
        _AS_OF,
        _amount("equity_quote", "all of it, open profit and loss included", required=True),
        Member(name="currency", kind=text_of(20, least=0), text="such as USDT"),
        *_amounts(
            available_quote="free",
            frozen_quote="in orders",
            margin_quote="in positions",
            unrealized_pnl_quote="of open positions",
        ),
        _VENUE,
        _REASON,
    ),
    examples=(
        {"as_of_ms": 1790000000000, "equity": 10050.5},
        {
            "timestamp": "2026-09-21T14:13:20Z", "equity": "10050.5", "currency": "USDT",
            "available": "9400", "frozen": 0, "margin": "600", "unrealized_pnl": "50.5",
        },
    ),
)  # fmt: skip
STATUS = Shape(
    build=GuestStatus,
    text="How the trader is.",
    members=(
        _AS_OF,
        Member(name="mode", also=("status",), required=True, text="what it may do",
               kind=one_of("enabled", "reducing", "disabled", "locked")),
        Member(name="reason", kind=text_of(1000, least=0), text="why it is in this mode"),
        Member(name="trouble", kind=text_of(1000, least=0), text="what it could not do"),
        _VENUE,
        Member(name="uptime_s", also=("uptime",), kind=SECONDS, text="since it started"),
        Member(name="last_trade_ms", also=("last_trade",), kind=MOMENT, text="its newest trade"),
    ),
    examples=(
        {"as_of_ms": 1790000000000, "status": "enabled"},
        {
            "timestamp": "2026-09-21T14:13:20Z", "status": "locked", "uptime": 86400,
            "last_trade": "2026-09-21T13:10:00Z", "reason": "lock file: news",
        },
    ),
)  # fmt: skip
EVENT = Shape(
    build=GuestEvent,
    text="One event: a trade opened or closed, a target or stop hit, an error.",
    members=(
        Member(name="at_ms", also=("timestamp",), kind=MOMENT, text="when", required=True),
        Member(name="kind", kind=text_of(32, "a short word such as opened"), required=True,
               text="what kind, in a short word of the guest's own"),
        Member(name="text", kind=text_of(2000), text="what is shown, as text", required=True),
        Member(name="id", kind=text_of(64), text="one of the guest's; an event is kept once"),
        Member(name="symbol", kind=SYMBOL, text="the coin"),
        Member(name="side", kind=_SIDE, text="long or short"),
        *_amounts(size_base="size", price="price", fee_quote="fee", pnl_quote="profit or loss"),
    ),
    largest=LARGEST_EVENT,
    examples=(
        {"kind": "opened", "text": "long 0.05 BTC at 60000", "at_ms": 1790000000000},
        {
            "kind": "tp_hit", "text": "target reached", "timestamp": "2026-09-21T14:13:20Z",
            "id": "order-4711", "symbol": "ETHUSDT", "side": "short", "size": "1.5",
            "price": "2892", "fee": 1.3, "pnl": "180.6",
        },
    ),
)  # fmt: skip

CONFIG_TEXT = (
    "The settings, whatever they are: shown flat, at most "
    f"{MOST_SETTINGS}; what is named like a secret is shown as {MASKED}."
)
CONFIG_EXAMPLES: tuple[Mapping[str, Any], ...] = (
    {"entry_threshold": 70, "tp_pct": 2.5, "sl_pct": 1, "leverage": 3},
    {"as_of_ms": 1790000000000, "thresholds": {"long": 70, "short": 75}, "coins": ["BTCUSDT"]},
)


def read_config(raw: bytes, where: str) -> GuestConfig | None:
    """Return a guest's settings, flat; None of what the platform's own trader has written.

    Raises:
        BadMessage: It is too large, or no JSON object.
    """
    document = document_of(raw, where, LARGEST)
    if type(document) is not dict:
        raise BadMessage(where, "", f"found {shown(document)}, expected an object of settings")
    if document.keys() == _OF_OUR_TRADER:  # left behind; they never expire
        return None
    as_of_ms = None
    for name in (name for name in _AS_OF.names if name in document):
        try:
            as_of_ms = MOMENT.read(document[name])
        except Unfit:  # a setting of that name
            continue
        del document[name]
        break
    flat = dict(_flat(document, ""))
    names = list(flat)[:MOST_SETTINGS]
    return GuestConfig(as_of_ms=as_of_ms, settings={name: flat[name] for name in names})


def _flat(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        at = f"{path}.{name}" if path else name
        if _SECRET.search(name.lower()):
            yield shortened(at, LONGEST_SETTING), MASKED
        elif type(inner) is dict and inner and at.count(".") < 4:
            yield from _flat(inner, at)
        else:
            text = inner if type(inner) is str else orjson.dumps(inner).decode()
            if text is not inner and _SECRET.search(text.lower()):
                text = MASKED
            yield shortened(at, LONGEST_SETTING), shortened(text, LONGEST_SETTING)


def event_of_entry(fields: Mapping[str, Any], where: str) -> GuestEvent:
    """Return an event of the log; what a guest added there itself has texts that look like numbers.

    Raises:
        BadMessage: A field is missing or unfit.
    """
    check_depth(fields, where)
    plain = {
        name: orjson.dumps(value).decode()
        if name in _EVENT_TEXTS and value is not None and type(value) is not str
        else value
        for name, value in fields.items()
    }
    return EVENT.of(plain, where)


OF_KEY: Mapping[str, Shape[Any]] = {
    schema.GUEST_POSITIONS.pattern: POSITIONS,
    schema.GUEST_BALANCE.pattern: BALANCE,
    schema.GUEST_STATUS.pattern: STATUS,
    schema.GUEST_EVENTS.pattern: EVENT,
}
