"""A user's strategy in a backtest: its scores are those of live calls, whatever happens."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from shared.backtest.replay import Recording
from shared.backtest.user_strategy.asking import Asked, NotScored
from shared.backtest.user_strategy.points import NONE, CoinPoints, PastScores, Tally
from shared.backtest.user_strategy.scoring import (
    ScoreJob,
    UserStrategy,
    joined,
    pieces_of,
    work,
)
from shared.candles.files import aggregated
from shared.indicators.signals import CoinWindows
from shared.market import Timeframe
from shared.messages.candles import CandleWindow
from shared.strategy.live import StrategyScore
from shared.strategy.records import CheckRecord, with_record
from shared.strategy.scorer import FileScorer
from shared.strategy.source import StrategyFile
from tests.support.manual_clock import ManualClock
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.recordings import generated, write_recording
from tests.support.strategies import ACROSS, MOMENTUM, PEEKS, TRIAL, section, simple, written

M5 = Timeframe.M5
HALT, AFTER = 900, 960
"""Candles of the first coin that are not there: five hours."""

LATE = 1100
"""The first candle of the second coin."""

WITHIN_S = 90
COINS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")


def cut(symbol: str) -> Recording:
    """Return a made-up recording, of some coins with a halt or a late beginning."""
    candles = generated(symbol, 1500).candles[M5]
    if symbol == "BTCUSDT":
        candles = candles[np.r_[:HALT, AFTER : len(candles)]]
    if symbol == "ETHUSDT":
        candles = candles[LATE:]
    longer = {t: aggregated(candles, t) for t in (Timeframe.H1, Timeframe.H4)}
    return Recording(symbol, {M5: candles, **longer})


MARKET = {symbol: cut(symbol) for symbol in COINS}
BEGIN_MS = int(generated("BTCUSDT", 1500).candles[M5].open_time_ms[0])
FROM_MS, TO_MS = BEGIN_MS + 850 * M5.ms, BEGIN_MS + 1300 * M5.ms


def recording(_: Path, symbol: str) -> Recording:
    return MARKET[symbol]


def scored(
    file: StrategyFile, rows: Sequence[str], *, is_whole: bool, span: tuple[int, int] | None = None
) -> tuple[dict[str, CoinPoints], Tally]:
    with closing(Asked(section(file), {})) as asked:
        found = PastScores(asked, list(MARKET.values()), rows, is_whole=is_whole)
        return found.score(*span or (FROM_MS, TO_MS)), found.tally


def windows(symbol: str, close_ms: int) -> CoinWindows:
    """Return what the fetcher would have published of a coin at a close."""
    found: dict[Timeframe, CandleWindow | None] = {}
    for timeframe, candles in MARKET[symbol].candles.items():
        closed = candles.closed(timeframe, close_ms).tail(1000)
        found[timeframe] = CandleWindow(
            symbol=symbol, timeframe=timeframe, candles=closed,
            closed_until_ms=int(closed.open_time_ms[-1]) + timeframe.ms,
            fetched_at_ms=close_ms, source="sim", absent=tuple(closed.gaps(timeframe)),
        ) if len(closed) else None  # fmt: skip
    return CoinWindows(symbol, found)


async def live(
    file: StrategyFile, rows: Sequence[str], closes: Sequence[int]
) -> dict[tuple[str, int], tuple[int, int, float | None]]:
    """Return points and stops as the trader's scorer gives them, where it scores."""
    scorer = FileScorer(
        section(file, 10.0), symbols=rows, owner="tests", clock=ManualClock(),
        rng=random.Random(1), log=logging.getLogger("tests"),
    )  # fmt: skip
    found = {}
    try:
        for close_ms in closes:
            asked = [(windows(symbol, close_ms), close_ms) for symbol in MARKET]
            for score in await scorer.score(asked, 500):
                if isinstance(score, Exception) or score.coverage < 1:
                    continue
                if isinstance(score, StrategyScore) and score.closed_until_ms == close_ms:
                    points = score.score("long"), score.score("short")
                    found[score.symbol, close_ms] = (*points, score.stop)
    finally:
        scorer.close()
    return found


