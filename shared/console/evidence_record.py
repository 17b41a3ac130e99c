"""`coinex evidence record`: writes what a sweep showed, for `trader.evidence_file`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from shared import codec
from shared.backtest.bootstrap import MIN_BLOCKS
from shared.backtest.statistics.lower_bound import BLOCK_DAYS, Bound, lower_bound
from shared.backtest.sweep.ledger import NAME, read_ledger
from shared.clock import SystemClock
from shared.config.sections import IndicatorsSection, TraderSection
from shared.errors import EXIT_OK, PlatformError, count
from shared.evidence.fits import missing, summary
from shared.evidence.hashes import tested_indicators, tested_settings
from shared.evidence.record import EvidenceRecord, Outcome, decode_record, level_pct
from shared.files import write_atomically
from shared.messages.trading import StrategyIdentity

SWEEP, RUN = "sweep.json", "run.json"
LARGEST_BYTES = 256 * 2**20
READABLE = 0o644
"""The trader may run as another user; a record is no secret."""


class NotRecorded(PlatformError):
    """The result is no evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The setting that was chosen before the hold-out was looked at."""

    trader: TraderSection
    strategy_parameters: dict[str, Any]
    settings_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOut:
    """What it did on the hold-out. `trades`: (entered, epoch ms; net result, R)."""

    opened: int
    from_ms: int
    to_ms: int
    trades: list[tuple[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What is read of `sweep.json`. `tries`: None if there was no ledger of them."""

    verdict: Outcome
    sentence: str
    tries: int | None
    strategy: StrategyIdentity
    indicators: IndicatorsSection
    fill_model: dict[str, Any]
    taker_fee: Decimal
    data_hash: str
    chosen: Chosen | None
    hold_out: HoldOut | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """What is read of `run.json`. `ledger`: its path."""

    ledger: str


def record(options: argparse.Namespace) -> int:
    """Record a result and return the exit code.

    Raises:
        PlatformError: It is no evidence, or cannot be read.
        OSError: The record cannot be written.
    """
    found = recorded(options.result, options.candles, SystemClock().now_ms())
    raw = codec.encode(found)
    decode_record(raw, "the record")  # what the trader would refuse is not written
    write_atomically(options.out, raw + b"\n")
    options.out.chmod(READABLE)
    if options.json:
        print(raw.decode())
    else:
        print(
            f"{options.out}: {summary(found, found.recorded_ms)}\n"
            f"Name it: trader.evidence_file: {options.out.absolute()}\n"
            "(a relative path starts at the folder of the configuration)"
        )
    return EXIT_OK


def recorded(directory: Path, store: Path | None, now_ms: int) -> EvidenceRecord:
    """Return what a sweep showed as a record.

    Args:
        directory: The sweep's.
        store: Has the ledger; None: where the sweep had it.

    Raises:
        NotRecorded: It is no evidence; says everything that it lacks.
        PlatformError: A file is missing, or broken.
    """
    result = _read(SweepResult, directory / SWEEP)
    chosen, hold_out = result.chosen, result.hold_out
    lacks = []
    if result.verdict != "edge":
        lacks.append(
            f"its verdict is {result.verdict} ({result.sentence}), expected edge: only that is "
            "recorded"
        )
    if chosen is None:
        lacks.append("no setting was chosen, as none ever traded")
    if hold_out is None:
        lacks.append("it has no hold-out: sweep with --hold-out 20%")
    elif not hold_out.opened:
        lacks.append("its hold-out was never opened: `sweep open-hold-out`, then record it")
    elif not hold_out.trades:
        lacks.append("nothing was traded on its hold-out: test on more candles")
    if result.tries is None:
        lacks.append("nobody knows how much was tried: it was made without a ledger")
    if lacks or chosen is None or hold_out is None or result.tries is None:
        raise NotRecorded("; ".join(lacks))
    openings = _openings(directory, store, hold_out)
    level = level_pct(openings)
    bound = _bound(hold_out, level)
    found = EvidenceRecord(
        strategy=result.strategy,
        settings={
            "trader": tested_settings(chosen.trader),
            "strategy_parameters": chosen.strategy_parameters,
            "indicators": tested_indicators(result.indicators),
        },
        settings_hash=chosen.settings_hash,
        use_ta_signals=chosen.trader.use_ta_signals,
        fill_model=result.fill_model,
        taker_fee=result.taker_fee,
        from_ms=hold_out.from_ms,
        to_ms=hold_out.to_ms,
        data_hash=result.data_hash,
        trades=len(hold_out.trades),
        mean_r=bound.mean,
        lower_r=bound.lower,
        level_pct=level,
        tries=result.tries,
        openings=openings,
        verdict=result.verdict,
        recorded_ms=now_ms,
    )
    # whatever the trader would refuse of it even with just these settings
    unfit = missing(
        found,
        replace(chosen.trader, timer_min=None),
        found.strategy,
        chosen.strategy_parameters,
        result.indicators,
        taker_fee=found.taker_fee,
    )
    if unfit:
        raise NotRecorded("; ".join(unfit))
    return found


def _openings(directory: Path, store: Path | None, hold_out: HoldOut) -> int:
    """Return how often the hold-out was looked at, by the ledger.

    Raises:
        NotRecorded: There is no ledger, or it does not know of this opening.
        LedgerBroken: It was changed.
    """
    if store is None:
        store = Path(_read(SweepRun, directory / RUN).ledger).parent
    ledger = read_ledger(store)
    if ledger is None:
        raise NotRecorded(
            f"{store} has no {NAME}, which knows how often the hold-out was looked at: name the "
            "store of the candles with --candles"
        )
    openings = ledger.openings(hold_out.from_ms, hold_out.to_ms)
    if openings < hold_out.opened:
        raise NotRecorded(
            f"the ledger in {store} knows of {count(openings, 'opening')} of this hold-out, the "
            f"result of {hold_out.opened}: it is of other candles, or lines are missing at its "
            "end; name the store with --candles, or restore the ledger"
        )
    return openings


def _bound(hold_out: HoldOut, level: float) -> Bound:
    """Return mean and lower bound of the hold-out's trades.

    Raises:
        NotRecorded: They are in too few blocks of days.
    """
    bound = lower_bound(
        np.array([r for _, r in hold_out.trades]),
        np.array([at_ms for at_ms, _ in hold_out.trades], dtype=np.int64),
        level,
    )
    if bound.blocks < MIN_BLOCKS:
        raise NotRecorded(
            f"its hold-out has trades in {count(bound.blocks, 'block')} of {BLOCK_DAYS} days, "
            f"{MIN_BLOCKS} are needed: test on more candles"
        )
    return bound


def _read[T](kind: type[T], path: Path) -> T:
    """Return what is needed of a result's file.

    Raises:
        BadMessage: It has not all of it.
        NotRecorded: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise NotRecorded(
            f"{path}: not readable ({error.strerror or error}); name the directory that "
            "`sweep --out` wrote"
        ) from None
    if len(raw) > LARGEST_BYTES:
        raise NotRecorded(f"{path}: larger than {LARGEST_BYTES:,} bytes, no sweep writes that")
    return codec.decode(kind, raw, str(path))
