"""What a close costs with 29 to 2,000 coins: real indicators processes on a real Redis.

Windows of 1,000 candles on three timeframes are fed directly, as the fetcher would write them (the
exchange is left out). At a close every coin's new 5m window is written and announced; the time ends
with the last signal received by a subscriber. The first close after the start is separate: the
actors then read every window from its key, later they update cached ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import batched
from pathlib import Path
from statistics import median

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.one_actor import launch, start
from benchmarks.tables import table, verdict
from shared import codec, schema
from shared.config.sections import BinanceSection, FetcherSection, IndicatorsSection
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate
from shared.proc_stats import cpu_s, pss_mb
from tests.support.candle_series import walk, window_at
from tests.support.private_redis import PrivateRedis, chosen_redis

SIZES, WALKS, CANDLES = (29, 290, 1_000, 2_000), 29, 1_000
GROUP_COINS = 500
"""Coins of one indicators process at most."""

KLINES_WEIGHT, WEIGHT_LIMIT = 2, 6_000
AIM_S, AIM_MB, AIM_COINS = 2.0, 1_500.0, 2_000
GROWTH = 1.5
"""Cost per coin of the largest size over that at 290 that still counts as no growth."""

PLACEHOLDER = "SYMBOLUSDT"


class Feed:
    """The windows of the coins, as the fetcher writes them, from `WALKS` price series."""

    def __init__(self, symbols: Sequence[str], closes: int) -> None:
        self.symbols = symbols
        self._now_ms = Timeframe.H4.open_at(time.time_ns() // 1_000_000)
        self._walks = {
            timeframe: [
                walk(
                    number,
                    CANDLES + 1 + closes,
                    timeframe=timeframe,
                    start_ms=self._now_ms - CANDLES * timeframe.ms,
                )
                for number in range(WALKS)
            ]
            for timeframe in Timeframe
        }

    def commands(self, timeframe: Timeframe, close: int) -> Iterator[tuple[bytes | str, ...]]:
        """Yield the commands that write and announce every window after so many closes."""
        at_ms = self._now_ms + close * timeframe.ms
        made = [self._encoded(walked, timeframe, at_ms) for walked in self._walks[timeframe]]
        for number, symbol in enumerate(self.symbols):
            window, update = (
                raw.replace(PLACEHOLDER.encode(), symbol.encode()) for raw in made[number % WALKS]
            )
            yield "SET", schema.CANDLES[timeframe].name(symbol=symbol), window
            if close:
                yield "PUBLISH", schema.CANDLE_UPDATES.name(symbol=symbol), update

    def _encoded(self, walked: Candles, timeframe: Timeframe, at_ms: int) -> tuple[bytes, bytes]:
        window = window_at(walked, timeframe, at_ms, symbol=PLACEHOLDER, keep=CANDLES)
        newest = window.closed().tail(1)
        row = CandleRow(
            open_time_ms=int(newest.open_time_ms[0]),
            open=float(newest.open[0]),
            high=float(newest.high[0]),
            low=float(newest.low[0]),
            close=float(newest.close[0]),
            volume=float(newest.volume[0]),
            closed=True,
        )
        update = CandleUpdate(
            symbol=PLACEHOLDER,
            timeframe=timeframe,
            candles=[row],
            closed_until_ms=window.closed_until_ms,
            at_ms=at_ms,
            source="sim",
            appends=True,
        )
        return window.encode(), codec.encode(update)


class Figures:
    """The cost of one size."""

    def __init__(self, coins: int, processes: int, close_s: list[float]) -> None:
        self.coins, self.processes = coins, processes
        self.first_s, self.close_s = close_s[0], close_s[1:]
        self.cpu_s = 0.0
        self.actors_mb = 0.0
        self.redis_mb = 0.0

    @property
    def per_coin_ms(self) -> float:
        """Processor time of the indicators processes per coin and close."""
        return self.cpu_s * 1000 / self.coins / len(self.close_s)


def measure(coins: int, closes: int, server: PrivateRedis, home: Path) -> Figures:
    symbols = [f"C{number}USDT" for number in range(coins)]
    feed = Feed(symbols, closes)
    client = redis.Redis.from_url(server.url, socket_timeout=60)
    client.flushall()
    for timeframe in Timeframe:
        send(client, feed.commands(timeframe, 0))
    listener = client.pubsub()  # type: ignore[no-untyped-call]
    listener.psubscribe(schema.TA_SIGNALS.name(symbol="*"))
    processes = [
        start(
            launch(
                f"indicators-g{number}",
                "actors.indicators.actor:Indicators",
                {
                    "group": f"g{number}",
                    "symbols": list(group),
                    "indicators": dataclasses.asdict(IndicatorsSection(interval_s=60)),
                    "testing": {},
                },
                home,
                server.url,
            )
        )
        for number, group in enumerate(batched(symbols, GROUP_COINS))
    ]
    try:
        await_signals(listener, symbols, 0, processes)
        took = []
        before = 0.0
        for close in range(1, closes + 1):
            if close == 2:
                before = sum(cpu_s(p.pid) or 0.0 for p in processes)
            commands = list(feed.commands(Timeframe.M5, close))
            started = time.perf_counter()
            send(client, iter(commands))
            until_ms = feed._now_ms + close * Timeframe.M5.ms
            await_signals(listener, symbols, until_ms, processes)
            took.append(time.perf_counter() - started)
        found = Figures(coins, len(processes), took)
        found.cpu_s = sum(cpu_s(p.pid) or 0.0 for p in processes) - before
        found.actors_mb = sum(pss_mb(p.pid) or 0.0 for p in processes)
        found.redis_mb = client.info("memory")["used_memory_rss"] / 2**20
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        listener.close()
        client.close()
    return found


def send(client: redis.Redis, commands: Iterator[tuple[bytes | str, ...]]) -> None:
    """Send commands in pipelines of about a hundred."""
    for some in batched(commands, 100):
        pipeline = client.pipeline(transaction=False)
        for command in some:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        pipeline.execute()


def await_signals(
    listener: redis.client.PubSub,
    symbols: Sequence[str],
    until_ms: int,
    processes: Sequence[subprocess.Popen[bytes]],
) -> None:
    """Wait for every coin's signal of the close at `until_ms`."""
    waiting = {schema.TA_SIGNALS.name(symbol=symbol).encode() for symbol in symbols}
    wanted = b'"closed_until_ms":%d' % until_ms
    deadline = time.monotonic() + 180
    while waiting:
        message = listener.get_message(timeout=1.0)
        if message is not None and message["type"] == "pmessage":
            if not until_ms or wanted in message["data"]:
                waiting.discard(message["channel"])
        elif time.monotonic() > deadline or any(p.poll() is not None for p in processes):
            raise SystemExit(f"{len(waiting)} of {len(symbols)} signals never came")