def at(
    points: Mapping[str, CoinPoints], closes: Sequence[int]
) -> dict[tuple[str, int], tuple[int, int, float | None]]:
    """Return the points of some closes, where there are any."""
    found = {}
    for symbol, coin in points.items():
        indices = MARKET[symbol].indices(FROM_MS, TO_MS)
        times = MARKET[symbol].closes[indices.start : indices.stop].tolist()
        for place, close_ms in enumerate(times):
            if close_ms in closes and coin.points[0, place] != NONE:
                long, short = coin.points[:, place].tolist()
                stop = None if coin.stop is None else float(coin.stop[place])
                found[symbol, close_ms] = (long, short, stop)
    return found


@pytest.mark.parametrize(
    ("source", "rows"),
    [(MOMENTUM, COINS), (ACROSS, ("ADAUSDT", *COINS))],
    ids=["each coin alone", "across coins"],
)
async def test_scores_of_the_past_are_those_of_live_calls(
    source: str, rows: tuple[str, ...], tmp_path: Path
) -> None:
    source = source.partition("\n\nclass Calm")[0]
    file = written(tmp_path / "mine.py", source)
    whole, tally = scored(file, rows, is_whole=True)
    apart, all_apart = scored(file, rows, is_whole=False)
    for symbol in COINS:
        assert np.array_equal(whole[symbol].points, apart[symbol].points)
    assert tally.asked == all_apart.asked == all_apart.one_by_one > tally.one_by_one
    assert tally.failed == 0
    # around the halt, around the late beginning, and elsewhere
    chosen = [*range(851, 905), *range(955, 1015), *range(1145, 1165), *range(1200, 1230)]
    closes = [BEGIN_MS + bar * M5.ms for bar in chosen]
    expected = await live(file, rows, closes)
    assert at(whole, closes) == at(apart, closes) == expected
    scored_coins = {symbol for symbol, _ in expected}
    assert scored_coins == set(COINS) and 100 < len(expected) < 3 * len(closes)


