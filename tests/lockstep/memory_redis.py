"""A bus whose Redis is in memory, and whose candles and signals come from recordings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import orjson

from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.messages.trading import TraderCommand, TraderVerb
from shared.redis.connections import Command, Connections, Reply
from shared.schema import Entry
from tests.lockstep.recorded_market import Publications


class MemoryRedis:
    """The commands that the trader sends, without expiry and without a network."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.streams: dict[str, list[list[Any]]] = {}

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        return [self._answer(command) for command in commands]

    async def close(self) -> None:
        pass

    def add(self, name: str, entry_id: str, fields: Mapping[str, Any]) -> None:
        """Add an entry to a stream."""
        flat = [part for key, value in fields.items() for part in (key.encode(), value)]
        self.streams.setdefault(name, []).append([entry_id.encode(), flat])

    def _answer(self, command: Command) -> Reply:
        verb, name = str(command[0]), str(command[1])
        match verb:
            case "GET":
                return self.keys.get(name)
            case "MGET":
                return [self.keys.get(str(each)) for each in command[1:]]
            case "SET":
                self.keys[name] = cast(bytes, command[2])
            case "DEL":
                self.keys.pop(name, None)
            case "XADD":
                # only the end of a log is ever looked at
                self.streams[name] = [[str(command[command.index("~") + 2]).encode(), []]]
            case "XREVRANGE":
                return self.streams.get(name, [])[-1:]
            case "XRANGE":
                after = _place(str(command[2]).removeprefix("(").encode())
                return [row for row in self.streams.get(name, []) if _place(row[0]) > after]
            case "PUBLISH" | "RPUSH" | "EXPIRE":
                pass
            case _:
                raise NotImplementedError(f"{verb}: the trader has not sent this command before")
        return 1


def _place(entry_id: bytes) -> tuple[int, int]:
    at, _, number = entry_id.partition(b"-")
    return int(at), int(number or 0)


class MemoryBus(Bus):
    """The trader's own bus, over a Redis in memory.

    Candles and signals are handed over as they are: as text they would be most of the work.

    Args:
        published: What the other actors have written by now.
    """

    def __init__(self, clock: Clock, published: Publications) -> None:
        super().__init__("redis://in-memory", name="trader", clock=clock)
        self.redis = MemoryRedis()
        self._connections = cast(Connections, self.redis)
        self._messages: dict[int, Callable[[str], Any]] = {
            id(entry): functools.partial(published.window, timeframe=timeframe)
            for timeframe, entry in schema.CANDLES.items()
        }
        self._messages[id(schema.TA_LATEST)] = published.signal

    async def get_many[T](
        self, entry: Entry[T], parts: Sequence[Mapping[str, str]]
    ) -> list[T | None]:
        message = self._messages.get(id(entry))
        if message is None:
            return await super().get_many(entry, parts)
        return [message(each["symbol"]) for each in parts]

    def command(self, verb: TraderVerb, symbol: str | None = None) -> None:
        """Send the trader a command as the trader-api does."""
        now_ms, stream = self._clock.now_ms(), schema.TRADER_COMMANDS.name()
        number = len(self.redis.streams.get(stream, ()))
        command = TraderCommand(
            id=f"command-{number}", command=verb, who="lockstep", at_ms=now_ms, symbol=symbol
        )
        fields = {name: orjson.dumps(value) for name, value in asdict(command).items()}
        self.redis.add(stream, f"{now_ms}-{number}", fields)