def weight_per_minute(coins: int) -> float:
    """Return the request weight of the configured REST passes."""
    fetcher = FetcherSection()
    long = len(Timeframe) - 1
    passes = 60 / fetcher.interval_s + long * 60 / fetcher.long_interval_s
    return coins * KLINES_WEIGHT * passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 290 coins, fewer closes")
    options = parser.parse_args()
    sizes = SIZES[:2] if options.quick else SIZES
    found = []
    with tempfile.TemporaryDirectory(prefix="scale-") as home:
        server = PrivateRedis(str(chosen_redis().path))
        server.start()
        try:
            for coins in sizes:
                found.append(measure(coins, 4 if options.quick else 8, server, Path(home)))
        finally:
            server.remove()
    share = BinanceSection().weight_share
    print("## Scale: one close of every coin\n")
    print(
        "From the first new 5m window written to the last signal received; windows are fed to real"
    )
    print(
        f"indicators processes (up to {GROUP_COINS} coins each) on a real Redis. The weight is that"
    )
    print(f"of the REST passes as configured; the fetcher spends at most {share:.0%} of")
    print(f"{WEIGHT_LIMIT:,} a minute and takes longer per pass beyond that.\n")
    rows = [
        [
            f"{f.coins:,}",
            str(f.processes),
            f"{f.first_s:.2f} s",
            f"{median(f.close_s):.2f} s",
            f"{max(f.close_s):.2f} s",
            f"{median(f.close_s) * 1000 / f.coins:.2f} ms",
            f"{f.per_coin_ms:.2f} ms",
            f"{f.actors_mb:.0f} MB",
            f"{f.redis_mb:.0f} MB",
            f"{weight_per_minute(f.coins):,.0f}",
        ]
        for f in found
    ]
    head = (
        "coins", "processes", "first close", "close, median", "close, longest", "per coin",
        "cpu per coin", "indicators PSS", "Redis RSS", "weight / min",
    )  # fmt: skip
    print(table(head, rows))
    largest, reference = found[-1], found[min(1, len(found) - 1)]
    growth = largest.per_coin_ms / reference.per_coin_ms
    print(
        f"\n- Aim: cost per coin does not grow: cpu at {largest.coins:,} is {growth:.2f} of that"
        f" at {reference.coins:,}: {verdict(growth <= GROWTH)}."
    )
    if largest.coins == AIM_COINS:
        met = max(largest.close_s) <= AIM_S
        memory = largest.actors_mb + largest.redis_mb
        print(f"- Aim: {AIM_COINS:,} coins within {AIM_S:g} s: {verdict(met)}.")
        print(f"- Aim: at most {AIM_MB:,.0f} MB: {memory:,.0f} MB, {verdict(memory <= AIM_MB)}.")


if __name__ == "__main__":
    main()
