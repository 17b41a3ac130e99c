"""`coinex sweep`: tries many settings on recorded candles, and says whether one is no luck."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from shared import codec
from shared.clock import Clock, SystemClock
from shared.config.defaults import Mode
from shared.config.load import load
from shared.console.option_values import (
    ALWAYS,
    Misuse,
    add_market_detail,
    print_list,
    results_directory,
    time_ms,
)
from shared.console.outcome import carried_out
from shared.errors import EXIT_OK, BadMessage, PlatformError, count
from shared.files import write_atomically
from shared.pid_lock import AlreadyLocked, PidLock

# NumPy and the kernels are loaded when something is swept, not with every command.
if TYPE_CHECKING:
    from shared.backtest.replay import Recording
    from shared.backtest.simulation.market_detail import MarketDetail
    from shared.backtest.sweep.run import Question
    from shared.config.sections import Config

RESULT, RUN, LOCK = "sweep.json", "run.json", "sweep.lock"
PROGRESS_S = 10.0
Document = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `sweep`."""
    parser.epilog = (
        "A sweep that was stopped goes on when it is given again. Exit codes: 0 done, whatever it "
        "shows, 1 failed, 2 usage, 78 bad configuration or --param, 130 interrupted."
    )
    parser.add_argument(
        "--candles", type=Path, metavar="DIR", help="a candle store, or SYMBOL-5m.csv.gz files"
    )
    parser.add_argument("--from", dest="since", metavar="T", help="begin, UTC: 2025-02-01[T12:00]")
    parser.add_argument("--to", dest="until", metavar="T", help="end, not included")
    parser.add_argument("--symbols", default="", metavar="A,B", help="(all that are recorded)")
    parser.add_argument(
        "--param", action="append", default=[], metavar="KEY=VALUES",
        help="vary one value: trader.entry_score=70:95:5, or =80,85,90; may be given often",
    )  # fmt: skip
    parser.add_argument("--random", type=int, metavar="N", help="draw N of all combinations")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (0)")
    parser.add_argument(
        "--walk-forward", default="30d/10d", metavar="A/B",
        help="days before the first choice, and from each to the next, or none (30d/10d)",
    )  # fmt: skip
    parser.add_argument(
        "--hold-out", default="20%", metavar="SHARE", help="of the days, not looked at (20%%)"
    )
    parser.add_argument(
        "--objective", choices=("sharpe", "return"), default="sharpe", help="to choose by (sharpe)"
    )
    parser.add_argument(
        "--release", choices=("never", "daily"), default="never",
        help="when latched breakers are released (never)",
    )  # fmt: skip
    add_market_detail(parser)
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="what runs the settings (local)"
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="a Ray cluster that this machine is one of"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="(one per core)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory for the result")
    parser.add_argument("--json", action="store_true", help="print the result for programs")
    verbs = parser.add_subparsers(dest="action", metavar="[ACTION]")
    every = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    # as before the action, where they may stand, too
    every.add_argument("--config", metavar="FILE", help="the configuration")
    every.add_argument("--mode", choices=get_args(Mode), help="instead of the file's mode")
    every.add_argument("--json", action="store_true", help="print the result for programs")
    summary = "look at a sweep's hold-out with the one setting that was chosen, and note it"
    opening = verbs.add_parser("open-hold-out", help=summary, description=summary, parents=[every])
    opening.add_argument("directory", type=Path, metavar="DIR", help="the sweep's result")


def sweep(options: argparse.Namespace) -> int:
    """Do what was asked and return the exit code."""
    from shared.backtest.recording import NothingToReplay  # noqa: PLC0415
    from shared.backtest.sweep.folds import BadPlan  # noqa: PLC0415

    def work() -> int:
        if options.action:
            return _open_hold_out(options, SystemClock())
        return _sweep(options, SystemClock())

    return carried_out(
        f"sweep {options.action}" if options.action else "sweep",
        work,
        misuse=(BadPlan, NothingToReplay),
        interrupted="interrupted; the same command goes on where it was",
    )


