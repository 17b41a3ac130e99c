"""`coinex strategy check`: tries the laws on recorded candles, and records the outcome."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shared.backtest.recording import chosen_symbols, read_recording
from shared.clock import SystemClock
from shared.config.load import configured_strategy, load, overridden
from shared.errors import EXIT_FAILED, EXIT_OK, BadMessage, PlatformError, count
from shared.files import write_atomically
from shared.market import Candles, Timeframe
from shared.strategy.contract import LoadedStrategy, Scores, Series
from shared.strategy.laws import COINS, Calls, Laws, Outcome
from shared.strategy.process import StrategyProcess
from shared.strategy.records import (
    FILE,
    CheckRecord,
    filled,
    in_words,
    read_records,
    with_record,
)
from shared.strategy.source import BadStrategy, StrategyFile, StrategySection, read_strategy

COLOURS = {"kept": "green", "broken": "red", "not run": "yellow", "noted": "yellow"}
PIPE_WIDTH = 140


class Asking:
    """A strategy in a process that is started anew after it died."""

    def __init__(self, section: StrategySection, owner: str) -> None:
        self.process = StrategyProcess(section, owner=owner, now_s=time.monotonic)

    def load(self) -> LoadedStrategy:
        self.process.start()
        return self.process.load()

    def score(self, series: Series) -> Scores:
        if self.process.pid is None:
            self.load()
        scores = self.process.score(series)
        if self.process.remarks:
            raise PlatformError("; ".join(self.process.remarks))
        return scores


@contextlib.contextmanager
def asking(section: StrategySection, owner: str) -> Iterator[Asking]:
    """Yield a strategy to ask; its process ends afterwards."""
    found = Asking(section, owner)
    try:
        yield found
    finally:
        found.process.kill()


def check(options: argparse.Namespace) -> int:
    """Try all laws, print what became of them, and record it; return the exit code."""
    # the strategy of the configuration may be the very one that is to be mended
    others = [*options.set, "strategy=base", "strategy_parameters={}"]
    config = load(Path(options.config), others, mode=options.mode, to_run=False)
    file = read_strategy(options.file)
    section = StrategySection(
        file=file, parameters=_parameters(options, file), timeout_s=config.strategy_timeout_s
    )
    coins = _candles(options)
    with asking(section, "check") as first, asking(section, "check, again") as second:
        loaded = first.load()
        laws = Laws(
            loaded,
            Calls(first.score, second.score, time.monotonic),
            coins,
            np.random.default_rng(options.seed),
            coins_live=len(config.symbols),
            limit_s=config.strategy_timeout_s,
        )
        found = []
        for outcome in laws.outcomes():
            if not options.json:
                print(f"{outcome.law}: {outcome.state}", flush=True)
            found.append(outcome)
    record = _record(section, loaded, found)
    kept = _keep(Path(config.state_dir).resolve(), record)
    _show(options, record, found, list(coins), kept)
    return EXIT_FAILED if record.broken else EXIT_OK


def _parameters(options: argparse.Namespace, file: StrategyFile) -> dict[str, Any]:
    """Return those of the configuration if it names this file, changed by those of `--set`."""
    reference, configured = configured_strategy(Path(options.config), options.set)
    with contextlib.suppress(BadStrategy):  # then it is another
        named = read_strategy(reference)
        if (named.path, named.class_name) == (file.path, file.class_name):
            return configured
    given: dict[str, Any] = overridden(options.set).get("strategy_parameters", {})
    return given


def _candles(options: argparse.Namespace) -> dict[str, dict[Timeframe, Candles]]:
    wanted = [symbol for symbol in options.symbols.split(",") if symbol]
    symbols = chosen_symbols(options.candles, wanted)
    if not wanted:
        rng = np.random.default_rng(options.seed)
        chosen = rng.choice(len(symbols), min(COINS, len(symbols)), replace=False)
        symbols = [symbols[place] for place in sorted(chosen.tolist())]
    return {symbol: dict(read_recording(options.candles, symbol).candles) for symbol in symbols}


def _record(section: StrategySection, loaded: LoadedStrategy, found: list[Outcome]) -> CheckRecord:
    return CheckRecord(
        path=section.file.path,
        class_name=section.file.class_name,
        digest=section.file.digest,
        name=loaded.name,
        version=loaded.version,
        checked_ms=SystemClock().now_ms(),
        broken={each.law: each.text for each in found if each.state == "broken"},
        is_whole_equal=any(each.law == "live call" and each.state == "kept" for each in found),
        parameters=loaded.parameters,
        tried=filled(loaded.parameters, section.parameters),
    )


def _keep(state_dir: Path, record: CheckRecord) -> str:
    """Record the outcome; return where, or why not. Records that cannot be read are left alone."""
    lost = "not recorded, so the trader does not know of it"
    try:
        records = read_records(state_dir)
    except BadMessage as error:
        return f"{lost}: {error}; restore that file, or move it away, and check again"
    try:
        write_atomically(state_dir / FILE, with_record(records, record))
    except OSError as error:
        return f"{lost}: {state_dir / FILE} ({error.strerror}); run it as the platform's user"
    return f"recorded in {state_dir / FILE}"


def _show(
    options: argparse.Namespace,
    record: CheckRecord,
    found: list[Outcome],
    symbols: list[str],
    kept: str,
) -> None:
    if options.json:
        document: dict[str, Any] = {
            **asdict(replace(record, parameters={})),
            "passed": not record.broken,
            "laws": [asdict(each) for each in found],
            "symbols": symbols,
            "recorded": kept,
        }
        del document["parameters"]
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.console import Console  # noqa: PLC0415  # not with --json
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=f"{record.name} {record.version} on {', '.join(symbols)}")
    for heading in ("law", "", "what was seen"):
        table.add_column(heading)
    for each in found:
        table.add_row(each.law, Text(each.state, style=COLOURS[each.state]), Text(each.text))
    console = Console()
    (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(table)
    if record.broken:
        print(f"refused: {count(len(record.broken), 'law')} broken ({', '.join(record.broken)})")
    else:
        print(f"passed, as SHA-256 {record.digest[:12]}...")
    print(f"tried with the parameters {in_words(record.tried or {})}")
    print(kept)
