"""Recordings with faults are replayed as if without them, or refused by name."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest

from shared.backtest.outcomes import forward_returns
from shared.backtest.recording import read_recording
from shared.backtest.replay import Recording, replay, replay_scores
from shared.candles.admission import WrongUnit
from shared.candles.files import HEADER, aggregated, candle_file, read_admitted
from shared.codec import encode
from shared.config.sections import IndicatorsSection
from shared.indicators.frames import HALT_BARS, WARM_BARS
from shared.market import Candles, Timeframe
from shared.messages.signals import TaSignal
from tests.support.candle_series import walk
from tests.support.recordings import write_candles
from tests.unit.shared.candles.test_admission import changed, in_unit, joined, scaled, without

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
SETTINGS = IndicatorsSection()


@pytest.fixture
def cases(data_dir: Path) -> Path:
    path = data_dir / "cases"
    if not path.is_dir():
        pytest.skip(f"no recorded cases in {path}")
    return path


def recording_of(m5: Candles, symbol: str = "REDNUSDT") -> Recording:
    return Recording(symbol, {M5: m5} | {t: aggregated(m5, t) for t in (H1, H4)})


def replayed(recording: Recording, indices: range) -> list[TaSignal]:
    return [s for block in replay(recording, indices, SETTINGS) for s in block]


def texts(signals: list[TaSignal]) -> list[bytes]:
    return [encode(signal) for signal in signals]


class TestCases:
    def test_microseconds_are_refused_by_name(self, cases: Path) -> None:
        with pytest.raises(
            WrongUnit, match=r"BTCUSDT-5m\.csv\.gz: BTCUSDT 5m: times in microseconds.* row 1 has"
        ):
            read_recording(cases / "us-timestamps", "BTCUSDT")

    def test_a_duplicate_row_changes_nothing_and_is_counted(self, cases: Path) -> None:
        recording = read_recording(cases / "duplicate-row", "DUPUSDT")
        text = gzip.decompress((cases / "duplicate-row" / "DUPUSDT-5m.csv.gz").read_bytes())
        times = [int(line.split(b",")[0]) for line in text.split()[1:]]
        assert len(times) == len(set(times)) + 1
        assert recording.candles[M5].open_time_ms.tolist() == sorted(set(times))
        assert recording.remarks == ("DUPUSDT 5m: 1 row dropped: an equal one is there",)

    def test_a_redenominated_coin_equals_its_truth_once_warm(self, cases: Path) -> None:
        both = read_recording(cases / "redenomination", "REDNUSDT")
        truth = read_recording(cases / "redenomination-truth", "REDNUSDT")
        (remark,) = both.remarks
        assert "the price scale breaks at 2025-02-01T14:00:00Z" in remark
        before = len(both.candles[M5]) - len(truth.candles[M5])
        warm = range(12 * (WARM_BARS + 1), len(truth.candles[M5]), 7)
        for index in (*warm[:40], *warm[-40:]):
            (ours,) = replayed(both, range(before + index, before + index + 1))
            (theirs,) = replayed(truth, range(index, index + 1))
            inputs = {
                t: dataclasses.replace(state, begins_ms=None) for t, state in ours.inputs.items()
            }
            reasons = ours.composite_score_adjustment.reasoning
            assert not any("price scale" in reason for reason in reasons)
            assert encode(dataclasses.replace(ours, inputs=inputs)) == encode(theirs)


@pytest.mark.parametrize(
    ("factor", "unit"), [(0.001, "seconds"), (10**3, "microseconds"), (10**6, "nanoseconds")]
)
def test_a_file_in_another_unit_is_refused(tmp_path: Path, factor: float, unit: str) -> None:
    write_candles(candle_file(tmp_path, "BTCUSDT", M5), in_unit(walk(1, 20), factor))
    with pytest.raises(WrongUnit, match=unit):
        read_recording(tmp_path, "BTCUSDT")


def test_a_long_file_in_another_unit_is_refused(tmp_path: Path) -> None:
    write_candles(candle_file(tmp_path, "BTCUSDT", M5), walk(1, 20))
    write_candles(candle_file(tmp_path, "BTCUSDT", H4), in_unit(walk(1, 20, timeframe=H4), 1000))
    with pytest.raises(WrongUnit, match=r"BTCUSDT-4h\.csv\.gz: BTCUSDT 4h: times in microseconds"):
        read_recording(tmp_path, "BTCUSDT")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{ms},1,2,1,x,5", "expected 6 decimal numbers"),
        ("{ms},1,2,1,1", "expected 6 decimal numbers"),
        ("{ms},1,2,1,1,5,7", "expected 6 decimal numbers"),
        ("{ms},0,2,1,1,5", "price not finite"),
        ("{ms},1,1,2,1,5", "high below"),
        ("{ms}.5,1,2,1,1,5", "expected 6 decimal numbers, the first a whole one"),
        ("", "expected 6 decimal numbers"),
    ],
)
def test_a_bad_line_costs_itself_and_is_named(tmp_path: Path, line: str, why: str) -> None:
    rows = walk(1, 20)
    path = candle_file(tmp_path, "BTCUSDT", M5)
    write_candles(path, rows)
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    lines[8] = line.format(ms=rows.open_time_ms[7]).encode()
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    admitted = read_admitted(path, "BTCUSDT", M5)
    assert admitted.candles.same_as(without(rows, 7))
    (refused,) = admitted.refused
    assert refused.row == 8 and refused.why.startswith(why)
    (remark,) = read_recording(tmp_path, "BTCUSDT").remarks
    assert remark.startswith("BTCUSDT 5m: row 8") and "counts as missing" in remark


def test_lines_shifted_into_each_other_are_not_read_as_rows(tmp_path: Path) -> None:
    path = candle_file(tmp_path, "BTCUSDT", M5)
    rows = b"1700000100000,1,2,1,1\n5,1700000400000,1,2,1,1,5\n1700000700000,1,2,1,1,5\n"
    path.write_bytes(gzip.compress(HEADER + b"\n" + rows))
    admitted = read_admitted(path, "BTCUSDT", M5)
    assert len(admitted.candles) == 1 and [r.row for r in admitted.refused] == [1, 2]


def test_the_values_after_a_bad_row_are_null_until_40_bars_past(tmp_path: Path) -> None:
    bars = 700
    row = bars - HALT_BARS - 20
    write_candles(candle_file(tmp_path, "BTCUSDT", M5), changed(walk(1, bars), row, low=0.0))
    recording = read_recording(tmp_path, "BTCUSDT")
    found = replayed(recording, range(row - 1, bars - 1))
    before, spoilt, after = found[0], found[1 : 1 + HALT_BARS], found[1 + HALT_BARS :]
    assert before.ema_ribbon.state_5m is not None and not before.inputs["5m"].unfilled_gap
    for signal in spoilt:
        assert signal.ema_ribbon.values == [None] * 6 and signal.inputs["5m"].atr14 is None
        assert signal.ttm_squeeze.squeeze is None and signal.inputs["5m"].unfilled_gap
        reason = signal.composite_score_adjustment.reasoning[0]
        assert reason == "5m candles have an unfilled gap: nothing scored"
    for signal in after:
        assert None not in signal.ema_ribbon.values and not signal.inputs["5m"].unfilled_gap
        assert not any("past" in r for r in signal.composite_score_adjustment.reasoning)


BEFORE, HOLE, AFTER = 4000, 7, 3700


@pytest.fixture(scope="module", params=[0.01, 0.001, 1000.0])
def recording(request: pytest.FixtureRequest) -> Recording:
    """A recording that breaks in the middle of an hour, after a short halt."""
    rows = walk(4, BEFORE + HOLE + AFTER)
    later = scaled(rows[BEFORE + HOLE :], request.param)
    return recording_of(joined(rows[:BEFORE], later))


class TestBreak:
    def test_closes_before_it_do_not_know_it(self, recording: Recording) -> None:
        early = recording_of(recording.candles[M5][:BEFORE])
        indices = range(BEFORE - 50, BEFORE)
        assert texts(replayed(recording, indices)) == texts(replayed(early, indices))

    def test_no_close_knows_what_comes_after_it(self, recording: Recording) -> None:
        for end in (BEFORE + 1, BEFORE + 2, BEFORE + 90, BEFORE + 700):
            last = range(end - 1, end)
            cut = recording_of(recording.candles[M5][:end])
            assert texts(replayed(recording, last)) == texts(replayed(cut, last))

    def test_nothing_is_scored_until_warm(self, recording: Recording) -> None:
        first = range(BEFORE, BEFORE + WARM_BARS - 1)
        for signal in replayed(recording, first):
            bonus = signal.composite_score_adjustment
            assert (bonus.long_bonus, bonus.short_bonus) == (0, 0)
            assert "since the price scale changed" in bonus.reasoning[0]
            assert signal.inputs["5m"].begins_ms == recording.candles[M5].open_time_ms[BEFORE]
        for block in replay_scores(recording, first, SETTINGS.history):
            assert all(
                score.coverage == 0 and "since the price scale changed" in score.fault
                for score in block
            )

    def test_no_candle_of_two_scales_is_used(self, recording: Recording) -> None:
        scale = recording.candles[M5].close[BEFORE:]
        for signal in replayed(recording, range(BEFORE, BEFORE + 600, 17)):
            for state in signal.inputs.values():
                assert state.atr14 is None or state.atr14 < 0.2 * scale.max()

    def test_once_warm_it_equals_the_later_part_alone(self, recording: Recording) -> None:
        m5 = recording.candles[M5]
        alone = recording_of(m5[BEFORE:])
        indices = range(AFTER - 40, AFTER)
        ours = replayed(recording, range(BEFORE + indices.start, len(m5)))
        assert all(s.inputs["1h"].warm and not s.inputs["4h"].warm for s in ours)
        plain = [
            dataclasses.replace(
                s,
                inputs={t: dataclasses.replace(i, begins_ms=None) for t, i in s.inputs.items()},
            )
            for s in ours
        ]
        assert texts(plain) == texts(replayed(alone, indices))


def test_of_several_breaks_the_newest_known_counts() -> None:
    rows = walk(4, 2000)
    m5 = joined(rows[:600], scaled(rows[610:1300], 0.01), scaled(rows[1310:], 100.0))
    recording = recording_of(m5)
    at_ms = [int(m5.open_time_ms[i]) for i in (600, 1290)]
    begins = [recording.begins_ms(M5, ms) for ms in (at_ms[0], at_ms[0] + M5.ms, at_ms[1] + M5.ms)]
    assert begins == [0, *at_ms]
    assert recording.begins_ms(H4, at_ms[1] + 10 * H4.ms) >= at_ms[1]


def test_a_return_over_a_break_is_none() -> None:
    times = np.arange(1, 7) * M5.ms
    close = np.array([100.0, 100.0, 100.0, 1.0, 1.0, 1.0])
    at_ms = int(times[3]) - M5.ms
    found = forward_returns(close, times, M5.ms, np.array([at_ms]))
    assert found.tolist()[:2] == [0, 0] and np.isnan(found[2]) and found.tolist()[3:5] == [0, 0]
