"""`coinex candles fetch`: candles from the exchange, beside a platform that runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shared.candles.parquet import writing
from shared.clock import SystemClock, utc_text
from shared.config.load import load
from shared.config.sections import Config
from shared.console.candle_download import Download, Fetched, with_advice
from shared.console.option_values import Misuse, print_list, time_ms
from shared.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO_SUPERVISOR,
    EXIT_OK,
    PlatformError,
    RateLimited,
    count,
)
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import SPOT, USD_M, BinanceClient
from shared.http_client import open_session
from shared.market import StoredTimeframe
from shared.messages.candles import Source
from shared.supervision.control_client import ask_status
from shared.supervision.preflight import is_running
from shared.symbols import SYMBOL_WORDS, is_symbol
from shared.web.hosts import base_url

ANSWER_S = 5.0
TIMEOUT_S = 20.0
PROGRESS_S = 10.0
BESIDE_A_PLATFORM = 0.5


class NoSimulator(PlatformError):
    """Mode demo, and no simulated exchange runs."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    symbols: list[str]
    timeframes: list[StoredTimeframe]
    from_ms: int
    until_ms: int
    funding: bool

    @property
    def rows(self) -> int:
        """Number of candles, and of coins whose funding rates are fetched."""
        length_ms = self.until_ms - self.from_ms
        per_coin = sum(length_ms // timeframe.ms for timeframe in self.timeframes)
        return len(self.symbols) * (per_coin + self.funding)


def fetch(options: argparse.Namespace) -> int:
    """Fetch what the store does not have and return the exit code.

    Raises:
        Misuse: An option is invalid.
        ConfigError: The configuration is.
        StoreInUse, OSError: The store cannot be written.
    """
    config = load(Path(options.config), options.set, mode=options.mode, to_run=False)
    clock = SystemClock()
    wanted = _wanted(options, config, clock.now_ms())
    state_dir = Path(config.state_dir).resolve()
    if state_dir.exists() and not os.access(state_dir, os.R_OK | os.X_OK):
        raise PermissionError(
            f"{state_dir} is for its owner alone, and has the file that tells of bans by the "
            "exchange: fetch as its owner, or name another with --set state_dir=DIR"
        )
    try:
        spot_url, futures_url, source = _exchange(config, state_dir)
    except NoSimulator as error:
        print(f"candles fetch: {error}", file=sys.stderr)
        return EXIT_NO_SUPERVISOR
    done: list[Fetched] = []
    interrupted, failure = False, ""
    began_s = clock.monotonic()
    with writing(options.store), _progress(wanted.rows, clock) as (advanced, say):

        async def run() -> None:
            nonlocal done
            async with open_session() as session:
                spot, futures = (
                    BinanceClient(
                        session,
                        base_url=url,
                        clock=clock,
                        ban=BanFile(state_dir / "binance-ban"),
                        timeout_s=TIMEOUT_S,
                        weight_share=_share(config, state_dir),
                        api=api,
                        log=_silent(),
                    )
                    for url, api in ((spot_url, SPOT), (futures_url, USD_M))
                )
                download = Download(
                    spot,
                    futures,
                    options.store,
                    source=source,
                    clock=clock,
                    rng=random.Random(),
                    share=lambda: _share(config, state_dir),
                    again=options.again,
                    advanced=advanced,
                    say=say,
                )
                done = download.done
                await download.begin(wanted.symbols)
                for symbol in wanted.symbols:
                    for timeframe in wanted.timeframes:
                        await download.candles(symbol, timeframe, wanted.from_ms, wanted.until_ms)
                    if wanted.funding:
                        await download.funding(symbol, wanted.from_ms, wanted.until_ms)

        try:
            asyncio.run(run())
        except KeyboardInterrupt:
            interrupted = True
        except RateLimited as error:
            failure = with_advice(error)
        except PlatformError as error:
            failure = str(error)
        except OSError as error:
            failure = f"{options.store}: {error.strerror or error}"
    seconds = clock.monotonic() - began_s
    return _told(options, done, seconds, interrupted=interrupted, failure=failure)


def _wanted(options: argparse.Namespace, config: Config, now_ms: int) -> _Wanted:
    from_ms = max(0, time_ms(options.since, "--from", 0))
    until_ms = min(time_ms(options.until, "--to", now_ms), now_ms)
    if from_ms >= until_ms:
        end = f"--to {options.until}" if options.until else "now"
        raise Misuse(f"--from {options.since} is not before {end}")
    names = [name for name in options.timeframes.split(",") if name]
    unknown = [name for name in names if name not in set(StoredTimeframe)]
    if unknown or not names:
        raise Misuse(f"--timeframes {options.timeframes}: expected of {','.join(StoredTimeframe)}")
    symbols = [symbol for symbol in options.symbols.split(",") if symbol] or config.symbols
    for symbol in symbols:
        if not is_symbol(symbol):
            raise Misuse(f"--symbols: found {symbol!r}, expected {SYMBOL_WORDS}")
    return _Wanted(
        list(dict.fromkeys(symbols)),
        [timeframe for timeframe in StoredTimeframe if timeframe in names],
        from_ms,
        until_ms,
        options.funding,
    )


def _exchange(config: Config, state_dir: Path) -> tuple[str, str, Source]:
    """Return the addresses of the two APIs, and whose prices they give."""
    if config.mode != "demo":
        return config.binance.base_url, config.binance.futures_url, "binance"
    port = None
    if is_running(state_dir):
        with contextlib.suppress(OSError, PlatformError):
            rows = ask_status(state_dir / "supervisor.sock", ANSWER_S)["actors"]
            port = next((row["port"] for row in rows if row["name"] == "exchange-sim"), None)
    if not port:
        raise NoSimulator(
            f"mode demo fetches from the simulated exchange, and none runs on {state_dir}; "
            "start the platform, or fetch real candles: --mode paper"
        )
    address = base_url(config.simulator.host, port)
    return address, address, "sim"


def _share(config: Config, state_dir: Path) -> float:
    """Return the share of the weight limit that may be used while things are as they are."""
    share = config.binance.weight_share
    return share * BESIDE_A_PLATFORM if is_running(state_dir) else share


def _silent() -> logging.Logger:
    log = logging.getLogger("candles")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return log


@contextlib.contextmanager
def _progress(
    rows: int, clock: SystemClock
) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """Show how far it is: a bar on a terminal, else a line every ten seconds."""
    if not sys.stderr.isatty():
        gone, shown_s = 0, clock.monotonic()

        def count_up(more: int) -> None:
            nonlocal gone, shown_s
            gone += more
            if clock.monotonic() - shown_s >= PROGRESS_S:
                shown_s = clock.monotonic()
                print(f"{gone:,} of {rows:,} candles", file=sys.stderr, flush=True)

        yield count_up, lambda text: print(text, file=sys.stderr, flush=True)
        return
    from rich.console import Console  # noqa: PLC0415  # only where there is a bar to be seen
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("candles"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=rows)
        yield (
            lambda more: bar.advance(task, more),
            lambda text: bar.console.print(text, markup=False, highlight=False),
        )


def _told(
    options: argparse.Namespace,
    done: list[Fetched],
    seconds: float,
    *,
    interrupted: bool,
    failure: str,
) -> int:
    """Print what was done and return the exit code."""
    faults = [f"{each.symbol} {each.what}: {each.error}" for each in done if each.error]
    refused = [text for each in done for text in each.refused]
    code = EXIT_FAILED if faults or refused or failure else EXIT_OK
    if interrupted:
        code = EXIT_INTERRUPTED
    if options.json:
        document: dict[str, Any] = {
            "store": str(options.store),
            "interrupted": interrupted,
            "error": failure,
            "series": [each.as_document() for each in done],
        }
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    rows = sum(each.rows for each in done)
    absent = [
        f"{each.symbol} {each.what}: {utc_text(since)} to {utc_text(until)}"
        for each in done
        for since, until in each.absent
    ]
    if not options.json:
        print(
            f"{rows:,} new rows in {count(len(done), 'file')} of {options.store}, "
            f"in {seconds:.1f} s"
        )
        print_list("the exchange has nothing of", absent)
        print_list("replaced", [text for each in done for text in each.replaced])
    print_list("refused", refused, sys.stderr)
    print_list("not complete", faults, sys.stderr)
    if failure:
        print(f"candles fetch: {failure}", file=sys.stderr)
    if interrupted:
        print("interrupted; the same command goes on from here", file=sys.stderr)
    return code
