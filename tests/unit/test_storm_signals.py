"""Signals of a storm are held against a replay of the same candles, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from shared import codec
from shared.backtest.replay import Recording, replay
from shared.config.sections import Config
from shared.market import Timeframe
from tests.chaos.storm.monitor import Published
from tests.chaos.storm.replayed import differences, market_recording
from tests.support.recordings import generated, write_recording

COIN = "BTCUSDT"
CLOSES = 3


def signals(recording: Recording, config: Config) -> list[dict[str, Any]]:
    end = len(recording.closes)
    blocks = replay(recording, range(end - CLOSES, end), config.indicators)
    return [orjson.loads(codec.encode(signal)) for block in blocks for signal in block]


def test_what_a_replay_gives_too_is_no_difference_and_anything_else_is() -> None:
    config = Config(groups={"all": [COIN]})
    market = Market(GeneratedPrices([COIN], config.simulator.seed))
    recording = market_recording(market, COIN, config.indicators.history + 100)
    found = signals(recording, config)
    published = Published()
    for signal in found:
        # made later, of candles that were fetched later
        signal["computed_at_ms"] += 1234
        for state in signal["inputs"].values():
            state["fetched_at_ms"] += 1000
        published.take(orjson.dumps(signal))
    assert len(published.seen) == CLOSES
    assert list(differences(published, config, None)) == []

    found[1]["close"] = found[1]["close"] * (1 + 1e-15) + 1e-9
    published.take(orjson.dumps(found[1]))
    (said,) = differences(published, config, None)
    assert said.startswith(f"{COIN} at close {found[1]['closed_until_ms']}: close: published")


def test_recorded_candles_are_moved_as_the_simulator_moved_them(tmp_path: Path) -> None:
    config = Config(groups={"all": [COIN]}, state_dir=str(tmp_path))
    recording = generated(COIN)
    write_recording(tmp_path, recording, *Timeframe)
    (tmp_path / "simulator.json").write_bytes(orjson.dumps({"shift_days": 0}))
    published = Published()
    for signal in signals(recording, config):
        published.take(orjson.dumps(signal))
    assert list(differences(published, config, tmp_path)) == []
    (tmp_path / "simulator.json").write_bytes(orjson.dumps({"shift_days": 1}))
    assert len(list(differences(published, config, tmp_path))) == CLOSES


def test_a_signal_that_lacks_a_candle_or_calls_one_stale_is_not_held_against_it() -> None:
    config = Config(groups={"all": [COIN]})
    market = Market(GeneratedPrices([COIN], config.simulator.seed))
    (signal, *_) = signals(market_recording(market, COIN, 600), config)
    for timeframe, field, value in (("1h", "closed_until_ms", 0), ("5m", "stale", True),
                                    ("4h", "unfilled_gap", True)):  # fmt: skip
        changed = orjson.loads(orjson.dumps(signal))
        changed["inputs"][timeframe][field] = value
        published = Published()
        published.take(orjson.dumps(changed))
        assert not published.seen
