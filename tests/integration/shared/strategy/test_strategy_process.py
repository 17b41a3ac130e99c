"""A user's strategy in its process: whatever it does is an answer or an error, in time."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.indicators.signals import CoinWindows
from shared.market import Timeframe
from shared.strategy.contract import Series, series_at
from shared.strategy.live import CloseScore, StrategyScore
from shared.strategy.process import ENVIRONMENT, StrategyDied, StrategyFailed, StrategyProcess
from shared.strategy.scorer import FileScorer
from tests.support.candle_series import window_at
from tests.support.manual_clock import ManualClock
from tests.support.recordings import generated
from tests.support.strategies import TRIAL, section, simple, written
from tests.support.waiting import eventually

M5, H1 = Timeframe.M5, Timeframe.H1
CANDLES = generated("BTCUSDT", 3000).candles
CLOSE_MS = H1.open_at(int(CANDLES[M5].open_time_ms[2900]))
BARS = {M5: 96, H1: 24}
LIMIT_S = 1.0
TRACE = Path("/tmp/strategy-was-here")


def series(coin: str = "BTCUSDT") -> Series:
    return series_at({coin: CANDLES}, BARS, CLOSE_MS)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrategyProcess]:
    """One process for all tests that leave it alive; the others let it be started again."""
    file = written(tmp_path_factory.mktemp("strategy") / "trial.py", TRIAL)
    process = StrategyProcess(section(file, LIMIT_S), owner="tests", now_s=time.monotonic)
    yield process
    process.kill()


@pytest.fixture
def running(one: StrategyProcess) -> StrategyProcess:
    if one.pid is None:
        one.start()
        assert one.load().name == "trial"
    return one


def test_it_says_what_it_is_and_scores_what_it_is_given(running: StrategyProcess) -> None:
    found = running.score(series())
    closes = series()[M5].close
    assert found.long.shape == (1, 96) and (found.long + found.short)[0, -1] == pytest.approx(100)
    assert (found.long[0, -1] > 50) == (closes[0, -1] > closes[0, -6])


def test_its_process_has_limits_and_no_secrets(running: StrategyProcess) -> None:
    process = psutil.Process(running.pid)
    assert process.rlimit(psutil.RLIMIT_AS)[0] == 1024**3
    assert process.rlimit(psutil.RLIMIT_FSIZE) == process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_NOFILE)[0] == 64
    assert process.rlimit(psutil.RLIMIT_CPU)[0] > 0
    assert process.nice() >= 10 and os.getpgid(process.pid) == process.pid
    assert process.name() == "coinex: strategy of tests" and process.cwd() == "/"
    with pytest.raises(StrategyFailed, match=r"'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'"):
        running.score(series("SECRETS"))
    assert set(process.environ()) <= set(ENVIRONMENT)


@pytest.mark.parametrize(
    ("coin", "words"),
    [
        ("RAISE", r"ZeroDivisionError: by nothing\\ud800 \(line \d+\)"),
        ("MEMORY", "MemoryError"),
        ("WRITE", "may not use a file to write ./tmp/strategy-was-here"),
        ("STOP", "SystemExit: no more"),
        ("FORK", "may not use a process"),
    ],
)
def test_error_is_told_and_the_process_goes_on(
    coin: str, words: str, running: StrategyProcess
) -> None:
    pid = running.pid
    with pytest.raises(StrategyFailed, match=words):
        running.score(series(coin))
    assert running.pid == pid and running.score(series()).long.shape == (1, 96)
    assert not TRACE.exists()


def test_what_it_hides_is_told_beside_its_scores(running: StrategyProcess) -> None:
    running.score(series("HIDDEN"))
    assert running.remarks == ["it may not use files"] and not TRACE.exists()


def test_a_gigabyte_of_output_costs_neither_memory_nor_disk(running: StrategyProcess) -> None:
    running.printed = ""
    running.score(series("PRINT"))
    assert len(running.printed) <= 64 * 1024
    (remark,) = running.remarks
    assert "letters beyond 64 kB a minute, which are left out" in remark
    assert int(remark.split()[2]) > 1_000_000_000 - 128 * 1024


@pytest.mark.parametrize(
    ("coin", "words"),
    [
        ("HANG", "no answer within 1 s, so it was killed"),
        ("EXIT", "ended by itself, exit code 3"),
        ("SEGV", "ended by SIGSEGV"),
        ("JUNK", "it sends nonsense"),
    ],
)
def test_process_that_ends_or_does_not_answer_is_gone_in_time(
    coin: str, words: str, running: StrategyProcess
) -> None:
    pid, began_s = running.pid, time.monotonic()
    with pytest.raises(StrategyDied, match=words):
        running.score(series(coin))
    assert time.monotonic() - began_s < LIMIT_S + 2
    assert running.pid is None and pid is not None and not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("source", "parameters", "words"),
    [
        (TRIAL, {"bars": 0}, r"strategy_parameters.bars: found 0, Input should be greater"),
        (TRIAL, {"none": 0}, "none: no such parameter"),
        (TRIAL.replace("{M5: 96", "{M5: 0"), {}, "found 0 bars of 5m"),
        (TRIAL.replace('"trial"', "7"), {}, "name: found 7"),
        (TRIAL + "\nimport absent\n", {}, r"No module named 'absent' \(line \d+\)"),
        (TRIAL + "\nopen('x', 'w')\n", {}, "may not use a file to write"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    source: str, parameters: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "mine.py", source)
    process = StrategyProcess(section(file, **parameters), owner="x", now_s=time.monotonic)
    process.start()
    try:
        with pytest.raises(StrategyFailed, match=words):
            process.load()
    finally:
        process.kill()
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", simple("close"))
    reading, writing = os.pipe()
    starter = os.fork()
    if not starter:
        process = StrategyProcess(section(file), owner="x", now_s=time.monotonic)
        process.start()
        process.load()
        os.write(writing, str(process.pid).encode())
        time.sleep(60)
        os._exit(0)
    pid = int(os.read(reading, 20))
    os.kill(starter, 9)
    os.waitpid(starter, 0)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# What scanner and trader have


def asked(*coins: str) -> list[tuple[CoinWindows, int]]:
    return [
        (CoinWindows(c, {t: window_at(CANDLES[t], t, CLOSE_MS, symbol=c) for t in BARS}), CLOSE_MS)
        for c in coins
    ]


class Scoring:
    """A scorer whose clock stands still unless a test moves it."""

    def __init__(
        self, path: Path, source: str = TRIAL, clock: ManualClock | None = None,
        *, symbols: Sequence[str] = (), **parameters: Any,
    ) -> None:  # fmt: skip
        self.clock = clock or ManualClock()
        given = section(written(path, source), LIMIT_S, **parameters)
        self.scorer = FileScorer(
            given, symbols=symbols, owner="tests", clock=self.clock, rng=random.Random(1),
            log=logging.getLogger("tests"),
        )  # fmt: skip

    async def score(
        self, *coins: str, within_s: float = math.inf
    ) -> dict[str, CloseScore | Exception]:
        found = await self.scorer.score(asked(*coins), 500, within_s)
        return dict(zip(coins, found, strict=True))


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[Scoring]:
    made = Scoring(tmp_path / "trial.py")
    yield made
    made.scorer.close()


def is_scored(found: CloseScore | Exception) -> bool:
    return not isinstance(found, Exception) and found.coverage == 1


async def test_coin_on_which_it_fails_costs_no_other_coin_its_score(scoring: Scoring) -> None:
    found = await scoring.score("BTCUSDT", "RAISE", "NAN", "ETHUSDT")
    assert [is_scored(each) for each in found.values()] == [True, False, False, True]
    assert "trial.py:Trial: RAISE: ZeroDivisionError" in scoring.scorer.trouble
    assert "and 1 other coin" in scoring.scorer.trouble
    found = await scoring.score("BTCUSDT", "NAN")
    assert "NAN: it gives NaN where a number belongs" in scoring.scorer.trouble
    await scoring.score("BTCUSDT")
    assert scoring.scorer.trouble == ""
    identity = scoring.scorer.identity
    assert (identity.name, identity.version, len(identity.hash)) == ("trial", "3", 64)


async def test_after_a_death_it_is_started_again_with_a_pause_and_asks_that_coin_last(
    scoring: Scoring,
) -> None:
    found = await scoring.score("EXIT", "BTCUSDT")
    assert not any(is_scored(each) for each in found.values())
    assert "EXIT: its process ended by itself" in scoring.scorer.trouble
    found = await scoring.score("BTCUSDT")
    assert "started again in 1 s" in str(found["BTCUSDT"])
    await scoring.clock.advance(1.0)
    found = await scoring.score("EXIT", "BTCUSDT")
    assert [is_scored(each) for each in found.values()] == [False, True]


async def test_nothing_waits_while_it_hangs(scoring: Scoring) -> None:
    await scoring.score("BTCUSDT")
    asking = asyncio.create_task(scoring.score("HANG", "BTCUSDT"))
    longest_s, last_s = 0.0, time.monotonic()
    while not asking.done():
        await asyncio.sleep(0.01)
        longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
    assert longest_s < 0.5
    assert "HANG: no answer within 1 s" in scoring.scorer.trouble


async def test_closing_ends_a_call_under_way_at_once(scoring: Scoring) -> None:
    await scoring.score("BTCUSDT")
    pid = scoring.scorer._process.pid
    assert pid is not None
    asking = asyncio.create_task(scoring.score("HANG"))
    await eventually(lambda: psutil.Process(pid).cpu_percent(0.05) > 0)
    began_s = time.monotonic()
    scoring.scorer.close()
    await asking
    assert time.monotonic() - began_s < LIMIT_S / 2 and not psutil.pid_exists(pid)


async def test_it_is_loaded_before_it_is_asked_and_once_only(
    scoring: Scoring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found = (await asyncio.gather(scoring.scorer.warm(), scoring.score("BTCUSDT")))[1]
    assert is_scored(found["BTCUSDT"])
    pids = [scoring.scorer._process.pid]
    await scoring.score("EXIT")
    for pause_s in (0.0, 1.0):
        await scoring.clock.advance(pause_s)
        await scoring.scorer.warm()
        pids.append(scoring.scorer._process.pid)
    assert pids[0] and pids[1] is None and pids[2] not in (None, pids[0])
    assert is_scored((await scoring.score("BTCUSDT"))["BTCUSDT"])
    assert [record.message for record in caplog.records].count("strategy trial 3 loaded") == 2


async def test_what_cannot_be_loaded_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    made = Scoring(tmp_path / "trial.py", TRIAL + "\nimport absent\n")
    try:
        await made.scorer.warm()
        assert "No module named 'absent'" in str((await made.score("BTCUSDT"))["BTCUSDT"])
        assert "started again in 1 s" in made.scorer.trouble
    finally:
        made.scorer.close()


async def test_no_call_begins_that_might_end_after_the_time_of_its_close(tmp_path: Path) -> None:
    class Passing(ManualClock):
        """A quarter of a second is over with each look, once it is to pass."""

        quarters = 0

        def monotonic(self) -> float:
            self.quarters += self.passes
            return super().monotonic() + self.quarters / 4

        passes = False

    clock = Passing()
    made = Scoring(tmp_path / "trial.py", clock=clock)
    try:
        await made.scorer.warm()
        coins = [f"C{number}USDT" for number in range(8)]
        clock.passes = True
        found = await made.score(*coins, within_s=LIMIT_S + 1)
        clock.passes = False
        is_late = [not is_scored(each) for each in found.values()]
        assert is_late == sorted(is_late) and 2 <= sum(is_late) <= 6
        assert "not asked: its answer might come too late for this close" in str(found[coins[-1]])
        assert "too late for this close, and" in made.scorer.trouble
        found = await made.score("BTCUSDT", within_s=-5.0)
        assert not is_scored(found["BTCUSDT"])
        pid = made.scorer._process.pid
        assert is_scored((await made.score("BTCUSDT", within_s=LIMIT_S))["BTCUSDT"])
        assert made.scorer._process.pid == pid and made.scorer.trouble == ""  # it was not killed
    finally:
        made.scorer.close()


async def test_nobody_waits_longer_than_the_time_of_its_close_for_a_strategy_to_load(
    tmp_path: Path,
) -> None:
    made = Scoring(tmp_path / "trial.py", "import time\ntime.sleep(600)\n" + TRIAL)
    try:
        found = await made.score("BTCUSDT", within_s=LIMIT_S + 0.1)
        assert "still being loaded, too late for this close" in str(found["BTCUSDT"])
        assert "still being loaded" in made.scorer.trouble
    finally:
        made.scorer.close()
    await eventually(lambda: made.scorer._loading is None)


async def test_strategy_across_coins_is_asked_once_for_all_of_a_close(tmp_path: Path) -> None:
    source = simple("close.mean(axis=0, keepdims=True)").replace("= False", "= True")
    made = Scoring(tmp_path / "simple.py", source.replace("{M5: 48}", "{M5: 48, H1: 4}"))
    try:
        found = await made.score("BTCUSDT", "ETHUSDT")
    finally:
        made.scorer.close()
    # equal candles: each is at the mean of both
    assert made.scorer.cross_section
    assert [each.score("long") for each in found.values() if is_scored(each)] == [50, 50]  # type: ignore[union-attr]


async def test_strategy_across_coins_sees_every_configured_coin_those_without_candles_as_unknown(
    tmp_path: Path,
) -> None:
    source = simple("close").replace("= False", "= True").replace(
        "return scores(close, close)",
        "seen = ' '.join(f'{c}:{int(k.sum())}' for c, k in zip(series.coins, series[M5].known))\n"
        "        return Scores(close * 0, close * 0, reasons=[seen] * len(close))",
    )  # fmt: skip
    configured = ("ADAUSDT", "BTCUSDT", "ETHUSDT", "XRPUSDT")
    made = Scoring(tmp_path / "simple.py", source, symbols=configured)
    try:
        found = await made.score("ETHUSDT", "BTCUSDT")
        alone = await made.score("ETHUSDT")
    finally:
        made.scorer.close()
    for score in found.values():
        assert isinstance(score, StrategyScore)
        assert (score.reason, score.fault) == ("ADAUSDT:0 BTCUSDT:48 ETHUSDT:48 XRPUSDT:0", "")
    assert "BTCUSDT:0 ETHUSDT:48" in getattr(alone["ETHUSDT"], "reason", "")


async def test_without_room_for_another_process_it_is_said_and_nothing_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def no_process(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    file = written(tmp_path / "trial.py", TRIAL)
    for name, lacks, why in (
        ("os.pipe", no_room, "Too many open files"),
        ("subprocess.Popen", no_process, "Resource temporarily unavailable"),
    ):
        process = StrategyProcess(section(file, LIMIT_S), owner="tests", now_s=time.monotonic)
        before = psutil.Process().num_fds()
        with monkeypatch.context() as lacking:
            lacking.setattr(f"shared.strategy.process.{name}", lacks)
            with pytest.raises(StrategyDied, match=f"cannot be started: {why}"):
                process.start()
        assert psutil.Process().num_fds() == before and process.pid is None
        process.start()
        assert process.load().name == "trial"
        process.kill()
