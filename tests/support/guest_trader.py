"""A trader outside the platform, as a plain client of Redis with the rights of its role."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson
import redis

from shared import schema
from shared.config.secrets import with_login
from shared.redis.acl import CONFINES_WRITERS, rules
from shared.schema import Role
from tests.support.platform_run import Platform

NAME = "guest-trader"


class GuestTrader:
    """Writes what a trader writes, in a few lines of a plain client."""

    def __init__(self, platform: Platform) -> None:
        with platform.redis() as admin:
            allowed = rules(Role.GUEST_TRADER, "", CONFINES_WRITERS, schema.table("outside"))
            admin.execute_command("ACL", "SETUSER", NAME, "reset", "on", f">{NAME}", *allowed)
        url = with_login(platform.operator_url(), NAME, NAME)
        self.client: redis.Redis = redis.Redis.from_url(url, decode_responses=True)

    def __enter__(self) -> GuestTrader:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def write(self, key: str, value: Mapping[str, Any] | str) -> None:
        self.client.set(key, value if isinstance(value, str) else orjson.dumps(value))

    def write_all(self) -> None:
        """Do what it does at the end of each of its cycles."""
        now_ms = time.time_ns() // 1_000_000
        held = {"symbol": "BTCUSDT", "side": "long", "size": 0.05, "entry_price": 60000,
                "stop_loss": 59000}  # fmt: skip
        self.write("state:positions", {"as_of_ms": now_ms, "positions": [held]})
        self.write("state:balance", {"as_of_ms": now_ms, "equity": 10050.5, "currency": "USDT"})
        status = {"as_of_ms": now_ms, "status": "enabled", "uptime": 60, "reason": "<i>well</i>"}
        self.write("state:trader:status", status)
        self.write("state:trader:config", {"leverage": 3, "tp": {"pct": 2.5}, "api_key": "hunter2"})

    def publish(self, text: str, **more: Any) -> int:
        """Publish an event; return how many heard it."""
        event = {"kind": "opened", "text": text, "at_ms": time.time_ns() // 1_000_000, **more}
        return int(self.client.publish("trader:events", orjson.dumps(event)))