@pytest.mark.parametrize("peek", PEEKS)
def test_looking_ahead_gains_nothing_whatever_its_check_says(peek: str, tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", simple(PEEKS[peek]))
    apart, _ = scored(file, COINS, is_whole=False)
    believed, tally = scored(file, COINS, is_whole=True)
    for symbol in COINS:
        assert np.array_equal(believed[symbol].points, apart[symbol].points)
    assert tally.one_by_one >= tally.asked - tally.failed > 0


def test_close_at_which_it_raises_is_not_scored_and_counted(tmp_path: Path) -> None:
    line = "        if 100.0 * close[0, -1] % 7 < 2: raise ValueError('seven')\n"
    source = simple("close").replace("        return scores", line + "        return scores")
    found, tally = scored(written(tmp_path / "mine.py", source), COINS, is_whole=True)
    unscored = sum(int((coin.points[0] == NONE).sum()) for coin in found.values())
    closes = sum(coin.points.shape[1] for coin in found.values())
    assert 0 < tally.failed == unscored - (closes - tally.asked) < tally.asked
    assert "ValueError: seven (line" in tally.first and "USDT at 20" in tally.first


def test_one_that_dies_again_and_again_ends_the_run_with_coin_and_close(tmp_path: Path) -> None:
    source = TRIAL.replace('if what == "EXIT":', "if True:")
    with pytest.raises(NotScored, match=r"BTCUSDT at 20.*tried 3 times.*exit code 3"):
        scored(written(tmp_path / "mine.py", source), COINS, is_whole=False)


def test_one_that_hangs_ends_the_run(tmp_path: Path) -> None:
    source = TRIAL.replace('if what == "HANG":', "if True:")
    file = written(tmp_path / "mine.py", source)
    with (
        pytest.raises(NotScored, match="no answer within"),
        closing(Asked(section(file, 0.3), {})) as asked,
    ):
        PastScores(asked, list(MARKET.values()), COINS, is_whole=False).score(FROM_MS, TO_MS)


def test_one_that_is_slow_over_weeks_alone_is_asked_close_by_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.backtest.user_strategy.points.LONG_LIMITS", 2)
    line = "        if close.shape[1] > 48:\n            import time; time.sleep(60)\n"
    source = simple("close").replace("        return scores", line + "        return scores")
    file = written(tmp_path / "mine.py", source)
    with closing(Asked(section(file, 1.0), {})) as asked:
        past = PastScores(asked, list(MARKET.values()), COINS, is_whole=True)
        found = past.score(FROM_MS, TO_MS)
    assert past.tally.asked == past.tally.one_by_one > 0
    expected, _ = scored(written(tmp_path / "plain.py", simple("close")), COINS, is_whole=False)
    for symbol in COINS:
        assert np.array_equal(found[symbol].points, expected[symbol].points)


@pytest.mark.parametrize("source", [ACROSS, MOMENTUM], ids=["across coins", "each coin alone"])
def test_pieces_of_a_job_give_together_what_it_gives_alone(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("points", "scoring"):
        monkeypatch.setattr(f"shared.backtest.user_strategy.{module}.PART_MS", 100 * M5.ms)
    name = source.partition("class ")[2].partition(":")[0]
    used = section(written(tmp_path / "mine.py", source, name))
    with closing(Asked(used, {})) as asked:
        loaded = asked.loaded
    strategy = UserStrategy(section=used, loaded=loaded, rows=COINS, one_by_one="")
    job = ScoreJob(strategy, {}, recording, tmp_path, COINS, FROM_MS + M5.ms, TO_MS)
    whole = work(job)
    for number in (2, 3, 9):
        pieces = pieces_of(job, number)
        assert 1 < len(pieces) <= number
        found = joined(map(work, pieces))
        assert found.tally == whole.tally
        for symbol, points in whole.coins.items():
            assert np.array_equal(found.coins[symbol].points, points.points)
            assert (found.coins[symbol].stop is None) == (points.stop is None)
            if points.stop is not None:
                stop = found.coins[symbol].stop
                assert stop is not None and np.array_equal(stop, points.stop, equal_nan=True)


# As a user runs it


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("candles")
    for coin in COINS[:2]:
        write_recording(directory, generated(coin, 9_000))
    return directory


def configured(directory: Path, *, passed: bool) -> Path:
    """Return a configuration with a strategy, in a directory of its own."""
    file = written(directory / "mine.py", MOMENTUM, "Momentum")
    if passed:
        checked = CheckRecord(
            path=file.path, class_name="Momentum", digest=file.digest, name="momentum",
            version="1", checked_ms=1, broken={}, is_whole_equal=True,
            parameters={"bars": {"type": "integer", "minimum": 1, "default": 12},
                        "steep": {"type": "number", "default": 60.0}},
        )  # fmt: skip
        (directory / "var").mkdir()
        (directory / "var" / "strategies.json").write_bytes(with_record([], checked))
    config = directory / "config.yaml"
    config.write_text(
        f"strategy: mine.py:Momentum\nstate_dir: {directory}/var\n"
        "groups: {all: [BTCUSDT, ETHUSDT]}\ntrader: {margin: 0, entry_score: 80}\n"
    )
    return config


def command(verb: str, config: Path, candles: Path, out: Path, *more: object) -> list[str]:
    return [
        sys.executable, "supervisor.py", verb, "--config", str(config), "--candles", str(candles),
        "--release", "daily", "--out", str(out), *map(str, more),
    ]  # fmt: skip


def run(arguments: Sequence[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


STRATEGY, WORKER = "strategy of a backtest", "spawn_main"


def is_killed(process: psutil.Process, name: str) -> bool:
    """Kill a part of a backtest, if it is there now; return whether it was."""
    for child in process.children(recursive=True):
        try:
            if name in " ".join(child.cmdline()):
                child.kill()
                return True
        except psutil.NoSuchProcess:
            continue
    return False


def test_backtest_has_one_digest_however_it_is_computed_and_whatever_is_killed(
    candles: Path, tmp_path: Path
) -> None:
    for name in ("checked", "unchecked"):
        (tmp_path / name).mkdir()
    checked = configured(tmp_path / "checked", passed=True)
    unchecked = configured(tmp_path / "unchecked", passed=False)
    done = run(command("backtest", checked, candles, tmp_path / "1", "--processes", 1))
    assert "computed in whole series" in done.stdout and "close by close" not in done.stderr
    expected = read(tmp_path / "1" / "result.json")
    assert expected["trades"] > 20 and expected["strategy"]["class_name"] == "Momentum"
    assert expected["strategy_hash"] == expected["strategy"]["hash"]
    assert expected["strategy_parameters"] == {"bars": 12, "steep": 60.0}
    run(command("backtest", checked, candles, tmp_path / "2", "--processes", 2))
    assert read(tmp_path / "2" / "result.json") == expected

    killed = subprocess.Popen(
        command("backtest", unchecked, candles, tmp_path / "3", "--processes", 2),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    here = psutil.Process(killed.pid)
    for name in (STRATEGY, WORKER, STRATEGY):
        wait_for(partial(is_killed, here, name), WITHIN_S)
    _, errors = killed.communicate(timeout=WITHIN_S)
    assert killed.returncode == 0, errors
    assert "mine.py:Momentum is not checked: computed close by close" in errors
    found = read(tmp_path / "3" / "result.json")
    assert found["digest"] == expected["digest"]
    assert found["strategy"]["computed"] == "close by close"
    assert found["strategy"]["closes"]["one_by_one"] == found["strategy"]["closes"]["asked"]


def test_parameters_are_the_strategys_own(candles: Path, tmp_path: Path) -> None:
    config = configured(tmp_path, passed=True)
    steeper = ("--set", "strategy_parameters.steep=90", "--processes", 1)
    run(command("backtest", config, candles, tmp_path / "a", "--processes", 1))
    run(command("backtest", config, candles, tmp_path / "b", *steeper))
    one, other = (read(tmp_path / name / "result.json") for name in "ab")
    assert one["settings_hash"] != other["settings_hash"] and one["digest"] != other["digest"]
    assert other["strategy_parameters"] == {"bars": 12, "steep": 90}
    refused = command("backtest", config, candles, tmp_path / "c", "--processes", 1,
                      "--set", "strategy_parameters.bars=0")  # fmt: skip
    assert "strategy_parameters.bars: found 0, expected at least 1" in run(refused, code=78).stderr
    (tmp_path / "var" / "strategies.json").unlink()  # then its process says what it takes
    assert "strategy_parameters.bars: found 0, Input should be" in run(refused, code=78).stderr
    params = ("--param", "strategy_parameters.bars=0,12", "--param", "strategy_parameters.bar=1")
    done = run(command("sweep", config, candles, tmp_path / "d", *params), code=78)
    assert "--param strategy_parameters.bars: found 0, expected at least 1" in done.stderr
    assert "--param strategy_parameters.bar: no parameter of this strategy" in done.stderr


@pytest.mark.timeout(300)
def test_sweep_scores_once_for_each_set_goes_on_and_opens_its_hold_out(
    candles: Path, tmp_path: Path
) -> None:
    config = configured(tmp_path, passed=True)
    params = ("--param", "strategy_parameters.bars=6,24", "--param", "trader.entry_score=80,85",
              "--walk-forward", "none")  # fmt: skip
    first = command("sweep", config, candles, tmp_path / "1", *params, "--processes", 2)
    stopped = subprocess.Popen(first, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: any((tmp_path / "1").glob("prepared/points-*/index.json")), WITHIN_S)
    stopped.kill()
    stopped.communicate(timeout=WITHIN_S)
    run(first)
    run(command("sweep", config, candles, tmp_path / "2", *params, "--processes", 1))
    found, again = (read(tmp_path / name / "sweep.json") for name in "12")
    assert found["digest"] == again["digest"] and found["settings"] == again["settings"]
    assert found["strategy"] == again["strategy"]
    assert found["strategy"]["class_name"] == "Momentum"
    assert len(list((tmp_path / "1").glob("prepared/points-*"))) == 2
    assert len({each["in_sample"]["net_return_pct"] for each in found["settings"]}) == 4
    assert set(found["chosen"]["strategy_parameters"]) == {"bars", "steep"}

    other = ["--set", "strategy=mine.py:Calm"]
    run([*command("sweep", config, candles, tmp_path / "3", *params), *other])
    calm = read(tmp_path / "3" / "sweep.json")
    assert calm["strategy"]["hash"] == found["strategy"]["hash"] and calm["tries"] == 8
    assert calm["digest"] != found["digest"]

    opening = [sys.executable, "supervisor.py", "sweep", "open-hold-out", str(tmp_path / "1"),
               "--config", str(config)]  # fmt: skip
    kept = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(kept + "\n# changed\n")
    assert "restore the file as it was" in run(opening, code=1).stderr
    (tmp_path / "mine.py").write_text(kept)
    run(opening)
    assert read(tmp_path / "1" / "sweep.json")["hold_out"]["opened"] == 1
    recording = [sys.executable, "supervisor.py", "evidence", "record", str(tmp_path / "1"),
                 "--out", str(tmp_path / "e.json")]  # fmt: skip
    assert "expected edge: only that is recorded" in run(recording, code=1).stderr