def _sweep(options: argparse.Namespace, clock: Clock) -> int:
    from shared.backtest.results.hashes import data_hash  # noqa: PLC0415
    from shared.backtest.results.words import assumed  # noqa: PLC0415
    from shared.backtest.simulation.market_detail import assumptions  # noqa: PLC0415
    from shared.backtest.sweep import document as made  # noqa: PLC0415
    from shared.backtest.sweep import engines  # noqa: PLC0415
    from shared.backtest.sweep.prepared import prepare  # noqa: PLC0415
    from shared.backtest.sweep.run import run_sweep  # noqa: PLC0415
    from shared.console.sweep_ledger import (  # noqa: PLC0415
        ledger_path,
        noted_sweep,
        sweep_line,
    )
    from shared.console.sweep_strategy import (  # noqa: PLC0415
        history_of,
        random_entries,
        score_sets,
    )

    if options.candles is None:
        raise Misuse("--candles DIR is missing: a candle store, or SYMBOL-5m.csv.gz files")
    for name, least in (("processes", 1), ("random", 1), ("seed", 0)):
        if (given := getattr(options, name)) is not None and given < least:
            raise Misuse(f"--{name} {given}: expected at least {least}")
    _check_engine(options)
    engines.require(options.engine)
    config = load(Path(options.config), options.set, mode=options.mode, to_run=False)
    began_ms, began = clock.now_ms(), clock.monotonic()
    recordings = _recordings(options.candles, options.symbols.split(","))
    question, details, left_out = _question(options, config, recordings)
    plan = question.plan
    history = history_of(config.indicators, question.strategy)
    everything = data_hash(recordings, history, plan.selection.from_ms, plan.end_ms, details)
    print_list(f"{len(left_out)} left out", left_out, sys.stderr)
    out = options.out or results_directory(Path(config.state_dir), f"sweep-{question.id[:12]}")
    with _alone(out):
        # before the first look: what was tried counts, even if it is stopped
        before = _read(out / RESULT) if (out / RESULT).exists() else None
        line = sweep_line(question, everything, clock.now_ms())
        ledger = noted_sweep(options.candles, line, before, out)
        scores = out / "prepared" / question.scores_key[:16]
        span_ms = (plan.selection.from_ms, plan.selection.to_ms)
        prepare(scores, recordings.values(), config.indicators, *span_ms, details=details)
        symbols = list(recordings)
        seen = {symbol: each.between(*span_ms) for symbol, each in details.items()}
        made_of = assumptions(seen, question.model, *span_ms)
        for name, text in assumed(made_of):
            print(f"sweep: {name}: {text}", file=sys.stderr)
        progress = _Progress(clock, "set")
        tally = score_sets(question, scores, recordings, options.processes, progress)
        for each in (recordings, details, seen):
            each.clear()
        engine = (options.engine, options.processes, options.address, options.environment)
        with engines.opened(*engine) as executor:
            tried = run_sweep(question, scores, out / "settings", executor, _Progress(clock))
        verdict = made.verdict_on(question, tried, ledger, random_entries(question, tried, scores))
        found = made.document(question, tried, verdict, ledger, everything, tally=tally)
        found["left_out"], found["assumptions"] = list(left_out), made_of
        _write(out / RUN, {
            "candles": str(options.candles.resolve()),
            "ledger": str(ledger_path(options.candles)),
            "symbols": symbols,
            "strategy": config.strategy,
            "began_ms": began_ms,
            "took_s": round(clock.monotonic() - began, 3),
            "processes": None if options.address else options.processes,
            "engine": options.engine,
            "address": options.address,
        })  # fmt: skip
        if before is not None:
            found = made.still_opened(found, before)
        _write(out / RESULT, found)
    _show(found, out, as_json=options.json)
    return EXIT_OK


def _check_engine(options: argparse.Namespace) -> None:
    address = options.address
    if address is None:
        return
    if options.engine != "ray":
        raise Misuse(f"--address {address} is of a Ray cluster: give --engine ray with it")
    if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{4,5}", address):
        raise Misuse(f"--address {address}: expected HOST:PORT, such as 192.0.2.1:6380")
    print(
        f"sweep: whoever reaches a port of the Ray cluster at {address} runs code on its hosts",
        file=sys.stderr,
    )


