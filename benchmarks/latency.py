"""From a close at the exchange to the last signal at a subscriber, for 29 coins at once.

The real simulator, fetcher and indicators actors, each a process of its own, on a real Redis; they
share a wall clock that jumps to just before the next close, so that 200 closes take minutes, not
hours. The floor is one bare script that does the same work: parse the frames, write and announce
the windows, compute, write and publish the signals, receive the last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.fetcher.kline_frames import KlineEvent, parse_frame, stream_name
from benchmarks.one_actor import ROOT, launch, start
from benchmarks.stepping_clock import SteppingClock
from benchmarks.tables import percentile, table, verdict
from shared import codec, schema
from shared.config.load import load
from shared.config.ports import free_port, is_free
from shared.config.sections import Config, IndicatorsSection
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow
from shared.messages.signals import TaSignal
from shared.supervision.specs import child_specs, configured_ports
from tests.support.platform_run import wait_for
from tests.support.private_redis import PrivateRedis, chosen_redis

BEFORE_CLOSE_MS = 250
BETWEEN_S = 2.0
"""Pause after the last signal of a close: in less than that the next close meets work that the
jumping clock makes hundreds of times as frequent as it is, such as verifying each hour's windows.
"""

UNCOUNTED = 3
AIM_MS, AIM_FLOORS = 50.0, 5.0
M5 = Timeframe.M5


class Platform:
    """The three kinds of actors between the exchange and the signals."""

    def __init__(self, config: Config, home: Path, server: PrivateRedis) -> None:
        self.symbols = config.symbols
        self.clock = SteppingClock(home / "clock")
        self._client = redis.Redis.from_url(server.url, socket_timeout=60)
        self.listener = self._client.pubsub()  # type: ignore[no-untyped-call]
        self.listener.psubscribe(schema.TA_SIGNALS.name(symbol="*"))
        self._processes: list[subprocess.Popen[bytes]] = []
        for spec in child_specs(config, configured_ports(config)):
            if spec.name.startswith(("exchange-sim", "fetcher", "indicators")):
                code = spec.code
                if spec.name == "exchange-sim":
                    code = "benchmarks.stepping_clock:RecordingExchangeSim"
                message = launch(spec.name, code, spec.section, home, server.url)
                self._processes.append(start(message, home / "clock"))
                if spec.name == "exchange-sim":  # the fetcher's first pass is its only one here
                    wait_for(lambda: not is_free(config.simulator.port), 30, "the simulator")

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)
        self.listener.close()
        self._client.close()

    def last_signal_ns(self, until_ms: int, within_s: float = 30.0) -> int:
        """Wait for every coin's signal of a close; return the time of the last."""
        waiting = {schema.TA_SIGNALS.name(symbol=symbol).encode() for symbol in self.symbols}
        wanted = b'"closed_until_ms":%d' % until_ms
        deadline = time.monotonic() + within_s
        while waiting:
            message = self.listener.get_message(timeout=1.0)
            if message is not None and message["type"] == "pmessage":
                if wanted in message["data"]:
                    waiting.discard(message["channel"])
                    came_ns = time.monotonic_ns()
            elif time.monotonic() > deadline or any(p.poll() is not None for p in self._processes):
                raise SystemExit(f"{len(waiting)} signals of {until_ms} never came")
        return came_ns

    def close(self) -> tuple[float, float]:
        """Let one 5m candle close; return ms to the signals: from the sending, from the making."""
        until_ms = M5.open_at(self.clock.now_ms()) + M5.ms
        self.clock.jump_to(until_ms - BEFORE_CLOSE_MS)
        came_ns = self.last_signal_ns(until_ms)
        first_ns, last_ns = self.clock.made_ns()
        return (came_ns - last_ns) / 1e6, (came_ns - first_ns) / 1e6

    def windows(self) -> dict[tuple[str, Timeframe], CandleWindow]:
        """Return all windows on the bus."""
        found = {}
        for symbol in self.symbols:
            for timeframe in Timeframe:
                name = schema.CANDLES[timeframe].name(symbol=symbol)
                found[symbol, timeframe] = CandleWindow.decode(self._client.get(name) or b"", name)
        return found


async def closing_frames(platform: Platform, port: int) -> list[bytes]:
    """Return the exchange's frames of one more 5m close."""
    names = "/".join(stream_name(symbol, M5) for symbol in platform.symbols)
    frames: dict[str, bytes] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{port}/stream?streams={names}") as stream,
    ):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(platform.close)
        async with asyncio.timeout(20):
            while len(frames) < len(platform.symbols):
                raw = (await stream.receive()).data
                event = parse_frame(raw)
                if isinstance(event, KlineEvent) and event.is_closed:
                    frames[event.symbol] = raw.encode() if isinstance(raw, str) else raw
    return list(frames.values())


