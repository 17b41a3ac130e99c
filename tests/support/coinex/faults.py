"""Faults of a venue, by name; an order and the calls that send one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import OutcomeUnknown, VenueRefused, VenueUnavailable
from shared.exchanges.coinex.client import CoinExClient
from shared.exchanges.venue import OrderRequest
from shared.exchanges.venue_keys import VenueKeys
from shared.http_client import LARGEST_REPLY
from tests.support.coinex.scripted import (
    ACCESS_ID,
    CUT,
    HANG,
    HTML_502,
    NO_HTTP,
    SECRET,
    Answer,
    no,
    ok,
)
from tests.support.coinex.wire_rows import order_row
from tests.support.hostile_server import bomb

KEYS = VenueKeys(ACCESS_ID, SECRET)
ORDER = OrderRequest(
    symbol="BTCUSDT",
    side="buy",
    kind="ioc",
    size=Decimal("0.5"),
    price=Decimal("62000"),
    client_id="ours-1",
)
GOOD_ORDER = ok(order_row())
FAULTS = {
    "hangs": HANG,
    "cuts before a word": CUT,
    "cuts within the body": Answer(GOOD_ORDER.body, sent=0.5),
    "shows a gateway's page": HTML_502,
    "says HTTP 500": Answer(b"", 500),
    "speaks no HTTP": NO_HTTP,
    "redirects": Answer(b"", 302, {"Location": "/v2/elsewhere"}),
    "sends no JSON": Answer(b"OK"),
    "sends other JSON": Answer(b'[{"code":0}]'),
    "sends too much": Answer(b" " * (LARGEST_REPLY + 1)),
    "sends a gzip bomb": Answer(bomb(2), headers={"Content-Encoding": "gzip"}),
    "sends a wrong type": ok(order_row(filled_amount=0.5)),
    "is busy": no(3008, "service too busy"),
    "is unavailable": no(4001),
    "timed out inside": no(4002),
    "failed inside": no(4003),
}
ORDER_CALLS: dict[str, Callable[[CoinExClient], Awaitable[Any]]] = {
    "futures/order": lambda client: client.place_order(ORDER),
    "futures/close-position": lambda client: client.close_position("BTCUSDT", "ours-1"),
}


async def outcome(call: Awaitable[Any]) -> Exception:
    """Return the error of a call to a venue."""
    with pytest.raises((VenueUnavailable, VenueRefused, OutcomeUnknown)) as caught:
        await call
    return caught.value