def _question(
    options: argparse.Namespace, config: Config, recordings: Mapping[str, Recording]
) -> tuple[Question, dict[str, MarketDetail], Sequence[str]]:
    """Return what is asked, what there is beside the candles, and what was left out of it."""
    from shared.backtest.results.hashes import data_hash  # noqa: PLC0415
    from shared.backtest.simulation.fill_model import FillModel  # noqa: PLC0415
    from shared.backtest.simulation.market_detail import read_details  # noqa: PLC0415
    from shared.backtest.sweep.folds import (  # noqa: PLC0415
        hold_out_share,
        time_plan,
        walk_forward,
    )
    from shared.backtest.sweep.grid import axes_of, grid  # noqa: PLC0415
    from shared.backtest.sweep.run import Question  # noqa: PLC0415
    from shared.console.sweep_strategy import history_of  # noqa: PLC0415
    from shared.console.tested_strategy import asked_strategy, of_coins  # noqa: PLC0415
    from shared.evidence.fits import slow_timer  # noqa: PLC0415

    if slow := slow_timer(config.trader):
        print(f"sweep: {slow}", file=sys.stderr)
    fold, held = walk_forward(options.walk_forward), hold_out_share(options.hold_out)
    first_of = {axis.path[1]: axis.values[0] for axis in axes_of(options.param)
                if axis.path[0] == "strategy_parameters"}  # fmt: skip
    with asked_strategy(config, first_of) as user:
        asked = grid(options.param, config, draw=options.random, seed=options.seed, strategy=user)
        strategy = None
        if user is not None:
            sets = [setting.strategy_parameters for setting in asked.settings]
            strategy = of_coins(user, config, list(recordings), "sweep", sets)
    if options.address and strategy is not None:
        raise Misuse(
            f"--address {options.address}: a strategy of your own is swept on this machine only; "
            "leave it out"
        )
    first = min(int(recording.closes[0]) for recording in recordings.values())
    last = max(int(recording.closes[-1]) for recording in recordings.values())
    from_ms = max(time_ms(options.since, "--from", ALWAYS[0]), first)
    to_ms = min(time_ms(options.until, "--to", ALWAYS[1]), last)
    plan = time_plan(from_ms, to_ms, held, fold)
    selection, values = plan.selection, recordings.values()
    model = FillModel(release=options.release, detail=options.detail, funding=options.funding)
    details = read_details(options.candles, values, model, selection.from_ms, plan.end_ms)
    question = Question(
        settings=asked.settings,
        plan=plan,
        model=model,
        objective=options.objective,
        indicators=config.indicators,
        data_hash=data_hash(
            recordings,
            history_of(config.indicators, strategy),
            selection.from_ms,
            selection.to_ms,
            details,
        ),
        strategy=strategy,
    )
    return question, details, asked.left_out


