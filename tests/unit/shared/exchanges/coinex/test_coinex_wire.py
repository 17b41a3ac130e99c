"""What is signed of a request."""

from __future__ import annotations

import pytest

from shared.exchanges.coinex.wire import signed_bytes
from shared.exchanges.venue_keys import VenueKeys

KEYS = VenueKeys("4DA36FFC61334695A66F8D29020EB589", "test-secret")
AT_MS = 1_700_490_703_564


@pytest.mark.parametrize(
    ("method", "target", "body", "sign"),
    [
        (
            "GET",
            "/v2/futures/pending-position?market_type=FUTURES&market=BTCUSDT",
            b"",
            "113706ea933f78ffc3138a1b1bb3ba8975f090534c03018365877e96f1003218",
        ),
        (
            "POST",
            "/v2/futures/close-position",
            b'{"market":"BTCUSDT","market_type":"FUTURES","type":"market"}',
            "1116717aba536ab5a1d9686574131f8287f43bb47a926573c4cdf5e1b91da7fb",
        ),
        ("", "", b"", "bd3d9121246add17da44490a01917b91c7ab38ffe33c5afc4b0d63a65dca2e48"),
    ],
)
def test_signature_is_the_known_one(method: str, target: str, body: bytes, sign: str) -> None:
    assert KEYS.sign(signed_bytes(method, target, body, AT_MS)) == sign
