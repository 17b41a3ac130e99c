"""`coinex backtest`: what the trader's rule would have earned on recorded candles."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from shared.clock import SystemClock
from shared.config.load import load, overridden
from shared.console.option_values import (
    ALWAYS,
    Misuse,
    add_market_detail,
    add_recorded,
    results_directory,
    time_ms,
)
from shared.console.outcome import carried_out
from shared.errors import EXIT_OK

# NumPy and the kernels are loaded when something is tested, not with every command.
if TYPE_CHECKING:
    from shared.backtest.results.document import Result
    from shared.config.sections import Config

SECTIONS = ("trader", "strategy_parameters", "indicators")
OTHERS = ("state_dir", "strategy", "strategy_timeout_s")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `backtest`."""
    add_recorded(parser, begins="first close")
    parser.add_argument(
        "--release",
        choices=("never", "daily"),
        default="never",
        help="when breakers that tripped are released (never)",
    )
    parser.add_argument(
        "--path",
        choices=("adverse", "by_body"),
        default="adverse",
        help="the price within a candle: what hurts a position first, or as its body says",
    )
    parser.add_argument(
        "--latency-ms", type=int, default=0, metavar="N", help="from prices to the order (0)"
    )
    parser.add_argument(
        "--start", type=float, default=10_000.0, metavar="USDT", help="first equity (10000)"
    )
    add_market_detail(parser)
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="(one per core)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where report.html and the other files go (state_dir/results/backtest-DIGEST)",
    )
    parser.add_argument("--json", action="store_true", help="print result.json, for programs")


def backtest(options: argparse.Namespace) -> int:
    """Run the rule, print the result, write it; return the exit code."""
    from shared.backtest.recording import NothingToReplay  # noqa: PLC0415

    return carried_out("backtest", lambda: _backtest(options), misuse=(NothingToReplay,))


def _backtest(options: argparse.Namespace) -> int:
    from shared.backtest.results.result_files import write_result  # noqa: PLC0415
    from shared.backtest.results.words import as_text  # noqa: PLC0415
    from shared.backtest.sweep.hold_outs import note_look  # noqa: PLC0415
    from shared.evidence.fits import slow_timer  # noqa: PLC0415

    config = load(Path(options.config), options.set, mode=options.mode, to_run=False)
    _refuse_without_effect(options)
    began_s = time.perf_counter()
    result = _result(config, options)
    took_s = round(time.perf_counter() - began_s, 3)
    if slow := slow_timer(config.trader):
        print(f"backtest: {slow}", file=sys.stderr)
    if said := note_look(options.candles, result.document, SystemClock().now_ms()):
        print(f"backtest: {said}", file=sys.stderr)
    name = f"backtest-{result.document['digest'][:12]}"
    directory = options.out or results_directory(Path(config.state_dir), name)
    run = {
        "candles": str(options.candles.resolve()),
        "processes": options.processes,
        "took_s": took_s,
        "set": options.set,
    }
    written = write_result(result, run, directory)
    if options.json:
        print(orjson.dumps(result.document, option=orjson.OPT_SORT_KEYS).decode())
    else:
        print(as_text(result.document))
    print(f"written to {directory}: {', '.join(written)}", file=sys.stderr)
    return EXIT_OK


def _result(config: Config, options: argparse.Namespace) -> Result:
    from shared.backtest.recording import chosen_symbols  # noqa: PLC0415
    from shared.backtest.results.document import Question, result_of  # noqa: PLC0415
    from shared.backtest.simulation.account_run import delays_fault  # noqa: PLC0415
    from shared.backtest.simulation.fill_model import FillModel  # noqa: PLC0415
    from shared.backtest.simulation.market_detail import read_details  # noqa: PLC0415
    from shared.backtest.simulation.prepared import Prepared  # noqa: PLC0415
    from shared.console.tested_strategy import say_failed, tested_strategy  # noqa: PLC0415
    from shared.trading.strategy import BASE  # noqa: PLC0415

    if options.processes < 1:
        raise Misuse(f"--processes {options.processes}: expected at least 1")
    if options.latency_ms < 0:
        raise Misuse(f"--latency-ms {options.latency_ms}: expected 0 or more")
    if not 0 < options.start < 1e12:
        raise Misuse(f"--start {options.start:g}: expected more than 0 and less than 1e12")
    from_ms = time_ms(options.since, "--from", ALWAYS[0])
    to_ms = time_ms(options.until, "--to", ALWAYS[1])
    if from_ms >= to_ms:
        raise Misuse(f"--from {options.since} is not before --to {options.until}")
    symbols = chosen_symbols(options.candles, [s for s in options.symbols.split(",") if s])
    model = FillModel(
        path=options.path,
        latency_ms=options.latency_ms,
        start_quote=options.start,
        detail=options.detail,
        funding=options.funding,
        release=options.release,
    )
    if fault := delays_fault(config.trader, model):
        raise Misuse(fault)
    strategy = tested_strategy(config, symbols, "backtest")
    prepared = Prepared.read(
        options.candles, symbols, config.indicators, (from_ms, to_ms),
        strategy=strategy, processes=options.processes,
        warn=lambda remark: print(f"backtest: {remark}", file=sys.stderr),
    )  # fmt: skip
    details = read_details(
        options.candles, prepared.recordings.values(), model, prepared.from_ms, prepared.to_ms
    )
    coins = [details[coin.symbol].of(coin) for coin in prepared.coins]
    history = replace(prepared, coins=coins).run(config.trader, model)
    question = Question(
        recordings=prepared.recordings, trader=config.trader, indicators=config.indicators,
        model=model, from_ms=prepared.from_ms, to_ms=prepared.to_ms, details=details,
        strategy_parameters={} if strategy is None
        else strategy.loaded.effective(config.strategy_parameters),
        most_bars=0 if strategy is None else strategy.most_bars,
        strategy=asdict(BASE) if strategy is None else strategy.document(prepared.tally),
    )  # fmt: skip
    say_failed(prepared.tally, "backtest")
    return result_of(question, history)


def _refuse_without_effect(options: argparse.Namespace) -> None:
    """Refuse settings that would change nothing.

    Raises:
        Misuse: `--set` has one.
    """
    from shared.backtest.sweep.grid import IDLE  # noqa: PLC0415

    given = overridden(options.set)
    idle = [
        f"{section}.{name}"
        for section, names in IDLE.items()
        for name in given.get(section, {})
        if name in names
    ]
    idle += [name for name in given if name not in (*SECTIONS, *OTHERS)]
    if idle:
        raise Misuse(
            f"--set {', '.join(idle)}: does not count in a backtest; what counts are those "
            f"settings of {', '.join(SECTIONS)} that decide on entries and exits"
        )