def _open_hold_out(options: argparse.Namespace, clock: Clock) -> int:
    from shared.backtest.results.hashes import data_hash  # noqa: PLC0415
    from shared.backtest.simulation.fill_model import FillModel  # noqa: PLC0415
    from shared.backtest.simulation.market_detail import read_details  # noqa: PLC0415
    from shared.backtest.sweep import document as made  # noqa: PLC0415
    from shared.backtest.sweep.folds import Part  # noqa: PLC0415
    from shared.backtest.sweep.prepared import prepare  # noqa: PLC0415
    from shared.backtest.sweep.settings_run import run_setting  # noqa: PLC0415
    from shared.backtest.sweep.stored import key_of  # noqa: PLC0415
    from shared.config.sections import IndicatorsSection, TraderSection  # noqa: PLC0415
    from shared.console.sweep_ledger import noted_opening  # noqa: PLC0415
    from shared.console.sweep_strategy import (  # noqa: PLC0415
        history_of,
        scored_part,
        strategy_of_result,
    )
    from shared.evidence.hashes import FILLS  # noqa: PLC0415
    from shared.trading.strategy import RULES  # noqa: PLC0415

    # of it only how long a strategy may take counts
    others = [*options.set, "strategy=base", "strategy_parameters={}"]
    config = load(Path(options.config), others, mode=options.mode, to_run=False)
    out: Path = options.directory
    with _alone(out, must_exist=True):
        found, run = _read(out / RESULT), _read(out / RUN)
        try:
            chosen, held = found["chosen"], found["hold_out"]
            if held is None:
                raise Misuse(f"{out}: this sweep has no hold-out (--hold-out 0%)")
            if chosen is None:
                raise Misuse(f"{out}: no setting ever traded, so none was chosen to look with")
            trader = codec.from_plain(TraderSection, chosen["trader"], RESULT)
            if found["fill_model"].get("fills") != FILLS:
                raise Misuse(f"{out}: its trades were filled by another version; sweep again")
            model = codec.from_plain(FillModel, found["fill_model"], RESULT)
            indicators = codec.from_plain(IndicatorsSection, found["indicators"], RESULT)
            part = Part(held["from_ms"], held["to_ms"], held["to_ms"])
            candles, symbols = options.candles or Path(run["candles"]), run["symbols"]
            strategy = strategy_of_result(found, run, config.strategy_timeout_s)
            id_ = key_of(
                RULES, chosen["settings_hash"], found["data_hash"], held["from_ms"], held["to_ms"],
                *([] if strategy is None else [strategy.identity.key]),
            )  # fmt: skip
            begin_ms = found["selection"]["from_ms"]
        except (KeyError, TypeError) as error:
            raise BadMessage(str(out), str(error), "missing; run the sweep again") from None
        recordings = _recordings(candles, symbols)
        history, span_ms = history_of(indicators, strategy), (begin_ms, part.to_ms)
        details = read_details(candles, recordings.values(), model, *span_ms)
        if data_hash(recordings, history, *span_ms, details) != found["data_hash"]:
            raise BadMessage(
                str(candles), "", "other candles than those of the sweep; run the sweep again"
            )
        held_ms = (part.from_ms, part.to_ms, part.to_ms)
        # before the first look
        ledger = noted_opening(candles, found, out, id_=id_, held_ms=held_ms, at_ms=clock.now_ms())
        scores = out / "prepared" / f"hold-out-{id_[:16]}"
        prepare(scores, recordings.values(), indicators, *held_ms[:2], details=details)
        coins = scored_part(strategy, scores, recordings, part, options.processes)
        result = run_setting(coins, trader, model, part)
        found = made.opened(found, result, ledger.openings(part.from_ms, part.to_ms))
        _write(out / RESULT, found)
    _show(found, out, as_json=options.json)
    return EXIT_OK


# Files


def _recordings(candles: Path, wanted: Sequence[str]) -> dict[str, Recording]:
    from shared.backtest.recording import chosen_symbols, read_recording  # noqa: PLC0415

    found = {}
    for symbol in chosen_symbols(candles, [name for name in wanted if name]):
        found[symbol] = read_recording(candles, symbol)
        for remark in found[symbol].remarks:
            print(f"sweep: {remark}", file=sys.stderr)
    return found


@contextmanager
def _alone(out: Path, *, must_exist: bool = False) -> Iterator[None]:
    """Let nobody else write to a result meanwhile."""
    if must_exist and not (out / RESULT).is_file():
        raise Misuse(f"{out}: no {RESULT} there; name the --out of a sweep that has ended")
    try:
        lock = PidLock(out / LOCK)
    except AlreadyLocked as error:
        raise PlatformError(
            f"{out}: being written by {error.holder}; wait until that has ended, or name another"
        ) from None
    try:
        for unfinished in out.glob("**/.*.npz.*"):  # of a process that was killed
            unfinished.unlink(missing_ok=True)
        yield
    finally:
        lock.close()


def _read(path: Path) -> Document:
    return codec.json_object(path.read_bytes(), str(path))


def _write(path: Path, found: Document) -> None:
    write_atomically(path, json.dumps(found, indent=1, allow_nan=False).encode() + b"\n")


# What is printed


class _Progress:
    """Prints how far it is, every `PROGRESS_S`."""

    def __init__(self, clock: Clock, what: str = "backtest") -> None:
        self._clock, self._what = clock, what
        self._printed = clock.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if self._clock.monotonic() - self._printed > PROGRESS_S:
            self._printed = self._clock.monotonic()
            print(f"{done} of {count(total, self._what)}", file=sys.stderr)


def _show(found: Document, out: Path, *, as_json: bool) -> None:
    from shared.console.sweep_text import lines  # noqa: PLC0415

    if as_json:
        print(json.dumps(found, allow_nan=False))
    else:
        print("\n".join(lines(found, out)))