class Bare:
    """The floor: all the work in one script."""

    def __init__(
        self, url: str, windows: Mapping[tuple[str, Timeframe], CandleWindow], now_ms: int
    ) -> None:
        self._client = redis.Redis.from_url(url)
        self._windows = windows
        self._settings = IndicatorsSection()
        self._now_ms = now_ms
        self._listener = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._listener.psubscribe(schema.TA_SIGNALS.name(symbol="*"))

    def close(self, frames: Sequence[bytes]) -> float:
        """Return the milliseconds one close takes."""
        while self._listener.get_message(timeout=0.01):
            pass
        started = time.perf_counter()
        coins, pipeline = [], self._client.pipeline(transaction=False)
        for frame in frames:
            event = parse_frame(frame)
            assert isinstance(event, KlineEvent)
            window = self._carried_on(event)
            pipeline.set(schema.CANDLES[M5].name(symbol=event.symbol), window.encode())
            pipeline.publish(
                schema.CANDLE_UPDATES.name(symbol=event.symbol), codec.encode(_update(event))
            )
            others = {t: self._windows[event.symbol, t] for t in (Timeframe.H1, Timeframe.H4)}
            coins.append(CoinWindows(event.symbol, {M5: window, **others}))
        pipeline.execute()
        pipeline = self._client.pipeline(transaction=False)
        for symbol, signal in ta_signals(coins, self._settings, self._now_ms).items():
            assert isinstance(signal, TaSignal)
            raw = codec.encode(signal)
            pipeline.set(schema.TA_LATEST.name(symbol=symbol), raw)
            pipeline.publish(schema.TA_SIGNALS.name(symbol=symbol), raw)
        pipeline.execute()
        left = len(coins)
        while left:
            message = self._listener.get_message(timeout=5.0)
            if message is not None:
                left -= message["type"] == "pmessage"
        return (time.perf_counter() - started) * 1000

    def end(self) -> None:
        self._listener.close()
        self._client.close()

    def _carried_on(self, event: KlineEvent) -> CandleWindow:
        before = self._windows[event.symbol, M5]
        closed = before.candles[before.candles.open_time_ms < event.open_ms]
        return dataclasses.replace(
            before,
            candles=closed.appended(event.row(), 1000),
            closed_until_ms=event.open_ms + M5.ms,
        )


def _update(event: KlineEvent) -> CandleUpdate:
    row = CandleRow(
        open_time_ms=event.open_ms,
        open=event.open,
        high=event.high,
        low=event.low,
        close=event.close,
        volume=event.volume,
        closed=True,
    )
    return CandleUpdate(
        symbol=event.symbol,
        timeframe=M5,
        candles=[row],
        closed_until_ms=event.open_ms + M5.ms,
        at_ms=event.event_ms,
        source="sim",
        appends=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--closes", type=int, help="closes measured (200)")
    parser.add_argument("--quick", action="store_true", help="20 closes")
    options = parser.parse_args()
    closes = options.closes or (20 if options.quick else 200)
    port = free_port()
    config = load(ROOT / "config.yaml", [f"simulator.port={port}"])
    # No scan and no pass begins around a close; closes are continuous here, so both are disabled.
    config = dataclasses.replace(
        config,
        indicators=dataclasses.replace(config.indicators, interval_s=3600),
        fetcher=dataclasses.replace(config.fetcher, interval_s=3600, long_interval_s=14_400),
    )
    sent, made = [], []
    with tempfile.TemporaryDirectory(prefix="latency-") as home, contextlib.ExitStack() as ends:
        server = PrivateRedis(str(chosen_redis().path))
        ends.callback(server.remove)
        server.start()
        running = Platform(config, Path(home), server)
        try:
            running.last_signal_ns(M5.open_at(running.clock.now_ms()), 90)
            time.sleep(3)  # the streams are connected
            for close in range(closes + UNCOUNTED):
                from_sent, from_made = running.close()
                if close >= UNCOUNTED:
                    sent.append(from_sent)
                    made.append(from_made)
                time.sleep(BETWEEN_S)
            frames = asyncio.run(closing_frames(running, port))
            bare = Bare(server.url, running.windows(), running.clock.now_ms())
        finally:
            running.stop()
        floor = [bare.close(frames) for _ in range(max(20, closes // 4))][5:]
        bare.end()

    groups = len(config.groups)
    print("## Close to signal\n")
    print(
        f"{closes} closes of {len(running.symbols)} coins at once: simulator, fetcher and\n"
        f"{groups} indicators actors as processes of their own, websocket and Redis between them.\n"
        "The frames of a close are made one after another, then sent at once; the second counts\n"
        "from when the simulator began to make them. Every twelfth close is also one of 1h, every\n"
        "48th of 4h. Floor: one bare script with the frames of a 5m close, Redis and kernels.\n"
    )
    p50 = statistics.median(floor)
    rows = [
        [name, f"{statistics.median(v):.1f} ms", f"{percentile(v, 0.99):.1f} ms",
         f"{statistics.median(v) / p50:.1f}", f"{max(v):.1f} ms"]
        for name, v in (
            ("from the frames sent", sent), ("from the first one begun", made),
            ("floor", floor),
        )
    ]  # fmt: skip
    print(table(("", "p50", "p99", "p50 / floor's p50", "longest"), rows))
    p99 = percentile(sent, 0.99)
    print(f"\n- Aim: p99 at most {AIM_MS:.0f} ms (from the frames sent): {verdict(p99 <= AIM_MS)}.")
    print(
        f"- Aim: at most {AIM_FLOORS:g} times the floor (p99 over the floor's median "
        f"{p50:.1f} ms): {p99 / p50:.1f}, {verdict(p99 <= AIM_FLOORS * p50)}."
    )


if __name__ == "__main__":
    main()
